"""kafka-python's log, of what it does for us: each kind of warning or error at most once a minute.

While a broker is away it says the same several times a second, at every try; what that comes to, our own line says. Its
loggers get a filter, since those who use kafka-python themselves share them: it looks at what is logged on our threads
only, and at nothing where somebody looks at DEBUG. `hearing()` has all of it, and `heard_since()` what its network thread
said: only there kafka-python says why it cannot connect.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import time
from collections import deque
from collections.abc import Generator

__all__ = ["heard_since", "hearing", "quieten"]

INTERVAL_S = 60.0

_NUMBERS = re.compile(r"\d+")
_OUR_THREADS = ("otel-feedback-kafka", "otel-feedback-notices", "otel-feedback-consumer")
_KIND_LENGTH = 80
_REMEMBERED = 20


class _OncePerMinute(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self.threads: set[str] = set(_OUR_THREADS)  # names
        self.ears: dict[int, list[str]] = {}  # by the thread that listens
        self.said: deque[tuple[float, str, str]] = deque(maxlen=_REMEMBERED)  # when, on which network thread, what
        self._due_s: dict[tuple[str, str], float] = {}
        self._held: dict[tuple[str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        thread = threading.current_thread()
        heard = self.ears.get(thread.ident or 0)
        if record.levelno >= logging.WARNING and (heard is not None or thread.name in self.threads):
            with contextlib.suppress(Exception):  # a message whose arguments do not fit
                text = " ".join(record.getMessage().split())
                if heard is not None:
                    heard.append(text)
                self.said.append((time.monotonic(), thread.name, text))
        is_told = record.levelno < logging.WARNING or logging.getLogger(record.name).isEnabledFor(logging.DEBUG)
        return is_told or thread.name not in self.threads or self._is_due(record)

    def _is_due(self, record: logging.LogRecord) -> bool:
        kind = (record.name, _NUMBERS.sub("", str(record.msg))[:_KIND_LENGTH])
        now_s = time.monotonic()
        if now_s < self._due_s.get(kind, 0.0):
            self._held[kind] = self._held.get(kind, 0) + 1
            return False
        self._due_s[kind] = now_s + INTERVAL_S
        held = self._held.pop(kind, 0)
        if held:
            with contextlib.suppress(Exception):
                record.msg, record.args = f"{record.getMessage()} (and {held} more like it)", ()
        return True


_filter = _OncePerMinute()


def quieten(client_id: str) -> None:
    """Let what kafka-python's loggers say on our threads, and on those of this client, be said once a minute."""
    _filter.threads.update(_network_threads(client_id))
    for name in list(logging.Logger.manager.loggerDict):
        if name.startswith("kafka."):
            logging.getLogger(name).addFilter(_filter)  # a second time changes nothing


def heard_since(client_id: str, since_s: float) -> list[str]:
    """Return the newest warnings and errors of this client's network thread since then, by the monotonic clock."""
    names = _network_threads(client_id)
    return [text for at_s, thread, text in list(_filter.said) if thread in names and at_s >= since_s]


def _network_threads(client_id: str) -> tuple[str, str]:
    """Return what kafka-python calls that of a producer, and that of a consumer."""
    return f"{client_id}-network-thread", f"kafka-io-{client_id}"


@contextlib.contextmanager
def hearing() -> Generator[list[str], None, None]:
    """Collect the warnings and errors that kafka-python logs on this thread."""
    here = threading.get_ident()
    _filter.ears[here] = heard = []
    try:
        yield heard
    finally:
        del _filter.ears[here]
