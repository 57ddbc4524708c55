"""How an action ended: from the exception in flight to status, severity and error type.

A pure function over a small table. It never raises and keeps no reference to the exception.
"""

from __future__ import annotations

import traceback
from typing import NamedTuple

from otel_feedback.events.limits import MAX_STACK, MAX_TEXT, Problems, clean_text, safe_str
from otel_feedback.events.model import SEVERITY_OF, OutcomeStatus, Severity

__all__ = ["Ending", "ErrorInfo", "describe", "ending_of"]

TIMEOUT_NAMES = frozenset(
    {
        "TimeoutError",  # builtin, asyncio, concurrent.futures, redis, playwright …
        "TimeoutException",  # httpx, selenium
        "Timeout",  # requests
        "ReadTimeout",
        "ConnectTimeout",
        "WriteTimeout",
        "PoolTimeout",
        "APITimeoutError",  # openai, anthropic
        "DeadlineExceeded",  # google.api_core
    }
)
"""Class names that mean a deadline passed, looked for in the whole class hierarchy."""

CANCELLED_NAMES = frozenset({"CancelledError", "Cancelled", "KeyboardInterrupt"})


class Ending(NamedTuple):
    """How an action ended."""

    status: OutcomeStatus
    severity: Severity


class ErrorInfo(NamedTuple):
    """What is told of an exception: its full class name, its message, its stack trace."""

    type: str
    message: str
    stack_trace: str | None


SUCCESS = Ending(OutcomeStatus.SUCCESS, Severity.INFO)
_PARTIAL = Ending(OutcomeStatus.PARTIAL, Severity.WARNING)


def ending_of(exc: BaseException | None) -> Ending:
    """Return the status and severity of an action that this exception (or none) left."""
    if exc is None or isinstance(exc, (StopIteration, StopAsyncIteration)):
        return SUCCESS
    if isinstance(exc, GeneratorExit):
        return _PARTIAL
    if isinstance(exc, SystemExit):
        if exc.code is None or exc.code == 0:
            return SUCCESS
        return Ending(OutcomeStatus.FAILURE, Severity.CRITICAL)
    if isinstance(exc, MemoryError):
        return Ending(OutcomeStatus.FAILURE, Severity.CRITICAL)
    names = {cls.__name__ for cls in type(exc).__mro__}
    if not CANCELLED_NAMES.isdisjoint(names):
        status = OutcomeStatus.CANCELLED
    elif not TIMEOUT_NAMES.isdisjoint(names):
        status = OutcomeStatus.TIMEOUT
    else:
        status = OutcomeStatus.FAILURE
    return Ending(status, SEVERITY_OF[status])


def describe(exc: BaseException, problems: Problems) -> ErrorInfo:
    """Return what is told of an exception, cut to its limits."""
    cls = type(exc)
    full_name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    message = clean_text(safe_str(exc), "error_message", problems, MAX_TEXT)
    try:
        stack = "".join(traceback.format_exception(exc))
    except Exception:  # formatting calls the user's __str__ and reads source files
        stack = None
    if stack is not None and len(stack) > MAX_STACK:
        problems.truncated.append("stack_trace")
        stack = stack[-MAX_STACK:]
    return ErrorInfo(full_name, message, stack)
