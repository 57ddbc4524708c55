"""The same run in another process: W3C trace context, and as Baggage what the settings name.

    one process:    headers = inject()                        HTTP headers, or inject_kafka() for a Kafka record
    another:        with extract(headers): action(…) …        the trace goes on, actions inherit the identity

Identifiers may be private, so none travels unless `baggage_fields` names it. Source of the formats: W3C Trace Context
and W3C Baggage, by the propagators that OpenTelemetry is configured with.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Mapping, MutableMapping
from typing import cast

from opentelemetry import baggage, propagate
from opentelemetry import context as context_api

from otel_feedback import semconv
from otel_feedback.capture.handle import ACTION_KEY, IDENTITY_KEY, Action
from otel_feedback.capture.runtime import runtime
from otel_feedback.events.limits import MAX_NAME

__all__ = ["IDENTITY_FIELDS", "extract", "inject", "inject_kafka"]

IDENTITY_FIELDS: Mapping[str, str] = {
    "workflow_id": semconv.OUTCOME_WORKFLOW_ID,
    "run_id": semconv.OUTCOME_RUN_ID,
    "correlation_id": semconv.OUTCOME_CORRELATION_ID,
    "session_id": semconv.GEN_AI_CONVERSATION_ID,
    "user_id": semconv.USER_ID,
    "tenant_id": semconv.OUTCOME_TENANT_ID,
}
"""What may travel as Baggage, and the attribute that is also its key there."""

KafkaHeaders = Iterable[tuple[str, "bytes | None"]]


def inject(headers: MutableMapping[str, str] | None = None) -> MutableMapping[str, str]:
    """Put the current trace, and the identity that may travel, into HTTP headers; return them.

    Args:
        headers: Is added to; a new dict when not given.
    """
    headers = {} if headers is None else headers
    context = context_api.get_current()
    act = cast("Action | None", context.get(ACTION_KEY))
    identity = cast("Mapping[str, str]", context.get(IDENTITY_KEY) or {}) if act is None else act.identity
    for field in runtime().baggage_fields:
        attribute = IDENTITY_FIELDS[field]
        value = identity.get(attribute)
        if value is not None:
            context = baggage.set_baggage(attribute, value, context)
    propagate.inject(headers, context)
    return headers


def inject_kafka(headers: KafkaHeaders | None = None) -> list[tuple[str, bytes | None]]:
    """Put the same into the headers of a Kafka record; return them as kafka-python takes them."""
    return [*(headers or ()), *((name, value.encode()) for name, value in inject().items())]


@contextlib.contextmanager
def extract(headers: Mapping[str, str] | KafkaHeaders) -> Generator[None, None, None]:
    """Go on, inside the `with` block, with the trace and the identity that came in HTTP or Kafka headers.

    What cannot be read is left out; identifiers that `baggage_fields` does not name are not taken over.
    """
    carrier = _as_text(headers)
    context = propagate.extract(carrier, context_api.get_current())
    identity: dict[str, str] = {}
    for field in runtime().baggage_fields:
        value = baggage.get_baggage(IDENTITY_FIELDS[field], context)
        if isinstance(value, str) and value:
            identity[IDENTITY_FIELDS[field]] = value[:MAX_NAME]
    # an action around this, in another trace, is no parent of what comes now
    context = context_api.set_value(ACTION_KEY, None, context)
    token = context_api.attach(context_api.set_value(IDENTITY_KEY, identity, context))
    try:
        yield
    finally:
        context_api.detach(token)


def _as_text(headers: Mapping[str, str] | KafkaHeaders) -> dict[str, str]:
    pairs: Iterable[tuple[str, str | bytes | None]] = (
        cast("Mapping[str, str]", headers).items() if isinstance(headers, Mapping) else headers
    )
    # HTTP's names mean the same in any case
    return {
        name.lower(): value if isinstance(value, str) else value.decode("utf-8", "replace")
        for name, value in pairs
        if value is not None
    }
