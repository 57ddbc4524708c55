"""What the page is told, against plain recomputations of the same events; with filters, and from sums by the hour."""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.downstream.store.folder import StoreFolder
from tests.downstream.tables import made
from tests.downstream.ui.serve import Server, ms, served, write
from tests.stack.waiting import wait_until

RECORDS = made.events(4_000)
OUTCOMES = made.outcomes(RECORDS)
SINCE, UNTIL = made.BEGIN + timedelta(hours=2), made.BEGIN + timedelta(hours=4)
TIME = {"since": SINCE.isoformat(), "until": UNTIL.isoformat()}
FILTERS: dict[str, tuple[Sequence[tuple[str, str]], Callable[[OutcomeEvent], bool]]] = {
    "nothing": ([], lambda event: True),
    "an agent": ([("agent", "writer")], lambda event: event.agent_name == "writer"),
    "no tenant": ([("tenant", "-")], lambda event: event.tenant_id is None),
    "one of two": (
        [("status", "failure"), ("status", "timeout")], lambda event: event.status.value in ("failure", "timeout")
    ),
    "several": (
        [("tenant", "acme"), ("action", "tool"), ("model", "gpt-4o"), ("service", "support-bot")],
        lambda event: (event.tenant_id, event.action_type, event.model) == ("acme", "tool", "gpt-4o"),
    ),
    "a tag": ([("tag", "eu")], lambda event: "eu" in event.tags),
    "a text": ([("text", "RATELIMIT")], lambda event: event.error_type == "RateLimitError"),
    "nobody": ([("agent", "nobody'; DROP TABLE hot; --")], lambda event: False),
}  # fmt: skip
SUMMED = {name: each for name, each in FILTERS.items() if name not in ("a tag", "a text")}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "store"
    write(StoreFolder(path), RECORDS, files=20)
    return path


@pytest.fixture(scope="module")
def page(path: Path) -> Iterator[Server]:
    with served(path) as server:
        server.wait_for_rows(len(RECORDS))
        yield server


@pytest.fixture(scope="module")
def summed(path: Path) -> Iterator[Server]:
    """Serve the same where nothing of it is in memory."""
    with served(path, most_hot=0) as server:
        server.wait_for_rows(len(RECORDS))
        wait_until(lambda: server.get("api/state")["problem"] is None, timeout_s=60, what="sums")
        yield server


def at(event: OutcomeEvent) -> Any:
    return event.end_time or event.timestamp


def chosen(name: str, begin: Any = SINCE, end: Any = UNTIL) -> list[OutcomeEvent]:
    return [event for event in OUTCOMES if begin <= at(event) < end and FILTERS[name][1](event)]


def asked(path: str, name: str, **more: str) -> str:
    return f"{path}?{urlencode([*TIME.items(), *FILTERS[name][0], *more.items()])}"


def close(found: Any, right: Any, share: float = 1e-9) -> None:
    """See that numbers are the same, wherever they are."""
    if isinstance(right, dict):
        assert found.keys() >= right.keys()
        for name, value in right.items():
            close(found[name], value, share)
    elif isinstance(right, float) and found is not None:
        assert math.isclose(found, right, rel_tol=share), (found, right)
    else:
        assert found == right


def totals(events: Sequence[OutcomeEvent]) -> dict[str, Any]:
    windows = made.windows([_alike(event) for event in events], 10**11)
    if not windows:
        return {"actions": 0, "error_rate": None, "p50": None, "p95": None, "tokens": None, "cost": None, "pending": 0}
    [whole] = windows.values()
    bad = whole["failures"] + whole["timeouts"]
    return {
        "actions": whole["executions"], "error_rate": bad / whole["executions"] if whole["executions"] else None,
        "p50": whole["p50_latency_ms"], "p95": whole["p95_latency_ms"], "tokens": whole["tokens"], "cost": whole["cost"],
        "pending": whole["pending"], "quality": whole["avg_quality"], "scored": whole["quality_count"],
    }  # fmt: skip


def _alike(event: OutcomeEvent) -> OutcomeEvent:
    return msgspec.structs.replace(event, tenant_id=None, agent_name=None, action_type="any")


@pytest.mark.parametrize("name", FILTERS)
def test_now(page: Server, name: str) -> None:
    now = page.get(asked("api/now", name))
    events = chosen(name)
    close(now["totals"], totals(events))
    before = chosen(name, SINCE - (UNTIL - SINCE), SINCE)
    close(now["before"], totals(before) if before else None)
    by_agent: dict[Any, list[OutcomeEvent]] = defaultdict(list)
    for event in events:
        by_agent[event.agent_name].append(event)
    assert {each["agent"] for each in now["agents"]} == by_agent.keys()
    for each in now["agents"]:
        right = totals(by_agent[each["agent"]])
        close(each, {part: right[part] for part in ("actions", "error_rate", "p95", "tokens", "cost", "quality")})
    series, bucket_ms = now["series"], now["bucket_s"] * 1_000
    assert series["t"][0] == ms(SINCE) // bucket_ms * bucket_ms
    assert {len(line) for line in series.values()} == {len(series["t"])}
    for place, begin in enumerate(series["t"]):
        inside = [event for event in events if begin <= ms(at(event)) < begin + bucket_ms]
        right = totals(inside)
        close({part: series[part][place] for part in ("p50", "p95", "tokens", "cost")},
              {part: right[part] for part in ("p50", "p95", "tokens", "cost")})  # fmt: skip
        for status in ("success", "failure", "timeout", "partial", "cancelled", "pending"):
            assert series[status][place] == sum(event.status.value == status for event in inside)


@pytest.mark.parametrize("name", SUMMED)
def test_now_from_sums(summed: Server, name: str) -> None:
    """Counts and sums are the same; percentiles are right within a tenth."""
    now = summed.get(asked("api/now", name))
    assert now["by_hours"]
    right = totals(chosen(name))
    percentiles = {part: right.pop(part) for part in ("p50", "p95")}
    close(now["totals"], right)
    if right["actions"] >= 50:
        close(now["totals"], percentiles, 0.12)


@pytest.mark.parametrize("name", ["a tag", "a text"])
def test_what_sums_do_not_tell_apart_is_read_from_the_store(summed: Server, name: str) -> None:
    now = summed.get(asked("api/now", name))
    assert not now["by_hours"]
    close(now["totals"], totals(chosen(name)))


def test_the_last_hour_of_an_agent(page: Server) -> None:
    now = page.get(
        f"api/now?{urlencode({'since': SINCE.isoformat(), 'until': (made.BEGIN + timedelta(hours=3)).isoformat()})}"
    )
    for agent in now["agents"]:
        for piece in range(12):
            begin = made.BEGIN + timedelta(hours=2, minutes=5 * piece)
            inside = [
                event for event in chosen("nothing", begin, begin + timedelta(minutes=5)) if event.agent_name == agent["agent"]
            ]  # fmt: skip
            assert agent["last_hour"]["n"][piece] == sum(event.status.value != "pending" for event in inside)
            assert agent["last_hour"]["bad"][piece] == sum(
                event.status.value in ("failure", "timeout") for event in inside
            )


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("where", ["page", "summed"])
def test_feed(request: pytest.FixtureRequest, where: str, name: str) -> None:
    server: Server = request.getfixturevalue(where)
    events = sorted(chosen(name), key=lambda event: (-ms(at(event)), event.event_id))
    found: list[dict[str, Any]] = []
    query: dict[str, str] = {"limit": "700"}
    while rows := server.get(asked("api/feed", name, **query))["events"]:
        found += rows
        query["before"] = str(ms_of(rows[-1]))
    assert {row["event_id"] for row in found} == {event.event_id for event in events}
    by_id = {event.event_id: event for event in events}
    for row in found:
        event = by_id[row["event_id"]]
        is_over = event.status.value != "pending"
        assert row["end"] == (ms(at(event)) if is_over else None)
        right = (
            event.agent_name,
            event.tenant_id,
            event.status.value,
            event.own_cost,
            event.own_tokens,
            list(event.tags),
        )
        assert tuple(row[part] for part in ("agent", "tenant", "status", "cost", "tokens", "tags")) == right


def ms_of(row: dict[str, Any]) -> int:
    event = next(each for each in OUTCOMES if each.event_id == row["event_id"])
    return ms(at(event))


@pytest.mark.parametrize("where", ["page", "summed"])
def test_a_run(request: pytest.FixtureRequest, where: str) -> None:
    server: Server = request.getfixturevalue(where)
    events = [event for event in OUTCOMES if event.run_id == "run-17"]
    told = server.get("api/run/run-17")
    assert {each["event_id"] for each in told["actions"]} == {event.event_id for event in events}
    starts = [each["start"] or 0 for each in told["actions"]]
    assert starts == sorted(starts)
    run = told["run"]
    assert run["actions"] == len(events)
    close(run["cost"], math.fsum(event.own_cost for event in events if event.own_cost is not None))
    assert run["errors"] == sum(event.status.value in ("failure", "timeout") for event in events)
    missing = server.ask("api/run/run-nobody")
    assert missing.status_code == 404
    assert missing.json().keys() == {"error", "remedy"}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("where", ["page", "summed"])
def test_failures(request: pytest.FixtureRequest, where: str, name: str) -> None:
    groups = request.getfixturevalue(where).get(asked("api/failures", name))["groups"]
    right: dict[tuple[Any, ...], list[OutcomeEvent]] = defaultdict(list)
    for event in chosen(name):
        if event.status.value in ("failure", "timeout"):
            right[event.agent_name, event.action_type, event.error_type, event.status.value].append(event)
    assert len(groups) == len(right)
    for group in groups:
        events = right[group["agent"], group["action"], group["error_type"], group["status"]]
        times = [ms(at(event)) for event in events]
        assert (group["times"], group["first"], group["last"]) == (len(events), min(times), max(times))
        assert group["runs"] == len({event.run_id for event in events})
        assert group["example_event"] in {event.event_id for event in events}
    assert [group["times"] for group in groups] == sorted((group["times"] for group in groups), reverse=True)


@pytest.mark.parametrize("by", ["tenant", "user", "session", "workflow", "agent", "model"])
@pytest.mark.parametrize("where", ["page", "summed"])
def test_cost(request: pytest.FixtureRequest, where: str, by: str) -> None:
    told = request.getfixturevalue(where).get(asked("api/cost", "nothing", by=by, bucket="hour"))
    field = {"tenant": "tenant_id", "user": "user_id", "session": "session_id", "workflow": "workflow_id",
             "agent": "agent_name", "model": "model"}[by]  # fmt: skip
    right: dict[Any, list[OutcomeEvent]] = defaultdict(list)
    for event in chosen("nothing"):
        right[getattr(event, field)].append(event)
    assert {group["key"] for group in told["groups"]} == right.keys()
    for group in told["groups"]:
        costs = [event.own_cost for event in right[group["key"]] if event.own_cost is not None]
        close(group["cost"], math.fsum(costs) if costs else None)
        assert group["actions"] == sum(event.status.value != "pending" for event in right[group["key"]])
    series = told["series"]
    assert len(series["keys"]) == len(series["cost"]) <= 9
    whole = math.fsum(event.own_cost for event in chosen("nothing") if event.own_cost is not None)
    close(math.fsum(cost for line in series["cost"] for cost in line), whole)


def test_values(page: Server) -> None:
    assert set(page.get("api/values?field=tag")["values"]) == {"beta", "paid", "eu"}
    assert page.get("api/values?field=agent&prefix=WR")["values"] == ["writer"]
    assert page.get("api/values?field=model&prefix=%25")["values"] == []


@pytest.mark.parametrize("where", ["page", "summed"])
def test_export(request: pytest.FixtureRequest, where: str) -> None:
    server: Server = request.getfixturevalue(where)
    answer = server.ask(asked("api/export", "an agent", format="csv", view="events"))
    assert answer.headers["content-disposition"] == 'attachment; filename="events.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    right = {event.event_id: event for event in chosen("an agent")}
    assert {row["event_id"] for row in rows} == right.keys()
    read = server.get(asked("api/export", "an agent", format="json", view="events"))
    assert {row["event_id"] for row in read} == right.keys()
    for row in read:
        event = right[row["event_id"]]
        assert (row["own_cost"], row["status"], row["agent_name"]) == (event.own_cost, event.status.value, "writer")
    assert server.get(asked("api/export", "nobody", format="json", view="events")) == []
    groups = server.get(asked("api/failures", "nothing"))["groups"]
    assert len(server.ask(asked("api/export", "nothing", view="failures")).text.splitlines()) == len(groups) + 1


@pytest.mark.parametrize(
    ("query", "remedy"),
    [
        ("sinze=2h", "did you mean since?"), ("status=failed", "did you mean failure?"), ("since=yesterday", "24h"),
        ("since=1h&until=2h", "begin earlier"), ("limit=0", "from 1 to"), ("limit=1e3", "from 1 to"),
        ("text=" + "x" * 1_001, "at most"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(page: Server, query: str, remedy: str) -> None:
    answer = page.ask(f"api/feed?{query}")
    assert answer.status_code == 400
    assert remedy in answer.json()["remedy"]


def test_every_address_of_the_page_is_the_page(page: Server) -> None:
    index = page.ask("").text
    assert index.startswith("<!doctype html>")
    views = "failures", "cost", "experiments", "choices", "gaps", "objectives", "alerts", "pipeline"
    for path in ("run/run-1", *views):
        assert page.ask(path).text == index
    assert page.ask("static/index.html").headers["cache-control"] == "no-cache"
    assert page.ask("elsewhere").status_code == 404


@pytest.mark.parametrize(("minutes", "bucket_s", "length_s"), [(3, 5, 900), (180, 60, 10_800), (3_000, 300, 86_400)])
def test_the_series_begins_with_what_there_is(minutes: int, bucket_s: int, length_s: int, tmp_path: Path) -> None:
    at = datetime.now(timezone.utc) - timedelta(minutes=minutes)
    event = OutcomeEvent(action_type="step", status=OutcomeStatus.SUCCESS, timestamp=at, end_time=at)
    write(StoreFolder(tmp_path / "store"), [event])
    with served(tmp_path / "store") as server:
        server.wait_for_rows(1)
        for query in ("", "?agent=nobody"):  # of all that there is, whatever is asked for
            now = server.get(f"api/now{query}")
            begin, end = now["series"]["t"][0], now["series"]["t"][-1]
            assert now["bucket_s"] == bucket_s
            assert length_s - bucket_s <= (end - begin) / 1e3 <= length_s + 60 + bucket_s, "a minute for a slow machine"
