"""OpenTelemetry metrics of dispatched actions: how many ended how, how long, and with how many tokens.

Names and units of `gen_ai.*`: OpenTelemetry semantic conventions, GenAI metrics. Instruments of the API: while the
program has no MeterProvider nothing is asked of them.
"""

from __future__ import annotations

from functools import lru_cache

from opentelemetry import metrics
from opentelemetry.metrics import Counter, Histogram

from otel_feedback import semconv
from otel_feedback.events.ended import EndedAction
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.logger import get_logger
from otel_feedback.sdk.compat import leads_nowhere
from otel_feedback.throttle import ThrottledLog
from otel_feedback.version import VERSION

__all__ = ["record"]

_log = ThrottledLog(get_logger(__name__))

DURATION_BUCKETS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
TOKEN_BUCKETS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864]


@lru_cache(maxsize=1)
def _instruments() -> tuple[Counter, Histogram, Histogram]:
    meter = metrics.get_meter("otel_feedback", VERSION)
    return (
        meter.create_counter("agent.outcomes", "{action}", "Actions that ended, by agent, action and status."),
        meter.create_histogram(
            "gen_ai.client.operation.duration", "s", "How long an action took.",
            explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
        ),
        meter.create_histogram(
            "gen_ai.client.token.usage", "{token}", "Tokens that an action used itself.",
            explicit_bucket_boundaries_advisory=TOKEN_BUCKETS,
        ),
    )  # fmt: skip


def record(outcome: EndedAction | OutcomeEvent) -> None:
    """Record one finished action. Never raises: a meter is somebody else's code."""
    try:
        outcomes, duration, tokens = _instruments()
        if leads_nowhere(outcomes):
            return
        agent, error_type, duration_ms = outcome.agent_name, outcome.error_type, outcome.duration_ms
        outcomes.add(1, {"agent": agent or "", "action": outcome.action_type, "status": outcome.status.value})
        said = {
            "gen_ai.operation.name": "invoke_agent",
            semconv.GEN_AI_AGENT_NAME: agent,
            semconv.GEN_AI_REQUEST_MODEL: outcome.model,
            semconv.GEN_AI_PROVIDER_NAME: outcome.provider,
        }
        common = {name: value for name, value in said.items() if value is not None}
        if duration_ms is not None:
            failed = {} if error_type is None else {semconv.ERROR_TYPE: error_type}
            duration.record(duration_ms / 1e3, {**common, **failed})
        for kind, count in (("input", outcome.input_tokens), ("output", outcome.output_tokens)):
            if count is not None:
                tokens.record(count, {**common, "gen_ai.token.type": kind})
    except Exception as exc:
        _log.warning("record", "the metrics of an action could not be recorded: %r", exc)
