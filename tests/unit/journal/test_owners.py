"""Who owns a journal's folder: one process at a time, while it lives, and nobody after; and many threads in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.journals.disk import (
    KAFKA,
    append_many,
    assert_balanced,
    close_action,
    crash,
    deliver_all,
    folder_of,
    journal_in,
    lease_all,
    outcome,
    started,
)
from tests.support import ROOT, environment

PROGRAM = """
import json, os, signal, sys, time
from pathlib import Path
from tests.journals.disk import *

def tell(thing):
    print(json.dumps(thing), flush=True)

def wait():
    sys.stdin.readline()

journal, clock = journal_in(Path({root!r}))
cursor = journal.cursor(*KAFKA, durable=True)
"""

ADOPTING = """
tell("ready")
wait()
adopted = journal.adopt([KAFKA], close_action)
tell([(one.origin.producer_id, deliver_all(one.cursors[KAFKA])) for one in adopted])
wait()
"""


@contextmanager
def program(root: Path, text: str) -> Generator[subprocess.Popen[str], None, None]:
    """A process that uses the journals in this directory; it is dead afterwards."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(root=str(root)) + text],
        env=environment(PYTHONPATH=str(ROOT)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def heard(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


# -- one owner -----------------------------------------------------------------------------------------------


def test_a_living_owners_folder_is_never_taken_over(root: Path) -> None:
    journal, _ = journal_in(root)
    journal.cursor(*KAFKA, durable=True)
    journal.note_start(started("open"))
    append_many(journal, 3)
    other, _ = journal_in(root)
    assert other.has_orphans(), "there may be one: what it looks at is cheap"
    assert other.adopt([KAFKA], close_action) == []
    with program(root, ADOPTING) as process:
        assert heard(process) == "ready"
        go_on(process)
        assert heard(process) == []
        crash(journal)
        assert folder_of(journal).exists()
    (adopted,) = other.adopt([KAFKA], close_action)
    assert not other.has_orphans()
    assert other.adopt([KAFKA], close_action) == []
    assert journal_in(root)[0].adopt([KAFKA], close_action) == [], "who adopted it owns it"
    assert deliver_all(adopted.cursors[KAFKA]) == [0, 1, 2, 3]


def test_what_a_killed_process_had_appended_is_adopted(root: Path) -> None:
    with program(
        root,
        """
journal.note_start(started("open"))
append_many(journal, 100, size=200)
deliver(cursor, cursor.lease(30))
clock.pass_time()
journal.tend()
deliver(cursor, cursor.lease(10))
append_many(journal, 100, size=200)
tell(journal.origin.producer_id)
os.kill(os.getpid(), signal.SIGKILL)
""",
    ) as process:
        producer = heard(process)
        assert process.wait() == -signal.SIGKILL
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    assert adopted.origin.producer_id == producer
    cursor = adopted.cursors[KAFKA]
    records = lease_all(cursor)
    assert [record.sequence for record in records] == list(range(records[0].sequence, 201))
    assert 30 <= records[0].sequence <= 40, "what was settled and written down does not come again"
    assert [record.event_id for record in records][-2:] == ["e199", "open"]
    assert_balanced(cursor)


def test_of_many_who_want_it_one_gets_it(root: Path) -> None:
    orphans = []
    for _ in range(12):
        dead, _ = journal_in(root)
        dead.cursor(*KAFKA, durable=True)
        append_many(dead, 3)
        crash(dead)
        orphans.append(dead.origin.producer_id)
    with program(root, ADOPTING) as a, program(root, ADOPTING) as b, program(root, ADOPTING) as c:
        racers = [a, b, c]
        assert [heard(process) for process in racers] == ["ready"] * 3
        for process in racers:
            go_on(process)
        taken = [one for process in racers for one in heard(process)]  # and none lets go before all have told
    assert sorted(producer for producer, _ in taken) == sorted(orphans)
    assert all(sequences == [0, 1, 2] for _, sequences in taken)


def test_a_removal_that_was_interrupted_is_finished_by_the_next(root: Path) -> None:
    dead, _ = journal_in(root)
    append_many(dead, 1)
    crash(dead)
    for path in folder_of(dead).iterdir():
        path.unlink()
    other, _ = journal_in(root)
    assert other.adopt([KAFKA], close_action) == []
    assert not other.has_orphans()
    assert list(root.iterdir()) == []


# -- forks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaves", [True, False])
def test_a_child_that_outlives_its_parent_does_not_keep_the_parents_journal(root: Path, *, leaves: bool) -> None:
    """Unless it does not let go: that shows that there is something to let go of."""
    dead, _ = journal_in(root)
    dead.cursor(*KAFKA, durable=True)
    append_many(dead, 2)
    crash(dead)
    with program(
        root,
        f"""
append_many(journal, 3)
(adopted,) = journal.adopt([KAFKA], close_action)
child = os.fork()
if not child:
    if {leaves}:
        journal.leave_to_parent()
        # whatever it still does with what is its parent's, it touches nothing
        assert journal.append("k", b"{{}}", outcome("x"), sampled=True) == -1
        journal.note_start(started("x"))
        adopted.cursors[KAFKA].settle(0)
        adopted.tend()
        journal.close()
    own, _ = journal_in(Path({str(root)!r}))
    append_many(own, 1)
    tell(os.getpid())
    time.sleep(60)
    os._exit(0)
time.sleep(60)
""",
    ) as parent:
        child = heard(parent)
        try:
            other, _ = journal_in(root)
            assert other.adopt([KAFKA], close_action) == [], "the parent lives"
            parent.kill()
            parent.wait()
            adopted = other.adopt([KAFKA], close_action)
            os.kill(child, 0)  # the child lives
        finally:
            os.kill(child, signal.SIGKILL)
    got = {one.origin.producer_id: deliver_all(one.cursors[KAFKA]) for one in adopted}
    assert sorted(map(len, got.values())) == ([2, 3] if leaves else [])


def test_in_a_child_the_parents_journal_takes_nothing(root: Path) -> None:
    """The numbers of its descriptors may be those of other files by then."""
    journal, clock = journal_in(root)
    cursor = journal.cursor(*KAFKA, durable=True)
    append_many(journal, 3)
    before = {path: path.stat().st_size for path in folder_of(journal).iterdir()}
    journal.leave_to_parent()
    others = [os.open(root / f"other{number}", os.O_RDWR | os.O_CREAT) for number in range(8)]
    journal.append("k", b"{}", outcome("x"), sampled=True)
    journal.note_start(started("x"))
    journal.forget_start("x")
    deliver_all(cursor)
    clock.pass_time()
    journal.tend()
    journal.secure()
    journal.close()
    journal.leave_to_parent()
    for file in others:
        assert os.fstat(file).st_size == 0
        os.close(file)
    assert {path: path.stat().st_size for path in folder_of(journal).iterdir()} == before


def test_nor_does_a_child_that_is_forked_while_its_parent_takes_journals_over(root: Path) -> None:
    """As the workers of a server are, which forks as soon as it has read its program."""
    for _ in range(2):
        dead, _ = journal_in(root)
        dead.cursor(*KAFKA, durable=True)
        dead.note_start(started("open"))
        append_many(dead, 2)
        crash(dead)
    with program(
        root,
        """
import threading
began, wait, seen = threading.Event(), threading.Event(), []

def slow(action, died):
    seen.append(action)
    if len(seen) == 2:  # one is taken over, the other is being taken over
        began.set()
        wait.wait()
    return close_action(action, died)

thread = threading.Thread(target=journal.adopt, args=([KAFKA], slow))
thread.start()
began.wait()
child = os.fork()
if not child:
    journal.leave_to_parent()
    tell(os.getpid())
    time.sleep(60)
    os._exit(0)
wait.set()
thread.join()
time.sleep(60)
""",
    ) as parent:
        child = heard(parent)
        try:
            other, _ = journal_in(root)
            parent.kill()
            parent.wait()
            adopted = other.adopt([KAFKA], close_action)
            os.kill(child, 0)  # the child lives
        finally:
            os.kill(child, signal.SIGKILL)
    assert sorted(len(deliver_all(one.cursors[KAFKA])) for one in adopted) == [3, 3]
