"""The records of a batch of Kafka's (message format 2), taken apart in one pass.

kafka-python asks a function for each number of a record and makes objects on the way; with the ten headers of an event that
is half of what it costs to read one. Headers of one producer stand at the same places in most records: where names are as they
were in one of that length, they are not read again. What is odd is left to kafka-python, so that every error is its own.
Safe on any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

__all__ = ["unpacked"]

Headers = list[tuple[str, bytes | None]]
MOST_SHAPES = 256
"""That are remembered, by length."""
_FIELDS_BEFORE = 1
"""Bytes of attributes, of which none is in use."""


class _Shape(NamedTuple):
    """Where in headers of some length the values are, and what stands before each: numbers and names."""

    names: Sequence[str]
    values: itemgetter[Any]
    between: itemgetter[Any]
    expected: tuple[bytes, ...]
    size: int


_shapes: dict[int, _Shape] = {}


def unpacked(
    data: bytes, count: int, place: tuple[str, int, int], offset: int, timestamp: int, stamped: tuple[int | None, int],
    make: Callable[..., Any],
) -> list[Any] | None:  # fmt: skip
    """Return the records of a batch; None where there is anything odd about it.

    Args:
        data: Of the records, uncompressed.
        count: How many there are.
        place: Topic, partition, and the epoch of its leader.
        offset: Of the first one.
        timestamp: From which theirs are counted, in milliseconds.
        stamped: The timestamp of all, where the broker gave it, and which kind it is.
        make: Makes one, of the fields of kafka-python's `ConsumerRecord`, in that order.
    """
    try:
        return _unpacked(data, count, place, offset, timestamp, stamped, make)
    except (IndexError, ValueError):
        return None


def _unpacked(
    data: bytes, count: int, place: tuple[str, int, int], first_offset: int, first_ms: int,
    stamped: tuple[int | None, int], make: Callable[..., Any],
) -> list[Any] | None:  # fmt: skip
    topic, partition, epoch = place
    stamp_ms, stamp_type = stamped
    records: list[Any] = []
    number, shape_of = _number, _shapes.get
    pos = 0
    for _ in range(count):
        length, pos = number(data, pos)
        end = pos + length
        later_ms, pos = number(data, pos + _FIELDS_BEFORE)
        later, pos = number(data, pos)
        key_size, pos = number(data, pos)
        key = value = None
        if key_size >= 0:
            key = data[pos : pos + key_size]
            pos += key_size
        value_size, pos = number(data, pos)
        if value_size >= 0:
            value = data[pos : pos + value_size]
            pos += value_size
        told = data[pos:end]
        shape = shape_of(end - pos)
        if shape is not None and shape.between(told) == shape.expected:
            headers, size = list(zip(shape.names, shape.values(told))), shape.size  # noqa: B905  # as long, by how it was made
        else:
            headers, size = _headers(told)
        pos = end
        records.append(make((
            topic, partition, epoch, first_offset + later, first_ms + later_ms if stamp_ms is None else stamp_ms, stamp_type,
            key, value, headers, None, key_size, value_size, size,
        )))  # fmt: skip
    return records if pos == len(data) else None


def _headers(told: bytes) -> tuple[Headers, int]:
    """Return headers, and how long names and values are, as kafka-python tells that; and remember their shape.

    Raises:
        IndexError, ValueError: They are odd.
    """
    left, pos = _number(told, 0)
    headers: Headers = []
    values: list[slice] = []
    between: list[slice] = []
    size, begin = 0, 0
    for _ in range(left):
        length, pos = _number(told, pos)
        if length < 0:
            raise ValueError("a header without a name")
        name = told[pos : pos + length].decode()
        pos += length
        size += length
        length, pos = _number(told, pos)
        between.append(slice(begin, pos))
        begin = pos + max(length, 0)
        values.append(slice(pos, begin))
        headers.append((name, None if length < 0 else told[pos:begin]))
        size += max(length, 0)
        pos = begin
    if left < 0 or pos != len(told):
        raise ValueError("headers that end elsewhere than their record")
    if left > 1 and not any(value is None for _, value in headers):
        if len(_shapes) >= MOST_SHAPES:
            _shapes.clear()
        before = itemgetter(*between)
        _shapes[pos] = _Shape([name for name, _ in headers], itemgetter(*values), before, before(told), size)
    return headers, size if headers else -1


def _number(data: bytes, pos: int) -> tuple[int, int]:
    """Return a number, which takes as many bytes as it needs, and where the next thing begins."""
    byte = data[pos]
    pos += 1
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), pos
    number, shift = byte & 0x7F, 7
    while True:
        byte = data[pos]
        pos += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), pos
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
