"""An exporter that has another process make events and send them, so that agents keep the interpreter to themselves.

    lease, packed ──► Lease ──► sender ──► OutcomeExporter ──► broker
         receipts ◄── Answers, Failed ◄──┘

Nothing is retried here: the worker gives back and leases again, as of any exporter. `abandon()` is said in the order of the
leases, so nothing of before is sent after it; a sender that is gone or hangs is killed, and the next lease starts another.
The sender learns what a topic takes and remembers which records were in flight when one was refused: it is kept while it lives.
"""

from __future__ import annotations

import logging
import pickle
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from otel_feedback.errors import ExportError
from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import LEASE_BYTES, Receipt, Settled
from otel_feedback.exporters.kafka.destination import ClusterSeen, KafkaDestination
from otel_feedback.exporters.kafka.exporter import GIVE_UP_S
from otel_feedback.exporters.kafka.process.child import HUNG_S, SenderProcess, interpreter
from otel_feedback.exporters.kafka.process.messages import (
    Abandon,
    Answers,
    Begin,
    Failed,
    Identified,
    Identify,
    Lease,
    Look,
    Message,
    Said,
    Seen,
    Told,
    encode,
)
from otel_feedback.exporters.kafka.process.receipt import LeaseReceipt, Receipts, refused, sent
from otel_feedback.exporters.kafka.topics import is_per_tenant
from otel_feedback.logger import get_logger
from otel_feedback.sdk.forks import runs_greenlets
from otel_feedback.settings.kafka import NO_PROCESS_IN_GREENLETS, KafkaConfig
from otel_feedback.throttle import ThrottledLog

__all__ = ["ProcessExporter"]

logger = get_logger(__name__)
# as kafka-python does in the process that imports it: where nobody has set up logs, what it says does not go to stderr
logging.getLogger("kafka").addHandler(logging.NullHandler())

LEASE_EVENTS = 1_000
MOST_LEASES = 8
"""How many records go to the sender at once, and how often before it has answered: it makes smaller leases of them. Of large ones
so many that a lease is `LEASE_BYTES`, so 32 MB are on their way: as much as Kafka's own producer keeps unless told otherwise."""

ASK_S, MOST_ASK_S = 0.005, 0.1
"""How soon to look for answers: at first, and at last while there are none. Each look takes the interpreter from an agent."""

SOON_MS = 100
"""A linger of more than this is cut short by a lease that is full, as of any exporter: then one is as large as it is told."""

LOOK_S = 1.0
"""How long a sender may say nothing before it is spoken to."""

WAIT_S = 0.1


class ProcessExporter:
    """By a process of its own, which is started by the first lease.

    Args:
        connected: Called when a sender was started.
        give_up_s: How long a record may stay unacknowledged before the sender's producer is built anew, in seconds.
        hung_s: How long a sender may say nothing before it is killed, in seconds.
    """

    name = "kafka"
    durable = True
    takes_packed = True
    lease_bytes = LEASE_BYTES
    max_leases = MOST_LEASES

    def __init__(
        self,
        config: KafkaConfig,
        *,
        connected: Callable[[], None] = lambda: None,
        give_up_s: float = GIVE_UP_S,
        hung_s: float = HUNG_S,
    ) -> None:
        self._config, self._connected = config, connected
        self._give_up_s, self._hung_s = give_up_s, hung_s
        self.linger_s = config.linger_ms / 1e3
        least = LEASE_EVENTS if config.linger_ms <= SOON_MS else 1
        self.lease_events = max(least, config.batch_size)
        self._where = KafkaDestination(config.bootstrap_servers, config.topic)
        self._log = ThrottledLog(logger)
        interpreter()  # says now that there is none
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.ask_s = ASK_S
        self._sender: SenderProcess | None = None
        self._receipts: dict[int, LeaseReceipt] = {}  # by the number of the lease
        self._number = self._epoch = 0
        self._error: ExportError | None = None  # what ends everything in flight
        self._seen: Seen | None = None
        self._since_s = self._looked_s = 0.0  # monotonic: the last progress; when it was spoken to
        self._trouble: str | None = None
        self._redirected: dict[str, int] = {}  # by senders that are gone
        self._redirected_now: dict[str, int] = {}
        self._is_identifying = self._is_stopping = False

    @property
    def destination(self) -> str:
        return self._where.name

    @property
    def address(self) -> str:
        return self._where.address

    @property
    def is_identified(self) -> bool:
        return self._where.is_known

    def is_same(self, destination: str, address: str) -> bool:
        return self._where.is_same(destination, address)

    def trouble(self, since_s: float) -> str | None:
        return self._trouble

    @property
    def redirected(self) -> Mapping[str, int] | None:
        """How many records of tenants went to the shared topic, and why; None where all have one. Safe from any thread."""
        if not is_per_tenant(self._config.topic):
            return None
        before, now = self._redirected, self._redirected_now
        return {why: before.get(why, 0) + now.get(why, 0) for why in {**before, **now}}

    def identify(self) -> None:
        self._is_identifying = True  # before it is looked whether to stop
        try:
            self._ask_which()
        finally:
            self._is_identifying = False
            if not self._is_stopping:  # else that is why there was no answer
                self._trouble = None
        if self._error is not None:
            raise self._error
        if self._seen is not None:
            self._where.learn(ClusterSeen(*self._seen))

    def _ask_which(self) -> None:
        if self._is_stopping:
            raise _interrupted()
        sender = self._ready_sender()
        self._since_s = time.monotonic()
        self._say(sender, Identify(self._epoch))
        while self._seen is None and self._error is None:
            if self._is_stopping:
                raise _interrupted()
            self._take(sender.receive(WAIT_S))
            self._watch(sender)

    def interrupt(self) -> None:
        """Have `identify` come to an end, by ending the sender: nothing was handed to it yet. Safe from any thread."""
        self._is_stopping = True
        sender = self._sender
        if self._is_identifying and sender is not None:
            sender.interrupt()

    def export(self, lease: Sequence[Record]) -> Receipt:
        sender = self._ready_sender()
        if not self._receipts:
            self._since_s = time.monotonic()
        self._number += 1
        message = Lease(self._number, lease[0].origin, [sent(record) for record in lease])
        try:
            data = encode(message)
        except UnicodeEncodeError:  # half a character in a key: refused by those who are sent alone
            if len(lease) == 1:
                return Settled([refused(lease[0], "invalid_record", "UnicodeEncodeError: its key is no text")])
            return Receipts([self.export([record]) for record in lease])
        receipt = self._receipts[self._number] = LeaseReceipt(lease)
        self._say(sender, data)
        self.ask_s = ASK_S
        return receipt

    def call_when_answered(self, answered: Callable[[], None]) -> None:
        """Nothing is said by itself; see `ask`."""

    def ask(self) -> bool:
        """Take in what the sender says; True when a receipt has something new to tell."""
        sender, error = self._sender, self._error
        is_news = False
        if sender is not None and error is None:
            try:
                is_news = self._take(sender.receive())
                self._watch(sender)
            except ExportError as exc:
                self._error = exc
        if is_news:
            self._since_s, self._trouble = time.monotonic(), None
        self.ask_s = ASK_S if is_news else min(MOST_ASK_S, self.ask_s * 1.5)
        if self._error is not None and self._receipts:
            # the last one: what became known of those before it is told first
            next(reversed(self._receipts.values())).error = self._error
            return True
        return is_news

    def abandon(self) -> None:
        self._receipts.clear()
        self._epoch += 1
        sender, error, self._error = self._sender, self._error, None
        self._trouble = None
        if sender is None:
            return
        try:
            if isinstance(error, _SaidError):
                sender.receive()
                self._say(sender, Abandon(self._epoch))
            else:  # by it, not by what it met: gone, hanging, or half of a message is on its way
                self._drop(sender)
        except ExportError:
            self._drop(sender)

    def close(self, timeout_s: float) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.close(timeout_s)

    def after_fork(self) -> None:
        if self._sender is not None:
            self._sender.leave()
        self._where.forget()
        self._log = ThrottledLog(logger)
        self._begin_anew()

    # -- the sender ----------------------------------------------------------------------------------------

    def _ready_sender(self) -> SenderProcess:
        sender = self._sender
        if sender is not None:
            try:
                self._take(sender.receive())  # also what it logged meanwhile: it must not wait for us to read it
            except ExportError as exc:
                if self._receipts:
                    raise
                self._drop(sender)  # nothing was in flight
                self._log.warning("ended", "%s; another one is started", exc.detail)
        return self._sender or self._start()

    def _start(self) -> SenderProcess:
        if runs_greenlets():  # since configure() has looked
            raise ExportError("unavailable", f"KAFKA_SENDER is to be {NO_PROCESS_IN_GREENLETS}", retryable=True)
        level = max(logging.getLogger("otel_feedback").getEffectiveLevel(), logging.DEBUG)
        begin = Begin(self._epoch, pickle.dumps(self._config), self._give_up_s, level, self._seen)
        sender = self._sender = SenderProcess(begin, self._hung_s)
        self._connected()
        return sender

    def _drop(self, sender: SenderProcess) -> None:
        sender.kill()
        self._sender = None
        self._redirected, self._redirected_now = dict(self.redirected or {}), {}

    def _say(self, sender: SenderProcess, message: Message | bytearray) -> None:
        try:
            sender.send(message if isinstance(message, bytearray) else encode(message))
        except ExportError as exc:
            self._error = exc
            raise
        self._looked_s = time.monotonic()

    def _watch(self, sender: SenderProcess) -> None:
        """Speak to a sender that has said nothing for a while; raise ExportError where it says nothing then either."""
        now_s = time.monotonic()
        if now_s - sender.heard_s > LOOK_S and now_s - self._looked_s > LOOK_S:
            self._say(sender, Look(self._since_s))
        sender.require_life(self._since_s)

    def _take(self, messages: Iterable[Message]) -> bool:
        is_news = False
        for message in messages:
            if isinstance(message, Answers):
                is_news = self._settle(message) or is_news
            elif isinstance(message, Failed):
                if message.epoch == self._epoch:
                    self._error = _SaidError(
                        message.reason, message.detail, retryable=True, retry_after_s=message.retry_after_s
                    )
            elif isinstance(message, Identified):
                self._seen = message.seen
            elif isinstance(message, Told):
                self._trouble = message.trouble
            elif isinstance(message, Said):
                _log_as_ours(message)
        return is_news

    def _settle(self, message: Answers) -> bool:
        self._redirected_now = message.redirected or self._redirected_now
        receipt = self._receipts.get(message.number)
        if receipt is None:  # it was abandoned
            return False
        receipt.take(message)
        if receipt.is_complete:
            del self._receipts[message.number]
        return True


def _interrupted() -> ExportError:
    return ExportError("unavailable", "nobody waits any more for which cluster it is", retryable=True)


class _SaidError(ExportError):
    """An ExportError that the sender had: it lives."""


def _log_as_ours(message: Said) -> None:
    to = get_logger(message.logger)
    say = to.error if message.level >= logging.ERROR else to.warning if message.level >= logging.WARNING else to.debug
    say("%s", message.text)
