"""`OutcomeSampler`: every action has its outcome event, whatever part of the traces is exported.

Input: the decision of another sampler. Output: the same, but for spans that are recorded and not exported instead of
dropped. `configure()` puts it on a provider that it makes; `OTEL_TRACES_SAMPLER=otel_feedback` on one that the SDK's
own configuration makes, which calls `make_sampler`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from importlib.metadata import entry_points

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

from otel_feedback.errors import ConfigError
from otel_feedback.semconv import INFRASTRUCTURE_PREFIXES

__all__ = ["OutcomeSampler", "make_sampler", "sampler_of_environment"]

NAME = "otel_feedback"
"""What `OTEL_TRACES_SAMPLER` calls it; the entry point's name."""

_ARGUMENT = "OTEL_TRACES_SAMPLER_ARG"
_RATIO = "traceidratio"
_PARENTBASED_RATIO = "parentbased_traceidratio"

_FAMILIES = (*INFRASTRUCTURE_PREFIXES, "net.", "client.", "user_agent.")
"""Also what spans of HTTP and databases say of the two ends, by today's names and the former ones."""

_MOST_KNOWN = 1_000


class OutcomeSampler(Sampler):
    """Records spans that `root` does not sample, so that processors see them; exporters still do not.

    A span that starts with attributes of infrastructure only (HTTP, database, RPC, messaging) stays dropped.
    Like the SDK's `AlwaysRecordSampler`, with that exception, and a recorded span has the attributes it started with.
    """

    def __init__(self, root: Sampler) -> None:
        self.root = root
        # names of infrastructure that were met: whether a span has only such is then one comparison, in C
        self._known: set[str] = set()

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        result = self.root.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        if result.decision is Decision.DROP and not (
            attributes and (attributes.keys() <= self._known or self._is_infrastructure(attributes))
        ):
            # the SDK's samplers take a dropped span's attributes away; what kind of action it is stands in them
            return SamplingResult(Decision.RECORD_ONLY, result.attributes or attributes, result.trace_state)
        return result

    def _is_infrastructure(self, names: Iterable[str]) -> bool:
        """Tell whether all names are of infrastructure; remember those that are."""
        for name in names:
            if not name.startswith(_FAMILIES):
                return False
            if len(self._known) < _MOST_KNOWN:
                self._known.add(name)
        return True

    def get_description(self) -> str:
        return f"OutcomeSampler{{{self.root.get_description()}}}"


def make_sampler(argument: str | None) -> OutcomeSampler:
    """Make the sampler that `OTEL_TRACES_SAMPLER=otel_feedback` asks for.

    Args:
        argument: `OTEL_TRACES_SAMPLER_ARG`: the sampler that decides what is exported, `NAME` or `NAME/ARGUMENT`, for
            example `parentbased_traceidratio/0.1`; or a ratio alone, which is short for that. Nothing: all traces.

    Raises:
        ConfigError: There is no such sampler, or it cannot use its argument.
    """
    text = (argument or "").strip() or "parentbased_always_on"
    name, _, rest = text.partition("/")
    if _ratio(text) is not None:
        name, rest = _PARENTBASED_RATIO, text
    for entry in () if name == NAME else entry_points(group="opentelemetry_traces_sampler", name=name):
        given: float | str | None = rest or None
        if name in (_RATIO, _PARENTBASED_RATIO):
            given = _ratio(rest)
            if given is None:
                raise ConfigError(_ARGUMENT, text, f"{name}/ and a number from 0 to 1")
        root = entry.load()(given)
        if isinstance(root, Sampler):
            return OutcomeSampler(root)
    raise ConfigError(
        _ARGUMENT, text, "a ratio, or the name of a sampler, with / before its argument: parentbased_traceidratio/0.1"
    )


def sampler_of_environment() -> OutcomeSampler | None:
    """Return what `OTEL_TRACES_SAMPLER=otel_feedback` asks for; None where it says something else.

    For a TracerProvider that is made by hand: the SDK knows names of others only where it configures itself.

    Raises:
        ConfigError: as `make_sampler`.
    """
    if os.environ.get("OTEL_TRACES_SAMPLER", "").strip().lower() != NAME:
        return None
    return make_sampler(os.environ.get(_ARGUMENT))


def _ratio(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number <= 1 else None  # NaN is neither
