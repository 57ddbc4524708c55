"""What cannot go on: bytes that are no whole frame, records that nobody can read, and those that a destination refused for good.

    quarantine/<producer id>.jsonl          one JSON object a line, for people and `journal replay --quarantine`
    quarantine/<producer id>-<segment>      a second name of a segment with much damage

Bounded; what does not fit is counted all the same. Safe from any thread.
"""

from __future__ import annotations

import base64
import contextlib
import os
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from otel_feedback.events.record import Record
from otel_feedback.journal.files import append, make_private, open_private
from otel_feedback.journal.folder import QUARANTINE
from otel_feedback.journal.frames import event_body
from otel_feedback.journal.sequences import SequenceSet
from otel_feedback.logger import get_logger
from otel_feedback.throttle import ThrottledLog

__all__ = ["Quarantine"]

logger = get_logger(__name__)

MAX_FILE_BYTES = 64 * 2**20
MUCH_BYTES = 64 * 1024


class Quarantine:
    """Keeps what one journal could not deliver or read."""

    def __init__(self, root: Path, producer_id: str) -> None:
        self.path = root / QUARANTINE / f"{producer_id}.jsonl"
        self._lock = threading.Lock()
        self._log = ThrottledLog(logger)
        self._damaged: dict[Path, SequenceSet] = {}  # guarded by self._lock: the bytes of each segment
        self._unread = SequenceSet()  # guarded by self._lock: whole records of which no event can be made
        self.damaged_bytes = 0  # guarded by self._lock for writing: of both, as far as it was read

    def note_damage(self, segment: Path, offset: int, data: bytes) -> None:
        """Count, keep and name bytes of a segment that are no whole frame; told twice, do it once."""
        end = offset + len(data)
        with self._lock:
            known = self._damaged.setdefault(segment, SequenceSet())
            count = len(data) - known.count(offset, end)
            known.add(offset, end)
            self.damaged_bytes += count
        if not count:
            return
        thing: dict[str, Any] = {"kind": "damaged", "segment": segment.name, "offset": offset, "bytes": len(data)}
        if len(data) <= MUCH_BYTES:
            is_kept = self._keep({**thing, "data": base64.b64encode(data).decode()})
        else:
            is_kept = self._keep(thing) and self._link(segment)
        self._log.warning(
            str(segment), "%s: %d bytes from offset %d are damaged and cannot be delivered; %s",
            segment, len(data), offset, f"kept in {self.path.parent}" if is_kept else "there was no place to keep them",
        )  # fmt: skip

    def keep_unread(self, sequence: int, body: bytes) -> bool:
        """Count, keep and name a record that is whole, and of which no event can be made; told twice, do it once.

        Args:
            body: As `event_body` has it.

        Returns:
            False when there is no place for it.
        """
        with self._lock:
            if sequence in self._unread:
                return True
            self._unread.add(sequence, sequence + 1)
            self.damaged_bytes += len(body)
        is_kept = self._keep(
            {"kind": "damaged", "sequence": sequence, "bytes": len(body), "data": base64.b64encode(body).decode()}
        )
        self._log.warning(
            "unread", "record %d of the process %s cannot be read, and is not delivered; %s",
            sequence, self.path.stem, f"kept in {self.path.parent}" if is_kept else "there was no place to keep it",
        )  # fmt: skip
        return is_kept

    def keep_refused(self, record: Record, exporter: str, reason: str, detail: str) -> bool:
        """Keep a record that a destination refused for good; False when there is no place."""
        if record.is_packed:  # as no event could be made of it
            return self.keep_unread(record.sequence, event_body(record.key, record.payload))
        return self._keep(
            {"kind": "refused", "producer_id": record.origin.producer_id, "service_name": record.origin.service_name,
             "exporter": exporter, "reason": reason, "detail": detail,
             "sequence": record.sequence, "key": record.key, "sampled": record.sampled, "record": "feedback" if record.is_feedback else "event", "event": msgspec.Raw(record.payload)}
        )  # fmt: skip

    def _link(self, segment: Path) -> bool:
        try:
            os.link(segment, self.path.with_name(f"{self.path.stem}-{segment.name}"))
        except FileExistsError:
            return True
        except OSError:
            return False
        return True

    def _keep(self, thing: dict[str, Any]) -> bool:
        thing = {"time": datetime.now(timezone.utc), **thing}
        try:
            line = msgspec.json.encode(thing) + b"\n"
        except UnicodeEncodeError:  # half a character in a key, or in what a destination says
            line = msgspec.json.encode({name: _mended(value) for name, value in thing.items()}) + b"\n"
        with self._lock, contextlib.suppress(OSError):
            make_private(self.path.parent)
            file = open_private(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            try:
                size = os.fstat(file).st_size
                if size + len(line) <= MAX_FILE_BYTES:
                    try:
                        append(file, line)
                    except OSError:
                        os.ftruncate(file, size)  # half a line would spoil the next one
                        raise
                    return True
            finally:
                os.close(file)
        return False


def _mended(value: object) -> object:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
