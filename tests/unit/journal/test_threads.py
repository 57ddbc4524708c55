"""Many threads in one journal, and many that want the same folders; they take turns all the time."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from otel_feedback.journal.cursor import JournalCursor
from tests.journals.disk import (
    BOTH,
    KAFKA,
    SMALL,
    Appended,
    append,
    append_many,
    assert_balanced,
    assert_same,
    close_action,
    crash,
    deliver_all,
    journal_in,
    started,
)


@pytest.fixture(autouse=True)
def restless() -> Iterator[None]:
    """Threads take turns all the time."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def test_of_many_threads_that_take_over_and_finish_each_record_goes_to_one(root: Path) -> None:
    """Folders are removed while others try to claim them."""
    for _ in range(60):
        dead, _ = journal_in(root)
        dead.cursor(*KAFKA, durable=True)
        append_many(dead, 2)
        crash(dead)
    got: list[tuple[str, list[int]]] = []

    def take_over() -> None:
        journal, _ = journal_in(root)
        while journal.has_orphans():
            for adopted in journal.adopt([KAFKA], close_action):
                got.append((adopted.origin.producer_id, deliver_all(adopted.cursors[KAFKA])))
                assert adopted.tend() is True
                adopted.close()

    threads = [threading.Thread(target=take_over) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == len({producer for producer, _ in got}) == 60
    assert all(sequences == [0, 1] for _, sequences in got)
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("capped", [False, True])
def test_many_threads_append_while_others_lease_and_tend(root: Path, *, capped: bool) -> None:
    """Segments end, are read back and removed all the time; each destination gets each record once, in order.

    With a cap they are also removed before everybody has them, and each record is either delivered or counted.
    """
    max_bytes = 50_000 if capped else SMALL.max_bytes
    journal, clock = journal_in(root, SMALL._replace(segment_bytes=10_000, tail_bytes=3_000, max_bytes=max_bytes))
    cursors = [journal.cursor(*name, durable=True) for name in BOTH]
    appended: list[list[Appended]] = [[] for _ in range(8)]
    done = threading.Event()
    failures: list[BaseException] = []

    def guarded(work: Any, *args: Any) -> threading.Thread:
        def run() -> None:
            try:
                work(*args)
            except BaseException as exc:
                failures.append(exc)
                done.set()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def agent(which: int) -> None:
        for number in range(250):
            event_id = f"{which}-{number}"
            journal.note_start(started(event_id))
            journal.note_start(started(f"no event of {event_id}"))
            journal.forget_start(f"no event of {event_id}")
            appended[which].append(append(journal, event_id, size=number % 300))

    def worker(cursor: JournalCursor, got: dict[int, Any]) -> None:
        chance = random.Random(1)
        while not done.is_set() or cursor.available() > 0:
            records = cursor.lease(chance.choice([1, 7, 100]))
            assert [record.sequence for record in records] == sorted(record.sequence for record in records)
            if chance.random() < 0.1:
                cursor.rewind()
                continue
            for record in records:
                if cursor.settle(record.sequence):
                    got[record.sequence] = record
                else:
                    assert capped
            cursor.release()
            assert_balanced(cursor)

    def keeper() -> None:
        while not done.is_set():
            clock.pass_time()
            journal.tend()
            journal.health()
            time.sleep(0.001)

    got: list[dict[int, Any]] = [{} for _ in cursors]
    workers = [guarded(worker, cursor, its) for cursor, its in zip(cursors, got, strict=True)]
    tending = guarded(keeper)
    agents = [guarded(agent, which) for which in range(8)]
    for thread in agents:
        thread.join()
    done.set()
    for thread in [*workers, tending]:
        thread.join()
    assert failures == []
    everything = {its.sequence: its for mine in appended for its in mine}
    assert sorted(everything) == list(range(2_000))
    for mine in appended:
        assert [its.sequence for its in mine] == sorted(its.sequence for its in mine)
    for cursor, its in zip(cursors, got, strict=True):
        for sequence, record in its.items():
            assert_same(record, everything[sequence])
        account = cursor.account()
        assert (account.appended, account.delivered, account.pending) == (2_000, len(its), 0)
        assert account.lost == ({"retention": 2_000 - len(its)} if len(its) < 2_000 else {})
        assert capped or len(its) == 2_000
        told = {n for loss in cursor.losses() for n in range(loss.first, loss.last + 1)}
        assert told | set(its) == set(everything), "each is delivered, or told to be lost"
    assert journal.health().open_actions == 0
    assert journal.health().damaged_bytes == 0
    journal.close()
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("look", ["account", "losses", "deliver", "settle", "lease"])
def test_nobody_with_the_journals_lock_waits_for_who_is_at_a_cursor(look: str, root: Path) -> None:
    """Who is at one may be interrupted by a handler of a signal that records an action, and waits for that lock."""
    journal, clock = journal_in(root, SMALL._replace(max_bytes=64_000))
    cursor = journal.cursor(*KAFKA, durable=True)
    append_many(journal, 3)
    first = cursor.lease(1)[0].sequence
    calls: dict[str, Callable[[], object]] = {
        "account": cursor.account, "losses": cursor.losses, "deliver": lambda: cursor.deliver([first]),
        "settle": lambda: cursor.settle(first), "lease": lambda: cursor.lease(2),
    }  # fmt: skip
    waited: list[bool] = []

    def beside() -> None:
        clock.pass_time()
        journal.tend()  # writes the cursors down
        append_many(journal, 20, size=4_000)  # begins segments, and drops some

    def interrupt(frame: FrameType, event: str, _arg: object) -> Any:
        if event == "line" and len(waited) < 30 and not any(waited):
            other = threading.Thread(target=beside, daemon=True)
            other.start()
            other.join(20)
            waited.append(other.is_alive())
        return interrupt if frame.f_code.co_filename.endswith("cursor.py") else None

    sys.settrace(interrupt)
    try:
        calls[look]()
    finally:
        sys.settrace(None)
    assert waited
    assert not any(waited)
    assert cursor.account().lost["retention"] > 0
    assert_balanced(cursor)
