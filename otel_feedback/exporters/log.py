"""The log tier: one JSON object a line, to stderr or to a rotating file. It works with nothing installed.

Also the last resort of the other exporters: a record that a destination refuses for good is kept here, on a line
that says who refused it and why. Threads: `LogWriter` serialises its writers; the exporter is its worker's own.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from otel_feedback.errors import ExportError
from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import LEASE_BYTES, Receipt, Refusal, Settled
from otel_feedback.exporters.log_file import LogFile
from otel_feedback.sdk.forks import renew_in_child

__all__ = ["LogExporter", "LogWriter"]


class LogWriter:
    """Writes whole lines to stderr, or to a file that is rotated by size.

    Args:
        path: The file; None for stderr.
        max_bytes: Size at which the file is moved to `path.1`, and so on.
        backups: How many moved files are kept.
    """

    def __init__(self, path: str | None, max_bytes: int, backups: int) -> None:
        place = None if path is None else Path(path).absolute()  # the program may go to another folder
        self.destination = "stderr" if place is None else str(place)
        self.is_file = place is not None
        self._lock = threading.Lock()
        renew_in_child(self)
        self._file = None if place is None else LogFile(place, max_bytes, backups)  # guarded by self._lock

    def write(self, lines: Sequence[bytes]) -> None:
        """Write the lines, each ended by a line feed: all of them or, to a file, none.

        Raises:
            OSError: The stream or file does not take them.
        """
        block = b"\n".join(lines) + b"\n"
        with self._lock:
            if self._file is None:
                _write_to_stderr(block.decode())
            else:
                self._file.write(block)

    def write_refused(self, record: Record, exporter: str, refusal: Refusal) -> None:
        """Keep the payload of a record that `exporter` refused for good."""
        head = json.dumps({"refused_by": exporter, "reason": refusal.reason, "detail": refusal.detail})
        what = b', "feedback": ' if record.is_feedback else b', "event": '
        self.write([head[:-1].encode() + what + record.payload + b"}"])

    def close(self) -> None:
        """Close the file; a later write opens it again."""
        with self._lock:
            if self._file is not None:
                self._file.close()

    def renew_after_fork(self) -> None:
        """In a forked child: a lock that no thread of the parent's holds, and a file that is not locked with its own."""
        self._lock = threading.Lock()
        self.close()


def _write_to_stderr(text: str) -> None:
    stream = sys.stderr  # whatever it is now: a test or a notebook may have replaced it
    if stream is None:  # pyright: ignore[reportUnnecessaryComparison] # a daemon, or pythonw
        raise OSError("this process has no stderr; set OTEL_FEEDBACK_LOG_FILE")
    try:
        stream.write(text)
    except UnicodeEncodeError:  # that is about one character, and must not hold up the others
        stream.write("".join(json.dumps(char)[1:-1] if ord(char) > 127 else char for char in text))
    stream.flush()


class LogExporter:
    """Writes every event as one line of JSON."""

    name = "log"
    lease_events = 1_000
    lease_bytes = LEASE_BYTES
    linger_s = 0.05
    max_leases = 1

    def __init__(self, writer: LogWriter) -> None:
        self._writer = writer
        self.destination = writer.destination
        self.durable = writer.is_file  # stderr ends with its process

    def export(self, lease: Sequence[Record]) -> Receipt:
        try:
            self._writer.write([record.payload for record in lease])
        except Exception as exc:  # whatever a stream of others raises is not about the records
            raise ExportError("write_failed", f"{self.destination}: {exc}", retryable=True) from exc
        return Settled((record, None) for record in lease)

    def abandon(self) -> None:
        """Nothing is ever in flight."""

    def close(self, timeout_s: float) -> None:
        self._writer.close()

    def after_fork(self) -> None:
        """The writer has opened its file anew by itself."""
