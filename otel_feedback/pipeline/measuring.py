"""Outcomes on their way to OpenTelemetry metrics.

    recorded ──► queue, bounded                       on the agent's thread, and only where the program has a MeterProvider
                   │
                   ▼   by the journal's thread every 100 ms, and whenever a reader collects
                 event ──► instruments                so what has been recorded is in what is collected, also at the end

An event counts once. One that is read off others' spans waits for the next collection: by then it may have been corrected,
as where two instrumentors recorded the same call. A revision that comes later changes nothing, nor does a start.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Meter, NoOpMeter, Observation

from otel_feedback.events.ended import EndedAction
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus
from otel_feedback.logger import get_logger
from otel_feedback.pipeline.instruments import DEFAULT_LABEL_SETS, Instruments
from otel_feedback.throttle import ThrottledLog
from otel_feedback.version import VERSION

__all__ = ["Measuring"]

MOST_WAITING = 4_096
"""Outcomes between two looks; about a kilobyte each."""
MOST_HELD = 1_000
"""Events of others' spans that may still be corrected."""
MOST_LEFT_OUT = 10_000
MOST_WAIT_S = 5.0
"""For another thread that measures; after that it is in the next collection."""

Callback = Callable[[CallbackOptions], list[Observation]]

_log = ThrottledLog(get_logger(__name__))


class Measuring:
    """The metrics of the outcomes of one pipeline. Thread-safe; never raises.

    Args:
        label_sets: See `LabelSets`; 0: nothing is measured.
    """

    def __init__(self, label_sets: int = DEFAULT_LABEL_SETS) -> None:
        self.is_on = False
        """Whether there is a MeterProvider that wants outcomes."""
        self.unmeasured: Counter[str] = Counter()  # guarded by self._counting
        """Outcomes that are missing in the metrics, by reason."""
        self.found: Callable[[], object] = lambda: None
        """Called when the program sets a MeterProvider."""
        self._label_sets = label_sets
        self._instruments: Instruments | None = None  # guarded by self._lock
        self._held: dict[str, tuple[OutcomeEvent, bool]] = {}  # guarded by self._lock
        self._left_out: dict[str, None] = {}
        self.renew_after_fork()

    def renew_after_fork(self) -> None:
        """In a forked child: what waits is the parent's to count, and its locks may be held by threads that are not here."""
        self._queue: deque[tuple[EndedAction | OutcomeEvent, bool, bool]] = deque()
        self._held.clear()
        self._left_out.clear()
        self.unmeasured.clear()
        # re-entrant: a signal handler or a finaliser may record, or collect, in the middle of this
        self._lock, self._counting = threading.RLock(), threading.RLock()

    def offer(self) -> None:
        """Offer the outcomes to the program's MeterProvider, whether it has one yet or not."""
        if self._label_sets:
            _Offered.take(self)

    def turn_on(self) -> None:
        """Measure from now on: the program has a MeterProvider."""
        if not self.is_on:
            self.is_on = True
            self.found()

    # -- on the agent's thread -----------------------------------------------------------------------------

    def take(self, recorded: EndedAction | OutcomeEvent, sampled: bool, is_told: bool) -> None:
        """Take an outcome that was recorded; see `Instruments.record`. Only where `is_on`; cheap, and never waits."""
        queue = self._queue
        if len(queue) < MOST_WAITING:
            queue.append((recorded, sampled, is_told))
        else:
            self._count("overflow")

    def leave_out(self, event_id: str) -> None:
        """Measure nothing of an action that is about to end."""
        if self.is_on:
            self._left_out[event_id] = None
            if len(self._left_out) > MOST_LEFT_OUT:  # they were not recorded
                self._left_out.pop(next(iter(self._left_out)), None)

    # -- on other threads ----------------------------------------------------------------------------------

    def drain(self, *, is_collected: bool = False) -> None:
        """Measure what waits; with what may still be corrected, where it `is_collected` now.

        Then it waits for another thread that is in the middle of this, also where nothing is in the queue any more: what that
        has taken out is not counted yet.
        """
        if not self._queue and not is_collected:
            return
        # not for ever: who collects has a lock of the SDK's, which a meter may want that is being made there
        if not self._lock.acquire(timeout=MOST_WAIT_S):
            return
        try:
            queue = self._queue
            for _ in range(len(queue)):  # and not what comes meanwhile, or it might never end
                try:
                    recorded, sampled, is_told = queue.popleft()
                except IndexError:  # somebody in the middle of this
                    break
                self._see_to(recorded, sampled, is_told)
            if is_collected:
                for event, sampled in list(self._held.values()):
                    if event.status is not OutcomeStatus.PENDING:
                        del self._held[event.event_id]
                        self._record(event, sampled, is_told=False)
            try:
                if self._instruments is not None:
                    self._instruments.flush()
            except Exception as exc:  # a meter is somebody else's code
                _log.warning("flush", "the metrics of outcomes could not be added up: %r", exc)
        finally:
            self._lock.release()

    def _see_to(self, recorded: EndedAction | OutcomeEvent, sampled: bool, is_told: bool) -> None:
        event_id, revision = recorded.event_id, recorded.revision
        if event_id in self._left_out:
            if revision:
                del self._left_out[event_id]
        elif is_told:
            if revision == 1:
                self._record(recorded, sampled, is_told=True)
        elif isinstance(recorded, OutcomeEvent) and (revision <= 1 or event_id in self._held):
            self._held[event_id] = recorded, sampled
            if len(self._held) > MOST_HELD:
                oldest, sampled = self._held.pop(next(iter(self._held)))
                if oldest.status is not OutcomeStatus.PENDING:
                    self._record(oldest, sampled, is_told=False)

    def _record(self, recorded: EndedAction | OutcomeEvent, sampled: bool, *, is_told: bool) -> None:
        try:
            if self._instruments is None:
                self._instruments = Instruments(_Offered.meter, self._label_sets)
            event = recorded if isinstance(recorded, OutcomeEvent) else recorded.event()
            self._instruments.record(event, sampled=sampled, is_told=is_told)
        except Exception as exc:  # a meter is somebody else's code
            self._count("defect")
            _log.warning("record", "the metrics of an outcome could not be recorded: %r", exc)

    def _count(self, reason: str) -> None:
        with self._counting:
            self.unmeasured[reason] += 1


class _Offered:
    """What this process offers: once, since an SDK takes the callbacks of a name once, for all pipelines that it ever has."""

    meter: Meter = NoOpMeter("otel_feedback")
    _all: tuple[Measuring, ...] = ()
    _is_wanted = False

    @classmethod
    def take(cls, measuring: Measuring) -> None:
        is_first = not cls._all
        cls._all = (*cls._all, measuring)
        if is_first:
            # now: a MeterProvider that is shut down collects once more, and gives no meter any more
            cls.meter = metrics.get_meter("otel_feedback", VERSION)
            cls.meter.create_observable_counter(
                "otel_feedback.outcomes.unmeasured", _Wanted(cls._collect), "{event}",
                "Outcomes that are missing in the metrics, by reason.",
            )  # fmt: skip
        if cls._is_wanted:
            measuring.turn_on()

    @classmethod
    def turn_on(cls) -> None:
        cls._is_wanted = True
        for measuring in cls._all:
            measuring.turn_on()

    @classmethod
    def _collect(cls, _options: CallbackOptions) -> list[Observation]:
        cls.turn_on()
        told: Counter[str] = Counter()
        for measuring in cls._all:
            measuring.drain(is_collected=True)
            told.update(measuring.unmeasured)
        return [Observation(count, {"reason": reason}) for reason, count in told.items()]


class _Wanted(Sequence[Callback]):
    """A list of one callback, which is looked at when a MeterProvider makes the instrument that it is for.

    That is the moment from which outcomes are wanted, wherever the program sets its provider: the API keeps what was made
    before, says nothing of it, and makes it then.
    """

    def __init__(self, callback: Callback) -> None:
        self._callback = callback

    def __len__(self) -> int:
        return 1

    @overload
    def __getitem__(self, index: int) -> Callback: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Callback]: ...
    def __getitem__(self, index: Any) -> Any:
        return [self._callback][index]

    def __iter__(self) -> Iterator[Callback]:
        _Offered.turn_on()
        yield self._callback
