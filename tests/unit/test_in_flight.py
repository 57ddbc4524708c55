"""When a worker asks for answers, and what many answers at once do to a cursor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

import otel_feedback as feedback
from otel_feedback.events.model import encode
from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import Receipt, Refusal, Settled
from otel_feedback.journal.interface import Cursor
from otel_feedback.journal.memory import MemoryJournal
from otel_feedback.pipeline import in_flight
from otel_feedback.pipeline.in_flight import InFlight
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.unit.test_worker import ScriptedExporter, account, record

EVENT = feedback.OutcomeEvent(action_type="a", status=feedback.OutcomeStatus.SUCCESS)


class TellingExporter(ScriptedExporter):
    """Answers when the next lease comes, and says so."""

    def __init__(self) -> None:
        super().__init__()
        self.tell: Callable[[], None] = lambda: None

    def call_when_answered(self, answered: Callable[[], None]) -> None:
        self.tell = answered


class AskedExporter(TellingExporter):
    """Has to be asked whether there are answers, and knows how soon it wants to be."""

    ask_s = 0.25

    def __init__(self) -> None:
        super().__init__()
        self.has_news = False

    def ask(self) -> bool:
        return self.has_news


class Later:
    """A receipt that is asked; `polls` counts how often."""

    def __init__(self, lease: Sequence[Record]) -> None:
        self.lease = list(lease)
        self.is_known = False
        self.polls = 0

    @property
    def done(self) -> bool:
        return not self.lease

    def poll(self) -> Iterable[tuple[Record, Refusal | None]]:
        self.polls += 1
        lease = self.lease if self.is_known else []
        self.lease = [] if self.is_known else self.lease
        return [(one, None) for one in lease]


def no_refusal(_record: Record, _source: Cursor, refusal: Refusal) -> None:
    pytest.fail(str(refusal))


def journal_of(count: int) -> tuple[MemoryJournal, Cursor]:
    journal = MemoryJournal(10**9)
    cursor = journal.cursor("kafka", "there", durable=True)
    for _ in range(count):
        journal.append("run", encode(EVENT), EVENT, sampled=True)
    return journal, cursor


def test_one_that_tells_is_asked_when_it_told_and_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(in_flight.time, "monotonic", lambda: now)
    woken: list[None] = []
    exporter = TellingExporter()
    following = InFlight(exporter, lambda: woken.append(None))
    _, cursor = journal_of(3)
    receipt = Later(cursor.lease(3))
    following.add(receipt, cursor)

    def collect() -> int:
        following.collect(no_refusal, set())
        return receipt.polls

    assert collect() == 1
    assert collect() == 1, "nothing was said since"
    exporter.tell()
    assert woken == [None]
    assert (collect(), collect()) == (2, 2)
    now += in_flight.TOLD_POLL_S
    assert collect() == 3, "it may have been forgotten"
    receipt.is_known = True
    exporter.tell()
    moved: set[Cursor] = set()
    following.collect(no_refusal, moved)
    assert (moved, len(following), cursor.low) == ({cursor}, 0, 3)


def test_one_that_does_not_tell_is_asked_each_time() -> None:
    following = InFlight(ScriptedExporter(), lambda: None)
    _, cursor = journal_of(2)
    receipt = Later(cursor.lease(2))
    following.add(receipt, cursor)
    for _ in range(3):
        following.collect(no_refusal, set())
    assert receipt.polls == 3


def test_of_one_that_is_asked_the_receipts_are_looked_at_where_there_is_news(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(in_flight.time, "monotonic", lambda: now)
    exporter = AskedExporter()
    following = InFlight(exporter, lambda: None)
    _, cursor = journal_of(2)
    receipts = [Later(cursor.lease(1)), Later(cursor.lease(1))]
    for receipt in receipts:
        following.add(receipt, cursor)

    def collect() -> list[int]:
        following.collect(no_refusal, set())
        return [receipt.polls for receipt in receipts]

    assert (collect(), collect()) == ([1, 1], [1, 1])
    exporter.has_news = True
    assert collect() == [2, 2]
    exporter.has_news = False
    assert collect() == [2, 2]
    exporter.tell()
    assert collect() == [3, 3], "something was refused where it was handed over"
    now += in_flight.TOLD_POLL_S
    assert collect() == [4, 4], "it may be too late"


def test_an_answer_wakes_the_worker() -> None:
    exporter = TellingExporter()
    receipts: list[Later] = []

    def answer(lease: Sequence[Record]) -> Receipt:
        receipts.append(Later(lease))
        return receipts[-1]

    def answer_before(lease: Sequence[Record]) -> Receipt:
        for receipt in receipts:
            receipt.is_known = True
        exporter.tell()
        return Settled((one, None) for one in lease)

    exporter.answers = [answer, answer_before]
    pipeline = FeedbackPipeline(new_journal=lambda: MemoryJournal(10**9), exporters=[exporter])
    record(pipeline, 20)
    assert pipeline.force_flush(10) is True
    assert account(pipeline) == {"appended": 20, "delivered": 20, "pending": 0, "lost": {}}
    assert receipts[0].polls <= 3


@given(st.lists(st.lists(st.integers(0, 29), max_size=30), max_size=6), st.sets(st.integers(0, 29), max_size=5))
def test_delivered_together_is_as_one_by_one(together: list[list[int]], lost: set[int]) -> None:
    (_, many), (_, single) = journal_of(30), journal_of(30)
    for sequence in lost:
        assert many.settle(sequence, "policy") is single.settle(sequence, "policy") is True
    for sequences in together:
        many.deliver(sequences)
        for sequence in sequences:
            single.settle(sequence)
        assert (many.low, many.account()) == (single.low, single.account())
    many.rewind()
    single.rewind()
    assert [one.sequence for one in many.lease(30)] == [one.sequence for one in single.lease(30)]


def test_one_that_wants_to_be_asked_says_how_soon() -> None:
    exporter = AskedExporter()
    following = InFlight(exporter, lambda: None)
    assert following.poll_s == 0.25
    exporter.ask_s = 0.5
    assert following.poll_s == 0.5
    assert InFlight(ScriptedExporter(), lambda: None).poll_s == in_flight.POLL_S
