"""What librdkafka says while it works: its log, and errors that are about no record.

It says so only when it is asked, on the worker's thread; why it cannot connect stands nowhere else. What it repeats is logged
at most once a minute.
"""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from typing import Any

from otel_feedback.logger import get_logger
from otel_feedback.throttle import ThrottledLog

__all__ = ["Heard"]

logger = get_logger(__name__)

_REMEMBERED = 20
_IS_MEANT = "enable.gapless.guarantee"
"""It warns that this is experimental, as it has been since 2019; see `producer.py`."""

_END = "FATAL"
"""It has come to an end, as it is to after a refusal; what became of the records says more."""

_ELSEWHERE = "CLUSTERID"
"""It has got to another cluster than before, to which it goes on sending."""

_ADDED = "PARTCNT"
_TOPIC_AND_COUNT = re.compile(r"Topic (\S+) .*partition count changed from \d+ to (\d+)")
"""It has noticed that a topic has more partitions, before it sends into them. Nothing else tells, but asking a broker."""

_TELLING = ("AUTH", "SASL", "SSL", "certificate", "resolve")
_SAYS_LITTLE = "ALL_BROKERS_DOWN"


class Heard:
    """Remembers the newest errors. Written by the worker's thread, read from any."""

    def __init__(self) -> None:
        self._said: deque[tuple[float, str]] = deque(maxlen=_REMEMBERED)  # when, by the monotonic clock
        self._log = ThrottledLog(logger)
        self.is_elsewhere = False
        """Whether the present producer has got to another cluster than it had got to first."""
        self.counts: dict[str, int] = {}
        """How many partitions a topic has, by its name, where the present producer has noticed that the number has changed."""

    def begin(self) -> None:
        """Forget what was said by a producer that is gone, but for why."""
        self.is_elsewhere = False
        self.counts.clear()

    def error(self, error: Any) -> None:
        """Take an error that is about no record: librdkafka's `error_cb`."""
        self._say(f"{error.name().removeprefix('_')}: {error.str()}")

    def log(self, level: int, message: str, *args: Any) -> None:
        """Take a line of the log, as `logging.Logger` would: what kind it is, by whom, and the line."""
        kind, text = str(args[0]), str(args[-1])
        if kind == _ELSEWHERE:
            self.is_elsewhere = True
        if kind == _ADDED and (found := _TOPIC_AND_COUNT.search(text)):
            self.counts[found[1]] = int(found[2])
        if level < logging.WARNING or kind == _END or _IS_MEANT in text:
            return
        if level >= logging.ERROR:
            self._say(f"{kind}: {text}")
        self._log.warning(kind, "librdkafka: %s: %s", kind, text)

    def since(self, since_s: float) -> str | None:
        """Return what tells most of what was said since then, by the monotonic clock."""
        said = [text for at_s, text in list(self._said) if at_s >= since_s]
        said.sort(key=lambda text: (not any(sign in text for sign in _TELLING), text.startswith(_SAYS_LITTLE)))
        return said[0] if said else None

    def _say(self, text: str) -> None:
        self._said.append((time.monotonic(), " ".join(text.split())[:200]))
