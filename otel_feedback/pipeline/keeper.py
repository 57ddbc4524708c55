"""The journal's thread: looks after the disk while there is something to do, and for dead processes' journals now and then.

One daemon thread, started by the first event, or at once where dead processes may have left something.
"""

from __future__ import annotations

import _thread
import contextlib
import random
import threading
import time
from collections.abc import Callable

from otel_feedback.logger import get_logger
from otel_feedback.pipeline.wake import Wake
from otel_feedback.sdk.compat.suppressing import suppress_instrumentation
from otel_feedback.sdk.forks import will_fork
from otel_feedback.throttle import ThrottledLog

__all__ = ["Keeper"]

logger = get_logger(__name__)

TICK_S = 0.1


class Keeper:
    """Calls `tend` when it wants to be called again, every 100 ms at most, and `rescan` every `rescan_s` seconds.

    Args:
        tend: Returns after how many seconds it wants to be called again, should nothing be appended meanwhile.
        first_s: When to call `rescan` first, in seconds after the start.
        is_alone: Tells whether no other thread of the pipeline was started before gevent or eventlet patched the process.
    """

    def __init__(
        self,
        tend: Callable[[], float],
        rescan: Callable[[], None],
        rescan_s: float,
        *,
        first_s: float = 0.0,
        is_alone: Callable[[], bool] = lambda: False,
    ) -> None:
        self._tend = tend
        self._rescan = rescan
        self._rescan_s = rescan_s
        self._first_s = first_s
        self._is_alone = is_alone
        self._log = ThrottledLog(logger)
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wake = Wake()
        self.is_idle = True
        """Whether it is to be notified of what is appended; at first, to start it."""
        self.is_rescanning = False
        """Whether it looks for journals of dead processes now: one that it has taken may not be seen yet."""
        self._rescan_now = threading.Event()
        self._rescanned = threading.Event()
        self._stop = threading.Event()

    @property
    def is_running(self) -> bool:
        """Whether the thread is there."""
        return self._thread is not None

    def notify(self) -> None:
        """Say that something was appended. On the agent's thread: cheap, and never waits."""
        if self._thread is None:
            self.start()
        elif not self._wake.is_set():
            self._wake.set()

    def start(self) -> None:
        """Start the thread, unless it runs."""
        # not waited for: who holds it is starting the thread, and may be what this very call has interrupted
        if not self._start_lock.acquire(blocking=False):
            return
        try:
            if self._thread is None and not will_fork() and not self._stop.is_set():
                thread = threading.Thread(target=self._run, name="otel-feedback-journal", daemon=True)
                # the interpreter that is going down starts no more threads
                with contextlib.suppress(RuntimeError):
                    self._wake.renew()
                    self.is_idle = False
                    thread.start()
                    self._thread = thread
                if self._thread is None:
                    self.is_idle = True
        finally:
            self._start_lock.release()

    def rescan(self, timeout_s: float) -> None:
        """Look for journals of dead processes now; wait for it at most so many seconds."""
        until = time.monotonic() + timeout_s
        is_over = False
        while not is_over:
            self.start()
            thread = self._thread
            if thread is None:  # and there will be none: nothing is to be waited for
                return
            self._rescanned.clear()
            self._rescan_now.set()
            self._wake.set()
            while self._thread is thread and not self._rescanned.is_set() and (left := until - time.monotonic()) > 0:
                self._rescanned.wait(min(left, TICK_S))
            is_over = self._thread is thread  # else it made way for one of gevent's or eventlet's

    def look_again(self) -> None:
        """Look for journals of dead processes soon, without waiting for it."""
        self._rescan_now.set()
        self._wake.set()

    def stop(self, timeout_s: float) -> None:
        """End the thread, waiting at most so many seconds."""
        self._stop.set()
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    def _run(self) -> None:
        locks = _thread.allocate_lock
        due = time.monotonic() + self._first_s
        with suppress_instrumentation():
            while not self._stop.is_set():
                if locks is not _thread.allocate_lock:
                    if self._is_alone():
                        # what is recorded next starts it anew, as a thread of gevent's or eventlet's
                        self.is_idle, self._thread = True, None
                        return
                    locks = _thread.allocate_lock
                    logger.error(
                        "gevent or eventlet patched this process when otel_feedback had started its threads already: events "
                        "may be late, and the end may hang. Patch first: monkey.patch_all() or eventlet.monkey_patch() "
                        "belong before the first action, best into the first lines of the program"
                    )
                if time.monotonic() >= due or self._rescan_now.is_set():
                    self._rescan_now.clear()
                    # not all processes of a service at the same moment
                    due = time.monotonic() + self._rescan_s * random.uniform(0.8, 1.2)  # noqa: S311
                    self.is_rescanning = True
                    self._look_after(self._rescan)
                    self.is_rescanning = False
                    self._rescanned.set()
                if self._look_after(self._tend) > TICK_S:
                    self._wake.clear()
                    self.is_idle = True
                    wanted_s = self._look_after(self._tend)  # again: an append may have come between
                    if not self._rescan_now.is_set() and not self._stop.is_set():
                        self._wake.wait(min(wanted_s, due - time.monotonic()))
                    self.is_idle = False
                    if locks is not _thread.allocate_lock:
                        continue
                self._stop.wait(0.0 if self._rescan_now.is_set() else TICK_S)

    def _look_after(self, duty: Callable[[], float | None]) -> float:
        try:
            return duty() or 0.0
        except Exception as exc:  # a defect of ours: the thread must survive it
            self._log.warning("defect", "the journal could not be looked after: %r", exc, exc_info=exc)
            return self._rescan_s
