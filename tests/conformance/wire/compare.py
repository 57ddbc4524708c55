"""What is compared: the decoded OTLP payload, and all that a span tells those who ask it.

Only what cannot be the same twice is replaced: ids that are random (by the order in which they turn up), moments within
the run, and what was measured. Ids that a case has chosen are small numbers, and stay.
"""

from __future__ import annotations

import base64
import json
import math
import re
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from google.protobuf.json_format import MessageToDict
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["SMALL", "Normal", "attributes_of", "context_of", "decode", "encode", "look", "look_at_context", "spans_of"]

SMALL = 2**32
"""Ids below it were chosen, all others are random."""

MEASURED = frozenset({
    "outcome.cpu_time_ms", "outcome.memory_used_mb", "outcome.latency_ms", "outcome.duration_ms",
    "cpu_time_ms", "memory_used_mb", "latency_ms", "duration_ms",
})  # fmt: skip
SUMMED = frozenset({"outcome.llm_latency_ms", "llm_latency_ms"})
"""Measured where it is not a multiple of a half, as those are that a case has chosen."""
DURING = "during"

_ID = re.compile(r"\b(?:0x)?(?:[0-9a-f]{32}|[0-9a-f]{16})\b")
_ADDRESS = re.compile(r"\bat 0x[0-9a-f]+\b")
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_NUMBER = re.compile(r"[0-9]{17,20}")


def encode(spans: Sequence[ReadableSpan]) -> bytes:
    """Return what an OTLP exporter sends for these spans."""
    return encode_spans(spans).SerializeToString()


def decode(payload: bytes) -> list[dict[str, Any]]:
    """Return all that stands in an OTLP request: every field of every message, also those that are not set."""
    request = ExportTraceServiceRequest.FromString(payload)
    tree = MessageToDict(request, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    return cast("list[dict[str, Any]]", _readable(tree["resource_spans"]))


def _readable(value: Any) -> Any:
    """Return it with ids in hex digits; JSON has bytes in base64."""
    if isinstance(value, dict):
        return {
            key: base64.b64decode(one).hex() if key.endswith(("trace_id", "span_id")) else _readable(one)
            for key, one in cast("dict[str, Any]", value).items()
        }
    return [_readable(one) for one in cast("list[Any]", value)] if isinstance(value, list) else value


def spans_of(payload: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the spans of a decoded request, whatever scope they are of."""
    return [span for resource in payload for scope in resource["scope_spans"] for span in scope["spans"]]


class Normal:
    """Replaces what cannot be the same in two runs; one for each run, which began when it is made.

    Ids get their names in the order in which they are met, so everything of a run has to go through it in the same order.
    """

    def __init__(self) -> None:
        self.began_ns = time.time_ns()
        self._names: dict[str, str] = {}

    def __call__(self, value: Any) -> Any:
        """Return a copy of anything made of dicts, sequences, texts, numbers and times."""
        now_ns = time.time_ns()
        return self._of(value, now_ns)

    def _of(self, value: Any, now_ns: int) -> Any:
        if isinstance(value, str):
            return self._text(value, now_ns)
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, int):
            return DURING if self.began_ns <= value <= now_ns else value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)  # one that is no number equals nothing
        if isinstance(value, datetime):
            return self._moment(value, value, now_ns)
        if isinstance(value, Mapping):
            return self._mapping(cast("Mapping[str, Any]", value), now_ns)
        if isinstance(value, (list, tuple)):
            return [self._of(one, now_ns) for one in cast("Sequence[Any]", value)]
        return value

    def _mapping(self, value: Mapping[str, Any], now_ns: int) -> dict[str, Any]:
        if "value" in value and _is_measured(value.get("key"), value["value"]):
            return {**value, "value": _kind(value["value"])}
        return {key: _kind(one) if _is_measured(key, one) else self._of(one, now_ns) for key, one in value.items()}

    def _text(self, text: str, now_ns: int) -> str:
        if _NUMBER.fullmatch(text):
            return DURING if self.began_ns <= int(text) <= now_ns else text
        text = _ISO.sub(lambda found: self._moment(_moment_of(found[0]), found[0], now_ns), text)
        return _ID.sub(self._name, _UUID.sub("<a uuid>", _ADDRESS.sub("at ...", text)))

    def _moment(self, moment: datetime, otherwise: Any, now_ns: int) -> Any:
        # texts have no more than microseconds
        return DURING if self.began_ns // 1_000 <= moment.timestamp() * 1e6 + 1 <= now_ns // 1_000 + 2 else otherwise

    def _name(self, found: re.Match[str]) -> str:
        text = found[0]
        digits = text.removeprefix("0x")
        if int(digits, 16) < SMALL:
            return text
        name = self._names.setdefault(digits, f"<{len(digits)} digits, number {len(self._names) + 1}>")
        return text.replace(digits, name)


def _moment_of(text: str) -> datetime:
    head, _, fraction = text[:-1].partition(".")
    return datetime.fromisoformat(f"{head}.{fraction:0<6.6}+00:00")  # Python 3.10 reads no other fractions


def _is_measured(key: Any, value: Any) -> bool:
    if key in SUMMED:
        number = value.get("double_value", 0) if isinstance(value, dict) else value
        return isinstance(number, float) and not (2 * number).is_integer()
    return key in MEASURED


def _kind(value: Any) -> Any:
    """Return what kind of thing was measured."""
    if isinstance(value, dict):
        return dict.fromkeys(cast("dict[str, Any]", value), "measured")
    return f"measured {type(value).__name__}"


def context_of(span: ReadableSpan) -> trace.SpanContext:
    """Return a span's context, which every span has that somebody started."""
    context = span.get_span_context()
    assert context is not None
    return context


def look_at_context(context: trace.SpanContext | None) -> dict[str, Any] | None:
    """Return all that a span's context says, trace flags and trace state too."""
    if context is None:
        return None
    return {
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
        "is_remote": context.is_remote,
        "is_valid": context.is_valid,
        "trace_flags": f"{int(context.trace_flags):02x} {type(context.trace_flags).__name__}",
        "trace_state": None if context.trace_state is None else list(context.trace_state.items()),  # pyright: ignore[reportUnnecessaryComparison]
        "repr": repr(context),
    }


def attributes_of(attributes: Mapping[str, Any] | None) -> list[dict[str, Any]] | None:
    """Return attributes in their order, with the types that they are kept in."""
    if attributes is None:
        return None
    return [{"key": key, "value": value, "type": type(value).__name__} for key, value in attributes.items()]


def look(span: ReadableSpan) -> dict[str, Any]:
    """Return everything that can be asked of a span, be it live or ended, by its public names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an old name is asked for, too
        old_scope: Any = getattr(span, "instrumentation_info")  # noqa: B009 - deprecated, which the type checker knows
    scope = span.instrumentation_scope
    shape = re.sub(r"^[\w.<>]+", "", repr(span))
    return {
        "name": span.name,
        "kind": str(span.kind),
        "context": look_at_context(span.context),
        "same context": span.get_span_context() is span.context,
        "parent": look_at_context(span.parent),
        "start_time": span.start_time,
        "end_time": span.end_time,
        "status": [str(span.status.status_code), span.status.description, span.status.is_ok],
        "attributes": attributes_of(span.attributes),
        "attributes as": _mapping_manners(span.attributes),
        "events": [
            [event.name, event.timestamp, attributes_of(event.attributes), event.dropped_attributes]
            for event in span.events
        ],
        "links": [
            [look_at_context(link.context), attributes_of(link.attributes), link.dropped_attributes]
            for link in span.links
        ],
        "sequences": [type(span.events).__name__, type(span.links).__name__],
        "dropped": [span.dropped_attributes, span.dropped_events, span.dropped_links],
        "resource": [attributes_of(span.resource.attributes), span.resource.schema_url],
        "scope": None
        if scope is None
        else [scope.name, scope.version, scope.schema_url, attributes_of(scope.attributes)],
        "old scope": None if old_scope is None else [old_scope.name, old_scope.version, old_scope.schema_url],
        "json": _tried(lambda one: json.loads(one.to_json()), span),
        "json in one line": _tried(lambda one: one.to_json(indent=None).count("\n"), span),
        "repr": shape if isinstance(span, trace.Span) else None,  # of a ReadableSpan it is an address
        "is_recording": span.is_recording() if isinstance(span, trace.Span) else None,
        "is a span": isinstance(span, trace.Span),
        "can be told": [hasattr(span, name) for name in ("set_attribute", "add_event", "end", "is_recording")],
    }


def _mapping_manners(attributes: Any) -> list[Any] | None:
    """Return how the attributes behave where somebody treats them as a mapping."""
    if attributes is None:
        return None
    return [_tried(how, attributes) for how in _MANNERS]


def _put(attributes: Any) -> None:
    attributes["new"] = 1


_MANNERS: tuple[Callable[[Any], Any], ...] = (
    _put,
    len,
    lambda attributes: isinstance(attributes, Mapping),
    lambda attributes: "no such key" in attributes,
    lambda attributes: attributes["no such key"],
    lambda attributes: attributes.get("no such key", "nothing"),
    lambda attributes: attributes.copy() == dict(attributes),
    lambda attributes: attributes == dict(attributes),
    lambda attributes: {**attributes} == dict(attributes.items()),
    lambda attributes: list(attributes) == list(attributes.keys()),
    lambda attributes: list(reversed(attributes)),
    lambda attributes: attributes | {"more": 1},
    lambda attributes: repr(attributes) == repr(dict(attributes)),
    lambda attributes: str(attributes) == str(dict(attributes)),
    hash,
    json.dumps,
)


def _tried(how: Callable[[Any], Any], what: Any) -> Any:
    try:
        return how(what)
    except Exception as exc:
        return type(exc).__name__
