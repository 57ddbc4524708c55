"""A thread that burns Python bytecode: what an agent meets where its process computes beside it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator

__all__ = ["BusyThread"]


class BusyThread:
    """Wants the interpreter lock all the time while `working()`, and not at all otherwise."""

    def __init__(self) -> None:
        self._go = threading.Event()
        self._is_on = False
        self._turns = 0
        threading.Thread(target=self._run, name="busy", daemon=True).start()

    @contextlib.contextmanager
    def working(self) -> Generator[None, None, None]:
        """Let it work."""
        self._is_on = True
        self._go.set()
        try:
            yield
        finally:
            self._go.clear()
            self._is_on = False

    def _run(self) -> None:
        while True:
            self._go.wait()
            while self._is_on:
                self._turns += 1
