"""Many processes, one after the other, in one directory; each has a journal, and a model of it that is checked along."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from hypothesis.stateful import RuleBasedStateMachine

from otel_feedback.journal.adopted import AdoptedJournal
from otel_feedback.journal.cursor import JournalCursor
from otel_feedback.journal.interface import CLOSED
from tests.journals.disk import (
    BOTH,
    SMALL,
    append,
    close_action,
    crash,
    fast_folder,
    folder_of,
    journal_in,
    lease_all,
    outcome,
)
from tests.property.journal_model import CursorModel, JournalModel

LOCAL = ("local", "here")
"""A destination that ends with the process."""

CAP_BYTES = 14_000


class JournalLives(RuleBasedStateMachine):
    """What the rules are made of."""

    capped = False

    def __init__(self) -> None:
        super().__init__()
        self.root = fast_folder() / "journal"
        self.dead: list[JournalModel] = []
        self.adopted: list[tuple[AdoptedJournal, JournalModel]] = []
        self.names = 0

    def begin(self, local: bool) -> None:
        """A new process: its destinations are known before anything is appended."""
        limits = SMALL._replace(max_bytes=CAP_BYTES) if self.capped else SMALL
        self.journal, self.clock = journal_in(self.root, limits)
        self.living = JournalModel(self.journal.origin, folder_of(self.journal))
        self.cursors: dict[tuple[str, str], JournalCursor] = {}
        self.most_opened = 0
        for name in [*BOTH, LOCAL][: 3 if local else 2]:
            durable = name != LOCAL
            self.cursors[name] = self.journal.cursor(*name, durable=durable)
            self.living.cursors[name] = CursorModel(durable=durable)

    def name(self) -> str:
        self.names += 1
        return f"e{self.names}"

    def take_losses(self) -> None:
        for name, cursor in self.cursors.items():
            self.living.cursors[name].take_losses(cursor, capped=self.capped)
        for adopted, model in self.adopted:
            for name, cursor in adopted.cursors.items():
                model.cursors[name].take_losses(cursor, capped=self.capped)

    def put(self, event_id: str, size: int, revision: int, sampled: bool) -> None:
        appended = append(self.journal, event_id, size=size, revision=revision, sampled=sampled)
        assert appended.sequence == len(self.living.records)
        self.living.append(appended)
        self.living.has_folder = True
        if revision:
            self.living.open_actions.pop(event_id, None)

    def places(self) -> list[tuple[JournalCursor, CursorModel, JournalModel]]:
        """Every cursor that somebody works on, the living one's and those that were adopted."""
        return [(cursor, self.living.cursors[name], self.living) for name, cursor in self.cursors.items()] + [
            (cursor, model.cursors[name], model)
            for adopted, model in self.adopted
            for name, cursor in adopted.cursors.items()
        ]

    def deliver(self, cursor: JournalCursor, its: CursorModel, model: JournalModel, but: int) -> None:
        """Lease everything, and settle all but the newest few."""
        its.lease(lease_all(cursor), model)
        for number in sorted(its.leased)[: -but or None]:
            assert cursor.settle(number)
            its.settle(number, None)
        cursor.release()

    def take_over(self, destinations: Sequence[tuple[str, str]]) -> None:
        """The living process adopts what there is for these."""
        in_hand = [model for _, model in self.adopted]
        for adopted in self.journal.adopt(destinations, close_action):
            (model,) = [model for model in self.dead if model.origin == adopted.origin]
            assert model not in in_hand
            assert set(adopted.cursors) == set(destinations) & set(model.cursors)
            model.close_actions()
            assert adopted.end == len(model.records), "each open action became one event, and nothing else did"
            self.adopted.append((adopted, model))
        in_hand = [model for _, model in self.adopted]
        for model in [model for model in self.dead if model not in in_hand]:
            assert not model.is_wanted_by(destinations)
            self.see_whether_it_is_gone(model)

    def see_whether_it_is_gone(self, model: JournalModel) -> None:
        if model.folder.exists():
            return
        assert not model.is_wanted(), "the folder went, and somebody has not got everything"
        self.dead.remove(model)

    def let_go(self, adopted: AdoptedJournal, model: JournalModel) -> None:
        adopted.close()
        self.adopted = [(other, its) for other, its in self.adopted if other is not adopted]
        for cursor in model.cursors.values():
            cursor.saved()
            cursor.rewind()
        self.see_whether_it_is_gone(model)

    def end_of_process(self) -> None:
        crash(self.journal)
        for _, model in self.adopted:
            for cursor in model.cursors.values():
                cursor.crashed()
        self.adopted = []
        model = self.living
        model.cursors = {name: cursor for name, cursor in model.cursors.items() if cursor.durable}
        for cursor in model.cursors.values():
            cursor.crashed()
        if model.has_folder:
            self.dead.append(model)

    def close(self, *, actions_end: bool) -> None:
        for pair in list(self.adopted):
            self.let_go(*pair)
        kept = self.journal.secure()
        assert kept == len(self.living.records), "all of it stays for others"
        for name, cursor in self.cursors.items():
            its = self.living.cursors[name]
            pending = 0 if its.durable else len(its.pending)
            assert cursor.give_up("shutdown", kept if its.durable else 0) == pending
        self.journal.close()
        for cursor in self.living.cursors.values():
            cursor.saved()
        assert self.journal.append("k", b"{}", outcome("late"), sampled=True) == CLOSED
        if actions_end:
            for event_id in list(self.living.open_actions):
                self.journal.forget_start(event_id)
                del self.living.open_actions[event_id]
        self.end_of_process()
        if self.living.has_folder:
            if not self.living.is_wanted():
                assert not self.living.folder.exists(), "everybody has everything"
            self.see_whether_it_is_gone(self.living)

    def end_of_lives(self) -> None:
        """Whatever happened: somebody who comes last delivers all that is left, and nothing remains."""
        try:
            if hasattr(self, "journal"):
                self.end_of_process()
                self.begin(local=False)
                self.take_over(BOTH)
                self.take_losses()
                for adopted, model in list(self.adopted):
                    for name, cursor in adopted.cursors.items():
                        self.deliver(cursor, model.cursors[name], model, 0)
                        assert not model.cursors[name].pending
                    assert adopted.tend() is True
                    self.let_go(adopted, model)
                assert self.dead == []
                assert not self.root.exists() or list(self.root.iterdir()) == []
        finally:
            shutil.rmtree(self.root.parent)
