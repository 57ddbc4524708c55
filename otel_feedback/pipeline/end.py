"""How a pipeline ends: once, whoever asks and however often, with what goes on beside the delivery of events.

Safe from any thread, and from a signal handler in the middle of an end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["PipelineEnd"]


class PipelineEnd:
    """The end of one pipeline.

    Args:
        beside: Called when the end begins, on a thread of its own and with the seconds that there are; None: nothing is.
    """

    def __init__(self, beside: Callable[[float], None] | None) -> None:
        self._beside = beside
        self._is_begun = False  # guarded by self._lock
        self._finished: bool | None = None  # guarded by self._lock: what the end returned
        self.renew_after_fork()

    def renew_after_fork(self) -> None:
        """In a forked child: a lock that no thread of the parent's holds."""
        self._lock = threading.RLock()

    def run(self, limit_s: float, close: Callable[[], None], finish: Callable[[float], bool]) -> bool:
        """End, unless that was done; return what `finish` returned.

        Args:
            limit_s: What there is for all of it, in seconds.
            close: Called first: from then on nothing is recorded.
            finish: Called with the monotonic deadline.
        """
        deadline = time.monotonic() + limit_s
        with self._lock:
            if self._finished is not None:
                return self._finished
            if self._is_begun:  # by a signal handler, in the middle of this very call
                return False
            self._is_begun = True
            close()
            beside = self._begin_beside(limit_s)
            self._finished = finish(deadline)
            if beside is not None:
                beside.join(max(0.0, deadline - time.monotonic()))
            return self._finished

    def _begin_beside(self, limit_s: float) -> threading.Thread | None:
        """Start what goes on beside the delivery of events; a hanging collector must not take their time."""
        if self._beside is None or limit_s <= 0:
            return None
        thread = threading.Thread(target=self._beside, args=(limit_s,), name="otel-feedback-shutdown", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is going down and starts no more threads
            return None
        return thread
