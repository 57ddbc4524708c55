"""The cursors file: how far each destination is, and its account; also the first frame of every segment.

    {"version": 1, "producer_id": …, "service_name": …, "end": 812, "saved": 40, "cursors": [{…}]}
    crc32 9f1c03ab

The file is replaced as a whole. Of it and the first frame of the newest segment, whichever was saved later is believed,
so a file that is missing, damaged or from a backup costs repeats and never an event.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from zlib import crc32

import msgspec

from otel_feedback.journal.cursor import CursorState
from otel_feedback.journal.files import append, open_private, read_private
from otel_feedback.journal.folder import CURSORS

__all__ = ["JournalState", "decode_state", "load_state", "save_state"]

VERSION = 1


class JournalState(msgspec.Struct, frozen=True):
    """What is written down of a journal besides its events.

    `saved` counts the writings; `is_announced` is true when nobody need say any more that it was left.
    """

    version: int
    producer_id: str
    service_name: str
    end: int
    saved: int
    cursors: list[CursorState]
    is_announced: bool = False


encode_state = msgspec.json.encode
_decoder = msgspec.json.Decoder(JournalState)


def decode_state(data: bytes) -> JournalState | None:
    """Return the state, or None when it is of another version or none."""
    try:
        state = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return state if state.version == VERSION else None


def save_state(folder: Path, state: JournalState) -> None:
    """Replace the cursors file.

    Raises:
        OSError: It cannot be written; the old one stays.
    """
    body = encode_state(state)
    new = folder / f"{CURSORS}.new"
    file = open_private(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    try:
        append(file, body + b"\ncrc32 %08x\n" % crc32(body))  # all of it, or it does not replace what was there
        new.replace(folder / CURSORS)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    finally:
        os.close(file)


def load_state(folder: Path) -> JournalState | None:
    """Return what the cursors file says, or None where there is none that can be believed."""
    with contextlib.suppress(OSError):
        body, _, rest = read_private(folder / CURSORS).partition(b"\n")
        if rest == b"crc32 %08x\n" % crc32(body):
            return decode_state(body)
    return None
