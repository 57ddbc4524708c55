"""The log tier: one JSON object a line, to stderr or to a rotating file. It works with nothing installed.

Also the last resort of the other exporters: a record that a destination refuses for good is kept here, on a line
that says who refused it and why. Threads: `LogWriter` serialises its writers; the exporter is its worker's own.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path

from otel_feedback.errors import ExportError
from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import Receipt, Refusal, Settled

__all__ = ["LogExporter", "LogWriter"]


class LogWriter:
    """Writes whole lines to stderr, or to a file that is rotated by size.

    Args:
        path: The file; None for stderr.
        max_bytes: Size at which the file is moved to `path.1`, and so on.
        backups: How many moved files are kept.
    """

    def __init__(self, path: str | None, max_bytes: int, backups: int) -> None:
        self.destination = "stderr" if path is None else str(Path(path).absolute())
        self._path = None if path is None else Path(path)
        self.is_file = path is not None
        self._max_bytes = max_bytes
        self._backups = backups
        self._lock = threading.Lock()
        _renew_lock_after_fork(self)
        self._file: int | None = None  # a file descriptor; guarded by self._lock

    def write(self, lines: Sequence[bytes]) -> None:
        """Write the lines, each ended by a line feed: all of them or, to a file, none.

        Raises:
            OSError: The stream or file does not take them.
        """
        block = b"\n".join(lines) + b"\n"
        with self._lock:
            if self._path is None:
                _write_to_stderr(block.decode())
            else:
                self._write_whole(self._open(self._path, len(block)), block)

    def write_refused(self, record: Record, exporter: str, refusal: Refusal) -> None:
        """Keep the payload of a record that `exporter` refused for good."""
        head = json.dumps({"refused_by": exporter, "reason": refusal.reason, "detail": refusal.detail})
        self.write([head[:-1].encode() + b', "event": ' + record.payload + b"}"])

    def _write_whole(self, file: int, block: bytes) -> None:
        # no buffer of Python's: after a full disk it would write its rest once more
        start = os.lseek(file, 0, os.SEEK_END)
        written = 0
        try:
            while written < len(block):
                written += os.write(file, block[written:])
        except OSError:
            if written:
                os.ftruncate(file, start)  # half a line would spoil the next one
            raise

    def _open(self, path: Path, more: int) -> int:
        file = self._file
        if file is not None and not path.exists():  # moved away by somebody, logrotate for example
            self._shut()
            file = None
        if file is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = self._file = _append_to(path)
        size = os.fstat(file).st_size
        if size and size + more > self._max_bytes:
            self._shut()
            self._rotate(path)
            file = self._file = _append_to(path)
        return file

    def _rotate(self, path: Path) -> None:
        if self._backups == 0:
            path.unlink(missing_ok=True)
            return
        for number in range(self._backups - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        path.replace(path.with_name(f"{path.name}.1"))

    def _shut(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def close(self) -> None:
        """Close the file; a later write opens it again."""
        with self._lock:
            self._shut()

    def renew_lock(self) -> None:
        """Take a new lock, in a forked child: the parent's may have been held by a thread that is not here."""
        self._lock = threading.Lock()


def _renew_lock_after_fork(writer: LogWriter) -> None:
    if hasattr(os, "register_at_fork"):
        reference = weakref.ref(writer)

        def renew() -> None:
            alive = reference()
            if alive is not None:
                alive.renew_lock()

        os.register_at_fork(after_in_child=renew)


def _write_to_stderr(text: str) -> None:
    stream = sys.stderr  # whatever it is now: a test or a notebook may have replaced it
    if stream is None:  # pyright: ignore[reportUnnecessaryComparison] # a daemon, or pythonw
        raise OSError("this process has no stderr; set OTEL_FEEDBACK_LOG_FILE")
    try:
        stream.write(text)
    except UnicodeEncodeError:  # that is about one character, and must not hold up the others
        stream.write("".join(json.dumps(char)[1:-1] if ord(char) > 127 else char for char in text))
    stream.flush()


def _append_to(path: Path) -> int:
    # for its owner only: events carry names of users and tenants
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)


class LogExporter:
    """Writes every event as one line of JSON."""

    name = "log"
    lease_events = 1_000
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
        """The file is shared with the parent, which is right: each line is one write."""
