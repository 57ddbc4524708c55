"""The topic's events, one after the other: `for event in OutcomeConsumer(…)`, or with `async for`.

    record ──► headers say skip? ──► decoded ──► handled before? ──► the program ──► settled ──► committed
                                        │                                │
                                        └──────── dead letters ◄─────────┘   with reason and position

Guarantee: at least once. What is committed was handled, skipped, a repeat, or is among the dead letters.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from otel_feedback.downstream.group import GroupMember
from otel_feedback.downstream.handing import Handing
from otel_feedback.downstream.letters import RAISED, REJECTED, DeadLetter, DeadLetters
from otel_feedback.downstream.received import ReceivedEvent
from otel_feedback.errors import ConfigError, describe
from otel_feedback.settings.table import KafkaConfig, get_settings
from otel_feedback.settings.values import a_number, a_text, one_of, whole

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from otel_feedback.settings.options import SettingsOptions

__all__ = ["AsyncOutcomeConsumer", "OutcomeConsumer"]

WINDOW = 50_000
LOOK_S = 0.05
"""How often to look whether a rebalance is over, and whether it is time to stop."""
END_S = 30.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)
_OWN_OPTIONS = frozenset({
    "auto_offset_reset", "bootstrap_servers", "client_id", "enable_auto_commit", "group_id", "key_deserializer",
    "max_poll_records", "partition_assignment_strategy", "value_deserializer",
})  # fmt: skip
"""What others of are would break promises: a cooperative assignor tells of rebalances in another order."""


def _read(name: str, value: object, reader: Callable[[Any], Any]) -> Any:
    try:
        return reader(value)
    except ValueError as exc:
        raise ConfigError(name, value, str(exc)) from None


class _Consumer:
    """What both kinds are made of."""

    def __init__(
        self,
        group: str,
        *,
        tenant_id: str | None = None,
        start: str = "earliest",
        window: int = WINDOW,
        commit_interval_s: float = 1.0,
        stop_on_signals: bool = True,
        kafka: KafkaConfig | None = None,
        kafka_options: Mapping[str, Any] | None = None,
        **settings: Unpack[SettingsOptions],
    ) -> None:
        group = _read("group", group, a_text)
        config = get_settings(kafka=kafka, **settings).kafka
        self._options = dict(kafka_options or {})
        taken = sorted(_OWN_OPTIONS & self._options.keys())
        if taken:
            raise ConfigError("kafka_options", taken, "options that this package does not set itself")
        self._member = GroupMember(
            config,
            group,
            start=_read("start", start, one_of("earliest", "latest")),
            commit_interval_s=_read("commit_interval_s", commit_interval_s, a_number(0.01, 3_600)),
            wake=self._wake,
            options=self._options,
        )
        tenant_id = None if tenant_id is None else _read("tenant_id", tenant_id, a_text)
        self._handing = Handing(self._member, _read("window", window, whole(0, 10**8)), tenant_id)
        self._letters = DeadLetters(config, group)
        self._stop_on_signals = stop_on_signals
        self._is_stopping = False
        self._is_closed = False
        self._name = f"{group!r} of {config.topic!r}"

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "stopping" if self._is_stopping else "open"
        return f"<{type(self).__name__} {self._name} {state} {self.metrics()}>"

    def stop(self) -> None:
        """End the iteration before the next event. Safe from any thread, and in a signal handler."""
        self._is_stopping = True
        self._member.chunks.put(None)
        self._wake()

    def metrics(self) -> Mapping[str, int]:
        """Return what became of the records so far.

        Returns:
            `handled`, `repeated` and `superseded` (dropped: handled before in this, or in a higher revision), `skipped`
            (another tenant's) and `dead_letters`; `letters_waiting` (1 while the dead letters' topic does not take one,
            for which all waits), `waiting` (read and not handed out) and `rebalances` that there were.
        """
        return {
            **self._handing.counts,
            "letters_waiting": self._letters.waiting,
            "waiting": self._member.waiting,
            "rebalances": self._member.rebalances,
        }

    def _wake(self) -> None:
        """There may be something new."""

    def _begin(self) -> None:
        if self._is_closed:
            raise RuntimeError("this consumer is closed: make another")
        self._member.start()

    def _is_going_on(self) -> bool:
        failure = self._member.failure
        if failure is not None:
            raise ConfigError("kafka_options", sorted(self._options), f"what kafka-python takes: {failure}")
        return not self._is_stopping

    def _end(self) -> None:
        if not self._is_closed:
            self._is_closed = self._is_stopping = True
            self._member.stop(END_S)
            self._letters.close(END_S)

    def _is_letter_given_up(self) -> bool:
        return self._is_stopping or self._handing.is_lost

    def _bury(self, letter: DeadLetter) -> None:
        """Send a dead letter, and settle its record once Kafka has it."""
        if self._letters.send(letter, self._is_letter_given_up):
            self._handing.settle_letter(letter)
        else:
            self._handing.drop()

    def _bury_raised(self, exc: Exception) -> None:
        if self._handing.record is not None:  # else it was rejected before
            self._bury(self._letter(RAISED, describe(exc)))

    def _letter(self, reason: str, detail: str) -> DeadLetter:
        record = self._handing.record
        if record is None:
            raise RuntimeError("there is no event in hand to reject: it is the one that the loop was given last")
        return DeadLetter(record, reason, detail)


class OutcomeConsumer(_Consumer):
    """Iterate over the outcome topic's events as a member of a consumer group.

    An event counts as handled when the loop asks for the next one, or leaves the `with` block without an exception; what
    is handled is committed every `commit_interval_s`, at a rebalance and at the end. At least once: after a crash, and for
    the one event in hand at a rebalance, an event may come again, also to another member. Repeats and revisions that are
    no newer are dropped, as far as the window reaches. Iterate on one thread; `stop()` and `metrics()` may be called on any.

    Args:
        group: The consumer group; its members share the partitions.
        tenant_id: Give this client's events only; others are skipped before they are decoded.
        start: Where a group begins that has committed nothing: "earliest" (default) or "latest".
        window: How many of the newest events this member remembers to tell repeats by: 50,000, some 20 MB; 0 gives all.
        commit_interval_s: How often to commit, in seconds: 1.
        stop_on_signals: In a `with` block on the main thread, SIGINT and SIGTERM end the loop after the event in hand; a
            second one does what it did before.
        kafka: Takes the place of all settings whose names begin with `kafka_`.
        kafka_options: Further options of kafka-python's consumer, such as `session_timeout_ms` or `group_instance_id`;
            not those for offsets, commits, deserializers and assignors, which this package sets itself.
        settings: Settings by their names: brokers, topic and security, as `configure()` takes them.

    Raises:
        ConfigError: An argument cannot be used; the message says what would be right.
    """

    def __iter__(self) -> Iterator[ReceivedEvent]:
        return self

    def __next__(self) -> ReceivedEvent:
        if self._is_closed:
            raise StopIteration
        self._begin()
        self._handing.settle()
        while self._is_going_on():
            found = self._handing.next()
            if isinstance(found, DeadLetter):
                self._bury(found)
            elif found is not None:
                return found
            else:
                self._wait()
        self._end()
        raise StopIteration

    def _wait(self) -> None:
        if not self._member.settled.is_set():
            self._member.settled.wait(LOOK_S)
            return
        self._handing.await_chunk(LOOK_S)

    def run(self, handle: Callable[[ReceivedEvent], object]) -> None:
        """Call a function with each event, until `stop()` or a signal; then close.

        An event for which it raises goes to the dead letters, with the exception, and the others go on.

        Args:
            handle: Called on this thread. What it returns is ignored.
        """
        with self:
            for event in self:
                try:
                    handle(event)
                except Exception as exc:
                    self._bury_raised(exc)

    def reject(self, detail: str) -> None:
        """Send the event in hand to the dead letters, with a detail of your own, and wait until it is there.

        Raises:
            RuntimeError: No event is in hand.
        """
        self._bury(self._letter(REJECTED, detail))

    def close(self) -> None:
        """Commit what was handled, leave the group, and wait for that; the event in hand does not count as handled."""
        self._end()

    def __enter__(self) -> Self:
        self._begin()
        self._handlers: dict[int, Any] = {}
        if self._stop_on_signals and threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if exc is None:
                self._handing.settle()
            self._end()
        finally:
            self._give_back_signals()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._give_back_signals()
        self.stop()

    def _give_back_signals(self) -> None:
        while self._handlers:
            number, handler = self._handlers.popitem()
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class AsyncOutcomeConsumer(_Consumer):
    """Iterate over the outcome topic's events with `async for`; arguments and promises are those of `OutcomeConsumer`.

    For one task; the loop stays free while there is nothing to read.
    """

    _loop: asyncio.AbstractEventLoop | None = None

    def _wake(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # a loop that is closed
                self._loop.call_soon_threadsafe(self._something_new.set)

    def __aiter__(self) -> AsyncIterator[ReceivedEvent]:
        return self

    async def __anext__(self) -> ReceivedEvent:
        if self._is_closed:
            raise StopAsyncIteration
        self._begin_here()
        self._handing.settle()
        while self._is_going_on():
            self._something_new.clear()
            found = self._handing.next()
            if isinstance(found, DeadLetter):
                await asyncio.to_thread(self._bury, found)
            elif found is not None:
                return found
            elif self._is_going_on():
                await self._something_new.wait()
        await self.close()
        raise StopAsyncIteration

    def _begin_here(self) -> None:
        if self._loop is None:
            self._something_new = asyncio.Event()
            self._loop = asyncio.get_running_loop()
        self._begin()

    async def run(self, handle: Callable[[ReceivedEvent], Awaitable[object]]) -> None:
        """Await a function's answer to each event, until `stop()` or a signal; then close.

        An event for which it raises goes to the dead letters, with the exception, and the others go on.
        """
        async with self:
            async for event in self:
                try:
                    await handle(event)
                except Exception as exc:
                    await asyncio.to_thread(self._bury_raised, exc)

    async def reject(self, detail: str) -> None:
        """Send the event in hand to the dead letters, with a detail of your own, and wait until it is there.

        Raises:
            RuntimeError: No event is in hand.
        """
        await asyncio.to_thread(self._bury, self._letter(REJECTED, detail))

    async def close(self) -> None:
        """Commit what was handled, leave the group, and wait for that; the event in hand does not count as handled."""
        await asyncio.to_thread(self._end)

    async def __aenter__(self) -> Self:
        self._begin_here()
        self._handlers: dict[int, Any] = {}
        if self._stop_on_signals and threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                before = signal.getsignal(number)
                with contextlib.suppress(NotImplementedError):  # Windows
                    asyncio.get_running_loop().add_signal_handler(number, self._on_signal)
                    self._handlers[number] = before
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if exc is None:
                self._handing.settle()
            await self.close()
        finally:
            self._give_back_signals()

    def _on_signal(self) -> None:
        self._give_back_signals()
        self.stop()

    def _give_back_signals(self) -> None:
        while self._handlers:
            number, handler = self._handlers.popitem()
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
