"""What goes from a source to the writer at a time. Not thread-safe: whoever has it fills it, or writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_feedback.downstream.store.manifest import Reading

__all__ = ["Batch"]


class Batch:
    """Rows that are written together, and how far their source is read with them."""

    __slots__ = ("bytes", "counts", "lines", "notices", "position", "reading")

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.notices: dict[str, list[bytes]] = {}  # by table
        self.bytes = 0
        self.counts: dict[str, int] = {}
        self.position: Mapping[str, Any] | None = None
        self.reading: Reading | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it but how far the source is."""
        return not (self.lines or self.counts or self.notices)

    def add(self, line: bytes) -> None:
        """Add a line of `rows.py`."""
        self.lines.append(line)
        self.bytes += len(line)

    def add_notice(self, table: str, line: bytes) -> None:
        """Add a line of another table than that of events: of `notices.py`, or feedback."""
        self.notices.setdefault(table, []).append(line)
        self.bytes += len(line)

    def count(self, what: str, number: int = 1) -> None:
        """Count what is no row."""
        self.counts[what] = self.counts.get(what, 0) + number
