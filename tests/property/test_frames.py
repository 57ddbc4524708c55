"""Frames: whatever happens to the bytes, each frame that is whole is found, and everything else is named as damage."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from otel_feedback.journal.frames import (
    HEADER_BYTES,
    MARK,
    Frame,
    Kind,
    Scan,
    event_body,
    frame,
    key_and_event,
    scan,
)

Given = tuple[int, int, bytes, int]

# what real payloads hold: UTF-8, in which the two bytes of the mark never occur
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(str.encode) | st.integers(0, 700).map(
    lambda size: b"x" * size
)
given_frames = st.lists(
    st.tuples(st.sampled_from(list(Kind)), st.integers(0, 2**63), texts, st.integers(0, 255)), min_size=1, max_size=6
)
# bytes that look like frames, or nearly
junk = st.lists(
    st.sampled_from(
        [MARK, MARK[:1], MARK[1:], b"\x00", b"a", MARK + b"crc3\x02\x00\xff\xff\x00\x00", b"\x02\x00\x01\x00"]
    )
    | st.binary(max_size=8),
    max_size=12,
).map(b"".join)


def laid_out(frames: list[Given], base: int = 0) -> tuple[bytes, list[Frame]]:
    """A segment of these frames, and where each stands."""
    data, there = b"", list[Frame]()
    for kind, sequence, payload, flags in frames:
        there.append(Frame(base + len(data), kind, flags, sequence, payload))
        data += frame(kind, sequence, payload, flags)
    return data, there


def end_of(whole: Frame) -> int:
    return whole.offset + HEADER_BYTES + len(whole.payload)


def between(frames: list[Frame], size: int) -> list[tuple[int, int]]:
    """The bytes that belong to none of these frames, as runs."""
    gaps: list[tuple[int, int]] = []
    at = 0
    for whole in frames:
        if whole.offset > at:
            gaps.append((at, whole.offset))
        at = end_of(whole)
    return [*gaps, (at, size)] if at < size else gaps


def joined(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same bytes, with runs that follow each other as one."""
    found: list[tuple[int, int]] = []
    for first, end in runs:
        if found and found[-1][1] == first:
            found[-1] = (found[-1][0], end)
        else:
            found.append((first, end))
    return found


def by_chunks(data: bytes, sizes: list[int]) -> Scan:
    """Scan as a reader does that sees the file by and by: what is not a whole frame yet is looked at again."""
    frames: list[Frame] = []
    damaged: list[tuple[int, int]] = []
    offset, seen = 0, 0
    for size in [*sizes, len(data)]:
        seen = min(len(data), seen + size)
        is_last = seen == len(data)
        found = scan(data[offset:seen], base=offset, is_last=is_last)
        frames += found.frames
        damaged += found.damaged
        offset += found.rest
        if is_last:
            break
    assert offset == len(data), "all of it was accounted for"
    return Scan(frames, joined(damaged), offset)


def assert_found(data: bytes, whole: list[Frame]) -> None:
    """Exactly these frames are found, and exactly the other bytes are damaged."""
    found = scan(data, is_last=True)
    assert found.frames == whole
    assert found.damaged == between(whole, len(data))
    assert found.rest == len(data)


SMALL: list[Given] = [
    (Kind.HEAD, 0, b'{"version":1}', 0),
    (Kind.EVENT, 0, event_body("key", b'{"event_id":"a"}'), 1),
    (Kind.START, 1, "{é}".encode(), 0),
    (Kind.EVENT, 1, event_body("", b""), 0),
    (Kind.FORGET, 2, b"", 0),
    (Kind.EVENT, 2, event_body("k", b"z" * 40), 0),
]


@settings(max_examples=150, deadline=None)
@given(frames=given_frames, base=st.integers(0, 2**40))
def test_what_was_written_is_read(frames: list[Given], base: int) -> None:
    data, there = laid_out(frames, base)
    assert scan(data, base=base, is_last=True) == Scan(there, [], len(data))
    assert scan(data, base=base, is_last=False) == Scan(there, [], len(data))
    first = there[0]
    # from an index in the middle of the data, too
    beyond = end_of(first) - base
    assert scan(data, beyond, base=base, is_last=True).frames == there[1:]


@example(key="half \ud83d", event=b"")
@given(key=st.text(st.characters(), max_size=50), event=st.binary(max_size=50))
def test_a_key_and_an_event_come_apart_as_they_went_together(key: str, event: bytes) -> None:
    """Also where the key holds halves of characters, which UTF-8 cannot: those become question marks."""
    expected = key.encode(errors="replace").decode()
    assert key_and_event(event_body(key, event)) == (expected, event)


@pytest.mark.parametrize("end", ["", "é", "中", "😀"])
def test_a_key_that_is_too_long_is_cut_between_characters(end: str) -> None:
    for size in range(0xFFFF - 4, 0xFFFF + 4):
        long = "k" * size + end
        key, event = key_and_event(event_body(long, b"event"))
        assert event == b"event"
        assert long.startswith(key)
        assert len(key.encode()) >= min(0xFFFF - 3, len(long.encode()))


def test_a_segment_that_is_cut_anywhere_keeps_the_frames_before() -> None:
    data, there = laid_out(SMALL)
    for cut in range(len(data) + 1):
        whole = [one for one in there if end_of(one) <= cut]
        assert_found(data[:cut], whole)
        # more may come: then the piece of a frame at the end is not damage yet
        found = scan(data[:cut], is_last=False)
        last = end_of(whole[-1]) if whole else 0
        assert found == Scan(whole, [], last)


def test_a_bit_that_flips_anywhere_costs_the_frame_it_is_in_and_no_other() -> None:
    data, there = laid_out(SMALL)
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert_found(bytes(flipped), [one for one in there if not one.offset <= bit // 8 < end_of(one)])


@settings(max_examples=200, deadline=None)
@given(frames=given_frames, data=st.data())
def test_bits_that_flip_cost_the_frames_they_are_in(frames: list[Given], data: st.DataObject) -> None:
    written, there = laid_out(frames)
    bits = data.draw(st.sets(st.integers(0, len(written) * 8 - 1), min_size=1, max_size=6))
    flipped = bytearray(written)
    for bit in bits:
        flipped[bit // 8] ^= 1 << bit % 8
    hit = {bit // 8 for bit in bits}
    assert_found(bytes(flipped), [one for one in there if not hit & set(range(one.offset, end_of(one)))])


@settings(max_examples=200, deadline=None)
@given(frames=given_frames, before=st.lists(junk, min_size=7, max_size=7))
def test_junk_between_frames_is_damage_and_hides_none(frames: list[Given], before: list[bytes]) -> None:
    data, there = b"", list[Frame]()
    for (kind, sequence, payload, flags), rubbish in zip(frames, before, strict=False):
        data += rubbish
        there.append(Frame(len(data), kind, flags, sequence, payload))
        data += frame(kind, sequence, payload, flags)
    assert_found(data + before[-1], there)


@settings(max_examples=300, deadline=None)
@given(
    frames=given_frames,
    before=st.lists(junk | st.just(b""), min_size=7, max_size=7),
    cut=st.integers(0, 30),
    sizes=st.lists(st.integers(1, 60) | st.integers(1, 2_000), max_size=200),
)
def test_a_segment_read_by_and_by_is_the_same_as_read_at_once(
    frames: list[Given], before: list[bytes], cut: int, sizes: list[int]
) -> None:
    pieces = [
        rubbish + frame(kind, sequence, payload, flags)
        for (kind, sequence, payload, flags), rubbish in zip(frames, before, strict=False)
    ]
    data = (b"".join(pieces) + before[-1])[: -cut or None]
    assert by_chunks(data, sizes) == scan(data, is_last=True)


def test_any_two_chunks_are_the_same_as_one() -> None:
    data, _ = laid_out(SMALL)
    broken = data[:50] + MARK[:1] + data[50:120] + MARK + data[120:] + MARK[:1]
    at_once = scan(broken, is_last=True)
    assert len(at_once.frames) < len(SMALL)
    for cut in range(len(broken)):
        assert by_chunks(broken, [cut]) == at_once


@pytest.mark.parametrize(
    "liar",
    [
        pytest.param(MARK + b"crc3\x02\x00\xff\xff\xff\x7f" + b"\0" * 8, id="impossibly long"),
        pytest.param(MARK + b"crc3\x09\x00\xff\xff\x00\x00" + b"\0" * 8, id="of no kind that is known"),
    ],
)
def test_a_frame_that_cannot_be_one_does_not_hold_up_the_reader(liar: bytes) -> None:
    """In a segment that is still written, a frame that goes on beyond its end is waited for; this one must not be."""
    data, there = laid_out(SMALL)
    found = scan(liar + data, is_last=False)
    assert found.frames == [one._replace(offset=one.offset + len(liar)) for one in there]
    assert found.damaged == [(0, len(liar))]
