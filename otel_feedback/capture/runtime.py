"""What `action()` needs from the rest: a tracer, and somebody who takes outcomes that no processor took.

The one piece of module state in this package's capture side; `bootstrap` sets it, `action()` reads it.
Reading is one attribute access, so it is safe from any thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from opentelemetry import trace

from otel_feedback.redaction.redaction import Redaction
from otel_feedback.version import VERSION

if TYPE_CHECKING:
    from otel_feedback.capture.handle import Action
    from otel_feedback.events.model import OutcomeEvent

__all__ = [
    "Recorder",
    "Runtime",
    "count_unrecorded",
    "ensure_recorder",
    "install",
    "provide_default",
    "put_back",
    "runtime",
    "unrecorded",
]

logger = logging.getLogger(__name__)


class Recorder(Protocol):
    """Takes the outcome of an action whose span reached no processor of ours, and notes that actions began."""

    notes_starts: bool
    emits_pending: bool

    def note_start(self, action: Action) -> None:
        """Note that the action began; asked for when `notes_starts`. Never raises."""
        ...

    def emit_pending(self, action: Action) -> None:
        """Record that the action is under way, as revision 0 of its event. Never raises."""
        ...

    def record_action(self, action: Action, *, sampled_out: bool) -> OutcomeEvent | None:
        """Turn the ended action into an event and record it. Never raises."""
        ...


class Runtime:
    """The tracer and the recorder in force.

    `baggage_fields` are the identifiers that may travel to other processes, `redaction` is what spans are written through. `enabled` is False when a switch turned everything off; then actions cost next to nothing.
    """

    __slots__ = ("baggage_fields", "enabled", "recorder", "redaction", "tracer")

    def __init__(
        self,
        tracer: trace.Tracer,
        recorder: Recorder | None,
        *,
        enabled: bool = True,
        baggage_fields: Sequence[str] = (),
        redaction: Redaction | None = None,
    ) -> None:
        self.baggage_fields = baggage_fields
        self.redaction = redaction or Redaction()
        self.tracer = tracer
        self.recorder = recorder
        self.enabled = enabled


def _unconfigured() -> Runtime:
    return Runtime(trace.get_tracer("otel_feedback", VERSION), None)


class _State:
    current = _unconfigured()
    unrecorded = 0  # actions that ended while nobody took outcomes; a count for people, so races do not matter


def runtime() -> Runtime:
    """Return what is in force now."""
    return _State.current


def install(
    tracer_provider: trace.TracerProvider | None,
    recorder: Recorder | None,
    *,
    enabled: bool = True,
    baggage_fields: Sequence[str] = (),
    redaction: Redaction | None = None,
) -> None:
    """Make actions use this provider (default: the global one), this recorder, and this redaction on their spans."""
    tracer = trace.get_tracer("otel_feedback", VERSION, tracer_provider=tracer_provider)
    _State.current = Runtime(tracer, recorder, enabled=enabled, baggage_fields=baggage_fields, redaction=redaction)


def put_back(before: Runtime) -> None:
    """Make what was in force earlier so again."""
    _State.current = before


_default: list[Callable[[], object]] = []


def provide_default(configure: Callable[[], object]) -> None:
    """Say what sets recording up where nobody has; called by `bootstrap`."""
    _default[:] = [configure]


def ensure_recorder() -> None:
    """Set recording up from the environment, unless somebody has.

    Raises:
        ConfigError: A variable of the environment cannot be used.
    """
    if _State.current.recorder is None and _State.current.enabled and _default:
        _default[0]()


def count_unrecorded() -> None:
    """Count an action that nobody recorded, and say so the first time."""
    _State.unrecorded += 1
    if _State.unrecorded == 1:
        logger.warning(
            "an action ended but nothing records outcomes: call otel_feedback.configure() before the first action()"
        )


def unrecorded() -> int:
    """Return how many actions ended while nobody recorded outcomes."""
    return _State.unrecorded
