"""What was said of actions beside what is counted of them: held to a plain recomputation, as it comes, late, and for whom."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

from otel_feedback import Feedback, OutcomeEvent, OutcomeStatus
from otel_feedback.downstream.store import erasures
from otel_feedback.downstream.store.folder import StoreFolder
from otel_feedback.downstream.ui.access import Token
from otel_feedback.downstream.ui.mirror import Mirror
from tests.downstream.tables import given as givens
from tests.downstream.tables import made
from tests.downstream.ui.serve import TOKEN, Server, kept_from, ms, served, token_of, write
from tests.downstream.ui.test_answers import FILTERS, OUTCOMES, RECORDS, SINCE, UNTIL, asked, at, chosen, close
from tests.stack.waiting import wait_until

GIVEN = givens.feedback(RECORDS)
COUNTS = givens.counted(RECORDS, GIVEN)


def in_memory(mirror: Mirror) -> dict[str, tuple[float | None, int]]:
    with mirror.open(None) as reader:
        rows = reader.rows("SELECT event_id, feedback_score, feedback_count FROM hot WHERE feedback_count > 0")
    return {row["event_id"]: (row["feedback_score"], row["feedback_count"]) for row in rows}  # type: ignore[misc]


def recomputed(records: Sequence[OutcomeEvent], given: Sequence[Feedback]) -> dict[str, tuple[Any, int]]:
    counts = givens.counted(records, given)
    told = {event.event_id: givens.measures([event], counts) for event in made.outcomes(records)}
    return {
        event_id: (
            None if one["feedback_score"] is None else pytest.approx(one["feedback_score"]),
            one["feedback_count"],
        )
        for event_id, one in told.items()
        if one["feedback_count"]
    }


def test_each_change_counts_for_its_actions(tmp_path: Path) -> None:
    """Before its action and after it, changed, on runs of which more comes, in files that are joined between two looks."""
    folder, mirror = StoreFolder(tmp_path / "store"), Mirror(StoreFolder(tmp_path / "store"))
    records, given = RECORDS[:1_500], GIVEN[: len(GIVEN) // 2]
    try:
        for part in range(10):
            new = given[
                part::10
            ]  # in no order, so that some come before their actions and some are older than what is known
            write(folder, records[part * 150 : (part + 1) * 150], given=new[: len(new) // 2])
            mirror.look()
            write(folder, [], given=new[len(new) // 2 :])
            mirror.look()
            so_far = [one for each in range(part + 1) for one in given[each::10]]
            assert in_memory(mirror) == recomputed(records[: (part + 1) * 150], so_far), part
        assert len(in_memory(mirror)) > 100
        seen = mirror.seen
        write(folder, [])
        mirror.look()
        assert mirror.seen == seen, "nothing has come"
    finally:
        mirror.close()


def test_what_is_erased_counts_no_more(tmp_path: Path) -> None:
    folder, mirror = StoreFolder(tmp_path / "store"), Mirror(StoreFolder(tmp_path / "store"))
    given = [Feedback(
        feedback_id=f"{by}-{number}", target="event", event_id=event.event_id, score=0.25 if by == "u-1" else 0.75,
        name="user_rating", source="human", by=by, timestamp=made.BEGIN,
    ) for number, event in enumerate(OUTCOMES[:40]) for by in ("u-1", "u-2")]  # fmt: skip
    try:
        write(folder, OUTCOMES[:40], given=given)
        mirror.look()
        assert set(in_memory(mirror).values()) == {(0.5, 2)}
        erasures.add(folder, "user_id", "u-1", None, datetime.now(timezone.utc))
        write(folder, [])
        mirror.look()
        left = [event for event in OUTCOMES[:40] if event.user_id != "u-1"]
        assert in_memory(mirror) == {event.event_id: (0.75, 1) for event in left}
    finally:
        mirror.close()


def test_what_is_said_of_a_run_counts_for_what_is_left_of_it(tmp_path: Path) -> None:
    """Its outermost action, which never ended, is of a day that expires."""
    folder, mirror = StoreFolder(tmp_path / "store"), Mirror(StoreFolder(tmp_path / "store"))
    day = made.BEGIN.replace(hour=12)
    common: dict[str, Any] = {"action_type": "step", "run_id": "run-1", "root_event_id": "outer"}
    outer = OutcomeEvent(event_id="outer", status=OutcomeStatus.PENDING, timestamp=day, start_time=day, **common)
    later = day + timedelta(days=1)
    inner = OutcomeEvent(event_id="inner", status=OutcomeStatus.SUCCESS, timestamp=later, end_time=later, **common)
    said = Feedback(
        feedback_id="said", target="run", run_id="run-1", score=0.5, name="user_rating", source="human",
        timestamp=later + timedelta(days=1),
    )  # fmt: skip
    try:
        write(folder, [outer, inner], given=[said])
        mirror.look()
        assert in_memory(mirror) == {"outer": (0.5, 1)}
        other = msgspec.structs.replace(inner, event_id="other", run_id="run-2", root_event_id=None)
        write(folder, [other], limits=kept_from(later))
        mirror.look()
        assert in_memory(mirror) == {"inner": (0.5, 1)}
    finally:
        mirror.close()


# -- the picture ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("given") / "store"
    write(StoreFolder(path), RECORDS, files=3, given=GIVEN)
    return path


@pytest.fixture(scope="module", params=["in memory", "from sums"])
def page(request: pytest.FixtureRequest, path: Path) -> Iterator[Server]:
    tokens = [Token(TOKEN), *(Token(token_of(tenant), tenant) for tenant in ("acme", "globex"))]
    with served(path, tokens, 10**9 if request.param == "in memory" else 0) as server:
        wait_until(
            lambda: (told := server.get("api/state", TOKEN))["rows"] >= len(RECORDS) and told["problem"] is None,
            timeout_s=60, what="the store",
        )  # fmt: skip
        yield server


def feedback(events: Sequence[OutcomeEvent]) -> dict[str, Any]:
    told = givens.measures(list(events), COUNTS)
    ended = sum(event.status is not OutcomeStatus.PENDING for event in events)
    coverage = told["feedback_coverage"]
    rated = None if coverage is None else round(coverage * ended)
    return {"feedback": told["feedback_score"], "rated": rated or 0, "coverage": coverage}


@pytest.mark.parametrize("name", FILTERS)
def test_the_mean_stands_with_its_coverage(page: Server, name: str) -> None:
    """In memory, and where the store's files are read; sums have nothing of it, which is not the same as nothing."""
    now, events = page.get(asked("api/now", name), TOKEN), chosen(name)
    if now["by_hours"]:
        assert {part: now["totals"][part] for part in ("feedback", "rated", "coverage")} == dict.fromkeys(
            ("feedback", "coverage")
        ) | {"rated": now["totals"]["rated"]}
        assert now["totals"]["rated"] is None
        return
    right = feedback(events)
    close(now["totals"], right if events else {"feedback": None})
    by_agent: Mapping[Any, list[OutcomeEvent]] = defaultdict(list)
    for event in events:
        by_agent[event.agent_name].append(event)
    for each in now["agents"]:
        close(each, feedback(by_agent[each["agent"]]))
    series, bucket_ms = now["series"], now["bucket_s"] * 1_000
    for place, begin in enumerate(series["t"]):
        inside = [event for event in events if begin <= ms(at(event)) < begin + bucket_ms]
        told = feedback(inside) if inside else {"feedback": None, "coverage": None}
        close({part: series[part][place] for part in ("feedback", "coverage")},
              {part: told[part] for part in ("feedback", "coverage")})  # fmt: skip
    if name == "nothing":
        assert right["rated"] > 100


def test_a_tenant_sees_what_was_said_of_its_own(page: Server) -> None:
    for tenant in ("acme", "globex"):
        now = page.get(asked("api/now", "nothing"), token_of(tenant))
        own = [event for event in chosen("nothing") if event.tenant_id == tenant]
        if not now["by_hours"]:
            close(now["totals"], feedback(own))


def test_what_is_saved_of_events_has_what_was_said_of_them(page: Server) -> None:
    rows = page.get(asked("api/export", "an agent", format="json", view="events"), token_of("acme"))
    own = {event.event_id: event for event in chosen("an agent") if event.tenant_id == "acme"}
    assert {row["event_id"] for row in rows} == own.keys()
    for row in rows:
        told = givens.measures([own[row["event_id"]]], COUNTS)
        close(row, {"feedback_score": told["feedback_score"], "feedback_count": told["feedback_count"]})
    assert any(row["feedback_count"] for row in rows)


def test_a_run_has_what_was_said_of_each_of_its_actions(page: Server) -> None:
    rated = [event for event in OUTCOMES if event.event_id in COUNTS and event.tenant_id == "acme"]
    for event in rated[:2]:
        told = page.get(f"api/run/{event.run_id}", token_of("acme"))
        for action in told["actions"]:
            those = COUNTS.get(action["event_id"], [])
            by_name: Mapping[tuple[str, str], list[Feedback]] = defaultdict(list)
            for one in those:
                by_name[one.name, one.source].append(one)
            assert {(one["name"], one["source"]) for one in action["feedback"]} == by_name.keys()
            for one in action["feedback"]:
                of = by_name[one["name"], one["source"]]
                scores = [each.score for each in of if each.score is not None]
                assert (one["count"], one["scored"]) == (len(of), len(scores))
                assert one["score"] == (pytest.approx(math.fsum(scores) / len(scores)) if scores else None)
        actions = [each for each in OUTCOMES if each.run_id == event.run_id]
        assert told["feedback"]["count"] == sum(len(COUNTS.get(each.event_id, [])) for each in actions)
    silent = {event.run_id for event in OUTCOMES} - {event.run_id for event in OUTCOMES if event.event_id in COUNTS}
    told = page.get(f"api/run/{min(filter(None, silent))}", TOKEN)
    assert told["feedback"] is None, "nothing is said where nobody said anything"
    assert [each["feedback"] for each in told["actions"]] == [[] for _ in told["actions"]]


def test_feedback_that_comes_late_changes_its_window_while_one_looks(tmp_path: Path) -> None:
    folder = StoreFolder(tmp_path / "store")
    moment = datetime.now(timezone.utc) - timedelta(minutes=40)
    events = [OutcomeEvent(
        event_id=f"event-{number}", action_type="answer", agent_name="writer", run_id=f"run-{number}", tenant_id="acme",
        status=OutcomeStatus.SUCCESS, timestamp=moment, end_time=moment,
    ) for number in range(4)]  # fmt: skip
    late = Feedback(
        feedback_id="late", target="event", event_id="event-1", score=0.25, name="user_rating", source="human",
        timestamp=datetime.now(timezone.utc), tenant_id="acme",
    )  # fmt: skip
    write(folder, events)
    with served(folder.path) as server:
        server.wait_for_rows(4)
        before = server.get("api/now")["series"]
        assert set(before["feedback"]) == {None}
        assert set(before["coverage"]) == {None, 0.0}
        with server.stream("?run=run-1") as its, server.stream("?run=run-2") as others:
            for each in (its, others):
                next(iter(each))  # it is open
            write(folder, [], given=[late])
            assert next(told for name, told in its if name == "rows")["given"] is True
            assert all(name != "rows" for name, _ in _until_a_tick(others)), "it is of another run"
        after = server.get("api/now")["series"]
        window = next(place for place, count in enumerate(after["success"]) if count)
        assert (after["feedback"][window], after["coverage"][window]) == (0.25, 0.25)


def test_feedback_that_got_worse_by_more_than_chance_is_said(tmp_path: Path) -> None:
    now = datetime.now(timezone.utc)
    events: list[OutcomeEvent] = []
    given: list[Feedback] = []
    for agent, before, after in (("fell", 0.9, 0.4), ("wavered", 0.6, 0.5)):
        for number in range(60):
            is_now = number % 2 == 0
            moment = now - timedelta(minutes=10 if is_now else 70)
            event_id = f"{agent}-{number}"
            events.append(OutcomeEvent(
                event_id=event_id, action_type="answer", agent_name=agent, status=OutcomeStatus.SUCCESS, timestamp=moment,
                end_time=moment,
            ))  # fmt: skip
            place, good = number // 2, round(30 * (after if is_now else before))
            given.append(Feedback(
                feedback_id=event_id, target="event", event_id=event_id, score=float(place < good), name="user_rating",
                source="human", timestamp=moment,
            ))  # fmt: skip
    write(StoreFolder(tmp_path / "store"), events, given=given)
    with served(tmp_path / "store") as server:
        server.wait_for_rows(120)
        [worse] = server.get("api/now?since=1h")["worse"]
    assert (worse["agent"], worse["what"], worse["coverage"]) == ("fell", "feedback", 1.0)
    assert (worse["before"], worse["now"]) == (pytest.approx(0.9), pytest.approx(0.4))


def _until_a_tick(messages: Any) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for message in messages:
        found.append(message)
        if message[0] == "tick":
            return found
    raise AssertionError


def test_where_nothing_was_said_nothing_is(tmp_path: Path) -> None:
    write(StoreFolder(tmp_path / "store"), RECORDS[:200])
    with served(tmp_path / "store") as server:
        server.wait_for_rows(200)
        now = server.get("api/now?since=2026-03-02")
        assert (now["totals"]["feedback"], now["totals"]["rated"]) == (None, 0)
        assert set(now["series"]["feedback"]) == {None}


def test_the_times_of_the_tests_have_feedback_in_them() -> None:
    assert sum(event.event_id in COUNTS for event in OUTCOMES if SINCE <= at(event) < UNTIL) > 100
