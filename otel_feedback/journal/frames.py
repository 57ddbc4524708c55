r"""The bytes of a segment: frames, one after the other, each able to prove that it is whole.

    ┌────────┬───────┬──────┬───────┬────────┬──────────┬───────────────┐
    │ ff f5  │ crc32c│ kind │ flags │ length │ sequence │ payload       │      little-endian
    │ 2      │ 4     │ 1    │ 1     │ 4      │ 8        │ length        │      20 bytes and the payload
    └────────┴───────┴──────┴───────┴────────┴──────────┴───────────────┘
    crc32c is of all that follows it.

    kind  1 HEAD   the first frame of a segment: version, producer, cursors, as in the cursors file (JSON)
          2 EVENT  key length (2), key, event (JSON); flag 1: its trace is sampled; flag 2: not the event, but what its
                   action left, of which the event is made (MessagePack); flag 4: not an event, but feedback (JSON); flag 8: which
                   came as a log record
          3 START  an action began, or a span of others ended that is converted later (MessagePack); sequence: the next event's
          4 FORGET an action that began ended without an event, or a span was converted: its id

ff and f5 never occur in UTF-8, and seldom one after the other in MessagePack, so after damage the next frame is found by looking
for the mark; the checksum tells it from what looks like one. Zeros may follow the last
frame of a segment: room for the next ones, which readers do not look at. Pure functions.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from otel_feedback.journal.checksum import crc32c

__all__ = [
    "ECHO",
    "FEEDBACK",
    "HEADER_BYTES",
    "MARK",
    "MAX_KEY",
    "MAX_PAYLOAD",
    "PACKED",
    "SAMPLED",
    "Frame",
    "Kind",
    "Scan",
    "event_body",
    "event_frame",
    "frame",
    "key_and_event",
    "pack_event_head",
    "pack_front",
    "pack_head",
    "scan",
]

VERSION = 1
MARK = b"\xff\xf5"
SAMPLED, PACKED, FEEDBACK, ECHO = 1, 2, 4, 8

MAX_PAYLOAD = 64 * 2**20
"""Longer ones are not written, and a frame that says it is longer is damaged."""

MAX_KEY = 0xFFFF
"""Bytes of a key; what is beyond is cut off."""

_FRONT = Struct("<2sI")
_HEAD = Struct("<BBIQ")
_EVENT_HEAD = Struct("<BBIQH")  # with the length of its key
_KEY = Struct("<H")
_HEADER = Struct("<2sIBBIQ")
HEADER_BYTES, _FRONT_BYTES, _HEAD_BYTES = _HEADER.size, _FRONT.size, _HEAD.size
pack_front, pack_head, pack_event_head = _FRONT.pack, _HEAD.pack, _EVENT_HEAD.pack
"""The parts of a frame, for `appending.py`, which puts them together itself: mark and checksum; kind, flags, length and
sequence; the same of an event, with the length of its key, by which the payload begins."""
_pack_key = _KEY.pack


class Kind(IntEnum):
    """What a frame holds."""

    HEAD = 1
    EVENT = 2
    START = 3
    FORGET = 4


KINDS = frozenset(Kind)
_EVENT = int(Kind.EVENT)


class Frame(NamedTuple):
    """A whole frame, and where it stands in its segment."""

    offset: int
    kind: int
    flags: int
    sequence: int
    payload: bytes

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.offset + HEADER_BYTES + len(self.payload)


class Scan(NamedTuple):
    """What a stretch of a segment holds.

    `damaged` are runs `[first, end)` of bytes that belong to no whole frame. `rest` is where the stretch ends in
    the middle of what may be a frame.
    """

    frames: list[Frame]
    damaged: list[tuple[int, int]]
    rest: int


def frame(kind: int, sequence: int, payload: bytes, flags: int = 0) -> bytes:
    """Return one frame."""
    checked = pack_head(kind, flags, len(payload), sequence) + payload
    return pack_front(MARK, crc32c(checked)) + checked


def event_body(key: str, event: bytes) -> bytes:
    """Return the payload of an EVENT frame. Never raises: an event that cannot be written would hold up all others."""
    key_bytes = key.encode(errors="replace")[:MAX_KEY]
    return _pack_key(len(key_bytes)) + key_bytes + event


def event_frame(key: str, event: bytes, sequence: int, flags: int) -> bytes:
    """Return the EVENT frame of an event, as `frame(EVENT, …, event_body(key, event))` does."""
    key_bytes = key.encode("utf-8", "replace")
    length = len(key_bytes)
    if length > MAX_KEY:
        return frame(_EVENT, sequence, event_body(key, event), flags)
    checked = pack_event_head(_EVENT, flags, length + 2 + len(event), sequence, length) + key_bytes + event
    return pack_front(MARK, crc32c(checked)) + checked


def key_and_event(payload: bytes) -> tuple[str, bytes]:
    """Take the payload of an EVENT frame apart."""
    (length,) = _KEY.unpack_from(payload)
    # a character may have been cut in the middle
    return payload[2 : 2 + length].decode(errors="ignore"), payload[2 + length :]


def scan(data: bytes, start: int = 0, *, base: int = 0, is_last: bool) -> Scan:
    """Find the frames in `data`, which begins at offset `base` of its segment, from index `start` on.

    Args:
        is_last: Nothing follows, so an incomplete frame is a damaged one.
    """
    frames: list[Frame] = []
    damaged: list[tuple[int, int]] = []
    at, bad_from, size = start, -1, len(data)
    while at < size:
        begin, at = at, _take_whole(frames, data, at, base)
        if at > begin and bad_from >= 0:
            damaged.append((base + bad_from, base + begin))
            bad_from = -1
        if at >= size or (not is_last and bad_from < 0 and _may_go_on(data, at)):
            break
        if bad_from < 0:
            bad_from = at
        found = data.find(MARK, at + 1)
        if found >= 0:
            at = found
            if not is_last and _may_go_on(data, at):
                break
        else:
            # the last byte may be the first half of a mark
            at = size if is_last or data[-1:] != MARK[:1] else max(at + 1, size - 1)
            break
    if bad_from >= 0:
        damaged.append((base + bad_from, base + at))
    return Scan(frames, damaged, at)


def _take_whole(frames: list[Frame], data: bytes, at: int, base: int) -> int:
    """Append the whole frames that follow each other from index `at` on; return where they end."""
    # a worker that has fallen behind does this for each event beside the agents: one loop, no call of ours in it
    unpack, take, make, size = _HEADER.unpack_from, frames.append, tuple.__new__, len(data) - HEADER_BYTES
    while at <= size:
        mark, checksum, kind, flags, length, sequence = unpack(data, at)
        checked = data[at + _FRONT_BYTES : at + HEADER_BYTES + length]
        if mark != MARK or kind not in KINDS or len(checked) != _HEAD_BYTES + length or crc32c(checked) != checksum:
            break
        take(make(Frame, (base + at, kind, flags, sequence, checked[_HEAD_BYTES:])))
        at += HEADER_BYTES + length
    return at


def _may_go_on(data: bytes, at: int) -> bool:
    """Tell whether an incomplete frame at the end of `data` may be whole with more data."""
    if at + HEADER_BYTES > len(data):
        return data[at : at + 2] == MARK[: len(data) - at]
    mark, _, kind, _, length, _ = _HEADER.unpack_from(data, at)
    return mark == MARK and kind in KINDS and length <= MAX_PAYLOAD and at + HEADER_BYTES + length > len(data)
