"""Experiments on the page: the list recomputed, comparisons as `otel-feedback compare` has them, for whom, and beside live views."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import duckdb
import msgspec
import pytest

from otel_feedback import OutcomeEvent
from otel_feedback.cli.main import main
from otel_feedback.downstream.learning.compare.sequences import difference, mean
from otel_feedback.downstream.store.folder import StoreFolder
from otel_feedback.downstream.ui.access import Token
from otel_feedback.downstream.ui.mirror import Mirror
from tests.downstream.learning.compare.test_comparing import recomputed
from tests.downstream.learning.compare.trials import BEGIN, Variant, trial
from tests.downstream.ui.serve import TOKEN, Server, ms, served, token_of, write
from tests.stack.waiting import wait_until

TWO = {"a": Variant(0.93), "b": Variant(0.8, cost_usd=0.02, latency_ms=830)}
THREE = {name: Variant(0.9, weight=weight) for name, weight in (("off", 0.5), ("on", 0.25), ("more", 0.25))}
changed = msgspec.structs.replace
WHEN = {"since": BEGIN.isoformat(), "until": (BEGIN + timedelta(days=1)).isoformat()}


def _of(event: OutcomeEvent, number: int) -> OutcomeEvent:
    tenant = ("acme", "globex", None)[number % 3]
    return changed(
        event, tenant_id=tenant, model="gpt-4o" if number % 2 else "gpt-4o-mini", user_id=f"{tenant}-{event.user_id}"
    )


FIRST = [_of(event, int(event.user_id[2:])) for event in trial(TWO, 1_200, (1, 2, 3)) if event.user_id]
LOST = [
    changed(event, tenant_id="acme", event_id=f"lost-{number}") for number, event in enumerate(trial(THREE, 600, seed=4, name="cache"))
    if event.variant != "on" or number % 2
]  # fmt: skip
EVENTS = [*FIRST, *LOST]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("experiments") / "store"
    write(StoreFolder(path), EVENTS, files=4)
    return path


@pytest.fixture(scope="module")
def page(path: Path) -> Iterator[Server]:
    tokens = [Token(TOKEN), *(Token(token_of(tenant), tenant) for tenant in ("acme", "globex", "nobody"))]
    with served(path, tokens) as server:
        wait_until(lambda: server.get("api/state", TOKEN)["rows"] >= len(EVENTS), timeout_s=60, what="the store")
        yield server


def asked(what: str, **more: str | list[str]) -> str:
    return f"api/{what}?{urlencode({**WHEN, **more}, doseq=True)}"


@pytest.mark.parametrize("tenant", [None, "acme", "globex", "nobody"])
def test_the_list_is_what_a_recomputation_says(page: Server, tenant: str | None) -> None:
    told = page.get(asked("experiments"), TOKEN if tenant is None else token_of(tenant))
    by_name: Mapping[Any, list[OutcomeEvent]] = defaultdict(list)
    for event in EVENTS:
        if tenant is None or event.tenant_id == tenant:
            by_name[event.experiment].append(event)
    assert {one["name"] for one in told["experiments"]} == by_name.keys()
    for one in told["experiments"]:
        events = by_name[one["name"]]
        weights = {"prompt-7": TWO, "cache": THREE}[one["name"]]
        assert (one["actions"], one["units"]) == (len(events), len({event.user_id for event in events}))
        assert (one["first"], one["last"]) == (ms(events[0].timestamp), ms(events[-1].timestamp))
        assert [each["variant"] for each in one["variants"]] == sorted(weights)
        for each in one["variants"]:
            of = [event for event in events if event.variant == each["variant"]]
            users = len({event.user_id for event in of})
            assert (each["actions"], each["units"], each["counted"]) == (len(of), users, users)
            assert each["drawn"] == weights[each["variant"]].weight
        assert (one["is_checked"], one["is_mismatch"]) == (True, one["name"] == "cache"), "half of a variant was lost"


def test_the_newest_stands_first_and_filters_leave_what_they_leave(page: Server) -> None:
    last = max(FIRST, key=lambda event: event.timestamp).timestamp
    assert last > max(event.timestamp for event in LOST)
    assert [one["name"] for one in page.get(asked("experiments"), TOKEN)["experiments"]] == ["prompt-7", "cache"]
    [only] = page.get(asked("experiments", model="gpt-4o"), TOKEN)["experiments"]
    assert only["actions"] == sum(event.model == "gpt-4o" for event in FIRST)
    assert page.get(asked("experiments", agent="nobody"), TOKEN)["experiments"] == []
    assert page.get("api/experiments?since=1h", TOKEN)["experiments"] == []


@pytest.mark.parametrize("tenant", [None, "acme"])
def test_how_it_came_about_ends_where_a_recomputation_does(page: Server, tenant: str | None) -> None:
    told = page.get(asked("compare", experiment="prompt-7"), TOKEN if tenant is None else token_of(tenant))
    events = [event for event in FIRST if tenant is None or event.tenant_id == tenant]
    [action] = told["actions"]
    assert [metric["metric"] for metric in action["metrics"]] == ["success", "quality", "cost", "latency"]
    for metric in action["metrics"]:
        is_share = metric["unit"] in ("share", "score")
        samples = {name: recomputed(events, "answer", name, metric["metric"]) for name in TWO}
        for name, (sample, actions) in samples.items():
            points = metric["picture"]["variants"][name]
            assert (points["units"][-1], points["actions"][-1]) == (sample.units, actions)
            end = tuple(points[part][-1] for part in ("estimate", "low", "high"))
            assert end == pytest.approx(mean(sample, 0.05, is_share=is_share))
            assert points["until"] == sorted(points["until"])
            assert points["units"] == sorted(points["units"])
        points = metric["picture"]["differences"]["b"]
        expected = difference(samples["b"][0], samples["a"][0], 0.05, is_share=is_share)
        assert tuple(points[part][-1] for part in ("estimate", "low", "high")) == pytest.approx(expected)
        [row] = [row for row in metric["rows"] if row["variant"] == "b"]
        is_certain = not expected.low <= 0 <= expected.high
        assert row["verdict"] == (
            ("better" if (expected.low > 0) == (metric["better"] == "more") else "worse")
            if is_certain
            else "not enough yet"
        )


CASES = [
    (("--experiment", "prompt-7"), {"experiment": "prompt-7"}),
    (("--experiment", "cache", "--baseline", "on"), {"experiment": "cache", "baseline": "on"}),
    (("--experiment", "no-such"), {"experiment": "no-such"}),
    (("--by", "model", "gpt-4o", "gpt-4o-mini"), {"compare": "model", "value": ["gpt-4o", "gpt-4o-mini"]}),
    (("--by", "agent", "writer", "nobody"), {"compare": "agent", "value": ["writer", "nobody"]}),
    (("--by", "metadata.version", "1", "2"), {"compare": "metadata.version", "value": ["1", "2"]}),
]


@pytest.mark.parametrize(("arguments", "query"), CASES, ids=[" ".join(each[0]) for each in CASES])
def test_the_words_are_those_of_the_command(
    page: Server, path: Path, arguments: tuple[str, ...], query: dict[str, Any], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", "240")
    assert main(["compare", "--from", str(path), "--since", WHEN["since"], "--until", WHEN["until"], *arguments]) == 0
    text = " ".join(capsys.readouterr().out.split())
    told = page.get(asked("compare", **query), TOKEN)
    words = [one["text"] for one in told["remarks"]] + [
        text for action in told["actions"] for text in action["remarks"]
    ]
    words += [told["basis"]] if told["actions"] else []
    words += [each for each in [told["alone"]] if each is not None]
    for action in told["actions"]:
        for metric in action["metrics"]:
            for row in metric["rows"]:
                parts = [row[part] for part in ("variant", "mean", "difference", "interval", "state")]
                words.append(" ".join(filter(None, parts)))
    assert words
    for each in words:
        assert " ".join(each.split()) in text
    assert text.count("not enough yet") == sum(each.count("not enough yet") for each in words)


def test_a_tenant_compares_its_own(page: Server) -> None:
    for query in ({"experiment": "cache"}, {"compare": "agent", "value": ["writer", "other"]}):
        told = page.get(asked("compare", **query), token_of("globex"))
        own = {event.user_id for event in FIRST if event.tenant_id == "globex"}
        counted = sum(sum(action["units"].values()) for action in told["actions"])
        assert told["remarks"][0]["text"] in ("no event of this experiment", f"writer {len(own):,} units")
        assert counted == 0
    listed = page.ask(asked("export", view="experiments", format="csv"), token_of("globex")).text
    assert "cache" not in listed
    assert "prompt-7" in listed


def test_what_is_saved_is_what_is_shown(page: Server) -> None:
    answer = page.ask(asked("export", view="experiments", format="csv", experiment="prompt-7"), TOKEN)
    rows = [*csv.DictReader(io.StringIO(answer.text))]
    assert [(row["metric"], row["variant"]) for row in rows[:2]] == [("success", "a"), ("success", "b")]
    assert rows[1]["verdict"] == "worse"
    as_json = json.loads(
        page.ask(asked("export", view="experiments", format="json", experiment="prompt-7"), TOKEN).text
    )
    assert float(rows[1]["difference"]) == pytest.approx(as_json[1]["difference"])
    listed = page.get(asked("export", view="experiments", format="json"), TOKEN)
    told = page.get(asked("experiments"), TOKEN)["experiments"]
    assert [{**row} for row in listed] == [
        {"experiment": one["name"], **each} for one in told for each in one["variants"]
    ]


@pytest.mark.parametrize(
    ("query", "remedy"),
    [
        ("", "name experiment="), ("experiment=x&compare=model&value=a&value=b", "name experiment="),
        ("compare=modle&value=a&value=b", "did you mean model?"), ("compare=metadata.&value=a&value=b", "metadata.KEY"),
        ('compare=metadata.a"b&value=a&value=b', "metadata.KEY"), ("compare=model&value=a", "two that differ"),
        ("compare=model&value=a&value=a", "two that differ"), ("compare=model&value=a&value=b&baseline=c", "one of the two"),
        ("experiment=x&experimnt=y", "did you mean experiment?"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_says_what_can(page: Server, query: str, remedy: str) -> None:
    for address in (f"api/compare?{query}", *([f"api/export?view=experiments&{query}"] if query else [])):
        answer = page.ask(address, TOKEN)
        assert answer.status_code == 400, answer.text
        assert remedy in answer.json()["remedy"]


def test_texts_that_mean_harm_are_values(page: Server) -> None:
    for text in ("x'; DROP TABLE hot; --", 'x"', "{0}\u202e"):
        assert page.get(asked("compare", experiment=text), TOKEN)["actions"] == []
        assert (
            page.get(asked("compare", compare=f"metadata.{text.replace(chr(34), '')}", value=[text, "b"]), TOKEN)[
                "actions"
            ]
            == []
        )
    assert len(page.get(asked("experiments"), TOKEN)["experiments"]) == 2


def test_without_any_there_is_none(tmp_path: Path) -> None:
    with served(tmp_path / "store") as server:
        assert server.get("api/experiments")["experiments"] == []
        write(StoreFolder(tmp_path / "store"), [changed(FIRST[0], experiment=None, variant=None, metadata={})])
        server.wait_for_rows(1)
        assert server.get(asked("experiments", model="gpt-4o-mini"))["experiments"] == []
        assert server.get(asked("compare", experiment="x"))["remarks"][0]["text"] == "no event of this experiment"


def test_live_views_wait_for_no_comparison(page: Server) -> None:
    ended: list[int] = []

    def ask(number: int) -> None:
        since = (BEGIN - timedelta(seconds=number)).isoformat()
        page.get(f"api/compare?{urlencode({**WHEN, 'since': since})}&experiment=prompt-7", TOKEN)
        ended.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    page.get(asked("feed", limit="1"), TOKEN)
    before = len(ended)
    for thread in threads:
        thread.join()
    assert len(ended) == 8
    assert before < 4, "it came when its turn was, and not after all of them"


def test_the_end_of_the_page_ends_a_comparison(tmp_path: Path) -> None:
    mirror, connection = Mirror(StoreFolder(tmp_path / "store")), duckdb.connect()
    ended: list[str] = []

    def work() -> None:
        with mirror.running(connection):
            try:
                connection.execute(
                    "SELECT count(*) FROM range(10_000_000) AS a, range(10_000_000) AS b WHERE hash(a, b) = 1"
                )
            except duckdb.InterruptException:
                ended.append("interrupted")

    thread = threading.Thread(target=work)
    thread.start()
    try:

        def is_ended() -> bool:
            mirror.interrupt()
            return bool(ended)

        wait_until(is_ended, timeout_s=60, what="the end of the query")
    finally:
        thread.join()
        mirror.close()
