"""The attempts of one dispatched action: each within its time, with a growing pause before the next.

A plain agent that is late is not tried again: its thread goes on, and two of it at once would be worse than none.
"""

# pyright: reportPrivateUsage=false
# an action's handle belongs to its agent; what drives it stays out of the agent's sight

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import msgspec

from otel_feedback import semconv
from otel_feedback.capture.ending import ending_of
from otel_feedback.capture.handle import Action
from otel_feedback.dispatch.requests import Request
from otel_feedback.dispatch.running import Call, LateError
from otel_feedback.events.model import OutcomeStatus

__all__ = ["BACKOFF_S", "Came", "make_attempts"]

BACKOFF_S = 0.5
MOST_BACKOFF_S = 30.0


class Came(msgspec.Struct, eq=False):
    """What has come of a request so far."""

    output: Any = None
    error: BaseException | None = None
    attempts: int = 0
    duration_ms: float = 0.0  # of the last attempt


async def make_attempts(act: Action, call: Call, request: Request, came: Came, backoff_s: float) -> None:
    """Make the attempts, of which the first may have begun; what comes of them is in `came`, as far as they came.

    Raises:
        BaseException: What is not the agent's failure but the end of everything.
    """
    for number in range(1, request.attempts + 1):
        came.attempts = number
        started_s = time.monotonic() if call.begun is None else call.begun.started_s
        try:
            came.output, came.error = await call.outcome(request.timeout_s, at_once=not request.in_parallel)
        except LateError:
            came.output, came.error = None, TimeoutError(f"took longer than timeout_s={request.timeout_s:g}")
        finally:
            came.duration_ms = (time.monotonic() - started_s) * 1e3
            if request.attempts > 1:
                act.note({semconv.OUTCOME_ATTEMPT: number, semconv.OUTCOME_DURATION_MS: came.duration_ms})
            if not call.is_async:
                _note_thread(act, call)
        if came.error is None or number == request.attempts or call.in_thread or not _is_worth_another(came.error):
            return
        wait_s = min(MOST_BACKOFF_S, backoff_s * 2.0 ** (number - 1)) * random.uniform(0.5, 1.0)  # noqa: S311
        act._note_retry(number, came.error, wait_s)
        act._forced = None  # what was said by hand was of the attempt that failed
        await asyncio.sleep(wait_s)


def _is_worth_another(error: BaseException) -> bool:
    """Tell whether it is the agent's failure, and the result still wanted."""
    return isinstance(error, Exception) and ending_of(error).status is not OutcomeStatus.CANCELLED


def _note_thread(act: Action, call: Call) -> None:
    """Note what is known of a plain agent's thread: the event loop's would say nothing of it."""
    if not call.is_over:
        act.set_metadata(semconv.METADATA_THREAD_LEFT, True)
    act._thread = -1
    if call.cpu_ms is not None:
        act.note({semconv.OUTCOME_CPU_TIME_MS: call.cpu_ms})
