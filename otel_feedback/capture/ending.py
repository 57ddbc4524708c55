"""How an action ended: from the exception in flight to status, severity and error type.

A pure function over a small table. It never raises, whatever the exception's class does, and keeps no reference to the
exception. `tests/conformance` is the table of what it must say.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import NamedTuple

from otel_feedback import semconv
from otel_feedback.events.error_names import (
    CANCELLED_NAMES,
    NO_ACCESS_CODES,
    NO_ACCESS_NAMES,
    TIMEOUT_NAMES,
    TIMEOUT_SUFFIXES,
)
from otel_feedback.events.model import SEVERITY_OF, MetadataValue, OutcomeStatus, Severity
from otel_feedback.redaction.limits import MAX_ITEMS, MAX_STACK, MAX_TEXT, Problems, clean_text, cut, safe_str

__all__ = ["SUCCESS", "Ending", "ErrorInfo", "describe", "ending_of", "judge"]


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


def ending_of(exc: BaseException | None, *, is_root: bool = False) -> Ending:
    """Return the status and severity of an action that this exception (or none, but no group) left.

    Args:
        is_root: No action is around it, so nobody is left who might deal with a lack of access.
    """
    if exc is None or isinstance(exc, (StopIteration, StopAsyncIteration)):
        return SUCCESS
    if isinstance(exc, GeneratorExit):
        return _PARTIAL
    if isinstance(exc, SystemExit):
        if exc.code is None or (isinstance(exc.code, int) and exc.code == 0):
            return SUCCESS
        return Ending(OutcomeStatus.FAILURE, Severity.CRITICAL)
    if isinstance(exc, MemoryError):
        return Ending(OutcomeStatus.FAILURE, Severity.CRITICAL)
    names = _names(exc)
    codes = _codes(exc)
    if not CANCELLED_NAMES.isdisjoint(names) or "CANCELLED" in codes:
        status = OutcomeStatus.CANCELLED
    elif (
        _is_timeout(names)
        or "DEADLINE_EXCEEDED" in codes
        or _is_timeout(_names(_get(exc, "reason")))  # urllib and urllib3 wrap it
    ):
        status = OutcomeStatus.TIMEOUT
    elif is_root and not (NO_ACCESS_NAMES.isdisjoint(names) and NO_ACCESS_CODES.isdisjoint(codes)):
        return Ending(OutcomeStatus.FAILURE, Severity.CRITICAL)
    else:
        status = OutcomeStatus.FAILURE
    return Ending(status, SEVERITY_OF[status])


def _names(exc: object) -> set[str]:
    return {cls.__name__ for cls in type(exc).__mro__}


def _is_timeout(names: set[str]) -> bool:
    return not TIMEOUT_NAMES.isdisjoint(names) or any(name.endswith(TIMEOUT_SUFFIXES) for name in names)


def _codes(exc: BaseException) -> set[object]:
    """Return what an error says of itself in codes: of HTTP, of an API, of gRPC (whose `code` is a method)."""
    codes: set[object] = set()
    for holder in (exc, _get(exc, "response")):
        for name in ("status_code", "code", "status"):
            code = _get(holder, name)
            if callable(code) and _is_a(exc, "RpcError"):
                code = _grpc_name(code)
            if isinstance(code, (int, str)):
                codes.add(code)
    return codes


def _grpc_name(code: Callable[[], object]) -> object:
    try:
        return _get(code(), "name")
    except Exception:  # a user's class may raise anything
        return None


def _get(holder: object, name: str) -> object:
    try:
        return getattr(holder, name, None)
    except Exception:  # an error's property may raise anything
        return None


def _is_a(exc: BaseException, class_name: str) -> bool:
    return any(cls.__name__ == class_name for cls in type(exc).__mro__)


def _members_of(exc: BaseException) -> list[BaseException]:
    """Return the exceptions in a group, however deep, or the exception itself."""
    members: list[BaseException] = []
    waiting = [exc]
    while waiting:
        one = waiting.pop()
        # ExceptionGroup came with Python 3.11; on 3.10 there is a package, which this reads, too
        inner = _get(one, "exceptions") if _is_a(one, "BaseExceptionGroup") else None
        if isinstance(inner, tuple) and inner:
            waiting.extend(member for member in reversed(inner) if isinstance(member, BaseException))
        else:
            members.append(one)
    return members


_RANK = (
    OutcomeStatus.SUCCESS,
    OutcomeStatus.PARTIAL,
    OutcomeStatus.CANCELLED,
    OutcomeStatus.TIMEOUT,
    OutcomeStatus.FAILURE,
)


def _worst_of(members: Sequence[BaseException], *, is_root: bool) -> BaseException:
    """Return the member of a group that decides: the most severe, of those the first."""

    if len(members) == 1:
        return members[0]

    def rank(exc: BaseException) -> tuple[bool, int]:
        ending = ending_of(exc, is_root=is_root)
        return ending.severity is Severity.CRITICAL, _RANK.index(ending.status)

    return max(members, key=rank)


def judge(
    exc: BaseException | None, problems: Problems, *, is_root: bool, elapsed_ns: int, deadline_ns: float | None
) -> tuple[Ending, ErrorInfo | None, dict[str, MetadataValue]]:
    """Return how an action ended, what is told of its error, and what else belongs into its metadata.

    A deadline that passed explains a success that came too late and a cancellation, unless a person pressed Ctrl-C.
    """
    ending, error, decisive = SUCCESS, None, exc
    told: dict[str, MetadataValue] = {}
    if exc is not None:
        members = _members_of(exc)
        decisive = _worst_of(members, is_root=is_root)
        ending = ending_of(decisive, is_root=is_root)
        if isinstance(decisive, GeneratorExit):  # closed before its end, which is no error
            told[semconv.METADATA_ABANDONED] = True
        elif ending.status is not OutcomeStatus.SUCCESS:
            error = describe(decisive, problems, whole=exc)
        if decisive is not exc:
            told[semconv.METADATA_EXCEPTION_GROUP] = [type(member).__name__ for member in members[:MAX_ITEMS]]
    if deadline_ns is not None and not isinstance(decisive, KeyboardInterrupt):
        # who enforces a deadline began to count before the action did, so a cancellation may come a little early
        early_ns = min(deadline_ns / 2, deadline_ns * _EARLY_SHARE + _EARLY_NS)
        is_late = elapsed_ns >= deadline_ns and ending.status is OutcomeStatus.SUCCESS
        is_cut = elapsed_ns >= deadline_ns - early_ns and ending.status is OutcomeStatus.CANCELLED
        if is_late or is_cut:
            ending = Ending(OutcomeStatus.TIMEOUT, SEVERITY_OF[OutcomeStatus.TIMEOUT])
            message = f"took longer than timeout_s={deadline_ns / 1e9:g}"
            error = ErrorInfo("TimeoutError", message, error.stack_trace if error else None)
    return ending, error, told


_EARLY_SHARE = 0.01
_EARLY_NS = 1e6


def describe(exc: BaseException, problems: Problems, whole: BaseException | None = None) -> ErrorInfo:
    """Return what is told of an exception, cut to its limits; its stack trace is that of `whole`, if it is a part."""
    cls = type(exc)
    full_name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    message = clean_text(safe_str(exc), "error_message", problems, MAX_TEXT)
    try:
        stack = "".join(traceback.format_exception(exc if whole is None else whole))
    except Exception:  # formatting asks the user's class, which may raise anything; its frames do not
        stack = "".join([*traceback.format_tb(exc.__traceback__), full_name])
    if len(stack) > MAX_STACK:
        problems.truncated.append("stack_trace")
        stack = cut(stack, MAX_STACK, keep_end=True)
    return ErrorInfo(full_name, message, stack)
