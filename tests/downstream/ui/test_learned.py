"""Choices and gaps as the page gets them: those of the commands on the same events, filtered, and of nobody else's."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from otel_feedback import AgentSelector, Feedback, Reward
from otel_feedback.downstream.learning.gaps.exporting import lines
from otel_feedback.downstream.learning.gaps.finding import find
from otel_feedback.downstream.learning.gaps.gap import as_data
from otel_feedback.downstream.learning.policies.decisions import read
from otel_feedback.downstream.learning.policies.policy import usual
from otel_feedback.downstream.learning.policies.valuing import as_data as values_as_data
from otel_feedback.downstream.learning.policies.valuing import value_of
from otel_feedback.downstream.learning.selectors.choices import choices, of_policy
from otel_feedback.downstream.store.folder import StoreFolder
from otel_feedback.downstream.tables.stored import open_store
from otel_feedback.downstream.tables.tables import Tables
from otel_feedback.downstream.ui.access import Token
from otel_feedback.downstream.ui.learning import choices as page_choices
from otel_feedback.downstream.ui.learning import gaps as page_gaps
from otel_feedback.downstream.ui.learning.beliefs import Beliefs
from otel_feedback.downstream.ui.picture import step_s
from tests.downstream.learning.policies.learners import AGENTS
from tests.downstream.tables import made
from tests.downstream.ui.serve import TOKEN, Server, served, token_of, write
from tests.downstream.ui.taught import SECRET, actions, decisions
from tests.stack.waiting import wait_until

SINCE, UNTIL = made.BEGIN + timedelta(minutes=5), made.BEGIN + timedelta(hours=1)
TIME = {"since": SINCE.isoformat(), "until": UNTIL.isoformat()}
CANDIDATES = [("candidate", name) for name in sorted(AGENTS)]


EVENTS = [*decisions("acme"), *actions("acme"), *decisions("globex"), *actions("globex")]
GIVEN = [
    Feedback(
        feedback_id=f"f-{event.event_id}", target="event", event_id=event.event_id, score=0.1, name="rating", source="human",
        timestamp=made.BEGIN + timedelta(hours=5), tenant_id=event.tenant_id,
    )
    for event in EVENTS[::9]
]  # fmt: skip
FILTERS: dict[str, tuple[Sequence[tuple[str, str]], str]] = {
    "nothing": ([], "true"),
    "a tenant": ([("tenant", "acme")], "tenant_id = 'acme'"),
    "a tag": ([("tag", "eu")], "list_contains(tags, 'eu')"),
    "a tool": ([("tool", "search")], "tool_name = 'search'"),
    "a text": ([("text", '"plan":"free"')], """(metadata ->> 'plan') = 'free'"""),
    "nobody": ([("agent", "nobody'; --")], "false"),
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("learned") / "store"
    write(StoreFolder(path), EVENTS, files=5, given=GIVEN)
    return path


@contextlib.contextmanager
def serving(store: Path, selector: Path, most_hot: int) -> Generator[Server, None, None]:
    tokens = [Token(TOKEN), *(Token(token_of(tenant), tenant) for tenant in ("acme", "globex", "nobody"))]
    with served(store, tokens, most_hot, beliefs=Beliefs([selector, selector.with_name("none.json")])) as server:
        wait_until(
            lambda: (told := server.get("api/state", TOKEN))["rows"] >= len(EVENTS) and told["problem"] is None,
            timeout_s=60, what="the store",
        )  # fmt: skip
        yield server


@pytest.fixture(scope="module")
def page(store: Path, selector: Path) -> Iterator[Server]:
    with serving(store, selector, most_hot=10**9) as server:
        yield server


@pytest.fixture(scope="module")
def selector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a selector's file, with what it learned in a minute."""
    path = tmp_path_factory.mktemp("selector") / "selector.json"
    selector = AgentSelector(list(AGENTS), Reward(cost_weight=2.0), state=path, refresh_s=None, seed=1, floor=0.15)
    for _ in range(60):
        choice = selector.choose()
        choice.learn(0.9 if choice.name == "writer" else 0.4)
    selector.refresh()
    return path


def asked(path: str, name: str = "nothing", *more: tuple[str, str]) -> str:
    return f"{path}?{urlencode([*TIME.items(), *FILTERS[name][0], *more])}"


def of_store(store: Path, name: str, work: Callable[[Tables], Any]) -> Any:
    """Return what somebody gets who reads the store as the commands do."""
    with open_store(store) as tables:
        tables.choose(
            f"event_time >= '{SINCE.isoformat()}' AND event_time < '{UNTIL.isoformat()}' AND {FILTERS[name][1]}"
        )
        return json.loads(json.dumps(work(tables), default=str))


@pytest.mark.parametrize("name", FILTERS)
def test_choices(page: Server, store: Path, name: str) -> None:
    told = page.get(asked("api/choices", name, ("cost_weight", "3")), TOKEN)
    until_ms = int(UNTIL.timestamp() * 1e3)
    right = of_store(
        store, name,
        lambda tables: choices(tables, Reward(cost_weight=3.0), lambda length: step_s(max(length, 900), most=100), until_ms),
    )  # fmt: skip
    for policy in told["policies"]:
        del policy["belief"]
    assert made.rounded({part: told[part] for part in right}) == made.rounded(right)
    assert bool(told["policies"]) == (name not in ("a tool", "nobody"))


def test_what_others_would_have_brought(page: Server, store: Path) -> None:
    def right(tables: Tables) -> Any:
        tables.connection.execute("ALTER VIEW outcomes RENAME TO outcomes_of_all")
        condition = of_policy("thompson", AGENTS)
        tables.connection.execute(f"CREATE VIEW outcomes AS SELECT * FROM outcomes_of_all WHERE {condition}")
        log = read(tables, Reward(latency_weight=0.1).of)
        return values_as_data(log, [value_of(log, policy) for policy in usual(log.agents)])

    query = [("policy", "thompson"), ("latency_weight", "0.1"), *CANDIDATES]
    told = page.get(asked("api/choices/values", "a tenant", *query), TOKEN)
    found = of_store(store, "a tenant", right)
    assert made.rounded({part: told[part] for part in found}) == made.rounded(found)
    assert {one["policy"] for one in told["policies"]} == {*(f"always:{name}" for name in AGENTS), "uniform"}
    assert (told["refused"], told["is_cut"]) == (None, False)
    refused = page.get(asked("api/choices/values", "nothing", ("policy", "nobody's"), *CANDIDATES), TOKEN)
    assert refused["refused"].startswith("no event says how its agent was chosen")


def test_what_others_would_have_brought_of_very_many_is_of_the_newest(
    page: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_choices, "MOST_DECISIONS", 100)
    query = [("policy", "thompson"), ("cost_weight", "0.5"), *CANDIDATES]
    told = page.get(asked("api/choices/values", "a tenant", *query), TOKEN)
    assert told["is_cut"]
    assert told["decisions"] == 99, "one of a hundred is under way"


def test_what_a_selector_believes_stands_beside_what_it_chose(page: Server, selector: Path) -> None:
    told = page.get(asked("api/choices", "a tenant"), TOKEN)
    assert told["reward"] == {"cost_weight": 2.0, "latency_weight": 0.0}, "the selector's own"
    assert told["unread"] == [f"there is no {selector.with_name('none.json')} yet"]
    [policy] = told["policies"]
    belief, known = policy["belief"], json.loads(selector.read_text())
    assert (belief["file"], belief["half_life_s"], belief["floor"]) == ("selector.json", 3_600.0, 0.15)
    for name, agent in known["agents"].items():
        shown = belief["agents"][name]
        assert {part: shown[part] for part in ("probability", "mean", "outcomes", "feedback")} == {
            part: agent[part] for part in ("probability", "mean", "outcomes", "feedback")
        }
        assert 0 <= shown["low"] <= shown["mean"] <= shown["high"] <= 1
    other = next(one for one in page.get(asked("api/choices"), TOKEN)["policies"] if SECRET in str(one["candidates"]))
    assert other["belief"] is None, "it knows nothing of these agents"
    of_tenant = page.get(asked("api/choices"), token_of("acme"))
    assert ([one["belief"] for one in of_tenant["policies"]], of_tenant["unread"]) == ([None], [])


@pytest.mark.parametrize(("name", "sort"), [("a tenant", "cost"), ("a tag", "lost"), ("nobody", "lost")])
def test_gaps(page: Server, store: Path, name: str, sort: str) -> None:
    told = page.get(asked("api/gaps", name, ("sort", sort)), TOKEN)
    right = of_store(store, name, lambda tables: as_data(find(tables)))
    right["gaps"].sort(key=lambda gap: -(gap[sort] or 0))
    words = [(gap.pop("words"), gap.pop("filters")) for gap in told["gaps"]]
    assert [gap.pop("p") for gap in told["gaps"]] == pytest.approx([gap.pop("p") for gap in right["gaps"]], rel=1e-6)
    assert made.rounded({part: told[part] for part in right}) == made.rounded(right)
    assert (told["is_cut"], told["since"]) == (False, int(SINCE.timestamp() * 1e3))
    none = "nothing is lower" if told["tests"] else "too few actions"
    assert told["verdict"].startswith(f"{len(words)} gap" if words else none)
    assert bool(words) >= (name == "a tenant")
    for (said, filters), gap in zip(words, told["gaps"], strict=True):
        assert said["slice"] == ", ".join(f"{each['dimension']} {each['value']}" for each in gap["slices"])
        if not any(each["dimension"] == "metadata.retries" for each in gap["slices"]):
            found = page.get(asked("api/export", name, *filters, ("format", "json")), TOKEN)
            ended = [row for row in found if row["status"] not in ("pending", "cancelled")]
            if (
                gap["number"] == 0 and gap["metric"] == "success"
            ):  # of others those are left out that an earlier one has
                assert len(ended) == gap["actions"], "its filters leave the slice, and nothing else"


def test_of_very_many_actions_the_newest_are_looked_through(
    page: Server, store: Path, selector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing is in memory."""
    monkeypatch.setattr(page_gaps, "MOST_ACTIONS", 500)
    address = asked("api/gaps", "a tool")
    told = page.get(address, TOKEN)
    assert (told["actions"], told["is_cut"]) == (500, True)
    times = sorted(event.timestamp for event in EVENTS if event.tool_name == "search" and event.timestamp < UNTIL)
    assert times[-501].timestamp() * 1e3 <= told["since"] < times[-500].timestamp() * 1e3
    with serving(store, selector, most_hot=0) as files:
        for same in (address, asked("api/choices", "a text"), asked("api/choices", "a tag")):
            assert made.rounded(files.get(same, TOKEN)) == made.rounded(page.get(same, TOKEN))


def test_exports(page: Server, store: Path) -> None:
    shown = page.get(asked("api/gaps", "a tenant"), TOKEN)["gaps"]
    table = list(csv.DictReader(io.StringIO(page.ask(asked("api/export", "a tenant", ("view", "gaps")), TOKEN).text)))
    assert [row["slice"] for row in table] == [gap["words"]["slice"] for gap in shown]
    answer = page.ask(asked("api/export", "a tenant", ("view", "gaps"), ("format", "jsonl")), TOKEN)
    assert answer.headers["content-disposition"] == 'attachment; filename="gaps.jsonl"'
    found = [json.loads(line) for line in answer.text.splitlines()]
    right = of_store(store, "a tenant", lambda tables: [line.decode() for line in lines(tables, find(tables).gaps)])
    assert found == [json.loads(line) for line in right]
    agents = page.get(asked("api/export", "a tenant", ("view", "choices"), ("format", "json")), TOKEN)
    [policy] = page.get(asked("api/choices", "a tenant", ("cost_weight", "0")), TOKEN)["policies"]
    assert [(row["policy"], row["agent"], row["chosen"], row["reward"]) for row in agents] == [
        ("thompson", agent["agent"], agent["chosen"], pytest.approx(agent["reward"])) for agent in policy["agents"]
    ]
    refused = page.ask(asked("api/export", "nothing", ("view", "events"), ("format", "jsonl")), TOKEN)
    assert (refused.status_code, refused.json()["remedy"]) == (400, "use view=gaps, or format=json")


ADDRESSES = (
    asked("api/choices"), asked("api/choices", "nothing", ("tenant", "globex")), asked("api/gaps"),
    asked("api/export", "nothing", ("view", "gaps"), ("format", "jsonl")), asked("api/export", "nothing", ("view", "choices")),
)  # fmt: skip


def test_a_tenant_sees_nothing_of_another(page: Server) -> None:
    for address in ADDRESSES:
        everything, own = page.ask(address, TOKEN), page.ask(address, token_of("acme"))
        assert (everything.status_code, own.status_code) == (200, 200), address
        assert SECRET in everything.text, f"or {address} could not fail"
        assert SECRET not in own.text, address
        assert "globex" not in own.text, address
    values = [("policy", "thompson"), *(("candidate", f"{SECRET}-{name}") for name in AGENTS)]
    address = asked("api/choices/values", "nothing", *values)
    assert page.get(address, token_of("globex"))["decisions"] > 800
    assert page.get(address, token_of("acme")).keys() == {"refused"}
    assert page.get(asked("api/choices"), token_of("nobody"))["policies"] == []
    assert page.get(asked("api/gaps"), token_of("nobody"))["actions"] == 0


@pytest.mark.parametrize(
    ("path", "query", "remedy"),
    [
        ("api/choices", ("cost_weight", "-1"), "use numbers from 0"), ("api/choices", ("latency_weight", "x"), "numbers from 0"),
        ("api/choices", ("cost_weight", "nan"), "use numbers from 0"), ("api/gaps", ("sort", "price"), "there are lost, cost, time"),
        ("api/gaps", ("policy", "x"), "there are"), ("api/choices", ("candidate", "x"), "there are"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(page: Server, path: str, query: tuple[str, str], remedy: str) -> None:
    answer = page.ask(asked(path, "nothing", query), TOKEN)
    assert answer.status_code == 400
    assert remedy in answer.json()["remedy"]


def test_who_asks_again_gets_the_same_and_live_views_need_not_wait(
    page: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    asked_for: list[str] = []

    def slow(_reader: Any, _asked: Any, sort: str) -> dict[str, str]:
        asked_for.append(sort)
        begun.set()
        assert go_on.wait(60)
        return {"sort": sort}

    monkeypatch.setattr(page_gaps, "gaps", slow)
    answers: list[Any] = []
    address = asked("api/gaps", "nobody", ("sort", "time"))
    askers = [threading.Thread(target=lambda: answers.append(page.get(address, TOKEN))) for _ in range(8)]
    for asker in askers:
        asker.start()
    assert begun.wait(60)
    try:
        assert (
            page.get(asked("api/now"), TOKEN)["totals"]["actions"] > 0
        )  # with eight that wait, four threads would be taken
        assert page.get(asked("api/choices"), TOKEN)["policies"]
    finally:
        go_on.set()
        for asker in askers:
            asker.join()
    assert (answers, asked_for) == ([{"sort": "time"}] * 8, ["time"])
