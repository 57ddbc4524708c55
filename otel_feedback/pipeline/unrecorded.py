"""What was not recorded, and what went wrong on the way: counted by reason, and said at most once a minute.

Safe from any thread; a forked child counts from nothing.
"""

from __future__ import annotations

import threading
import traceback

from otel_feedback.capture.runtime import unrecorded
from otel_feedback.logger import get_logger
from otel_feedback.throttle import ThrottledLog

__all__ = ["Unrecorded"]

logger = get_logger(__name__)


class Unrecorded:
    """The counts of one pipeline.

    Args:
        is_off: Everything is switched off: what comes then is nobody's loss, and nothing is said of it.
    """

    def __init__(self, *, is_off: bool = False) -> None:
        self._is_off = is_off
        self.renew_after_fork()

    def renew_after_fork(self) -> None:
        """In a forked child: locks that no thread of the parent's holds, and nothing counted yet."""
        self._log = ThrottledLog(logger)
        self._lock = threading.RLock()
        self._by_reason: dict[str, int] = {}  # guarded by self._lock
        self._hook_failures: dict[str, int] = {}  # guarded by self._lock
        self._sampled_out = 0  # guarded by self._lock

    def count(self, reason: str) -> None:
        """Count an outcome that is not recorded, as somebody wanted it."""
        with self._lock:
            self._by_reason[reason] = self._by_reason.get(reason, 0) + 1

    def reject(self, reason: str, message: str, *args: object) -> None:
        """Count an outcome that could not be recorded, and say so at most once a minute."""
        if not self._is_off:
            self.count(reason)
            self._log.warning(reason, message, *args)

    def warn(self, kind: str, message: str, *args: object) -> None:
        """Say, at most once a minute, that something was recorded, and not all of it."""
        self._log.warning(kind, message, *args)

    def note_hook_failure(self, hook: str, exc: Exception) -> None:
        """Count that a user's function failed, and say where."""
        with self._lock:
            self._hook_failures[hook] = self._hook_failures.get(hook, 0) + 1
        kept = "kept" if hook == "filter" else "recorded without its texts"
        # not what it says: that may be a text of the event
        frames = traceback.extract_tb(exc.__traceback__)
        where = f" in {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        self._log.warning(
            hook, "the function that was given as %s failed with %s%s: the event is %s",
            hook, type(exc).__name__, where, kept,
        )  # fmt: skip

    def note_sampled_out(self) -> None:
        """Count an action whose span the provider's sampler dropped; the action has its event all the same."""
        with self._lock:
            self._sampled_out += 1
            first = self._sampled_out == 1
        if first:
            logger.warning(
                "the TracerProvider's sampler drops spans: actions made by action() have their outcome events all "
                "the same, spans of other instrumentation that it drops have none"
            )

    def by_reason(self) -> dict[str, int]:
        """Return how many outcomes were not recorded, by reason; those that came before there was a pipeline among them."""
        with self._lock:
            counted = dict(self._by_reason)
        early = 0 if self._is_off else unrecorded()
        return {**counted, "before_configure": early} if early else counted

    def hook_failures(self) -> dict[str, int]:
        """Return how often a user's functions failed, by function."""
        with self._lock:
            return dict(self._hook_failures)

    @property
    def sampled_out(self) -> int:
        """Actions whose spans the provider's sampler dropped."""
        return self._sampled_out
