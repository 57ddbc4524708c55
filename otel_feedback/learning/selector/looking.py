"""The thread that looks at what has come for a selector, as long as somebody has that, and what is left when a program ends."""

from __future__ import annotations

import atexit
import threading
import weakref
from typing import Protocol

__all__ = ["THREAD_NAME", "close_at_end", "look"]

THREAD_NAME = "otel-feedback-selector"


class Looks(Protocol):
    """A selector, as far as it is needed here."""

    def refresh_quietly(self) -> None: ...

    def close(self) -> None: ...


def look(whose: weakref.ref[Looks], wake: threading.Event, every_s: float) -> None:
    """Look at what has come, every so many seconds, until it is woken, or nobody has the selector any more."""
    while not wake.wait(every_s):
        selector = whose()
        if selector is None:
            return
        selector.refresh_quietly()
        del selector


_to_close: weakref.WeakSet[Looks] = weakref.WeakSet()


def close_at_end(selector: Looks) -> None:
    """Have what it has learned written when the program ends."""
    _to_close.add(selector)


def _close_all() -> None:
    for selector in list(_to_close):
        selector.close()


atexit.register(_close_all)
