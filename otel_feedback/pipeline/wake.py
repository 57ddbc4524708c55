"""What wakes a thread that waits for work, from wherever there is some: also in the middle of being woken."""

from __future__ import annotations

import contextlib
import threading

__all__ = ["Wake"]


class Wake:
    """An event for one waiter, whose `set()` may interrupt another `set()` on the same thread.

    `threading.Event` may not: it holds a lock meanwhile, for which a signal handler or a finaliser that records an
    action there would wait for ever. This is a bare lock, held while there is nothing to do.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew, before the thread that waits is started: one of gevent's or eventlet's waits for their locks only."""
        self._nothing = threading.Lock()
        self._nothing.acquire()

    def is_set(self) -> bool:
        """Tell whether there is something to do."""
        return not self._nothing.locked()

    def set(self) -> None:
        """Say that there is something to do. Never waits; safe from any thread, handler or finaliser."""
        with contextlib.suppress(RuntimeError):  # it has been said
            self._nothing.release()

    def clear(self) -> None:
        """Forget what was said."""
        self._nothing.acquire(blocking=False)

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until it is said, or at most so many seconds, and forget it."""
        self._nothing.acquire(timeout=-1 if timeout_s is None else max(0.0, timeout_s))
