"""The pytest plugin for limits: a test has seconds of a free machine, and one that is over its limit fails alone."""

from __future__ import annotations

import signal
from types import FrameType

import pytest
import pytest_timeout

from tests.pace import Patience

_AGAIN_S = 60.0
"""For what is left to do after the first failure, which may wait for the very same thing: a `with`, a fixture."""


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: pytest_timeout.Settings) -> bool | None:
    """Set the timer of a test in place of pytest-timeout, which counts a busy machine's seconds like any other's."""
    if settings.method != "signal":
        return None
    patience = Patience(settings.timeout)

    def look(number: int, frame: FrameType | None) -> None:
        nonlocal patience
        __tracebackhide__ = True
        is_over = patience.is_over
        if is_over:
            patience = Patience(_AGAIN_S)
        signal.setitimer(signal.ITIMER_REAL, patience.left_s)
        if is_over:
            pytest_timeout.timeout_sigalrm(item, settings)

    def cancel() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    item.cancel_timeout = cancel  # type: ignore[attr-defined] # where pytest-timeout looks for it
    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, settings.timeout)
    return True
