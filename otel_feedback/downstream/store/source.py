"""What the store reads from: the topic or log files, by one interface; and the loop that goes between source and writer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, Protocol

from otel_feedback.downstream.store.batch import Batch
from otel_feedback.downstream.store.manifest import Reading
from otel_feedback.downstream.store.writer import StoreWriter

__all__ = ["Say", "Source", "follow"]

MOST_BYTES = 32 * 1024 * 1024
"""Of one batch; rows are counted besides."""
TURN_S = 0.2
TELL_S = 10.0
"""How often the manifest says how far the source is read, where there is nothing else to write."""


Say = Callable[[str, str], None]
"""Told what stands in the way: its kind, and a sentence."""


class Source(Protocol):
    """Where rows come from; used on one thread."""

    name: str
    """What people call it."""
    is_at_end: bool
    """Whether all was read that was there when it was last asked for more, or when reading began."""
    behind: int | None
    """How much there is still to read, in records; None where that is not known."""
    until: datetime | None
    """All that was there at this moment has been read; None where that is not known yet."""

    def read(self, batch: Batch, rows: int, timeout_s: float) -> None:
        """Add up to so many rows, or wait for the first one so long."""
        ...

    def position(self) -> Mapping[str, Any]:
        """Return how far it was read, to be kept with the rows, and handed in at the next start."""
        ...

    def committed(self, positions: Mapping[str, Any]) -> None:
        """Take note of what is in the store for good."""
        ...

    def close(self, positions: Mapping[str, Any]) -> None:
        """Give up connections and files; this is in the store for good."""
        ...


def follow(
    source: Source,
    writer: StoreWriter,
    stop: threading.Event,
    *,
    once: bool,
    flush_rows: int,
    flush_interval_s: float,
    look: Callable[[], None] = lambda: None,
) -> None:
    """Read, and hand over, until told to stop or, with `once`, until the end; then have the writer write what is left.

    Args:
        source: Where from.
        writer: A writer that was started.
        stop: Set to end it.
        once: End when all was read that was there.
        flush_rows: Rows of a batch, at most.
        flush_interval_s: How long a row waits.
        look: Called some times a second.

    Raises:
        Exception: What has ended writer or source.
    """
    try:
        batch = _read(source, writer, stop, once, flush_rows, flush_interval_s, look)
        _finish(source, writer, batch, stop)
    except BaseException:
        writer.abandon()
        raise


def _read(
    source: Source,
    writer: StoreWriter,
    stop: threading.Event,
    once: bool,
    flush_rows: int,
    flush_interval_s: float,
    look: Callable[[], None],
) -> Batch:
    """Read and hand over; return what was not handed over yet."""
    batch, began_s, tell_due_s = Batch(), time.monotonic(), 0.0
    told: Mapping[str, Any] = source.position()
    while not stop.is_set():
        source.read(batch, flush_rows - len(batch.lines), min(TURN_S, flush_interval_s))
        is_full = len(batch.lines) >= flush_rows or batch.bytes >= MOST_BYTES
        is_end = once and source.is_at_end
        if is_full or is_end or time.monotonic() - began_s >= flush_interval_s:
            position = source.position()
            if not batch.is_empty or position != told or is_end or time.monotonic() >= tell_due_s:
                batch.position = told = position
                batch.reading = Reading(source.name, datetime.now(timezone.utc), source.until, source.behind)
                tell_due_s = time.monotonic() + TELL_S
                while not writer.put(batch, TURN_S):
                    look()
                    if stop.is_set():
                        return batch
                batch = Batch()
            began_s = time.monotonic()
        source.committed(writer.manifest.positions)
        look()
        if is_end:
            break
    return batch


def _finish(source: Source, writer: StoreWriter, batch: Batch, stop: threading.Event) -> None:
    """Have everything written; where that cannot be, and it is to stop, leave it to the next start."""
    is_left = not batch.is_empty
    if is_left and batch.position is None:
        batch.position = source.position()
    while (is_left or not writer.is_idle) and not (stop.is_set() and writer.problem):
        if is_left:
            is_left = not writer.put(batch, TURN_S)
        else:
            time.sleep(0.02)
            if writer.failure is not None:
                break
    writer.is_left |= is_left
    if is_left or not writer.is_idle:
        writer.give_up()
    writer.close()
