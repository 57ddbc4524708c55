"""What is missing, pending, lost and repeated, by sequences and by what producers tell."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from otel_feedback.downstream.verify.account import ProducerAccount, Run, Verdict
from otel_feedback.events.audit import HighWaterRecord, LossRecord

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=timezone.utc)
_WHO: dict[str, Any] = {
    "producer_id": "0" * 32, "service_name": "bot", "exporter": "kafka", "destination": "cluster/agent-outcomes",
}  # fmt: skip


def mark(end: int, pending: int = 0, *, minutes: float = 0, closed: bool = True) -> HighWaterRecord:
    moment = NOW + timedelta(minutes=minutes)
    return HighWaterRecord(
        **_WHO, end=end, delivered=end - pending, pending=pending, lost={}, closed=closed, timestamp=moment
    )


def loss(first: int, last: int, count: int | None = None, minutes: float = 0) -> LossRecord:
    moment = NOW + timedelta(minutes=minutes)
    count = last - first + 1 if count is None else count
    return LossRecord(
        **_WHO, reason="retention", first_sequence=first, last_sequence=last, count=count, timestamp=moment
    )


def verdict(seen: Iterable[int], *told: Any, since: datetime | None = None, earlier: Iterable[int] = ()) -> Verdict:
    account = ProducerAccount("0" * 32, since)
    for one in told:
        account.tell(one)
    for sequence in seen:
        account.see(sequence, "bot")
    for sequence in earlier:
        account.see_earlier(sequence)
    return account.verdict()


def test_all_there_is_complete_and_repeats_are_counted() -> None:
    found = verdict([*range(10), 3, 3, 9], mark(10))
    assert (found.state, found.delivered, found.repeated, found.missing) == ("complete", 10, 3, [])


def test_a_sequence_that_nobody_declared_is_missing() -> None:
    found = verdict([0, 1, 2, 4, 7], mark(9))
    assert (found.state, found.missing) == ("missing", [Run(3, 3), Run(5, 6), Run(8, 8)])


def test_a_declared_loss_is_not_missing_also_where_it_is_told_twice() -> None:
    found = verdict([0, 1, 5], mark(6), loss(2, 4), loss(2, 4, minutes=1))
    assert (found.state, [one.count for one in found.losses], found.missing) == ("losses", [3], [])


def test_of_a_loss_with_holes_only_so_many_are_explained() -> None:
    found = verdict([0, 2, 9], mark(10), loss(1, 8, count=4))
    assert (found.state, sum(run.length for run in found.missing)) == ("missing", 3)


def test_what_may_still_come_is_pending_and_no_more_than_was_told() -> None:
    found = verdict([0, 1, 3, 4], mark(8, pending=3, closed=False))
    assert (found.state, found.pending, found.missing) == ("missing", [Run(5, 7)], [Run(2, 2)])
    found = verdict([0, 1, 2, 3, 4], mark(8, pending=3))
    assert (found.state, found.pending, found.missing) == ("pending", [Run(5, 7)], [])


def test_gaps_above_the_newest_mark_may_still_be_filled() -> None:
    found = verdict([0, 1, 2, 4], mark(2, closed=False))
    assert (found.state, found.pending, found.missing) == ("pending", [Run(3, 3)], [])


def test_the_newest_mark_counts_in_whatever_order_they_come() -> None:
    found = verdict(range(8), mark(8, minutes=5), mark(3, pending=3, minutes=-5, closed=False))
    assert (found.state, found.end, found.closed) == ("complete", 8, True)


def test_without_a_word_of_the_producer_a_gap_is_missing() -> None:
    found = verdict([0, 2])
    assert (found.state, found.missing, found.told) == ("missing", [Run(1, 1)], None)


def test_since_begins_at_the_last_mark_before_it() -> None:
    since = NOW
    told = (mark(5, minutes=-1, closed=False), mark(10, minutes=1))
    assert verdict(range(5, 10), *told, since=since).state == "complete"
    assert verdict([5, 6, 8, 9], *told, since=since).missing == [Run(7, 7)]
    assert verdict([5, 6, 8, 9], *told, since=since, earlier=[7]).state == "complete"


@given(st.integers(0, 60), st.data())
def test_each_sequence_is_one_thing(end: int, data: st.DataObject) -> None:
    """Against a plain recomputation: what was neither seen nor declared, nor told to be pending, is missing."""
    seen = data.draw(st.sets(st.integers(0, max(0, end - 1)))) if end else set[int]()
    runs = data.draw(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5))))
    lost = {first + more for first, length in runs for more in range(length + 1)}
    pending = data.draw(st.integers(0, end))
    found = verdict(sorted(seen), mark(end, pending), *(loss(first, first + length) for first, length in runs))
    left = sorted(set(range(end)) - seen - lost)
    named = [number for run in found.missing for number in range(run.first, run.last + 1)]
    may_come = [number for run in found.pending for number in range(run.first, run.last + 1)]
    assert named == left[: max(0, len(left) - pending)]
    assert may_come == left[max(0, len(left) - pending) :]
    assert found.delivered == len(seen)
