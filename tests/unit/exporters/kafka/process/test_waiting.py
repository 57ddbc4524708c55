"""Leases as a sender process has them: all of a lease's events are made before the first is given out."""

from __future__ import annotations

from otel_feedback.events.ended import EndedAction, pack
from otel_feedback.events.model import OutcomeStatus, Severity
from otel_feedback.events.record import Origin
from otel_feedback.exporters.kafka.process.messages import Lease, Packed
from otel_feedback.exporters.kafka.process.waiting import Waiting

ORIGIN = Origin("0" * 32, "a service")


def packed(sequence: int) -> Packed:
    left = EndedAction(
        f"{sequence:032x}-{1:016x}", True, {"outcome.action_type": "step"}, 1, 2, OutcomeStatus.SUCCESS, Severity.INFO,
        *[None] * 13,
    )  # fmt: skip
    return sequence, "key", pack(left), True


def test_they_are_given_out_as_many_at_a_time_as_wanted():
    waiting = Waiting(Lease(1, ORIGIN, [packed(number) for number in range(5)]))
    given: list[list[int]] = []
    while waiting:
        records, unreadable = waiting.next(2)
        given.append([record.sequence for record in records])
        assert unreadable == []
        assert all(record.payload.startswith(b"{") and not record.is_packed for record in records)
    assert given == [[0, 1], [2, 3], [4]]


def test_what_cannot_be_read_is_told_with_the_first_so_all_were_looked_at():
    waiting = Waiting(Lease(1, ORIGIN, [packed(0), packed(1), (2, "key", b"none", True), packed(3)]))
    records, unreadable = waiting.next(1)
    assert [record.sequence for record in records] == [0]
    assert [(sequence, reason) for sequence, reason, _ in unreadable] == [(2, "damaged")]
    rest, unreadable = waiting.next(10)
    assert ([record.sequence for record in rest], unreadable, bool(waiting)) == ([1, 3], [], False)


def test_one_of_which_none_can_be_read_is_done_at_once():
    waiting = Waiting(Lease(1, ORIGIN, [(0, "key", b"", True)]))
    assert waiting
    records, unreadable = waiting.next(10)
    assert (records, len(unreadable), bool(waiting)) == ([], 1, False)
