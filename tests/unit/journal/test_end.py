"""The end of a journal: what stays, what goes, and what is taken afterwards."""

from __future__ import annotations

from pathlib import Path

from otel_feedback.journal.interface import CLOSED
from tests.journals.disk import (
    KAFKA,
    OTLP,
    SMALL,
    append_many,
    close_action,
    crash,
    deliver_all,
    folder_of,
    journal_in,
    outcome,
    started,
)


def test_a_closed_journal_takes_nothing_more(root: Path) -> None:
    journal, clock = journal_in(root)
    cursor = journal.cursor(*KAFKA, durable=True)
    append_many(journal, 2)
    journal.close()
    assert journal.append("k", b"{}", outcome("late"), sampled=True) == CLOSED
    journal.note_start(started("late"))
    journal.forget_start("late")
    clock.pass_time()
    assert journal.tend() is False
    journal.close()
    assert (journal.end, cursor.account().appended) == (2, 2)
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    assert deliver_all(adopted.cursors[KAFKA]) == [0, 1]
    assert adopted.tend() is True
    adopted.close()
    assert list(root.iterdir()) == []


def test_a_journal_that_everybody_has_leaves_nothing(root: Path) -> None:
    journal, _ = journal_in(root)
    cursor = journal.cursor(*KAFKA, durable=True)
    journal.cursor(*OTLP, durable=False)  # what it has not got ends with the process
    append_many(journal, 50, size=300)
    deliver_all(cursor)
    journal.close()
    assert list(root.iterdir()) == []


def test_a_journal_that_never_got_anything_makes_nothing(root: Path) -> None:
    journal, clock = journal_in(root)
    journal.cursor(*KAFKA, durable=True)
    clock.pass_time()
    journal.tend()
    journal.close()
    assert not root.exists()


def test_a_closed_journal_stays_ours_until_its_actions_ended(root: Path) -> None:
    """Else somebody would say of actions that are alive that their process died."""
    journal, _ = journal_in(root)
    cursor = journal.cursor(*KAFKA, durable=True)
    journal.note_start(started("slow"))
    append_many(journal, 1)
    deliver_all(cursor)
    journal.close()
    other, _ = journal_in(root)
    assert other.adopt([KAFKA], close_action) == []
    assert folder_of(journal).exists()
    journal.forget_start("slow")
    assert not folder_of(journal).exists()


def test_actions_that_end_after_the_end_lose_nothing(root: Path) -> None:
    """The journal is at its cap: nobody would count any more what a new segment makes it drop."""
    journal, _ = journal_in(root, SMALL._replace(max_bytes=30_000))
    cursor = journal.cursor(*KAFKA, durable=True)
    for number in range(200):
        journal.note_start(started(f"a{number}"))
    append_many(journal, 60, size=300)
    journal.close()
    kept, lost = cursor.account().pending, cursor.account().lost
    for number in range(200):
        journal.forget_start(f"a{number}")
    crash(journal)
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    assert len(deliver_all(adopted.cursors[KAFKA])) == kept
    assert adopted.cursors[KAFKA].account().lost == lost
