"""How a span of somebody else's ended: status, severity and error, from everything that it shows.

    waiting ► cancelled ► timed out ► failed ► partial ► success        the first for which there is evidence

Instrumentation says much less than it could: cancelled coroutines are recorded as fine, roots as fine whose run raised.
So the exception that passes through while the span ends counts, too. An exception event counts where the span says that
it failed, or where it is the last thing that happened; an earlier one was handled.
"""

from __future__ import annotations

import ast
import re
from typing import Final, NamedTuple, cast

from otel_feedback.convert.reading import Reading
from otel_feedback.convert.span import FinishedSpan, SpanError
from otel_feedback.events.error_names import (
    CANCELLED_NAMES,
    NO_ACCESS_CODES,
    NO_ACCESS_NAMES,
    PENDING_NAMES,
    TIMEOUT_NAMES,
    TIMEOUT_SUFFIXES,
)
from otel_feedback.events.model import SEVERITY_OF, OutcomeStatus, Severity

__all__ = ["ABANDONED", "NO_ANSWER", "OTHER", "Judgement", "judge", "tail"]

LAST_MOMENT_NS = 5_000_000
"""How long before the end of a span an exception may be recorded and still be what ended it."""

_S = OutcomeStatus
_REASONS: Final = {
    **dict.fromkeys(
        ("length", "max_tokens", "max_output_tokens", "model_length", "incomplete", "content_filter", "safety",
         "recitation", "refusal", "guardrail_intervened", "blocklist", "prohibited_content", "spii", "max_length",
         "content_filtered"),
        _S.PARTIAL,
    ),
    **dict.fromkeys(("error", "failed", "malformed_function_call"), _S.FAILURE),
    **dict.fromkeys(("cancelled", "canceled"), _S.CANCELLED),
    **dict.fromkeys(("pause_turn", "queued", "in_progress"), _S.PENDING),
}  # fmt: skip
"""Finish reasons that are no success, in lower case; of several the worst counts."""

_WORST_FIRST: Final = (_S.FAILURE, _S.CANCELLED, _S.PARTIAL, _S.PENDING)
_TIMEOUT_WORDS: Final = frozenset({"timeout", "408", "504", "deadline_exceeded", "DEADLINE_EXCEEDED"})
_TIMEOUT_TEXT: Final = re.compile(r"\btimed? ?out\b|deadline exceeded", re.IGNORECASE)
_NO_ACCESS: Final = frozenset(str(code) for code in NO_ACCESS_CODES) | NO_ACCESS_NAMES
_CLOSED_NAMES: Final = frozenset({"GeneratorExit"})
_CLASS: Final = re.compile(
    r"^(?:[a-z_]\w*\.)*([A-Z]\w*(?:Error|Exception|Exit|Interrupt|Timeout|Exceeded|Triggered|Cancelled|Required))\b(?=[:(]|$)"
)
_LATER_CLASS: Final = re.compile(r"\b([A-Z]\w*(?:Error|Exception|Exceeded|Triggered))\b(?=[:(])")
_NAME: Final = re.compile(r"[a-z]+(?:_[a-z]+)+|(?:[A-Z][a-z]+){2,}")
_TRACEBACK: Final = "Traceback (most recent call last)"
OTHER: Final = "_OTHER"  # what the conventions say of an error of a kind that is not known
_ABANDONED: Final = "abandoned stream"


ABANDONED: Final = "the stream was not read to its end"
NO_ANSWER: Final = "no answer is recorded"


class Judgement(NamedTuple):
    """How a span ended, and what is told of it."""

    status: OutcomeStatus
    severity: Severity
    error_type: str | None = None
    message: str | None = None
    stack_trace: str | None = None
    is_told: bool = True  # False: nothing says how it ended, which for a wrapper means that its parts say it
    note: str | None = None  # why it is not a success, where no error says so


SUCCESS: Final = Judgement(_S.SUCCESS, Severity.INFO, is_told=False)


def tail(name: str) -> str:
    """Return the class name without its module."""
    return name.rpartition(".")[2]


def judge(span: FinishedSpan, reading: Reading, *, is_root: bool) -> Judgement:
    """Return how the span ended.

    Args:
        is_root: No action is around it: nobody is left who might deal with a lack of access.
    """
    error, is_ended_by = _what_ended(span, reading)
    if error is not None and is_ended_by:
        return _judge_error(span, error, reading, is_root=is_root)
    status = _of_reasons(reading.finish_reasons)
    if reading.kind == "llm" and reading.is_stream and (
        (not reading.finish_reasons and (reading.usage is None or span.status != "ok"))
        or (reading.usage is None and status is _S.FAILURE)
    ):  # fmt: skip
        return Judgement(_S.PARTIAL, Severity.WARNING, note=ABANDONED)
    if status is not None and reading.kind in ("llm", "agent", "workflow", "chain"):
        severity = SEVERITY_OF[status]
        return Judgement(status, severity, note=f"finish reason {', '.join(reading.finish_reasons)[:200]}")
    if reading.kind == "llm" and not (
        reading.usage or reading.total_tokens or reading.finish_reasons or reading.has_output
    ):
        return Judgement(_S.PARTIAL, Severity.WARNING, note=NO_ANSWER)
    if reading.level == "warning":
        return Judgement(_S.SUCCESS, Severity.WARNING)
    return SUCCESS


def _what_ended(span: FinishedSpan, reading: Reading) -> tuple[SpanError | None, bool]:
    """Return what is known of the error, and whether the span ended by it."""
    in_flight, recorded = span.in_flight, span.error
    says_failed = (
        span.status == "error" or reading.is_failed or reading.level == "error"
        or (reading.error_type is not None and reading.error_type != OTHER and span.status != "ok")
    )  # fmt: skip
    if says_failed:
        return recorded or in_flight or SpanError(None, None, None), True
    if recorded is not None and span.end_ns - span.error_at_ns <= LAST_MOMENT_NS:
        return recorded, True
    if in_flight is not None:
        return in_flight, True
    return recorded, False


def _judge_error(span: FinishedSpan, error: SpanError, reading: Reading, *, is_root: bool) -> Judgement:
    description = span.description or ""
    text, stack = _split(description)
    told = _told(text)
    kind = _kind(reading.error_type, error.type, span.in_flight, told, text)
    message = error.message or text or (span.in_flight.message if span.in_flight is not None else None)
    stack = error.stack_trace or stack or (span.in_flight.stack_trace if span.in_flight is not None else None)
    names = {
        tail(name)
        for name in (
            reading.error_type, error.type, span.in_flight.type if span.in_flight is not None else None, kind, *told,
        )
        if name
    }  # fmt: skip
    if not PENDING_NAMES.isdisjoint(names):
        return Judgement(_S.PENDING, Severity.WARNING, kind, message, stack)
    if not CANCELLED_NAMES.isdisjoint(names):
        return Judgement(_S.CANCELLED, Severity.WARNING, kind, message, stack)
    if not _CLOSED_NAMES.isdisjoint(names) or _ABANDONED in text:
        return Judgement(_S.PARTIAL, Severity.WARNING, None if kind == OTHER else kind, message, note=ABANDONED)
    if (
        not names.isdisjoint(TIMEOUT_NAMES)
        or not names.isdisjoint(_TIMEOUT_WORDS)
        or any(name.endswith(TIMEOUT_SUFFIXES) for name in names)
        or _TIMEOUT_TEXT.search((message or "")[:500])
    ):
        return Judgement(_S.TIMEOUT, Severity.ERROR, kind, message, stack)
    is_critical = is_root and reading.kind in ("agent", "workflow", "chain") and not _NO_ACCESS.isdisjoint(names)
    return Judgement(_S.FAILURE, Severity.CRITICAL if is_critical else Severity.ERROR, kind, message, stack)


def _kind(given: str | None, recorded: str | None, in_flight: SpanError | None, told: list[str], text: str) -> str:
    if given is not None and given != OTHER:
        return tail(given)
    if recorded:
        return tail(recorded)
    if in_flight is not None and in_flight.type:
        return tail(in_flight.type)
    if told:
        return told[0]
    # a short description may be a name: `rate_limit_exceeded`, `RateLimited`
    return text if len(text) <= 64 and _NAME.fullmatch(text) else OTHER


def _split(description: str) -> tuple[str, str | None]:
    """Return the message and the stack trace that some instrumentation puts behind it."""
    at = description.find(_TRACEBACK)
    if at < 0:
        return description.strip(), None
    return description[:at].strip(), description[at:]


def _told(text: str) -> list[str]:
    """Return names of errors, and codes, that a description holds."""
    if not text:
        return []
    text = text[:4_096]
    told: list[str] = []
    match = _CLASS.match(text)
    if match is not None:
        told.append(match[1])
    at = text.find("{")
    if at >= 0:
        told += _of_literal(text[at:])
    if not told and (match := _LATER_CLASS.search(text)) is not None:
        told.append(match[1])
    return told


def _of_literal(text: str) -> list[str]:
    """Return what the repr of a dict says of an error: what APIs answer, as exceptions print it."""
    try:
        found: object = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return []
    told: list[str] = []
    for _ in range(4):
        if isinstance(found, str):
            match = _CLASS.match(found)
            return [*told, match[1]] if match is not None else told
        if not isinstance(found, dict):
            break
        fields = cast("dict[object, object]", found)
        told += [
            str(value)[:64] for key in ("type", "code", "status") if isinstance(value := fields.get(key), (str, int))
        ]
        found = next((fields[key] for key in ("error", "data", "errors") if key in fields), None)
    return told


def _of_reasons(reasons: tuple[str, ...]) -> OutcomeStatus | None:
    if len(reasons) < 2:
        return _REASONS.get(reasons[0].lower()) if reasons else None
    found = {status for reason in reasons if (status := _REASONS.get(reason.lower())) is not None}
    return next((status for status in _WORST_FIRST if status in found), None)
