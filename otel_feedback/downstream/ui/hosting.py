"""The writer of the store that the page shows, where nobody else is: it follows the topic, or log files, on a thread.

topic, or log files ──► follow() ──► the store's folder ──► the mirror, as for any other reader
                          └ another process has the folder: then it writes, and here is only read
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from otel_feedback.downstream.store.folder import StoreBusyError, StoreFolder
from otel_feedback.downstream.store.keeping import Limits
from otel_feedback.downstream.store.source import Source, follow
from otel_feedback.downstream.store.topic import Say
from otel_feedback.downstream.store.writer import StoreWriter
from otel_feedback.errors import describe
from otel_feedback.logger import get_logger
from otel_feedback.throttle import ThrottledLog

__all__ = ["Host", "MakeSource"]

FLUSH_S = 0.5
"""How long a row waits: who looks at a page wants to see it."""
AGAIN_S = 5.0
RECENT_S = 15.0

MakeSource = Callable[[Mapping[str, Any], threading.Event, Say], Source]


class Host:
    """Writes the store while the page is there.

    Args:
        folder: Where.
        make: Makes the source, from the positions of the manifest.
        limits: What is kept.
        flush_rows: Rows that are written at once, at most.
    """

    def __init__(self, folder: StoreFolder, make: MakeSource, limits: Limits, flush_rows: int) -> None:
        self._folder = folder
        self._make = make
        self._limits = limits
        self._flush_rows = flush_rows
        self._log = ThrottledLog(get_logger(__name__))
        self._stop = threading.Event()
        self._source: Source | None = None
        self._writer: StoreWriter | None = None
        self._said: tuple[str, float] | None = None
        self._failure: str | None = None
        self._thread = threading.Thread(target=self._run, name="otel-feedback-host", daemon=True)
        self._has_ended = threading.Event()

    @property
    def problem(self) -> str | None:
        """What stands in its way just now."""
        writer, source, said = self._writer, self._source, self._said
        if self._failure is not None:
            return self._failure
        if writer is not None and writer.problem is not None:
            return writer.problem
        is_stuck = source is not None and source.behind is None and not source.is_at_end
        if said is not None and (is_stuck or time.monotonic() - said[1] < RECENT_S):
            return said[0]
        return None

    @property
    def behind(self) -> int | None:
        """How much there is still to read, in records; None: that is not known."""
        return None if self._source is None else self._source.behind

    @property
    def is_writing(self) -> bool:
        """Whether it is the store's writer."""
        return self._writer is not None

    def start(self) -> None:
        """Begin, on a thread."""
        self._thread.start()

    def close(self) -> None:
        """Write what was read, and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._has_ended.wait()
            self._thread.join()

    def _say(self, kind: str, text: str) -> None:
        if kind == "well":
            self._said = None
            return
        self._said = text, time.monotonic()
        self._log.warning(kind, "%s", text)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    with self._folder.writing():
                        self._follow()
                except StoreBusyError:  # it may end some day
                    self._failure = None
                except Exception as exc:  # of the source's or the disk's, each with a class of its own
                    self._failure = describe(exc)
                    self._log.warning("host", "the store is not written: %s", self._failure)
                self._writer = None
                self._stop.wait(AGAIN_S)
        finally:
            self._has_ended.set()

    def _follow(self) -> None:
        writer = StoreWriter(
            self._folder, self._limits, self._say,
            lambda _line, why: self._say("row", f"an event cannot be a row, and is left out: {why}"),
        )  # fmt: skip
        self._source = source = self._make(writer.manifest.positions, self._stop, self._say)
        self._writer = writer
        writer.start()
        try:
            follow(
                source, writer, self._stop, once=False, flush_rows=self._flush_rows, flush_interval_s=FLUSH_S,
                look=self._look,
            )  # fmt: skip
        finally:
            source.close(writer.manifest.positions)

    def _look(self) -> None:
        self._failure = None
