"""Taking over what dead processes left: actions that never ended, several lives, and what must not hold it up."""

from __future__ import annotations

import os
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from otel_feedback.events import codec
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.journal.interface import StartedAction
from tests.journals.disk import (
    BOTH,
    KAFKA,
    OTLP,
    append,
    append_many,
    close_action,
    crash,
    deliver,
    deliver_all,
    folder_of,
    journal_in,
    lease_all,
    segment_bytes,
    segments,
    started,
)


def leave_orphan(root: Path, count: int, *open_actions: str) -> Path:
    """A process dies with so many records pending, and these actions open; return its folder."""
    dead, _ = journal_in(root)
    for name in BOTH:
        dead.cursor(*name, durable=True)
    for name in open_actions:
        dead.note_start(started(name, **{"outcome.agent_name": f"agent of {name}"}))
    append_many(dead, count, size=200)
    crash(dead)
    return folder_of(dead)


def test_what_an_action_was_started_with_reaches_whoever_closes_it(root: Path) -> None:
    folder = leave_orphan(root, 1, "open")
    died = time.time() - 5_000
    for path in segments(folder):
        os.utime(path, (died, died))
    seen: list[tuple[StartedAction, datetime]] = []

    def close(action: StartedAction, at: datetime) -> OutcomeEvent:
        seen.append((action, at))
        return close_action(action, at)

    (adopted,) = journal_in(root)[0].adopt([KAFKA], close)
    moment = datetime.fromtimestamp(died, timezone.utc)
    assert seen == [(started("open", **{"outcome.agent_name": "agent of open"}), moment)]
    *_, record = lease_all(adopted.cursors[KAFKA])
    event = codec.decode(record.payload)
    assert (record.sequence, record.key, record.sampled) == (1, "run-open", True)
    assert (event.error_type, event.timestamp, event.service_name) == ("process_lost", moment, "tested")
    assert record.origin == adopted.origin
    assert record.origin.service_name == "tested"


def test_an_action_is_closed_once_however_often_its_journal_changes_hands(root: Path) -> None:
    leave_orphan(root, 3, "a", "b", "c")
    for _ in range(3):  # who closed them dies, too
        journal, _ = journal_in(root)
        (adopted,) = journal.adopt([KAFKA], close_action)
        assert [record.event_id for record in lease_all(adopted.cursors[KAFKA])] == ["e0", "e1", "e2", "a", "b", "c"]
        crash(journal)
    journal, _ = journal_in(root)
    (adopted,) = journal.adopt(BOTH, close_action)
    for cursor in adopted.cursors.values():
        assert deliver_all(cursor) == list(range(6))
    assert adopted.tend() is True
    adopted.close()
    assert list(root.iterdir()) == []


def test_actions_that_ended_in_any_way_are_not_closed(root: Path) -> None:
    dead, _ = journal_in(root)
    dead.cursor(*KAFKA, durable=True)
    for name in ("ended", "forgotten", "pending", "revised", "open"):
        dead.note_start(started(name))
    append(dead, "ended", size=5_000)  # a segment ends here
    dead.forget_start("forgotten")
    append(dead, "pending", revision=0)
    append(dead, "revised", revision=3)
    crash(dead)
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    assert [(record.event_id, record.revision) for record in lease_all(adopted.cursors[KAFKA])] == [
        ("ended", 1), ("pending", 0), ("revised", 3), ("pending", 1), ("open", 1),
    ]  # fmt: skip


def test_an_action_that_makes_no_event_does_not_hold_up_the_others(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    leave_orphan(root, 1, "a", "broken", "b")

    def close(action: StartedAction, died: datetime) -> OutcomeEvent:
        if action.event_id == "broken":
            raise ValueError("what is this")
        return close_action(action, died)

    (adopted,) = journal_in(root)[0].adopt(BOTH, close)
    for cursor in adopted.cursors.values():
        assert deliver_all(cursor) == [0, 1, 2]
    assert adopted.tend() is True
    adopted.close()
    assert list(root.iterdir()) == []
    assert "the action broken of a dead process makes no event: ValueError('what is this')" in caplog.messages


@pytest.mark.parametrize("attribute", [object(), float("nan"), b"\xff", 2**70, "\ud800", {1: 2}, {"a": [(1, None)]}])
def test_whatever_an_action_is_started_with_noting_it_raises_nothing(root: Path, attribute: object) -> None:
    dead, _ = journal_in(root)
    dead.cursor(*KAFKA, durable=True)
    dead.note_start(started("strange", attribute=attribute))
    append_many(dead, 1)
    crash(dead)
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    assert [record.event_id for record in lease_all(adopted.cursors[KAFKA])] in (["e0"], ["e0", "strange"])


def test_an_orphan_that_cannot_be_read_holds_up_no_other_and_stays(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folders = [leave_orphan(root, 20) for _ in range(3)]
    newest = segments(folders[1])[-1]
    newest.rename(newest.with_suffix(".away"))
    newest.mkdir()
    journal, _ = journal_in(root)
    taken = journal.adopt([KAFKA], close_action)
    assert {adopted.folder.path for adopted in taken} == {folders[0], folders[2]}
    assert any(str(folders[1]) in message for message in caplog.messages)
    assert folders[1].exists()
    newest.rmdir()
    newest.with_suffix(".away").rename(newest)
    (adopted,) = journal.adopt([KAFKA], close_action)
    assert deliver_all(adopted.cursors[KAFKA]) == list(range(20))


def test_an_adopted_journal_shrinks_while_it_is_delivered(root: Path) -> None:
    folder = leave_orphan(root, 100)
    journal, _ = journal_in(root)
    (adopted,) = journal.adopt(BOTH, close_action)
    kafka, otlp = adopted.cursors[KAFKA], adopted.cursors[OTLP]
    there = segments(folder)
    deliver(kafka, lease_all(kafka))
    assert adopted.tend() is False
    assert segments(folder) == there, "another destination has not got it"
    deliver(otlp, otlp.lease(50))
    assert adopted.tend() is False
    assert 1 < len(segments(folder)) < len(there)
    assert journal.health().bytes == segment_bytes(folder)
    crash(journal)
    (adopted,) = journal_in(root)[0].adopt(BOTH, close_action)
    assert lease_all(adopted.cursors[KAFKA]) == []
    assert deliver_all(adopted.cursors[OTLP]) == list(range(50, 100))
    assert adopted.cursors[OTLP].account() == (100, 100, 0, {})


def test_segments_that_another_destination_needs_stay_for_it(root: Path) -> None:
    folder = leave_orphan(root, 100)
    there = segments(folder)
    journal, _ = journal_in(root)
    (adopted,) = journal.adopt([KAFKA], close_action)
    deliver(adopted.cursors[KAFKA], adopted.cursors[KAFKA].lease(90))
    adopted.tend()
    assert segments(folder) == there
    deliver_all(adopted.cursors[KAFKA])
    assert adopted.tend() is True
    adopted.close()
    assert segments(folder) == there
    (adopted,) = journal.adopt(BOTH, close_action)
    assert lease_all(adopted.cursors[KAFKA]) == []
    assert deliver_all(adopted.cursors[OTLP]) == list(range(100))


def test_a_start_tells_that_a_damaged_record_was_before_it(root: Path) -> None:
    """No cursors were written down yet, and the last record is damaged: that there was one is known all the same."""
    dead, _ = journal_in(root)
    dead.cursor(*KAFKA, durable=True)
    append_many(dead, 3)
    dead.note_start(started("open"))
    crash(dead)
    (segment,) = segments(folder_of(dead))
    segment.write_bytes(segment.read_bytes().replace(b'"event_id":"e2"', b'"event_id":"e!"'))
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    assert [(r.sequence, r.event_id) for r in lease_all(adopted.cursors[KAFKA])] == [(0, "e0"), (1, "e1"), (3, "open")]
    assert adopted.cursors[KAFKA].account().lost == {"damaged": 1}


def test_what_was_saved_before_a_clean_close_never_comes_again(root: Path) -> None:
    journal, _ = journal_in(root)
    cursor = journal.cursor(*KAFKA, durable=True)
    append_many(journal, 10)
    for record in cursor.lease(8):
        if record.sequence not in (2, 5):
            cursor.settle(record.sequence, "too_large" if record.sequence == 3 else None)
    journal.close()  # without `tend()`
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    assert adopted.cursors[KAFKA].account() == (10, 5, 4, {"too_large": 1})
    assert deliver_all(adopted.cursors[KAFKA]) == [2, 5, 8, 9]


def test_health_counts_what_was_damaged_in_journals_of_others(root: Path) -> None:
    folder = leave_orphan(root, 20)
    first, *_ = segments(folder)
    os.truncate(first, first.stat().st_size - 10)
    journal, _ = journal_in(root)
    (adopted,) = journal.adopt(BOTH, close_action)
    for cursor in adopted.cursors.values():
        assert len(deliver_all(cursor)) == 19
    damaged = adopted.kept_aside.damaged_bytes
    assert damaged > 0
    assert journal.health().damaged_bytes == damaged
    adopted.tend()
    adopted.close()
    journal.adopt(BOTH, close_action)
    assert journal.health().damaged_bytes == damaged, "it does not go down again"


def test_a_refused_record_says_whose_it_was(root: Path) -> None:
    leave_orphan(root, 1)
    journal, _ = journal_in(root)
    (adopted,) = journal.adopt([KAFKA], close_action)
    (record,) = lease_all(adopted.cursors[KAFKA])
    assert journal.quarantine(record, "kafka", "too_large", "by much")
    (kept,) = (root / "quarantine").iterdir()
    assert adopted.origin.producer_id in kept.read_text()


def test_destinations_are_known_by_exporter_and_address(root: Path) -> None:
    """Kafka elsewhere is another destination: what it is to get nobody else may take."""
    dead, _ = journal_in(root)
    dead.cursor(*KAFKA, durable=True)
    dead.cursor(*OTLP, durable=True)
    append_many(dead, 3)
    crash(dead)
    journal, _ = journal_in(root)
    assert journal.adopt([("kafka", OTLP[1]), ("otlp", KAFKA[1])], close_action) == []
    (adopted,) = journal.adopt([OTLP], close_action)
    assert deliver_all(adopted.cursors[OTLP]) == [0, 1, 2]
    adopted.close()
    assert journal.adopt([OTLP], close_action) == []
    (adopted,) = journal.adopt([KAFKA], close_action)
    assert deliver_all(adopted.cursors[KAFKA]) == [0, 1, 2]
    adopted.close()
    assert list(root.iterdir()) == []
