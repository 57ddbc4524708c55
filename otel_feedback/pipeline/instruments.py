"""The OpenTelemetry instruments of outcomes: which of them an event moves, by how much, under which labels.

Names, units and buckets of `gen_ai.*`: OpenTelemetry semantic conventions, GenAI metrics. They say nothing of cost, of quality
and of how an action ended other than by an error: that is `agent.*`, ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

from opentelemetry.context import Context
from opentelemetry.metrics import Counter, Histogram, Meter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from otel_feedback import semconv
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus

__all__ = ["DEFAULT_LABEL_SETS", "OTHER", "Instruments", "LabelSets"]

DEFAULT_LABEL_SETS = 500
"""With these, what is folded, and two types of tokens no metric has more than the 2,000 sets that the SDK keeps."""
OTHER = "other"
LABELS = ("agent", "action", "status", "tenant", "model")

DURATION_BUCKETS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
OUTCOME_BUCKETS = [*DURATION_BUCKETS, 163.84, 327.68, 655.36]
AGENT_BUCKETS = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6]
WORKFLOW_BUCKETS = [1, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200]
TOKEN_BUCKETS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864]
QUALITY_BUCKETS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]

_FAILED = frozenset({OutcomeStatus.FAILURE, OutcomeStatus.TIMEOUT, OutcomeStatus.CANCELLED})

AValue = TypeVar("AValue", bound="tuple[str | None, ...]")


class LabelSets:
    """Bounded sets of label values. Not thread-safe.

    Args:
        most: Sets that are kept as they are, and as many again of those that are folded once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: tuple[set[tuple[str | None, ...]], ...] = (set(), set())

    def bound(self, *forms: AValue) -> AValue:
        """Return the first of these forms that has room, each of which folds more than the one before; else the last."""
        for known, form in zip(self._known, forms, strict=False):
            if form in known:
                return form
            if len(known) < self._most:
                known.add(form)
                return form
        return forms[-1]


class Instruments:
    """The instruments, of one meter. Not thread-safe; raises what the meter raises."""

    def __init__(self, meter: Meter, label_sets: int = DEFAULT_LABEL_SETS) -> None:
        def histogram(name: str, unit: str, description: str, buckets: list[Any]) -> Histogram:
            return meter.create_histogram(name, unit, description, explicit_bucket_boundaries_advisory=buckets)

        self._outcomes = meter.create_counter("agent.outcomes", "{action}", "Actions that ended.")
        self._duration = histogram("agent.outcome.duration", "s", "How long actions took.", OUTCOME_BUCKETS)
        self._cost = meter.create_counter("agent.outcome.cost", "{USD}", "What actions cost themselves, in US dollars.")
        self._tokens = meter.create_counter("agent.outcome.tokens", "{token}", "Tokens that actions used themselves.")
        self._quality = histogram("agent.outcome.quality", "1", "How good the results were, 0 to 1.", QUALITY_BUCKETS)
        self._operation = histogram(
            "gen_ai.client.operation.duration", "s", "How long an operation took.", DURATION_BUCKETS
        )
        self._usage = histogram("gen_ai.client.token.usage", "{token}", "Tokens that an operation used.", TOKEN_BUCKETS)
        self._agent = histogram("gen_ai.invoke_agent.duration", "s", "How long an agent's run took.", AGENT_BUCKETS)
        self._tool = histogram("gen_ai.execute_tool.duration", "s", "How long a tool took.", DURATION_BUCKETS)
        self._workflow = histogram("gen_ai.workflow.duration", "s", "How long a workflow took.", WORKFLOW_BUCKETS)
        self._sets, self._genai_sets = LabelSets(label_sets), LabelSets(label_sets)
        # an instrument's call takes the most time: sums are made here, and labels once for each set of values
        self._sums: dict[tuple[Counter, tuple[str | None, ...], str | None], tuple[float, Context]] = {}
        self._labels: dict[tuple[str | None, ...], dict[str, str]] = {}
        self._genai: dict[tuple[str | None, ...], _GenAi] = {}

    def record(self, event: OutcomeEvent, *, sampled: bool, is_told: bool) -> None:
        """Record an outcome. What it adds to counters is added by `flush()`.

        Args:
            sampled: Whether its trace is, so that an exemplar leads somewhere.
            is_told: `action()`, `add_usage()` or a dispatcher told it; else an instrumentor did, which has GenAI metrics of
                its own.
        """
        context = _context(event, sampled)
        agent, action, status = event.agent_name or "", event.action_type, event.status.value
        values = self._sets.bound(
            (agent, action, status, event.tenant_id, event.model),
            (agent, action, status, _fold(event.tenant_id), _fold(event.model)),
            (OTHER, OTHER, status, _fold(event.tenant_id), _fold(event.model)),
        )
        labels = self._labels.get(values)
        if labels is None:
            labels = self._labels[values] = _known(zip(LABELS, values, strict=True))
        self._add(self._outcomes, 1, values, context)
        if event.own_cost:
            self._add(self._cost, event.own_cost, values, context)
        for kind, count in _tokens(event):
            self._add(self._tokens, count, values, context, kind)
        if event.duration_ms is not None:
            self._duration.record(event.duration_ms / 1e3, labels, context)
        if event.quality_score is not None:
            self._quality.record(event.quality_score, labels, context)
        if is_told:
            self._record_genai(event, context)

    def _add(
        self, counter: Counter, amount: float, values: tuple[str | None, ...], context: Context, kind: str | None = None
    ) -> None:
        key = counter, values, kind
        known, before = self._sums.get(key, (0, context))
        self._sums[key] = known + amount, before if context is NOWHERE else context

    def flush(self) -> None:
        """Add to the counters what was recorded since the last time."""
        sums, self._sums = self._sums, {}
        for (counter, values, kind), (amount, context) in sums.items():
            labels = self._labels[values]
            counter.add(amount, labels if kind is None else {**labels, "type": kind}, context)

    def _record_genai(self, event: OutcomeEvent, context: Context) -> None:
        operation = _operation(event)
        if operation is None:
            return
        error = event.error_type or (event.status.value if event.status in _FAILED else None)
        unknown_error = None if error is None else semconv.ERROR_TYPE_OTHER
        model, provider, tool = _fold(event.model), _fold(event.provider), _fold(event.tool_name)
        values = self._genai_sets.bound(
            (operation, event.agent_name, event.model, event.provider, event.tool_name, error),
            (operation, event.agent_name, model, provider, tool, unknown_error),
            (operation, _fold(event.agent_name), model, provider, tool, unknown_error),
        )
        genai = self._genai.get(values)
        if genai is None:
            genai = self._genai[values] = self._label_genai(*values)
        if event.duration_ms is not None:
            for histogram, labels in genai.durations:
                histogram.record(event.duration_ms / 1e3, labels, context)
        if event.input_tokens is not None:
            self._usage.record(event.input_tokens, genai.of_input, context)
        if event.output_tokens is not None:
            self._usage.record(event.output_tokens, genai.of_output, context)

    def _label_genai(
        self,
        operation: str,
        name: str | None,
        model: str | None,
        provider: str | None,
        tool: str | None,
        error: str | None,
    ) -> _GenAi:
        by_agent = {semconv.GEN_AI_AGENT_NAME: name}
        failed = {semconv.ERROR_TYPE: error}
        common = {
            semconv.GEN_AI_OPERATION_NAME: operation, **by_agent,
            semconv.GEN_AI_REQUEST_MODEL: model, semconv.GEN_AI_PROVIDER_NAME: provider,
        }  # fmt: skip
        if operation == "execute_tool":
            durations = [(self._tool, {semconv.GEN_AI_TOOL_NAME: tool, **by_agent, **failed})]
        elif operation == "invoke_workflow":
            durations = [(self._workflow, {semconv.GEN_AI_WORKFLOW_NAME: name, **failed})]
        else:
            durations = [(self._operation, {**common, **failed})]
            if operation == "invoke_agent":
                durations.append((self._agent, {**by_agent, **failed}))
        return _GenAi(
            [(histogram, _known(labels.items())) for histogram, labels in durations],
            _known({**common, semconv.GEN_AI_TOKEN_TYPE: "input"}.items()),
            _known({**common, semconv.GEN_AI_TOKEN_TYPE: "output"}.items()),
        )


class _GenAi(NamedTuple):
    """Where the figures of an operation go, and under which labels."""

    durations: list[tuple[Histogram, dict[str, str]]]
    of_input: dict[str, str]
    of_output: dict[str, str]


def _operation(event: OutcomeEvent) -> str | None:
    """Return what the conventions call an action; None where it is nothing that they know."""
    if event.tool_name is not None:
        return "execute_tool"
    if event.agent_type == "workflow":
        return "invoke_workflow"
    if event.agent_name is not None:
        return "invoke_agent"
    return None if event.model is None else "chat"


def _tokens(event: OutcomeEvent) -> list[tuple[str, int]]:
    """Return the action's own tokens by type, which is `unknown` where only their sum was said.

    What it said of input and output may have those of calls below in it, which count there.
    """
    own = event.own_tokens or 0
    given = min(own, event.input_tokens or 0)
    gotten = min(own - given, event.output_tokens or 0)
    by_type = {"input": given, "output": gotten, "unknown": own - given - gotten}
    return [(kind, count) for kind, count in by_type.items() if count > 0]


def _fold(value: str | None) -> str | None:
    return None if value is None else OTHER


def _known(labels: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    return {name: value for name, value in labels if value is not None}


NOWHERE = Context()  # given, or whoever happens to collect would be the exemplar


def _context(event: OutcomeEvent, sampled: bool) -> Context:
    """Return a context whose span is that of the event, as exemplars look for it."""
    if not sampled or event.trace_id is None or event.span_id is None:
        return NOWHERE
    place = SpanContext(int(event.trace_id, 16), int(event.span_id, 16), False, TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(place), NOWHERE)
