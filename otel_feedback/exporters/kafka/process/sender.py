"""The sender's process: takes leases, makes the events, sends them by an exporter as a worker would, and says what became of them.

    socket ──► listener ──► inbox ──► Sender ──► OutcomeExporter ──► broker
                  │ end: os._exit        └──► socket: answers

Threads: the main one has the exporter. The listener only reads, answers `Look`, and ends the process at once when the
agents' process has ended, whatever the main one waits for: another process may deliver the same journal by then. Told to
close, it gives the main one a moment: what that waits for then is nobody's any more.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import queue
import signal
import socket
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from otel_feedback.errors import ExportError, describe
from otel_feedback.events.record import Record
from otel_feedback.exporters.defects import Defects
from otel_feedback.exporters.interface import Asked, Receipt
from otel_feedback.exporters.kafka.destination import ClusterSeen
from otel_feedback.exporters.kafka.process.messages import (
    Abandon,
    Answers,
    Begin,
    Channel,
    Close,
    Closed,
    Failed,
    Identified,
    Identify,
    Lease,
    Look,
    Message,
    Said,
    Told,
    ToSender,
    encode,
)
from otel_feedback.exporters.kafka.process.waiting import Waiting, runs_of

if TYPE_CHECKING:
    from otel_feedback.exporters.kafka.exporter import OutcomeExporter

__all__ = ["main"]

ASK_S = 0.005
"""How often a client that has to be asked is asked at least: nobody else wants the interpreter here."""

HAND_OVER_MS = 12
"""How long it takes, beside agents that are busy, to hand a lease over to librdkafka. Where that waits less for more, a lease goes as
several requests for each partition, and a broker takes longer over a request than over what is in it."""

LOOK_S = 0.1
"""How often receipts are looked at besides: a time may be up."""

CLOSE_S = 1.0
"""How long the main thread may take to close its connection, in seconds: it may be waiting for a broker for a minute."""

ORPHANED_S = 2.0
"""How often it is looked whether the parent is there: a fork of it may have the socket, too."""


class Sender:
    """One exporter, and what its parent wants of it.

    Args:
        parent: The process that it sends for.
    """

    def __init__(self, channel: Channel, parent: int) -> None:
        self._channel, self._parent = channel, parent
        self._inbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()  # None: there may be answers
        self._writing = threading.Lock()
        self._exporter: OutcomeExporter | None = None
        self._asked: Asked | None = None
        self._epoch = 0
        self._has_failed = False  # everything until it is abandoned is of before
        self._waiting: deque[Waiting] = deque()
        self._in_flight: list[tuple[Receipt, int]] = []  # with the number of the lease
        self._defects = Defects()
        self._has_answers = False
        self._is_handing_over = False  # which waits for a broker, or a topic, and says what is wrong in the end
        self._look_at = 0.0  # monotonic

    def run(self) -> None:
        """Work until it is closed."""
        threading.Thread(target=self._listen, name="otel-feedback-listener", daemon=True).start()
        begin = self._inbox.get()
        assert isinstance(begin, Begin)
        self._epoch = begin.epoch
        try:
            exporter = self._begin(begin)
        except Exception as exc:  # an option that cannot be imported here
            self._fail(
                ExportError("unavailable", f"the process that sends cannot begin: {describe(exc)}", retryable=True)
            )
            raise
        while True:
            for message in self._received(exporter):
                if isinstance(message, Close):
                    self._close(exporter, message)
                    return
                self._take(exporter, message)
            try:
                self._is_handing_over = True
                self._export(exporter)
                self._is_handing_over = False
                self._collect()
            except ExportError as exc:
                self._fail(exc)
            except Exception as exc:
                self._fail(ExportError("defect", describe(exc), retryable=True))

    def say(self, message: Message) -> None:
        """Say something; from any thread."""
        self._write(encode(message))

    def _write(self, data: bytearray) -> None:
        try:
            with self._writing:
                self._channel.socket.sendall(data)
        except OSError:  # nobody is there any more
            os._exit(0)

    # -- the listener's thread -----------------------------------------------------------------------------

    def _listen(self) -> None:
        try:
            while True:
                for message in self._channel.receive():
                    if isinstance(message, Look):
                        self.say(Told(self._trouble(message.since_s)))
                    else:
                        self._inbox.put(message)
                    if isinstance(message, Close):
                        end = threading.Timer(min(CLOSE_S, message.timeout_s), os._exit, [0])
                        end.daemon = True
                        end.start()
        except (EOFError, OSError):
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    def _trouble(self, since_s: float) -> str | None:
        exporter = self._exporter
        if exporter is None:
            return ""
        return exporter.trouble(since_s) or ("" if self._is_handing_over else None)

    def watch_parent(self) -> None:
        """End when the parent is not there any more."""
        while os.getppid() == self._parent:
            time.sleep(ORPHANED_S)
        os._exit(0)

    # -- the main thread -----------------------------------------------------------------------------------

    def _begin(self, message: Begin) -> OutcomeExporter:
        config = pickle.loads(message.config)  # noqa: S301 # by our own parent
        if config.client == "confluent":
            from otel_feedback.exporters.kafka.confluent.exporter import ConfluentExporter as Kind

            linger_ms = max(config.producer_linger_ms, HAND_OVER_MS)
            config = msgspec.structs.replace(config, producer_linger_ms=linger_ms)
        else:
            from otel_feedback.exporters.kafka.exporter import KafkaExporter as Kind
        logging.getLogger().setLevel(message.log_level)
        logging.getLogger().addHandler(_Handler(self))
        exporter = Kind(config, give_up_s=message.give_up_s)
        exporter.call_when_answered(self._answered)
        if message.seen is not None:
            exporter.expect(ClusterSeen(*message.seen))
        self._asked = exporter if isinstance(exporter, Asked) else None
        self._exporter = exporter
        return exporter

    def _answered(self) -> None:
        self._has_answers = True
        self._inbox.put(None)

    def _received(self, exporter: OutcomeExporter) -> Iterable[Message]:
        """Wait for messages, or until there may be answers."""
        wait_s: float | None = None
        if self._waiting and len(self._in_flight) < exporter.max_leases:
            wait_s = 0.0
        elif self._in_flight:
            wait_s = LOOK_S if self._asked is None else min(ASK_S, self._asked.ask_s)
        with contextlib.suppress(queue.Empty):
            message = self._inbox.get(timeout=wait_s)
            while True:
                if message is not None:
                    yield message
                message = self._inbox.get_nowait()

    def _take(self, exporter: OutcomeExporter, message: Message) -> None:
        if isinstance(message, Lease):
            if not self._has_failed:
                self._waiting.append(Waiting(message))
        elif isinstance(message, Abandon):
            self._forget()
            self._has_failed, self._epoch = False, message.epoch
            exporter.abandon()
        elif isinstance(message, Identify):
            try:
                exporter.identify()
            except ExportError as exc:
                self._fail(exc)
            except Exception as exc:
                self._fail(ExportError("defect", describe(exc), retryable=True))
            else:
                assert exporter.cluster is not None
                self.say(Identified(message.epoch, (exporter.cluster.cluster_id, exporter.cluster.brokers)))

    def _close(self, exporter: OutcomeExporter, message: Close) -> None:
        try:
            if self._in_flight:
                exporter.abandon()
            exporter.close(message.timeout_s)
        finally:
            self.say(Closed())

    def _forget(self) -> None:
        self._waiting.clear()
        self._in_flight = []

    def _fail(self, exc: ExportError) -> None:
        self._forget()
        self._has_failed = True
        self.say(Failed(self._epoch, exc.reason, exc.detail, exc.retry_after_s))

    def _export(self, exporter: OutcomeExporter) -> None:
        while self._waiting and len(self._in_flight) < exporter.max_leases:
            waiting = self._waiting[0]
            lease, unreadable = waiting.next(self._defects.most(waiting.producer_id, exporter.lease_events))
            if not waiting:
                self._waiting.popleft()
            if unreadable:
                self.say(Answers(waiting.number, [], unreadable, None))
            if not lease:
                continue
            try:
                self._in_flight.append((exporter.export(lease), waiting.number))
            except ExportError as exc:
                if exc.retryable:
                    raise
                self._refuse(lease, waiting.number, exc.reason, exc.detail)
            except Exception as exc:
                if not self._defects.count(waiting.producer_id, len(lease)):
                    raise
                self._refuse(lease, waiting.number, "defect", describe(exc))

    def _refuse(self, lease: list[Record], number: int, reason: str, detail: str) -> None:
        self.say(Answers(number, [], [(record.sequence, reason, detail) for record in lease], None))

    def _collect(self) -> None:
        if self._asked is not None and self._in_flight and self._asked.ask():
            self._has_answers = True
        if not self._has_answers and time.monotonic() < self._look_at:
            return
        self._has_answers = False  # before we look: what comes after it is said again
        self._look_at = time.monotonic() + LOOK_S
        delivered: dict[int, list[int]] = {}
        refused: dict[int, list[tuple[int, str, str]]] = {}
        producers: set[str] = set()
        try:
            for receipt, number in self._in_flight:
                for record, refusal in receipt.poll():
                    producers.add(record.origin.producer_id)
                    if refusal is None:
                        delivered.setdefault(number, []).append(record.sequence)
                    else:
                        refused.setdefault(number, []).append((record.sequence, refusal.reason, refusal.detail))
        finally:
            if producers:
                self._defects.end(producers)
                self._in_flight = [pair for pair in self._in_flight if not pair[0].done]
                self._answer(delivered, refused)

    def _answer(self, delivered: dict[int, list[int]], refused: dict[int, list[tuple[int, str, str]]]) -> None:
        redirected = None if self._exporter is None else self._exporter.redirected
        data = bytearray()
        for number in sorted({*delivered, *refused}):
            runs = runs_of(delivered.get(number, ()))
            encode(
                Answers(number, runs, refused.get(number, []), None if redirected is None else dict(redirected)), data
            )
        self._write(data)


class _Handler(logging.Handler):
    """Has the parent log what is logged here."""

    def __init__(self, sender: Sender) -> None:
        super().__init__()
        self._sender = sender

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):
            self._sender.say(Said(record.name, record.levelno, self.format(record)))


def main(file: int, parent: int) -> None:
    """Be a sender: speak by this socket, for this process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.current_thread().name = "otel-feedback-kafka"  # what its clients log is told by that
    with socket.socket(fileno=file) as end:
        end.setblocking(True)
        sender = Sender(Channel(end, ToSender), parent)
        threading.Thread(target=sender.watch_parent, name="otel-feedback-parent", daemon=True).start()
        sender.run()
    os._exit(0)  # whatever threads its clients have left
