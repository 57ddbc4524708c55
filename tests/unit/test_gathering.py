"""How long records wait for company, and how often a worker is woken at most, however many come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import pytest

import otel_feedback as feedback
from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import Receipt
from otel_feedback.journal.memory import MemoryJournal
from otel_feedback.pipeline import gathering
from otel_feedback.pipeline.gathering import SOON_S, Gathering
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.pipeline.wake import Wake
from tests.stack.waiting import wait_for
from tests.unit.test_in_flight import Later
from tests.unit.test_worker import ScriptedExporter, account, pipeline_to, record


class Clock:
    """The clock of a gathering; `now` is set by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(gathering.time, "monotonic", lambda: self.now)


def lingering(linger_s: float) -> Gathering:
    exporter = ScriptedExporter(lease_events=10)
    exporter.linger_s = linger_s
    return Gathering(exporter)


def test_all_that_has_gathered_goes_and_not_only_full_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, gathered = Clock(monkeypatch), lingering(0.05)
    gathered.begin()
    assert (gathered.look(25), gathered.is_due(25)) == (pytest.approx(0.05), False)
    clock.now += 0.05
    gathered.look(25)
    for left in (25, 15, 5):
        assert gathered.is_due(left)
        gathered.took(10)
    assert (gathered.look(3), gathered.is_due(3)) == (pytest.approx(0.05), False), "they came later, and wait"


def test_what_comes_alone_does_not_wait_when_nothing_came_with_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, gathered = Clock(monkeypatch), lingering(0.0625)
    waited: list[float] = []
    for together in (1, 1, 1, 4, 1, 1):
        clock.now += 1.0
        gathered.begin()
        left = gathered.look(1)
        waited.append(0.0 if gathered.is_due(1) else left)
        clock.now += waited[-1]
        gathered.look(together)
        for _ in range(together):
            gathered.took(1)
        clock.now += 0.0625
        gathered.look(together - 1 if waited[-1] == 0.0 else 0)
        gathered.took(10)
        gathered.look(0)
    assert waited == [0.0625, 0, 0, 0, 0.0625, 0]


def test_rounds_follow_each_other_no_faster_than_the_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, gathered = Clock(monkeypatch), lingering(0.05)
    rounds = available = 0
    for _ in range(1_000):  # one each millisecond
        clock.now += 0.001
        available += 1
        gathered.look(available)
        if gathered.is_due(available):
            rounds += 1
            gathered.took(1_000)
            available = 0
    assert rounds <= 21


def test_a_long_linger_is_cut_short_by_a_full_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, gathered = Clock(monkeypatch), lingering(SOON_S * 2)
    gathered.begin()
    clock.now += 0.1
    gathered.look(10)
    assert (gathered.is_due(9), gathered.is_due(10)) == (False, True)
    gathered.took(10)
    assert (gathered.look(2), gathered.is_due(2)) == (pytest.approx(SOON_S * 2), False)


def test_what_the_journal_had_to_forget_ends_the_round(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, gathered = Clock(monkeypatch), lingering(0.05)
    clock.now += 1
    gathered.look(100)
    gathered.look(0)
    assert gathered.is_due(1) is False


class AnsweringExporter(ScriptedExporter):
    """Answers on a thread of its own, as Kafka's does, and says so."""

    def __init__(self) -> None:
        super().__init__(lease_events=1_000, max_leases=10)
        self.linger_s = SOON_S
        self.tell: Callable[[], None] = lambda: None

    def call_when_answered(self, answered: Callable[[], None]) -> None:
        self.tell = answered

    def export(self, lease: Sequence[Record]) -> Receipt:
        super().export(lease)
        receipt = Later(lease)

        def answer() -> None:
            receipt.is_known = True
            self.tell()

        threading.Thread(target=answer).start()
        return receipt


def test_a_worker_wakes_for_its_rounds_and_for_their_answers_however_many_events_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each time it is woken costs the agent's thread the interpreter lock."""
    woken: list[str] = []
    wait = Wake.wait

    def counted(self: Wake, timeout_s: float | None = None) -> None:
        wait(self, timeout_s)
        woken.append(threading.current_thread().name)

    monkeypatch.setattr(Wake, "wait", counted)
    exporter = AnsweringExporter()
    pipeline = FeedbackPipeline(new_journal=lambda: MemoryJournal(10**9), exporters=[exporter])
    began_s = time.monotonic()
    for _ in range(200):
        record(pipeline, 5)
        time.sleep(0.002)
    looks, rounds = woken.count("otel-feedback-scripted"), len(exporter.leases)
    assert rounds <= (time.monotonic() - began_s) / SOON_S + 1
    assert looks <= 2 * rounds + 2
    assert pipeline.force_flush(60) is True
    assert account(pipeline) == {"appended": 1_000, "delivered": 1_000, "pending": 0, "lost": {}}


def test_large_records_go_in_leases_of_fewer_and_all_at_once() -> None:
    exporter = ScriptedExporter(lease_bytes=1_000)
    exporter.linger_s = 2.0  # more than all of them may take, so that they are of one round
    pipeline = pipeline_to(exporter)
    for step in range(25):
        assert pipeline.record_outcome(
            feedback.OutcomeEvent(
                action_type="a", status=feedback.OutcomeStatus.SUCCESS, metadata={"step": step, "text": "x" * 600}
            )
        )
    began_s = time.monotonic()
    wait_for(lambda: account(pipeline)["delivered"] == 25 or None, timeout_s=10, what="all")
    assert time.monotonic() - began_s < 4
    assert exporter.leases == [[step] if step == 24 else [step, step + 1] for step in range(0, 25, 2)]
