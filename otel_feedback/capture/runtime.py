"""What `action()` needs from the rest: a tracer, and somebody who takes outcomes.

The one piece of module state in this package's capture side; `bootstrap` sets it, `action()` reads it.
Reading is one attribute access, so it is safe from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource

from otel_feedback.events.model import OutcomeEvent
from otel_feedback.events.started import StartedAction
from otel_feedback.events.usage import Usage
from otel_feedback.logger import get_logger
from otel_feedback.redaction.redaction import Redaction
from otel_feedback.sdk.compat.tracers import direct_tracer
from otel_feedback.version import VERSION

__all__ = [
    "SCOPE",
    "Charged",
    "Priced",
    "Recorder",
    "Runtime",
    "count_unrecorded",
    "ensure_recorder",
    "in_force",
    "install",
    "provide_default",
    "put_back",
    "runtime",
    "unrecorded",
]

logger = get_logger(__name__)

SCOPE = "otel_feedback"
"""The instrumentation scope of actions' spans."""


class Priced(Protocol):
    """What tokens cost in US dollars, and where the price is from."""

    @property
    def usd(self) -> float: ...

    @property
    def source(self) -> str: ...

    @property
    def version(self) -> str | None: ...


Charged = tuple[float, float, float, tuple[str, "str | None"]]
"""USD a million tokens of input, the same of output, USD a call, and where that is from: source and version."""


class Recorder(Protocol):
    """Takes outcomes of actions, and notes that actions began. Never raises."""

    service: tuple[Resource | None, str | None]
    """A resource, and the name of its service, as `service_name()` gives it: the latest that was asked for."""
    notes_starts: bool
    emits_pending: bool

    @property
    def rates(self) -> Mapping[tuple[str | None, str], Charged]:
        """What models charge at any time, by provider and model: those whose price was asked for."""
        ...

    @property
    def price(self) -> Callable[[str | None, str | None, Usage, int], Priced | None] | None:
        """What says what tokens cost, where somebody knows: of a model, a provider, a usage, and when that was."""
        ...

    def service_name(self, resource: Resource | None) -> str | None:
        """Return the name of the service whose spans have this resource."""
        ...

    def note_start(self, action: StartedAction) -> None:
        """Note that the action began; asked for when `notes_starts`."""
        ...

    def record(self, event: OutcomeEvent, key: str, *, sampled: bool, sampled_out: bool) -> OutcomeEvent | None:
        """Record the event of an action whose span reached no processor of ours; return it as it was recorded."""
        ...

    def leave_unmeasured(self, event_id: str) -> None:
        """Make no metrics of an action that is about to end."""
        ...

    def lose(self, event_id: str, exc: Exception) -> None:
        """Count an action that could not be recorded."""
        ...


class Runtime:
    """The tracer and the recorder in force.

    `baggage_fields` are the identifiers that may travel to other processes, `redaction` is what everything said of actions
    goes through. `direct` is there where spans can be made without the tracer. `enabled` is False when a switch turned
    everything off; then actions cost next to nothing.
    """

    __slots__ = ("baggage_fields", "direct", "enabled", "recorder", "redaction", "tracer")

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
        self.direct = direct_tracer(tracer)
        self.recorder = recorder
        self.enabled = enabled


def _unconfigured() -> Runtime:
    return Runtime(trace.get_tracer(SCOPE, VERSION), None)


class _InForce:
    """What is in force, for those to whom a call costs too much: a slot of an object is read faster than a class's."""

    __slots__ = ("now", "unrecorded")

    def __init__(self) -> None:
        self.now = _unconfigured()
        self.unrecorded = 0  # actions that ended while nobody took outcomes; a count for people, so races do not matter


in_force = _InForce()


def runtime() -> Runtime:
    """Return what is in force now."""
    return in_force.now


def install(
    tracer_provider: trace.TracerProvider | None,
    recorder: Recorder | None,
    *,
    enabled: bool = True,
    baggage_fields: Sequence[str] = (),
    redaction: Redaction | None = None,
) -> None:
    """Make actions use this provider (default: the global one), this recorder, and this redaction."""
    tracer = trace.get_tracer(SCOPE, VERSION, tracer_provider=tracer_provider)
    in_force.now = Runtime(tracer, recorder, enabled=enabled, baggage_fields=baggage_fields, redaction=redaction)


def put_back(before: Runtime) -> None:
    """Make what was in force earlier so again."""
    in_force.now = before


_default: list[Callable[[], object]] = []


def provide_default(configure: Callable[[], object]) -> None:
    """Say what sets recording up where nobody has; called by `bootstrap`."""
    _default[:] = [configure]


def ensure_recorder() -> None:
    """Set recording up from the environment, unless somebody has.

    Raises:
        ConfigError: A variable of the environment cannot be used.
    """
    if in_force.now.recorder is None and in_force.now.enabled and _default:
        _default[0]()


def count_unrecorded() -> None:
    """Count an action that nobody recorded, and say so the first time."""
    in_force.unrecorded += 1
    if in_force.unrecorded == 1:
        logger.warning(
            "an action ended but nothing records outcomes: call otel_feedback.configure() before the first action()"
        )


def unrecorded() -> int:
    """Return how many actions ended while nobody recorded outcomes."""
    return in_force.unrecorded
