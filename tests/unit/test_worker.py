"""A worker and its exporter: lingering, failing, refusing, going back; every record settled once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

import otel_feedback as feedback
from otel_feedback.errors import ExportError
from otel_feedback.events import codec
from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import Receipt, Refusal, Settled
from otel_feedback.journal.disk import DiskJournal
from otel_feedback.journal.memory import MemoryJournal
from otel_feedback.journal.turns import Turn
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.pipeline.worker import Worker
from otel_feedback.retry import Backoff
from tests.pace import slowness
from tests.stack.waiting import wait_for

Answer = Callable[[Sequence[Record]], Receipt]


def deliver(lease: Sequence[Record]) -> Receipt:
    return Settled((record, None) for record in lease)


def fail(*, retryable: bool) -> Answer:
    def answer(lease: Sequence[Record]) -> Receipt:
        raise ExportError("down", "it is away", retryable=retryable)

    return answer


class ScriptedExporter:
    """An exporter that answers as told, then delivers. Checked against the same law as the real ones."""

    def __init__(
        self,
        *answers: Answer,
        name: str = "scripted",
        lease_events: int = 10,
        max_leases: int = 2,
        lease_bytes: int = 10**9,
    ) -> None:
        self.name = name
        self.destination = "nowhere"
        self.lease_events = lease_events
        self.lease_bytes = lease_bytes
        self.linger_s = 0.01
        self.max_leases = max_leases
        self.durable = True
        self.answers = list(answers)
        self.leases: list[list[int]] = []
        self.abandoned = 0
        self.closed = threading.Event()

    def export(self, lease: Sequence[Record]) -> Receipt:
        self.leases.append([record.sequence for record in lease])
        return (self.answers.pop(0) if self.answers else deliver)(lease)

    def abandon(self) -> None:
        self.abandoned += 1

    def close(self, timeout_s: float) -> None:
        self.closed.set()

    def after_fork(self) -> None:
        pass

    @property
    def sent(self) -> list[int]:
        return [sequence for lease in self.leases for sequence in lease]


def pipeline_to(*exporters: ScriptedExporter, max_bytes: int = 10**9, **more: object) -> FeedbackPipeline:
    return FeedbackPipeline(new_journal=lambda: MemoryJournal(max_bytes), exporters=exporters, **more)  # type: ignore[arg-type]


def record(pipeline: FeedbackPipeline, count: int) -> None:
    for _ in range(count):
        assert pipeline.record_outcome(feedback.OutcomeEvent(action_type="a", status=feedback.OutcomeStatus.SUCCESS))


def account(pipeline: FeedbackPipeline, name: str = "scripted") -> dict[str, object]:
    metrics = pipeline.metrics()["exporters"][name]
    return {key: metrics[key] for key in ("appended", "delivered", "pending", "lost")}


def test_leases_are_full_or_lingered_and_in_order() -> None:
    exporter = ScriptedExporter()
    pipeline = pipeline_to(exporter)
    record(pipeline, 25)
    wait_for(lambda: pipeline.metrics()["exporters"]["scripted"]["delivered"] == 25 or None, timeout_s=10, what="all")
    assert exporter.sent == list(range(25))
    assert max(map(len, exporter.leases)) <= 10
    assert account(pipeline) == {"appended": 25, "delivered": 25, "pending": 0, "lost": {}}


def test_a_failure_that_passes_goes_back_to_the_lowest_unsettled() -> None:
    exporter = ScriptedExporter(fail(retryable=True), fail(retryable=True))
    pipeline = pipeline_to(exporter)
    record(pipeline, 15)
    assert pipeline.force_flush(10) is True
    assert exporter.leases[0][0] == exporter.leases[1][0] == exporter.leases[2][0] == 0
    assert exporter.abandoned == 2
    metrics = pipeline.metrics()["exporters"]["scripted"]
    assert (metrics["retries"], metrics["healthy"], metrics["last_error"]) == (2, True, None)
    assert account(pipeline) == {"appended": 15, "delivered": 15, "pending": 0, "lost": {}}


def test_what_was_settled_before_a_failure_is_not_sent_again() -> None:
    class HalfThenFail:
        done = False

        def __init__(self, lease: Sequence[Record]) -> None:
            self.lease = list(lease)
            self.polls = 0

        def poll(self) -> Iterable[tuple[Record, Refusal | None]]:
            self.polls += 1
            if self.polls == 1:
                return [(r, None) for r in self.lease[::2]]
            raise ExportError("broke", "half way", retryable=True)

    exporter = ScriptedExporter(HalfThenFail)
    pipeline = pipeline_to(exporter)
    record(pipeline, 10)
    assert pipeline.force_flush(10) is True
    first = exporter.leases[0]
    assert exporter.leases[1][: len(first) // 2] == first[1::2]
    assert account(pipeline) == {"appended": 10, "delivered": 10, "pending": 0, "lost": {}}


def test_a_lease_refused_for_good_is_counted_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    kept: list[tuple[int, str, str]] = []
    exporter = ScriptedExporter(fail(retryable=False))
    pipeline = pipeline_to(exporter, refused=lambda r, name, why: kept.append((r.sequence, name, why.reason)))
    record(pipeline, 3)
    with caplog.at_level(logging.WARNING):
        assert pipeline.force_flush(10) is False, "settled, but not acknowledged"
    assert account(pipeline) == {"appended": 3, "delivered": 0, "pending": 0, "lost": {"down": 3}}
    assert kept == [(i, "scripted", "down") for i in range(3)]
    assert "refused event" in caplog.text
    record(pipeline, 2)
    assert pipeline.force_flush(10) is True, "later events are delivered"


def test_one_dead_exporter_never_delays_another() -> None:
    dead = ScriptedExporter(*[fail(retryable=True)] * 1000, name="dead")
    stuck_until = threading.Event()

    def hang(lease: Sequence[Record]) -> Receipt:
        stuck_until.wait(20)
        return deliver(lease)

    stuck = ScriptedExporter(hang, name="stuck")
    good = ScriptedExporter(name="good")
    pipeline = pipeline_to(dead, stuck, good)
    record(pipeline, 50)
    wait_for(lambda: account(pipeline, "good")["delivered"] == 50 or None, timeout_s=5, what="the good one")
    assert account(pipeline, "dead")["pending"] == 50
    assert account(pipeline, "stuck")["pending"] == 50
    started = time.monotonic()
    assert pipeline.shutdown(timeout_s=0.5) is False
    assert time.monotonic() - started < 5 * slowness(), "a stuck exporter does not hold the end of the program"
    assert account(pipeline, "dead") == {"appended": 50, "delivered": 0, "pending": 0, "lost": {"shutdown": 50}}
    stuck_until.set()
    wait_for(lambda: True if stuck.closed.is_set() else None, timeout_s=5, what="the stuck worker's end")
    assert account(pipeline, "stuck") == {"appended": 50, "delivered": 0, "pending": 0, "lost": {"shutdown": 50}}


def test_past_the_cap_the_oldest_are_lost_and_counted() -> None:
    release = threading.Event()

    def hang(lease: Sequence[Record]) -> Receipt:
        release.wait(20)
        raise ExportError("down", "still", retryable=True)

    exporter = ScriptedExporter(hang)
    pipeline = pipeline_to(exporter, max_bytes=5_000)
    record(pipeline, 100)
    before = account(pipeline)
    assert before["appended"] == 100
    lost = before["lost"]
    assert isinstance(lost, dict)
    assert lost["retention"] > 50
    release.set()
    assert pipeline.force_flush(10) is True
    after = account(pipeline)
    assert after["delivered"] == 100 - lost["retention"]
    assert exporter.sent[-1] == 99


def test_a_record_that_provokes_a_defect_is_found_and_refused(caplog: pytest.LogCaptureFixture) -> None:
    """A bug in an exporter must neither end its thread nor hold up the records that are well."""

    def defect(lease: Sequence[Record]) -> Receipt:
        if any(record.sequence == 4 for record in lease):
            raise ZeroDivisionError("a bug")
        return deliver(lease)

    exporter = ScriptedExporter(*[defect] * 1000)
    kept: list[int] = []
    pipeline = pipeline_to(exporter, refused=lambda r, name, why: kept.append(r.sequence))
    record(pipeline, 10)
    assert pipeline.force_flush(20) is False
    assert account(pipeline) == {"appended": 10, "delivered": 9, "pending": 0, "lost": {"defect": 1}}
    assert kept == [4]
    assert "ZeroDivisionError" in caplog.text
    record(pipeline, 3)
    assert pipeline.force_flush(20) is True


def test_an_exporter_that_fails_with_every_record_loses_almost_none() -> None:
    """Then it is not the records' fault, and they wait until it is seen to."""
    is_broken = True

    def defect(lease: Sequence[Record]) -> Receipt:
        if is_broken:
            raise ZeroDivisionError("a bug")
        kept.extend(record.sequence for record in lease)
        return deliver(lease)

    kept: list[int] = []
    exporter = ScriptedExporter(*[defect] * 1000)
    pipeline = pipeline_to(exporter)
    record(pipeline, 30)
    worker = pipeline._delivery.workers[0]  # pyright: ignore[reportPrivateUsage]
    worker._backoff = Backoff(first_s=0.001, most_s=0.001)  # pyright: ignore[reportPrivateUsage]
    wait_for(lambda: len(exporter.leases) >= 60 or None, timeout_s=60, what="many failures")
    assert pipeline.metrics()["exporters"]["scripted"]["healthy"] is False
    is_broken = False
    pipeline.force_flush(60)
    lost = 30 - len(kept)
    assert 1 <= lost <= 7, "after 3 tries, 6 more, 12 more, and so on"
    assert account(pipeline) == {"appended": 30, "delivered": len(kept), "pending": 0, "lost": {"defect": lost}}


def test_force_flush_is_true_only_when_all_is_acknowledged() -> None:
    gate = threading.Event()

    def wait(lease: Sequence[Record]) -> Receipt:
        gate.wait(20)
        return deliver(lease)

    pipeline = pipeline_to(ScriptedExporter(wait))
    assert pipeline.force_flush(0) is True, "nothing was pending"
    record(pipeline, 1)
    assert pipeline.force_flush(0.1) is False
    gate.set()
    assert pipeline.force_flush(10) is True


def test_no_thread_before_the_first_event_and_daemons_after() -> None:
    pipeline = pipeline_to(ScriptedExporter(name="lazy"))

    def mine() -> list[threading.Thread]:
        return [t for t in threading.enumerate() if t.name == "otel-feedback-lazy"]

    assert mine() == []
    record(pipeline, 1)
    [thread] = mine()
    assert thread.daemon
    assert pipeline.shutdown(5) is True
    assert mine() == []


def test_exports_are_not_traced() -> None:
    from opentelemetry import context
    from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY  # pyright: ignore[reportPrivateUsage]

    seen: list[object] = []

    def look(lease: Sequence[Record]) -> Receipt:
        seen.append(context.get_value(_SUPPRESS_INSTRUMENTATION_KEY))
        return deliver(lease)

    pipeline = pipeline_to(ScriptedExporter(look))
    record(pipeline, 1)
    assert pipeline.force_flush(10)
    assert seen == [True]


def test_backoff_grows_is_jittered_and_respects_what_the_server_asks() -> None:
    low, high = Backoff(0.1, 1.0, draw=lambda: 0.0), Backoff(0.1, 1.0, draw=lambda: 1.0)
    assert [low.next_s() for _ in range(6)] == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.5, 0.5])
    assert [high.next_s() for _ in range(6)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])
    assert high.next_s(asked_s=30) == 30
    high.reset()
    assert high.next_s() == pytest.approx(0.1)


def test_a_record_of_a_dead_process_that_provokes_a_defect_is_found_while_others_are_delivered() -> None:
    """What is taken of this process's own records says nothing about those of the other one."""

    def answer(lease: Sequence[Record]) -> Receipt:
        if lease[0].origin is theirs.origin and any(record.sequence == 4 for record in lease):
            raise ZeroDivisionError("a bug")
        if lease[0].origin is own.origin:  # this process goes on recording
            append(own, 2)
        return deliver(lease)

    def append(journal: MemoryJournal, count: int) -> None:
        for _ in range(count):
            event = feedback.OutcomeEvent(action_type="a", status=feedback.OutcomeStatus.SUCCESS)
            journal.append("key", codec.encode(event), event, False)

    own, theirs = MemoryJournal(10**9), MemoryJournal(10**9)
    exporter = ScriptedExporter(*[answer] * 10_000, lease_events=2)
    refused: list[tuple[str, int]] = []
    worker = Worker(
        exporter,
        own.cursor("scripted", "nowhere", durable=True),
        lambda record, _name, why: refused.append((why.reason, record.sequence)),
        Backoff(first_s=0.001, most_s=0.001),
    )
    adopted = theirs.cursor("scripted", "nowhere", durable=True)
    append(theirs, 10)
    append(own, 2)
    worker.add(adopted)
    wait_for(lambda: adopted.low == 10 or len(exporter.leases) > 1_000 or None, timeout_s=60, what="all of theirs")
    worker.stop(time.monotonic() + 10)
    assert (adopted.low, refused) == (10, [("defect", 4)])
    assert adopted.account().delivered == 9


def test_a_child_that_ends_delivers_where_it_is_connected_though_another_destination_is_away(tmp_path: Path) -> None:
    """Somebody else has the turn to connect to that one."""
    near, away = ScriptedExporter(name="near"), ScriptedExporter(*[fail(retryable=True)] * 1_000, name="away")
    root = tmp_path / "journal"
    pipeline = FeedbackPipeline(new_journal=lambda: DiskJournal(root, service_name="tested"), exporters=(near, away))
    record(pipeline, 1)
    wait_for(lambda: account(pipeline, "near")["delivered"] == 1 or None, timeout_s=30, what="the first one")
    near.linger_s = 3_600.0
    turn = Turn(root, 3_600)
    assert turn.is_ours
    record(pipeline, 5)
    assert pipeline.end_in_child() is False
    turn.pass_on(in_vain=False)
    assert account(pipeline, "near") == {"appended": 6, "delivered": 6, "pending": 0, "lost": {}}
    assert account(pipeline, "away") == {"appended": 6, "delivered": 0, "pending": 6, "lost": {}}
