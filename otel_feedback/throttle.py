"""A log line that repeats at most once a minute, with the count of what it stands for, and without secrets."""

from __future__ import annotations

import threading
import time
import traceback

from otel_feedback.logger import SafeLogger
from otel_feedback.redaction.scrubbing import scrub

__all__ = ["ThrottledLog"]

INTERVAL_S = 60.0


class ThrottledLog:
    """Logs the first of a kind at once, the others together once a minute. Safe from any thread."""

    def __init__(self, logger: SafeLogger, interval_s: float = INTERVAL_S) -> None:
        self._logger = logger
        self._interval_s = interval_s
        self._lock = threading.RLock()
        self._due: dict[str, float] = {}  # guarded by self._lock
        self._held: dict[str, int] = {}  # guarded by self._lock

    def warning(self, kind: str, message: str, *args: object, exc_info: BaseException | None = None) -> None:
        """Log `message % args`, unless this kind was logged less than a minute ago."""
        with self._lock:
            now = time.monotonic()
            if now < self._due.get(kind, float("-inf")):
                self._held[kind] = self._held.get(kind, 0) + 1
                return
            self._due[kind] = now + self._interval_s
            held = self._held.pop(kind, 0)
        if held:
            message += " (and %d more like it)"
            args = (*args, held)
        try:
            text = message % args if args else message
        except Exception:  # how an exception of others is shown is up to its class
            text = message
        if exc_info is not None:
            text = "\n".join([text, *"".join(traceback.format_exception(exc_info)).splitlines()])
        self._logger.warning("%s", scrub(text))  # an exception of others may say anything
