"""An event that is too large for a destination, with less text: the longest is cut first, and what was cut is flagged.

Of feedback only the comment is cut.

Input: the wire form of an event. Output: the wire form of the same event in fewer bytes, or nothing where that cannot
be. Pure functions; safe on any thread. Never cut are ids, names, numbers, status and times; what is not cut stays byte
for byte, also a field of a newer version that this one does not know.

    stack_trace    ████████████████|░░░░░░░░░░
    error_message  ████████████████|░░          all are cut to one length, so the longest lose the most
    metadata.plan  ███████████      |           and short ones nothing
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeGuard

import msgspec

from otel_feedback import semconv

__all__ = ["smaller_forms", "trimmed"]

EMPTY_BYTES = 2
"""What an empty text or list takes."""

_NOT_CUT = frozenset({semconv.METADATA_TRUNCATED, semconv.METADATA_INVALID})  # names of fields, for readers

_encode = msgspec.json.encode
_split = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_Fields = dict[str, msgspec.Raw]


def trimmed(payload: bytes, most: int) -> bytes | None:
    """Return the event in at most `most` bytes.

    Args:
        payload: The wire form of an `OutcomeEvent`, from `codec`. One that is small enough is returned as it is.
        most: In bytes.

    Returns:
        The wire form with text cut at its end (of the stack trace at its beginning, since the cause stands at the
        end), and with the names of the cut fields in the metadata, under `otel_feedback.truncated`. None when the
        event does not fit with all its text cut, or is none.
    """
    if len(payload) <= most:
        return payload
    event = _opened(payload)
    if event is None:
        return None
    event.cut_to(most)
    return event.encoded() if event.size <= most else None


def smaller_forms(payload: bytes) -> Iterator[bytes]:
    """Yield ever smaller forms of an event, each at most half as large as the one before, and last the smallest.

    For a destination that says that an event is too large, and not what would not be. Yields nothing where nothing
    can be cut.
    """
    event = _opened(payload)
    if event is None:
        return
    if event.is_feedback:
        yield from _smaller_feedback(payload)
        return
    event.cut_to(0)
    smallest = event.encoded()
    most = len(payload) // 2
    while most > len(smallest):
        form = trimmed(payload, most)
        if form is None or len(form) <= len(smallest):
            break
        yield form
        most //= 2
    if len(smallest) < len(payload):
        yield smallest


def _smaller_feedback(payload: bytes) -> Iterator[bytes]:
    """Yield feedback with ever less of its comment, which ends in "…" then, and last with none."""
    fields = _split(payload)
    comment = msgspec.json.decode(fields.pop("comment", b"null"))
    while isinstance(comment, str) and len(comment) > 1:
        comment = comment[: len(comment) // 2]
        yield _encode({**fields, "comment": f"{comment}…"})
    if comment is not None and ("score" in fields or "label" in fields):
        yield _encode(fields)


def _opened(payload: bytes) -> _Event | None:
    try:
        return _Event(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class _Text(NamedTuple):
    """A field that may be cut, and where it stands."""

    flag: str
    home: _Fields
    key: str
    value: str | list[str]
    length: int


class _Event:
    """An event taken apart; `size` is that of its wire form with a list of flags in it, even if it is empty."""

    def __init__(self, payload: bytes) -> None:
        self._fields = _split(payload)
        self.is_feedback = "feedback_id" in self._fields
        self._metadata = _split(self._fields.get("metadata", b"{}"))
        self._flags = _listed(self._metadata.get(semconv.METADATA_TRUNCATED))
        self._texts = self._find_texts()
        self._join()
        self.size = len(_encode(self._fields))

    def _find_texts(self) -> list[_Text]:
        found = [self._text(name, self._fields, name) for name in ("stack_trace", "error_message")]
        found += [self._text(f"metadata.{key}", self._metadata, key) for key in self._metadata if key not in _NOT_CUT]
        return [text for text in found if text is not None]

    def _text(self, flag: str, home: _Fields, key: str) -> _Text | None:
        if key not in home:
            return None
        value = msgspec.json.decode(home[key])
        if not _is_text(value):
            return None
        return _Text(flag, home, key, value, len(home[key]))

    def _flag_bytes(self, text: _Text, *, comma: bool) -> int:
        """Return what it takes to flag this text."""
        return 0 if text.flag in self._flags else len(_encode(text.flag)) + comma

    def _join(self) -> None:
        self._metadata[semconv.METADATA_TRUNCATED] = msgspec.Raw(_encode(self._flags))
        self._fields["metadata"] = msgspec.Raw(_encode(self._metadata))

    def encoded(self) -> bytes:
        """Return the wire form."""
        self._join()
        return _encode(self._fields)

    def cut_to(self, most: int) -> None:
        """Cut until the size is at most `most`, or nothing is left to cut."""
        level = self._level(most)
        for text in self._texts:
            self._cut(text, level)
        tags = self._text("tags", self._fields, "tags")
        if self.size > most and tags is not None:  # last, since people search by them
            self._cut(tags, tags.length - self._flag_bytes(tags, comma=bool(self._flags)) - (self.size - most))

    def _level(self, most: int) -> int:
        """Return the greatest length to which texts can be cut so that the event fits; 2, that of `""`, if none is."""
        # a comma each, though the first takes none: which will be the first is not known yet
        cuts = [(text.length, self._flag_bytes(text, comma=True)) for text in self._texts]
        low, high = EMPTY_BYTES, max((text.length for text in self._texts), default=EMPTY_BYTES)
        while low < high:
            middle = (low + high + 1) // 2
            saved = sum(max(0, length - middle - flag_bytes) for length, flag_bytes in cuts)
            if self.size - saved <= most:
                low = middle
            else:
                high = middle - 1
        return low

    def _cut(self, text: _Text, room: int) -> None:
        room, flag_bytes = max(room, EMPTY_BYTES), self._flag_bytes(text, comma=bool(self._flags))
        if text.length <= room + flag_bytes:
            return  # to say that it was cut would take more than what is cut
        raw = _encode(_shorter(text, room))
        text.home[text.key] = msgspec.Raw(raw)
        self.size += len(raw) + flag_bytes - text.length
        if flag_bytes:
            self._flags.append(text.flag)


def _listed(raw: msgspec.Raw | None) -> list[Any]:
    """Return what is flagged already; whoever used the key for a value of its own keeps that value."""
    value = [] if raw is None else msgspec.json.decode(raw)
    return value if isinstance(value, list) else [value]


def _is_text(value: Any) -> TypeGuard[str | list[str]]:
    return isinstance(value, str) or (
        isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)
    )


def _shorter(text: _Text, room: int) -> str | list[str]:
    """Return as much of the text as takes at most `room` bytes of JSON; `room` is 2 at least."""
    if isinstance(text.value, str):
        return _part(text.value, room, keep_end=text.flag == "stack_trace")
    kept: list[str] = []
    left = room - 1  # a bracket; each item takes a comma or the other bracket
    for item in text.value:
        length = len(_encode(item)) + 1
        if length > left:
            # half a tag would be another tag
            part = "" if text.flag == "tags" else _part(item, left - 1, keep_end=False)
            return [*kept, part] if part else kept
        kept.append(item)
        left -= length
    return kept


def _part(text: str, room: int, *, keep_end: bool) -> str:
    """Return the longest part of a text that takes at most `room` bytes of JSON: whole characters only."""
    low, high = 0, min(len(text), max(0, room - 2))  # quotes; a character takes at least a byte
    while low < high:
        middle = (low + high + 1) // 2
        if len(_encode(_slice(text, middle, keep_end=keep_end))) <= room:
            low = middle
        else:
            high = middle - 1
    return _slice(text, low, keep_end=keep_end)


def _slice(text: str, count: int, *, keep_end: bool) -> str:
    return text[len(text) - count :] if keep_end else text[:count]
