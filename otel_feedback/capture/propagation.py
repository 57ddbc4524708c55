"""The same run in another process: W3C trace context, and as Baggage what the settings name.

    one process:    headers = inject()                        HTTP headers, or inject_kafka() for a Kafka record
    another:        with extract(headers): action(…) …        the trace goes on, actions inherit the identity

Identifiers may be private, so none travels unless `baggage_fields` names it. Source of the formats: W3C Trace Context
and W3C Baggage, by the propagators that OpenTelemetry is configured with.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Mapping, MutableMapping
from typing import Any, Protocol, cast

from opentelemetry import baggage, propagate, trace
from opentelemetry import context as context_api

from otel_feedback import semconv
from otel_feedback.capture.handle import ACTION_KEY, IDENTITY_KEY, Action
from otel_feedback.capture.runtime import runtime
from otel_feedback.redaction.limits import MAX_NAME, cut
from otel_feedback.sdk.current_context import make_current

__all__ = ["IDENTITY_FIELDS", "extract", "inject", "inject_kafka"]

IDENTITY_FIELDS: Mapping[str, str] = {
    "workflow_id": semconv.OUTCOME_WORKFLOW_ID,
    "run_id": semconv.OUTCOME_RUN_ID,
    "correlation_id": semconv.OUTCOME_CORRELATION_ID,
    "session_id": semconv.GEN_AI_CONVERSATION_ID,
    "user_id": semconv.USER_ID,
    "tenant_id": semconv.OUTCOME_TENANT_ID,
}
"""Identifiers that may travel as Baggage, and the attribute that is also its key there."""

EXPERIMENT = (
    semconv.OUTCOME_EXPERIMENT_NAME, semconv.OUTCOME_EXPERIMENT_VARIANT, semconv.OUTCOME_EXPERIMENT_PROPENSITY,
)  # fmt: skip
"""What actions inherit of an experiment: its name, the variant, the variant's propensity."""

_ATTRIBUTES = {**{field: (attribute,) for field, attribute in IDENTITY_FIELDS.items()}, "experiment": EXPERIMENT}


class HttpHeaders(Protocol):
    """A mapping, or something with its `items()`, as the standard library has it."""

    def items(self) -> Iterable[tuple[str, str]]: ...


KafkaHeaders = Iterable[tuple[str, "bytes | None"]]
AsgiHeaders = Iterable[tuple[bytes, bytes]]

_MARK_KEY = context_api.create_key("otel_feedback.extracted")
_LISTS = frozenset({"baggage", "tracestate"})


def inject(headers: MutableMapping[str, str] | None = None) -> MutableMapping[str, str]:
    """Put the current trace, and the identity that may travel, into HTTP headers; return them.

    Args:
        headers: Is added to; a new dict when not given.
    """
    headers = {} if headers is None else headers
    context = context_api.get_current()
    act = cast("Action | None", context.get(ACTION_KEY))
    identity = cast("Mapping[str, Any]", context.get(IDENTITY_KEY) or {}) if act is None else act.identity
    for field in runtime().baggage_fields:
        for attribute in _ATTRIBUTES[field]:
            value = identity.get(attribute)
            if value is not None:
                context = baggage.set_baggage(attribute, str(value), context)
    propagate.inject(headers, context)
    return headers


def inject_kafka(headers: KafkaHeaders | None = None) -> list[tuple[str, bytes | None]]:
    """Put the same into the headers of a Kafka record; return them as kafka-python takes them.

    Args:
        headers: Others of the record; those of an earlier `inject_kafka()` among them are replaced.
    """
    ours = inject()
    others = [(name, value) for name, value in headers or () if name not in ours]
    return [*others, *((name, value.encode()) for name, value in ours.items())]


@contextlib.contextmanager
def extract(headers: HttpHeaders | KafkaHeaders | AsgiHeaders) -> Generator[None, None, None]:
    """Go on, inside the `with` block, with the trace and the identity that came in HTTP or Kafka headers.

    Args:
        headers: A mapping, or pairs of name and value, each text or bytes, as HTTP frameworks, ASGI and Kafka clients
            give them.

    What cannot be read is left out; identifiers that `baggage_fields` does not name are not taken over. Headers that
    say nothing change nothing. They are believed: take them from callers that you trust.
    """
    before = context_api.get_current()
    context = propagate.extract(_as_text(headers), before)
    identity: dict[str, Any] = {}
    for field in runtime().baggage_fields:
        for attribute in _ATTRIBUTES[field]:
            value = baggage.get_baggage(attribute, context)
            if isinstance(value, str) and value:
                identity[attribute] = cut(value, MAX_NAME)
    _take_experiment(identity)
    if identity or trace.get_current_span(context) is not trace.get_current_span(before):
        # an action around this, in another trace, is no parent of what comes now
        context = context_api.set_value(IDENTITY_KEY, identity, context_api.set_value(ACTION_KEY, None, context))
    mark = object()
    make_current(context_api.set_value(_MARK_KEY, mark, context))
    try:
        yield
    finally:
        if context_api.get_value(_MARK_KEY) is mark:
            make_current(before)


def _take_experiment(identity: dict[str, Any]) -> None:
    """Make what came of an experiment, as texts, what an action has of it; what is not whole is left out."""
    name, variant, propensity = (identity.pop(attribute, None) for attribute in EXPERIMENT)
    if name and variant:
        identity |= zip(EXPERIMENT[:2], (name, variant), strict=True)
        with contextlib.suppress(TypeError, ValueError):
            if 0 < (share := float(propensity)) <= 1:
                identity[EXPERIMENT[2]] = share


def _as_text(headers: HttpHeaders | KafkaHeaders | AsgiHeaders) -> dict[str, str]:
    """Return the headers as the propagators read them: HTTP's names mean the same in any case."""
    # not every mapping is a Mapping: the standard library's HTTP headers are a Message
    items = cast("Callable[[], Iterable[tuple[object, object]]] | None", getattr(headers, "items", None))
    pairs = cast("Iterable[tuple[object, object]]", headers) if items is None else items()
    found: dict[str, str] = {}
    for name, value in pairs:
        key, text = _text(name), _text(value)
        if key is not None and text is not None:
            key = key.lower()
            # a list may come in several headers
            found[key] = f"{found[key]},{text}" if key in found and key in _LISTS else text
    return found


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None
