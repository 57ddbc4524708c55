"""Hooks around a dispatched action: called in order, never trusted.

A hook that raises, or takes longer than its time, is logged and counted, and changes nothing else. Plain hooks run in
a thread, so that one which blocks does not block the event loop.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

from otel_feedback.capture.names import text_of
from otel_feedback.dispatch.calling import is_async_callable
from otel_feedback.dispatch.running import Call, LateError
from otel_feedback.errors import FeedbackError
from otel_feedback.logger import get_logger
from otel_feedback.throttle import ThrottledLog

__all__ = ["Hook", "Hooks", "check_hook"]

logger = get_logger(__name__)

Hook = Callable[..., Any]
"""`pre(agent, input_data, context)` or `post(agent, result, event)`, plain or async."""


def check_hook(hook: object) -> None:
    """Check that it can be called.

    Raises:
        FeedbackError: It cannot.
    """
    if not callable(hook):
        raise FeedbackError(f"{hook!r} is no hook: expected something that can be called")


class Hooks:
    """Hooks of one kind. Safe from any thread, and from several event loops.

    Args:
        kind: "pre" or "post", for log lines and counts.
        limit_s: How long one hook may take, in seconds.
    """

    def __init__(self, kind: str, limit_s: float) -> None:
        self._kind = kind
        self._limit_s = limit_s
        self._lock = threading.RLock()
        self.added: tuple[tuple[object, Hook], ...] = ()  # guarded by self._lock for writing; each with a mark
        self._log = ThrottledLog(logger)
        self.failures = 0  # guarded by self._lock for writing

    def add(self, hook: Hook) -> Callable[[], None]:
        """Add a hook after those that are there; return what removes it, once.

        Raises:
            FeedbackError: It cannot be called.
        """
        check_hook(hook)
        mark = object()
        with self._lock:
            self.added = (*self.added, (mark, hook))

        def remove() -> None:
            with self._lock:
                self.added = tuple(one for one in self.added if one[0] is not mark)

        return remove

    def remove(self, hook: Hook) -> None:
        """Remove a hook, once if it was added several times; nothing happens when it is not there."""
        with self._lock:
            place = next((place for place, (_, known) in enumerate(self.added) if known == hook), None)
            if place is not None:
                self.added = self.added[:place] + self.added[place + 1 :]

    async def run(self, more: Sequence[Hook], *arguments: Any) -> None:
        """Call all hooks, then those of this call, each within its time.

        Raises:
            asyncio.CancelledError: We were cancelled. A hook's own cancellation is a failure like others.
            BaseException: KeyboardInterrupt or SystemExit of a hook.
        """
        for hook in (*(hook for _, hook in self.added), *more):
            call = Call(functools.partial(hook, *arguments), is_async=is_async_callable(hook))
            try:
                _, error = await call.outcome(self._limit_s)
            except LateError:
                self._note(hook, f"took longer than {self._limit_s:g} s")
                continue
            try:
                if isinstance(error, (Exception, asyncio.CancelledError)):
                    self._note(hook, _told(error))
                elif error is not None:
                    raise error
            finally:
                del error  # its traceback has this frame

    def _note(self, hook: Hook, problem: str) -> None:
        with self._lock:
            self.failures += 1
        name = text_of(hook, "__qualname__") or type(hook).__name__
        self._log.warning(name, "the %s hook %s failed, which changes nothing else: %s", self._kind, name, problem)


def _told(error: BaseException) -> str:
    try:
        return repr(error)
    except Exception:  # a user's class may raise anything
        return type(error).__name__
