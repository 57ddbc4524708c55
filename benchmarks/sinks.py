"""The backend that a run sends its traces to, and the proof that they came: see `subjects.sink`."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from benchmarks.children import BenchmarkError, Child

__all__ = ["Backend"]


class Backend:
    """A running sink. Made by `Backend.launch()`."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self.url: str = child.ask(duty="locate")["url"]

    @classmethod
    @contextlib.contextmanager
    def launch(cls) -> Generator[Backend, None, None]:
        """Start one in a process of its own."""
        with Child("benchmarks.subjects.sink", {"subject": "sink"}) as child:
            yield cls(child)

    def forget(self) -> None:
        """Count from now on."""
        self._count()

    def require_spans(self, who: str, count: int) -> None:
        """Check that exactly this many spans came since the last time.

        Raises:
            BenchmarkError: There were more or fewer.
        """
        found = self._count()
        if sum(found.values()) != count:
            raise BenchmarkError(f"{who}: {count} spans were to be sent, and these came: {found}")

    def _count(self) -> dict[str, int]:
        spans: dict[str, int] = self._child.ask(duty="count")["spans"]
        return spans
