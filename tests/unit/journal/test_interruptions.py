"""What interrupts the journal at any call it makes on an agent's thread: a handler of a signal that records, or raises.

Python runs handlers, and the collector finalisers, between two of its instructions: after a call, or where a function or a turn of a
loop begins. Each such place in the journal's code is tried, one by one.
"""

from __future__ import annotations

import dis
import gc
import itertools
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import pytest

from otel_feedback import journal as package
from otel_feedback.events import codec
from otel_feedback.journal.disk import DiskJournal
from tests.journals.command import ROOMY
from tests.journals.disk import (
    KAFKA,
    SMALL,
    append,
    append_many,
    assert_balanced,
    close_action,
    crash,
    fast_folder,
    folder_of,
    journal_in,
    lease_all,
    segments,
    started,
    tend,
)

HERE = str(Path(package.__file__).parent)
SIZE = 300
A_SEGMENT = 8
"""Events of this size that are in a segment before the next one begins."""


@cache
def places(code: CodeType) -> set[int]:
    """The offsets of instructions before which a handler may run."""
    all_of_it = list(dis.get_instructions(code))
    return {
        after.offset
        for before, after in itertools.pairwise(all_of_it)
        if before.opname.startswith(("CALL", "RESUME", "JUMP_BACKWARD", "JUMP_ABSOLUTE"))
    }


class Interruption:
    """Does something once, or each time, at the nth place of the journal's code that this thread comes by."""

    def __init__(self, nth: int, do: Callable[[], object], *, again: bool = False) -> None:
        self.was_there = False
        self._nth = self._left = nth
        self._do, self._again = do, again

    def __call__(self, frame: FrameType, event: str, _arg: object) -> Any:
        if not frame.f_code.co_filename.startswith(HERE):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and not self.was_there and frame.f_lasti in places(frame.f_code):
            if self._left == 0:
                self.was_there, self._left = not self._again, self._nth
                sys.settrace(None)
                self._do()
                if not self._again:
                    return None
                sys.settrace(self)
            else:
                self._left -= 1
        return self

    def during(self, what: Callable[[], object]) -> None:
        before = sys.gettrace()
        gc.disable()  # or what closes other tests' journals would be interrupted
        sys.settrace(self)
        try:
            what()
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
            gc.enable()


class Left(NamedTuple):
    """What a process that is killed now leaves: ids of events, and of actions that never ended."""

    ended: list[str]
    open: list[str]


@pytest.fixture
def base() -> Iterator[Path]:
    made = fast_folder()
    yield made
    shutil.rmtree(made)


def left_by(journal: DiskJournal, base: Path) -> Left:
    copy = base / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder_of(journal).parent, copy)
    (adopted,) = journal_in(copy)[0].adopt([KAFKA], close_action)
    cursor = adopted.cursors[KAFKA]
    events = [codec.decode(record.payload) for record in lease_all(cursor)]
    assert (cursor.account().lost, adopted.kept_aside.damaged_bytes) == ({}, 0)
    adopted.close()
    lost = [event.event_id for event in events if event.error_type == "process_lost"]
    return Left([event.event_id for event in events if event.event_id not in lost], lost)


def assert_leaves(journal: DiskJournal, base: Path, ended: list[str], is_open: list[str], *, but: set[str]) -> None:
    """`but`: what raised may have been recorded, or not."""
    left = left_by(journal, base)
    assert set(ended) <= set(left.ended) <= {*ended, *but}
    assert len(left.ended) == len(set(left.ended)) == journal.end
    assert set(is_open) <= set(left.open) <= {*is_open, *but}


@pytest.mark.parametrize("raises", [False, True], ids=["records", "raises"])
@pytest.mark.parametrize("before", [0, 3, A_SEGMENT - 1], ids=["first", "middle", "rotation"])
@pytest.mark.parametrize("durability", ["interval", "fsync"])
def test_what_interrupts_an_append_or_a_note_anywhere_costs_nothing_that_was_recorded(
    durability: str, before: int, base: Path, *, raises: bool
) -> None:
    """Neither in the process, nor where it is killed right then, or later; and actions are open that are."""
    for nth in itertools.count():
        shutil.rmtree(base / "journal", ignore_errors=True)
        journal, clock = journal_in(base / "journal", SMALL, durability=durability)
        cursor = journal.cursor(*KAFKA, durable=True)
        ended = [append(journal, f"before{number}", size=SIZE).event.event_id for number in range(before)]
        is_open: list[str] = []
        if before:
            journal.note_start(started("open"))
            is_open.append("open")

        def interrupt() -> None:
            if raises:
                raise KeyboardInterrupt
            was_there = journal.segments() != ()  # noqa: B023
            journal.note_start(started("inside"))  # noqa: B023
            for name in ("inside", "inside too"):
                append(journal, name, size=200)  # noqa: B023
                ended.append(name)  # noqa: B023
            journal.note_start(started("left open"))  # noqa: B023
            is_open.append("left open")  # noqa: B023
            if was_there:  # else the first segment of all is just being made: it has it as soon as the handler is back
                left = left_by(journal, base)  # noqa: B023
                assert set(ended) <= set(left.ended)  # noqa: B023
                assert set(is_open) <= set(left.open)  # noqa: B023

        interruption = Interruption(nth, interrupt)
        interruption.during(lambda: journal.note_start(started("around")))  # noqa: B023

        def end(name: str) -> None:
            append(journal, name, size=SIZE)  # noqa: B023
            ended.append(name)  # noqa: B023

        interruption.during(lambda: end("around"))
        interruption.during(lambda: end("beside"))
        but = {"around", "beside"} if raises else set[str]()
        if before == A_SEGMENT - 1:
            assert len(segments(folder_of(journal))) >= 2
        for number in range(2):
            end(f"next{number}")
        assert_leaves(journal, base, ended, is_open, but=but)
        for number in range(2 * A_SEGMENT):
            end(f"later{number}")
        tend(journal, clock)
        assert_leaves(journal, base, ended, is_open, but=but)
        got = [record.event_id for record in lease_all(cursor)]
        assert set(ended) <= set(got)
        assert len(got) == len(set(got)) == journal.end
        assert cursor.account().lost == {}
        assert_balanced(cursor)
        assert (journal.health().problem, journal.health().damaged_bytes) == (None, 0)
        crash(journal)
        if not interruption.was_there:
            assert nth > 50
            break


@pytest.mark.parametrize("every", [17, 30])
@pytest.mark.parametrize("before", [0, A_SEGMENT - 1], ids=["first", "rotation"])
def test_what_interrupts_again_and_again_ends_nevertheless(before: int, every: int, base: Path) -> None:
    """As by a clock that is quicker than the disk: no segment can be begun in peace."""
    journal, _ = journal_in(base / "journal")
    journal.cursor(*KAFKA, durable=True)
    ended = [append(journal, f"before{number}", size=SIZE).event.event_id for number in range(before)]
    is_open: list[str] = []

    def interrupt() -> None:
        name = f"inside{journal.end}"
        journal.note_start(started(name))
        if journal.end % 3:
            append(journal, name)
            ended.append(name)
        else:
            is_open.append(name)
            append(journal, f"beside {name}")
            ended.append(f"beside {name}")

    storm = Interruption(every, interrupt, again=True)
    for number in range(3):
        storm.during(lambda: append(journal, f"around{number}", size=SIZE))  # noqa: B023
        ended.append(f"around{number}")
        assert_leaves(journal, base, ended, is_open, but=set())
    assert len(ended) > before + 3
    crash(journal)


def test_another_thread_that_reads_meanwhile_sees_whole_frames_only(base: Path) -> None:
    """Behind these are zeros: room for what is written next."""
    for nth in itertools.count():
        shutil.rmtree(base / "journal", ignore_errors=True)
        journal, clock = journal_in(base / "journal", ROOMY._replace(tail_bytes=0))
        cursor = journal.cursor(*KAFKA, durable=True)
        append_many(journal, 3)
        tend(journal, clock)
        journal.note_start(started("ends"))
        read: list[int] = []

        def look() -> None:
            read.extend(record.sequence for record in lease_all(cursor))  # noqa: B023

        other = threading.Thread(target=look)

        def interrupt() -> None:
            other.start()  # noqa: B023
            other.join(0.02)  # it may wait for us  # noqa: B023

        interruption = Interruption(nth, interrupt)
        interruption.during(lambda: journal.forget_start("ends"))  # noqa: B023
        interruption.during(lambda: append(journal, "e"))  # noqa: B023
        if interruption.was_there:
            other.join()
        look()
        assert read == [0, 1, 2, 3]
        assert (cursor.account().lost, journal.health().damaged_bytes) == ({}, 0)
        crash(journal)
        if not interruption.was_there:
            break


@pytest.mark.parametrize("durability", ["interval", "fsync"])
def test_what_interrupts_an_append_may_sync_while_another_thread_looks_after_the_journal(
    durability: str, base: Path
) -> None:
    """As a handler of SIGTERM does that shuts down; whoever is at a sync must not wait for the append that was interrupted."""
    for nth in itertools.count():
        shutil.rmtree(base / "journal", ignore_errors=True)
        journal, clock = journal_in(base / "journal", SMALL, durability=durability)
        append_many(journal, A_SEGMENT - 1, size=SIZE)
        clock.pass_time()
        other = threading.Thread(target=journal.tend)

        def interrupt() -> None:
            other.start()  # noqa: B023
            other.join(0.02)  # noqa: B023 - it may wait for us
            append(journal, "inside")  # noqa: B023
            journal.secure()  # noqa: B023

        interruption = Interruption(nth, interrupt)
        interruption.during(lambda: append(journal, "around", size=SIZE))  # noqa: B023
        if interruption.was_there:
            other.join()
            assert journal.end == A_SEGMENT + 1
        crash(journal)
        if not interruption.was_there:
            break
