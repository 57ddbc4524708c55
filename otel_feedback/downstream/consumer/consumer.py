"""The topic's events, one after the other: `for event in OutcomeConsumer(…)`, or a function for each by `run()`."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from otel_feedback.downstream.consumer.consuming import EVENTS, FEEDBACK, SIGNALS, Consuming
from otel_feedback.downstream.consumer.handing import Received
from otel_feedback.downstream.topic.given import ReceivedFeedback
from otel_feedback.downstream.topic.letters import REJECTED, DeadLetter
from otel_feedback.downstream.topic.received import ReceivedEvent
from otel_feedback.downstream.topic.values import SchemaWantedError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["FeedbackConsumer", "OutcomeConsumer"]

LOOK_S = 0.05
"""How often to look whether a rebalance is over, and whether it is time to stop."""


class _Iterating(Consuming[Received]):
    """Whatever is on the topic, one after the other."""

    def __iter__(self) -> Iterator[Received]:
        return self

    def __next__(self) -> Received:
        if self._is_closed:
            raise StopIteration
        self._begin()
        self._handing.settle()
        while self._is_going_on():
            found = self._handing.next()
            if isinstance(found, DeadLetter):
                self._bury(found)
            elif isinstance(found, SchemaWantedError):
                self._fetch(found)
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

    def run(self, handle: Callable[[Received], object]) -> None:
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


class OutcomeConsumer(_Iterating[ReceivedEvent]):
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

    _records = EVENTS


class FeedbackConsumer(_Iterating[ReceivedFeedback]):
    """Iterate over the feedback topic as a member of a consumer group: what was said of actions and runs afterwards.

    Arguments and promises are those of `OutcomeConsumer`; the topic is `KAFKA_FEEDBACK_TOPIC`. Who changes the mind is given
    again with the same `feedback_id` and a later `timestamp`; a repeat, or what is older, is dropped as far as the window
    reaches. What is no feedback goes to the dead letters of the outcome topic.

    Raises:
        ConfigError: An argument cannot be used; the message says what would be right.
    """

    _records = FEEDBACK
