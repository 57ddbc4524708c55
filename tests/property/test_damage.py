"""A journal whose files were damaged while nobody owned it: each record that is whole goes out, each loss is counted.

The journal is so small that every byte is cut and nearly every bit is flipped, each in a copy of its own.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator

import pytest

from otel_feedback.journal.frames import HEADER_BYTES, Kind, frame
from tests.journals.disk import BOTH, KAFKA, OTLP, close_action, fast_folder, journal_in
from tests.property.small_journal import (
    CURSORS,
    EVENTS,
    KAFKA_AT_LAST,
    LAYOUT,
    MIDDLE,
    NEWEST,
    OLDEST,
    SmallJournal,
    deliver_what_is_left,
    expected,
    kept_aside,
    open_actions,
    state,
    written_down,
)

DONE_AT_LAST = {0, 3}
"""What Kafka has by the cursors file; by the newest segment it has nothing."""


@pytest.fixture
def small() -> Iterator[SmallJournal]:
    root = fast_folder()
    yield SmallJournal(root / "journal")
    shutil.rmtree(root)


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the journal logged."""
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler, logger = Lines(), logging.getLogger("otel_feedback.journal")
    logger.addHandler(handler)
    logger.propagate = False  # thousands of lines, which pytest would keep
    yield lines
    logger.propagate = True
    logger.removeHandler(handler)


def assert_damage_is_told(small: SmallJournal, said: list[str], damaged: int, file: str, data: bytes) -> None:
    """The bytes are in quarantine, and a line in the log names the file."""
    kept = kept_aside(small.root)
    assert sum(len(bad) for _, _, bad in kept) == damaged
    for segment, offset, bad in kept:
        assert (segment, bad) == (file, data[offset : offset + len(bad)])
    if damaged:
        assert any(str(small.folder / file) in line and "damaged" in line for line in said)
    else:
        assert said == []
    said.clear()


def assert_survives(small: SmallJournal, said: list[str], file: str, data: bytes, gone: set[str], bad: int) -> None:
    """With this in a segment, these frames being damaged, everything else is delivered, and that is counted."""
    small.put({file: data})
    got, damaged = deliver_what_is_left(journal_in(small.root)[0])
    actions = open_actions(gone)
    assert got[KAFKA] == expected(gone, done=DONE_AT_LAST, actions=actions)
    assert got[OTLP] == expected(gone, done=set(), actions=actions)
    assert damaged == bad
    assert_damage_is_told(small, said, damaged, file, data)


def test_without_damage_everything_is_delivered_once(small: SmallJournal, said: list[str]) -> None:
    assert_survives(small, said, NEWEST, small.files[NEWEST], set(), 0)


@pytest.mark.parametrize("file", sorted(LAYOUT))
def test_every_bit_that_flips_costs_one_frame(small: SmallJournal, said: list[str], file: str) -> None:
    data = small.files[file]
    for bit in range(len(data) * 8):
        (hit,) = [one for one in small.placed if one.file == file and one.first <= bit // 8 < one.end]
        # of payloads one bit a byte is enough; of headers all are tried
        if bit // 8 - hit.first >= HEADER_BYTES and bit % 8 != bit // 8 % 8:
            continue
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        assert_survives(small, said, file, bytes(flipped), {hit.name}, hit.end - hit.first)


@pytest.mark.parametrize("file", sorted(LAYOUT))
def test_a_segment_cut_at_any_byte_keeps_the_frames_before(small: SmallJournal, said: list[str], file: str) -> None:
    data = small.files[file]
    for cut in range(len(data)):
        gone = small.hit(file, lambda placed, cut=cut: placed.end > cut)
        whole = max((one.end for one in small.placed if one.file == file and one.end <= cut), default=0)
        seen = len(data[:cut].rstrip(b"\0"))  # zeros at the end are room for more
        assert_survives(small, said, file, data[:cut], gone, max(0, seen - whole))


@pytest.mark.parametrize("file", sorted(LAYOUT))
@pytest.mark.parametrize("junk", [b"\0" * 700, b"\xff\xf5" * 350, b"\xff\xf5crc3\x02\x00\xff\xff\xff\x00" * 80, b"{}"])
def test_a_segment_of_garbage_costs_what_was_in_it(
    small: SmallJournal, said: list[str], file: str, junk: bytes
) -> None:
    seen = len(junk.rstrip(b"\0")) or len(junk)  # zeros at the end are room for more; nothing but zeros is a loss
    assert_survives(small, said, file, junk, small.frames_of(file), seen)


def test_a_cursors_file_cut_or_flipped_anywhere_costs_repeats_and_no_event(
    small: SmallJournal, said: list[str]
) -> None:
    """Then the newest segment's word is taken: Kafka has nothing yet."""
    data = small.files[CURSORS]
    flips = [bytes([*data[:at], data[at] ^ 1 << at % 8, *data[at + 1 :]]) for at in range(len(data))]
    for broken in [*flips, *(data[:cut] for cut in range(len(data)))]:
        assert_cursors_file_is_not_believed(small, broken)
    assert said == []


def assert_cursors_file_is_not_believed(small: SmallJournal, data: bytes | None) -> None:
    small.put({CURSORS: data})
    got, damaged = deliver_what_is_left(journal_in(small.root)[0])
    everything = expected(set(), done=set(), actions=["a"])
    assert (got, damaged) == ({KAFKA: everything, OTLP: everything}, 0)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(None, id="missing"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\0" * 400, id="zeros"),
        pytest.param(written_down(state(3, EVENTS, KAFKA_AT_LAST)), id="from a backup, older than the newest segment"),
        pytest.param(written_down(state(9, EVENTS, KAFKA_AT_LAST, version=2)), id="of another version"),
    ],
)
def test_a_cursors_file_that_cannot_be_believed_is_not(small: SmallJournal, data: bytes | None) -> None:
    assert_cursors_file_is_not_believed(small, data)


@pytest.mark.parametrize("head", [b"", b'{"version":2}', b"\xff"])
def test_a_newest_segment_whose_state_is_unknown_leaves_the_cursors_file(
    small: SmallJournal, said: list[str], head: bytes
) -> None:
    (first, *_) = [placed for placed in small.placed if placed.file == NEWEST]
    data = frame(Kind.HEAD, 4, head) + small.files[NEWEST][first.end :]
    assert_survives(small, said, NEWEST, data, set(), 0)


def test_without_any_state_everybody_who_asks_gets_everything(small: SmallJournal) -> None:
    (first, *_) = [placed for placed in small.placed if placed.file == NEWEST]
    small.put({CURSORS: None, NEWEST: small.files[NEWEST][first.end :]})
    got, _ = deliver_what_is_left(journal_in(small.root)[0])
    everything = expected(set(), done=set(), actions=["a"])
    assert got == {KAFKA: everything, OTLP: everything}


@pytest.mark.parametrize("files", [{OLDEST}, {MIDDLE}, {NEWEST}, {OLDEST, NEWEST}, {OLDEST, MIDDLE, NEWEST}])
def test_a_segment_that_is_missing_is_counted(small: SmallJournal, files: set[str]) -> None:
    small.put(dict.fromkeys(files))
    got, damaged = deliver_what_is_left(journal_in(small.root)[0])
    gone = small.frames_of(*files)
    left = [name for name in sorted(LAYOUT) if name not in files]
    # an action that is open in the newest one that is left is open
    actions = open_actions(gone, left[-1]) if left else []
    assert got[KAFKA] == expected(gone, done=DONE_AT_LAST, actions=actions)
    assert got[OTLP] == expected(gone, done=set(), actions=actions)
    assert damaged == 0


def test_a_segment_that_is_there_twice_is_delivered_once(small: SmallJournal) -> None:
    small.put({f"{3:020d}.seg": small.files[MIDDLE], f"{5:020d}.seg": small.files[NEWEST]})
    got, _ = deliver_what_is_left(journal_in(small.root)[0])
    assert got[KAFKA] == expected(set(), done=DONE_AT_LAST, actions=["a"])
    assert got[OTLP] == expected(set(), done=set(), actions=["a"])


def test_a_folder_in_which_nothing_happened_yet_is_removed(small: SmallJournal) -> None:
    small.put(dict.fromkeys([*LAYOUT, CURSORS]))
    assert journal_in(small.root)[0].adopt(BOTH, close_action) == []
    assert not small.folder.exists()


def test_what_is_no_journal_is_left_alone(small: SmallJournal) -> None:
    small.put({"lock": None})
    (small.root / ("0" * 32)).write_bytes(b"a file")
    (small.root / ("1" * 32)).symlink_to(small.folder)
    (small.root / "somebody's").mkdir()
    assert journal_in(small.root)[0].adopt(BOTH, close_action) == []
    assert {entry.name for entry in small.root.iterdir()} == {small.folder.name, "0" * 32, "1" * 32, "somebody's"}
    assert {entry.name for entry in small.folder.iterdir()} == {CURSORS, *LAYOUT}
