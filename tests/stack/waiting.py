"""Wait for something by asking for it, as long as patience lasts; nothing here guesses how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tests.pace import Patience
from tests.stack.errors import NotReadyError

T = TypeVar("T")

DEFAULT_POLL_S = 0.05


def wait_for(get: Callable[[], T | None], *, timeout_s: float, what: str, poll_s: float = DEFAULT_POLL_S) -> T:
    """Return the first value of `get()` that is not None.

    Args:
        get: asked at once and then every `poll_s` seconds.
        timeout_s: how long to go on asking, in seconds of a free machine.
        what: named in the exception.
        poll_s: pause between two questions, in seconds.

    Raises:
        NotReadyError: when that time has passed.
    """
    patience = Patience(timeout_s)
    while True:
        value = get()
        if value is not None:
            return value
        if patience.is_over:
            raise NotReadyError(f"waited {timeout_s:g} s for {what}")
        time.sleep(poll_s)


def wait_until(
    predicate: Callable[[], bool],
    *,
    timeout_s: float,
    what: str,
    poll_s: float = DEFAULT_POLL_S,
) -> None:
    """Return once `predicate()` is true; see `wait_for`."""
    wait_for(lambda: predicate() or None, timeout_s=timeout_s, what=what, poll_s=poll_s)
