"""How a span of somebody else's is judged to have ended, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from otel_feedback.convert.reading import Reading
from otel_feedback.convert.span import FinishedSpan, SpanError
from otel_feedback.convert.status import judge
from otel_feedback.convert.usage import TokenUsage

END_NS = 1_000_000_000
CALL = {"kind": "llm", "usage": TokenUsage(1, 1)}


def judged(span: dict[str, Any], reading: dict[str, Any], *, is_root: bool = True) -> tuple[str, str, str | None]:
    finished = FinishedSpan("e", None, None, 0, END_NS, {}, None, None)
    for name, value in span.items():
        setattr(finished, name, value)
    given: dict[str, Any] = {"kind": "agent", **reading}
    found = judge(finished, Reading(**given), is_root=is_root)
    return found.status.value, found.severity.value, found.error_type


def error(kind: str | None = None, message: str | None = None, *, before_end_ms: float = 0.0) -> dict[str, Any]:
    return {"error": SpanError(kind, message, None), "error_at_ns": END_NS - int(before_end_ms * 1e6)}


def in_flight(kind: str) -> dict[str, Any]:
    return {"in_flight": SpanError(kind, None, None)}


def failed(description: str = "") -> dict[str, Any]:
    return {"status": "error", "description": description}


API_ERROR = "Error code: 429 - {'error': {'message': 'm', 'type': 'requests', 'code': 'insufficient_quota'}}"

ERRORS: list[tuple[str, dict[str, Any], dict[str, Any], tuple[str, str, str | None]]] = [
    ("nothing is said", {}, {}, ("success", "info", None)),
    ("the span says ok", {"status": "ok"}, {}, ("success", "info", None)),
    ("an interrupt waits", {**failed(), **error("langgraph.errors.GraphInterrupt")}, {}, ("pending", "warning", "GraphInterrupt")),
    ("an interrupt, marked ok", {"status": "ok", **error("GraphInterrupt")}, {}, ("pending", "warning", "GraphInterrupt")),
    ("an approval is awaited", in_flight("ApprovalRequired"), {}, ("pending", "warning", "ApprovalRequired")),
    ("waiting is before being cancelled", {**error("GraphInterrupt"), **in_flight("CancelledError")}, {}, ("pending", "warning", "GraphInterrupt")),
    ("cancelled, by the event", error("asyncio.exceptions.CancelledError"), {}, ("cancelled", "warning", "CancelledError")),
    ("cancelled, by what passes through", in_flight("CancelledError"), {}, ("cancelled", "warning", "CancelledError")),
    ("cancelled, by the description", failed("CancelledError: "), {}, ("cancelled", "warning", "CancelledError")),
    ("cancelled, by its attribute", failed(), {"error_type": "KeyboardInterrupt"}, ("cancelled", "warning", "KeyboardInterrupt")),
    ("timed out, by name", {**failed(), **error("openai.APITimeoutError", "m")}, {}, ("timeout", "error", "APITimeoutError")),
    ("timed out, by what it says", {**failed(), **error("ModelAPIError", "Request timed out.")}, {}, ("timeout", "error", "ModelAPIError")),
    ("timed out, by its code", failed(), {"error_type": "504"}, ("timeout", "error", "504")),
    ("timed out, by the convention's word", failed(), {"error_type": "timeout"}, ("timeout", "error", "timeout")),
    ("failed", failed(), {}, ("failure", "error", "_OTHER")),
    ("failed, with an exception", {**failed("m"), **error("builtins.ValueError", "m")}, {}, ("failure", "error", "ValueError")),
    ("failed, by the description", failed("ValueError: broken"), {}, ("failure", "error", "ValueError")),
    ("failed, by a description without a blank", failed("rate_limit_exceeded"), {}, ("failure", "error", "rate_limit_exceeded")),
    ("failed, by what passes through", in_flight("ValueError"), {}, ("failure", "error", "ValueError")),
    ("failed, by the convention's word", {}, {"is_failed": True}, ("failure", "error", "_OTHER")),
    ("failed, by its level", {}, {"level": "error"}, ("failure", "error", "_OTHER")),
    ("an exception at the end", error("ValueError", before_end_ms=4), {}, ("failure", "error", "ValueError")),
    ("an exception that was handled", error("ValueError", before_end_ms=6), {}, ("success", "info", None)),
    ("a warning by its level", {}, {"level": "warning"}, ("success", "warning", None)),
    ("the reader closed the stream", in_flight("GeneratorExit"), CALL, ("partial", "warning", "GeneratorExit")),
    ("the reader left the stream", failed("abandoned stream"), {"error_type": "_OTHER"}, ("partial", "warning", None)),
    ("a root without access", {**failed(API_ERROR), **error("RateLimitError", API_ERROR)}, {}, ("failure", "critical", "RateLimitError")),
    ("a tool without access", {**failed(API_ERROR), **error("RateLimitError", API_ERROR)}, {"kind": "tool"}, ("failure", "error", "RateLimitError")),
]  # fmt: skip


@pytest.mark.parametrize(("span", "reading", "want"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS])
def test_the_first_evidence_decides(span: dict[str, Any], reading: dict[str, Any], want: tuple[str, str, str | None]):
    assert judged(span, reading) == want


def test_only_at_a_root_a_lack_of_access_is_critical():
    assert judged(failed("m"), {"error_type": "401"}, is_root=True)[1] == "critical"
    assert judged(failed("m"), {"error_type": "401"}, is_root=False)[1] == "error"


REASONS = {
    "success": ("stop", "end_turn", "stop_sequence", "STOP", "eos", "completed", "tool_calls", "tool_call", "tool_use", "function_call", "new"),
    "partial": ("length", "max_tokens", "MAX_TOKENS", "max_output_tokens", "model_length", "incomplete", "content_filter", "SAFETY", "RECITATION", "refusal", "guardrail_intervened", "BLOCKLIST", "PROHIBITED_CONTENT"),
    "failure": ("error", "failed", "MALFORMED_FUNCTION_CALL"),
    "cancelled": ("cancelled",),
    "pending": ("pause_turn", "queued", "in_progress"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "want"), [(reason, status) for status, group in REASONS.items() for reason in group]
)
def test_a_finish_reason_decides_where_nothing_failed(reason: str, want: str):
    assert judged({}, {**CALL, "finish_reasons": (reason,)})[0] == want


def test_of_several_finish_reasons_the_worst_counts():
    assert judged({}, {**CALL, "finish_reasons": ("stop", "length", "error")})[0] == "failure"
    assert judged({}, {**CALL, "finish_reasons": ("stop", "in_progress", "length")})[0] == "partial"


def test_a_finish_reason_does_not_excuse_an_error():
    assert judged(failed(), {**CALL, "finish_reasons": ("length",)})[0] == "failure"


@pytest.mark.parametrize(
    ("said", "want"),
    [
        ({}, "partial"),
        ({"usage": TokenUsage(1, 1)}, "success"),
        ({"total_tokens": 3}, "success"),
        ({"finish_reasons": ("stop",)}, "success"),
        ({"has_output": True}, "success"),
        ({"has_output": True, "is_stream": True}, "partial"),
        ({"is_stream": True, "finish_reasons": ("stop",)}, "success"),
    ],
)
def test_a_model_call_that_says_nothing_got_no_answer(said: dict[str, Any], want: str):
    assert judged({}, {"kind": "llm", **said})[0] == want
    assert judged({}, {"kind": "embedding", **said})[0] == "success"


def test_the_trace_in_a_description_is_the_stack_and_not_the_message():
    span = FinishedSpan("e", None, None, 0, END_NS, {}, None, None, status="error")
    span.description = "ValueError: no\n\nTraceback (most recent call last):\n  File x"
    found = judge(span, Reading(kind="tool"), is_root=False)
    assert (found.error_type, found.message) == ("ValueError", "ValueError: no")
    assert found.stack_trace is not None
    assert found.stack_trace.startswith("Traceback")
