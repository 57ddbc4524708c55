"""What a journal on disk has to do, done the slow, obvious way: sets of numbers for each destination."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from otel_feedback.events import codec
from otel_feedback.events.record import Origin, Record
from otel_feedback.journal.interface import Cursor, StartedAction
from tests.journals.disk import Appended, assert_balanced, assert_same

Destination = tuple[str, str]


class CursorModel:
    """One destination: what has to come, what may come again, and where leasing stands."""

    def __init__(self, *, durable: bool = True) -> None:
        self.durable = durable
        self.pending: set[int] = set()
        self.may: set[int] = set()  # settled, but a crash came before that was certainly written down
        self.unsaved: set[int] = set()  # settled since it was last written down
        self.leased: set[int] = set()
        self.position = 0
        self.delivered = 0
        self.lost: dict[str, int] = {}

    def lease(self, records: Sequence[Record], journal: JournalModel) -> None:
        """What was leased comes in order, leaves nothing out, and is what was appended."""
        for record in records:
            number = record.sequence
            assert number >= self.position, "in order, each once"
            assert number in self.pending or number in self.may, "what is settled for good never comes again"
            assert not {n for n in self.pending if self.position <= n < number}, "nothing is left out"
            journal.assert_same(record)
            self.position = number + 1
            self.may.discard(number)
            self.pending.add(number)
            self.leased.add(number)

    def settle(self, number: int, lost: str | None) -> None:
        self.pending.remove(number)
        self.leased.remove(number)
        self.unsaved.add(number)
        if lost is None:
            self.delivered += 1
        else:
            self.lost[lost] = self.lost.get(lost, 0) + 1

    def rewind(self) -> None:
        self.leased.clear()
        self.position = 0

    def take_losses(self, cursor: Cursor, *, capped: bool) -> None:
        """What the cap removed was the oldest, and each of it is told."""
        for loss in cursor.losses():
            if loss.reason == "too_large":  # what the test itself said
                continue
            assert capped, loss
            assert loss.reason == "retention", loss
            gone = {n for n in self.pending if loss.first <= n <= loss.last}
            perhaps = {n for n in self.may if loss.first <= n <= loss.last}
            assert len(gone) <= loss.records <= len(gone) + len(perhaps)
            assert not {n for n in self.pending if n < loss.first}, "the oldest goes first"
            self.pending -= gone
            self.leased -= gone
            self.may -= perhaps
            self.unsaved |= gone
            self.lost["retention"] = self.lost.get("retention", 0) + loss.records

    def saved(self) -> None:
        self.unsaved.clear()

    def crashed(self) -> None:
        self.may |= self.unsaved
        self.unsaved = set()
        self.rewind()


class JournalModel:
    """One process's journal, while it lives and after."""

    def __init__(self, origin: Origin, folder: Path) -> None:
        self.origin = origin
        self.folder = folder
        self.records: list[Appended | StartedAction] = []  # a StartedAction for the event that closed it
        self.cursors: dict[Destination, CursorModel] = {}
        self.open_actions: dict[str, StartedAction] = {}
        self.has_folder = False

    def assert_same(self, record: Record) -> None:
        assert record.origin == self.origin
        expected = self.records[record.sequence]
        if isinstance(expected, Appended):
            assert_same(record, expected)
            return
        event = codec.decode(record.payload)
        assert (record.event_id, record.key, record.sampled) == (expected.event_id, expected.key, expected.sampled)
        assert (event.event_id, event.error_type) == (expected.event_id, "process_lost")

    def append(self, record: Appended | StartedAction) -> None:
        for cursor in self.cursors.values():
            cursor.pending.add(len(self.records))
        self.records.append(record)

    def close_actions(self) -> None:
        """The process died: each open action gets its event, in the order in which they began."""
        for action in self.open_actions.values():
            self.append(action)
        self.open_actions = {}

    def is_wanted_by(self, destinations: Sequence[Destination]) -> bool:
        """Something in it has certainly to go to one of these."""
        ours = [cursor for name, cursor in self.cursors.items() if name in destinations]
        return any(cursor.pending for cursor in ours) or bool(ours and self.open_actions)

    def is_wanted(self) -> bool:
        return self.is_wanted_by(list(self.cursors))


def assert_agrees(cursor: Cursor, model: CursorModel, journal: JournalModel) -> None:
    """A living process's account is exactly that of the model."""
    assert_balanced(cursor)
    account = cursor.account()
    assert account.appended == len(journal.records)
    assert account.delivered == model.delivered
    assert account.lost == model.lost
    assert account.pending == len(model.pending)
    assert cursor.low == min(model.pending, default=len(journal.records))


def copy_of(action: StartedAction) -> StartedAction:
    """The action as it comes back from disk."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(action), type=StartedAction)
