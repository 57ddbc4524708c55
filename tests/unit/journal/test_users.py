"""The journal on disk of a process that is not root: directories that it may not use, and one that Kubernetes mounts."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journals.disk import KAFKA, append_many, close_action, journal_in
from tests.support import ROOT, run_python

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

USER = 4_242

PROGRAM = """
import os, stat, sys
from pathlib import Path
from otel_feedback.journal.adopted import AdoptedJournal
from tests.journals.disk import *

ROOT = Path({root!r})
# a module that is imported later may be where this user cannot read
lease_all(journal_in(ROOT / "unused")[0].cursor("x", "y", durable=True))
os.setgroups([])
os.setgid({user})
os.setuid({user})
journal, clock = journal_in(ROOT / "journal", SMALL._replace(memory_bytes=10**6))
cursor = journal.cursor(*KAFKA, durable=True)

def tended():
    clock.pass_time()
    journal.tend()
    return journal.health()
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody can get at."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def run_as_user(place: Path, program: str) -> None:
    """Run this in a process of another user."""
    ended = run_python(PROGRAM.format(root=str(place), user=USER) + program, {"PYTHONPATH": str(ROOT)})
    assert ended.returncode == 0, ended.stderr


def journal_directory(place: Path, mode: int) -> Path:
    """A directory of root's."""
    made = place / "journal"
    made.mkdir()
    made.chmod(mode)
    return made


def test_roots_directory_that_may_be_written_is_used(place: Path) -> None:
    """As volumes are that Kubernetes mounts."""
    root = journal_directory(place, 0o777)
    run_as_user(
        place,
        """
append_many(journal, 40, size=300)
health = tended()
assert (health.kind, health.problem) == ("disk", None), health
assert len(segments(folder_of(journal))) > 1
assert deliver_all(cursor) == list(range(40))
append_many(journal, 3)
crash(journal)
""",
    )
    (folder,) = root.iterdir()
    assert (folder.stat().st_uid, folder.stat().st_mode & 0o777) == (USER, 0o700)
    assert {(path.stat().st_uid, path.stat().st_mode & 0o777) for path in folder.iterdir()} == {(USER, 0o600)}


def test_what_another_user_left_is_not_taken_over(place: Path) -> None:
    """Not even root takes a folder over that somebody else made."""
    root = journal_directory(place, 0o777)
    run_as_user(place, "append_many(journal, 3)")
    (folder,) = root.iterdir()
    before = sorted(folder.iterdir())
    journal, _ = journal_in(root)
    append_many(journal, 1)
    assert journal.adopt([KAFKA], close_action) == []
    assert sorted(folder.iterdir()) == before
    assert journal.health().problem is None


IN_MEMORY = """
appended = append_many(journal, 40, size=300)
for _ in range(3):
    health = tended()
    assert health.kind == "memory", health
    assert "Permission denied" in health.problem, health
for record, its in zip(lease_all(cursor), appended, strict=True):
    assert_same(record, its)
assert journal.adopt([KAFKA], close_action) == []
assert not journal.has_orphans()
assert not journal.quarantine(record, "kafka", "too_large", "")
assert journal.secure() == 0
journal.close()
"""


def test_roots_directory_that_may_not_be_written_leaves_events_in_memory(place: Path) -> None:
    root = journal_directory(place, 0o755)
    run_as_user(place, IN_MEMORY)
    assert list(root.iterdir()) == []


def test_a_directory_that_may_not_even_be_looked_at_leaves_events_in_memory(place: Path) -> None:
    place.chmod(0o700)
    run_as_user(place, IN_MEMORY.replace("assert not journal.has_orphans()", ""))


@pytest.mark.parametrize("mode", [0o500, 0o000])
def test_a_folder_that_is_made_read_only_heals_when_it_is_writable_again(place: Path, mode: int) -> None:
    journal_directory(place, 0o777)
    run_as_user(
        place,
        f"""
append_many(journal, 1)
folder_of(journal).chmod({mode})
append_many(journal, 40, size=300)
health = tended()
assert health.kind == "memory", health
assert "Permission denied" in health.problem, health
if {mode}:
    assert len(lease_all(cursor)) == 41
folder_of(journal).chmod(0o700)
assert tended().problem is None
append_many(journal, 3)
assert [record.sequence for record in lease_all(cursor)] == list(range({41 if mode else 0}, 44))
crash(journal)
other, _ = journal_in(ROOT / "journal")
(adopted,) = other.adopt([KAFKA], close_action)
assert deliver_all(adopted.cursors[KAFKA]) == list(range(44))
""",
    )


def test_a_directory_that_cannot_be_seen_for_a_while_is_not_taken_for_gone(place: Path) -> None:
    journal_directory(place, 0o777)
    run_as_user(
        place,
        """
root = ROOT / "journal" / "mine"
journal, clock = journal_in(root, SMALL._replace(tail_bytes=10**6))
cursor = journal.cursor(*KAFKA, durable=True)
append_many(journal, 3)
root.chmod(0)
append_many(journal, 3)
assert tended().kind == "disk", "it is written through the open file"
append_many(journal, 40, size=300)
assert "Permission denied" in tended().problem
root.chmod(0o700)
assert tended().problem is None
assert [record.sequence for record in lease_all(cursor)] == list(range(46))
crash(journal)
other, _ = journal_in(root)
(adopted,) = other.adopt([KAFKA], close_action)
assert deliver_all(adopted.cursors[KAFKA]) == list(range(46))
""",
    )


def test_what_was_written_under_a_strange_umask_is_read_back(place: Path) -> None:
    journal_directory(place, 0o777)
    run_as_user(
        place,
        """
os.umask(0o777)
append_many(journal, 60, size=300)
assert tended().problem is None
assert deliver_all(cursor) == list(range(60))
assert cursor.account().lost == {}
""",
    )
