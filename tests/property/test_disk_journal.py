"""The journal on disk against a model, over many lives: processes append, deliver, die, and others take over."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.journals.disk import (
    BOTH,
    KAFKA,
    OTLP,
    assert_balanced,
    lease_all,
    segment_bytes,
    segments,
    started,
)
from tests.property.journal_lives import CAP_BYTES, LOCAL, JournalLives
from tests.property.journal_model import assert_agrees

sizes = st.sampled_from([0, 100, 700, 3_000])
lost = st.sampled_from([None, None, "too_large"])


OVERHANG_BYTES = 9_000
"""The record that makes a segment full is in it as a whole, and so is its state; open actions come on top."""


class DiskJournalMachine(JournalLives):
    @initialize(local=st.booleans())
    def first_process(self, local: bool) -> None:
        self.begin(local)

    # -- what agents do ------------------------------------------------------------------------------------

    @rule(size=sizes, count=st.integers(1, 5), sampled=st.booleans())
    def append(self, size: int, count: int, sampled: bool) -> None:
        for _ in range(count):
            self.put(self.name(), size, 1, sampled)

    @rule(size=sizes)
    def start_action(self, size: int) -> None:
        action = started(self.name(), text="é" * size)
        self.journal.note_start(action)
        self.living.open_actions[action.event_id] = action
        self.living.has_folder = True

    @precondition(lambda self: bool(self.living.open_actions))
    @rule(data=st.data(), revision=st.sampled_from([0, 1, 1, 2]))
    def append_of_action(self, data: st.DataObject, revision: int) -> None:
        """Revision 0 says that the action is pending: it goes on."""
        self.put(data.draw(st.sampled_from(list(self.living.open_actions))), 10, revision, sampled=True)

    @precondition(lambda self: bool(self.living.open_actions))
    @rule(data=st.data())
    def forget_action(self, data: st.DataObject) -> None:
        event_id = data.draw(st.sampled_from(list(self.living.open_actions)))
        self.journal.forget_start(event_id)
        del self.living.open_actions[event_id]

    # -- what workers do -----------------------------------------------------------------------------------

    @rule(data=st.data(), most=st.integers(1, 9))
    def lease(self, data: st.DataObject, most: int) -> None:
        cursor, model, journal = data.draw(st.sampled_from(self.places()))
        records = cursor.lease(most)
        model.lease(records, journal)
        assert len(records) <= most
        if len(records) < most:
            assert not {n for n in model.pending if n >= model.position}, "fewer than asked for: there are no more"

    @rule(data=st.data())
    def lease_everything(self, data: st.DataObject) -> None:
        cursor, model, journal = data.draw(st.sampled_from(self.places()))
        model.lease(lease_all(cursor), journal)
        assert not {n for n in model.pending if n >= model.position}, "all that is pending was leased"

    @rule(data=st.data(), reason=lost)
    def settle(self, data: st.DataObject, reason: str | None) -> None:
        cursor, model, _ = data.draw(st.sampled_from(self.places()))
        if not model.leased:
            return
        number = data.draw(st.sampled_from(sorted(model.leased)))
        assert cursor.settle(number, reason) is True
        assert cursor.settle(number) is False, "a record is settled once"
        model.settle(number, reason)

    @rule(data=st.data())
    def settle_all_that_is_leased(self, data: st.DataObject) -> None:
        cursor, model, _ = data.draw(st.sampled_from(self.places()))
        for number in sorted(model.leased):
            assert cursor.settle(number) is True
            model.settle(number, None)
        cursor.release()

    @rule(but=st.integers(0, 3))
    def everybody_is_quick(self, but: int) -> None:
        """Every destination that outlives this process gets everything but the newest few."""
        for name, cursor in self.cursors.items():
            if name != LOCAL:
                self.deliver(cursor, self.living.cursors[name], self.living, but)

    @rule(data=st.data())
    def rewind(self, data: st.DataObject) -> None:
        cursor, model, _ = data.draw(st.sampled_from(self.places()))
        cursor.rewind()
        model.rewind()

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        cursor, _, _ = data.draw(st.sampled_from(self.places()))
        cursor.release()

    # -- what the journal's thread does --------------------------------------------------------------------

    @rule(time_passes=st.booleans())
    def tend(self, time_passes: bool) -> None:
        if time_passes:
            self.clock.pass_time()
        self.journal.tend()
        self.take_losses()
        for cursor in self.living.cursors.values():
            cursor.saved()
        if self.living.records:
            firsts = [int(path.stem) for path in segments(self.living.folder)]
            lowest = min(cursor.low for cursor in self.cursors.values())
            assert all(first > lowest for first in firsts[1:2]), "what everybody has is gone"

    @precondition(lambda self: bool(self.adopted))
    @rule(data=st.data())
    def tend_adopted(self, data: st.DataObject) -> None:
        adopted, model = data.draw(st.sampled_from(self.adopted))
        ours = [model.cursors[name] for name in adopted.cursors]
        if adopted.tend():
            assert not any(cursor.pending for cursor in ours)
        else:
            assert any(cursor.pending or cursor.may for cursor in ours)
        for cursor in model.cursors.values():
            cursor.saved()

    @precondition(lambda self: bool(self.adopted))
    @rule(data=st.data(), but=st.integers(0, 3))
    def deliver_adopted(self, data: st.DataObject, but: int) -> None:
        """One destination gets everything but the newest few, and what is left of no use goes."""
        adopted, model = data.draw(st.sampled_from(self.adopted))
        name = data.draw(st.sampled_from(sorted(adopted.cursors)))
        self.deliver(adopted.cursors[name], model.cursors[name], model, but)
        adopted.tend()
        for cursor in model.cursors.values():
            cursor.saved()

    @rule(
        destinations=st.sampled_from([[KAFKA, OTLP], [KAFKA], [OTLP], [("kafka", "elsewhere")], [KAFKA, ("log", "x")]])
    )
    def adopt(self, destinations: Sequence[tuple[str, str]]) -> None:
        # the losses of a cursor that is not ours are told to nobody yet
        self.take_over(BOTH if self.capped else destinations)

    @precondition(lambda self: bool(self.adopted))
    @rule(data=st.data())
    def let_go_of_adopted(self, data: st.DataObject) -> None:
        pair = data.draw(st.sampled_from(self.adopted))
        self.let_go(*pair)

    # -- the end of a process ------------------------------------------------------------------------------

    @rule(local=st.booleans(), how=st.sampled_from(["killed", "killed", "in order", "in the middle of actions"]))
    def end(self, local: bool, how: str) -> None:
        """One process ends, and another begins."""
        if how == "killed":
            self.end_of_process()
        else:
            self.close(actions_end=how == "in order")
        self.begin(local)

    # -- always --------------------------------------------------------------------------------------------

    @invariant()
    def accounts_agree(self) -> None:
        if not hasattr(self, "journal"):
            return
        self.take_losses()
        for name, cursor in self.cursors.items():
            assert_agrees(cursor, self.living.cursors[name], self.living)
        for adopted, model in self.adopted:
            for name, cursor in adopted.cursors.items():
                assert_balanced(cursor)
                its = model.cursors[name]
                account = cursor.account()
                assert account.appended == len(model.records)
                assert len(its.pending) <= account.pending <= len(its.pending) + len(its.may)
                assert set(account.lost) <= {"too_large", "retention"}
        for model in self.dead:
            assert model.folder.exists()

    @invariant()
    def health_is_what_is_on_disk(self) -> None:
        if not hasattr(self, "journal"):
            return
        health = self.journal.health()
        others = sum(segment_bytes(model.folder) for _, model in self.adopted)
        assert health.bytes == segment_bytes(self.living.folder) + others
        assert health.segments == len(segments(self.living.folder))
        assert (health.kind, health.problem, health.damaged_bytes) == ("disk", None, 0)
        assert health.open_actions == len(self.living.open_actions)
        opened = sum(len(msgspec.json.encode(action)) + 20 for action in self.living.open_actions.values())
        self.most_opened = max(self.most_opened, opened)
        if self.capped:
            # the newest two stay, however large
            most = max(CAP_BYTES + OVERHANG_BYTES, 2 * (self.most_opened + OVERHANG_BYTES))
            assert segment_bytes(self.living.folder) <= most

    def teardown(self) -> None:
        self.end_of_lives()


class CappedJournalMachine(DiskJournalMachine):
    """The same with a cap of three segments or so."""

    capped = True


TestDiskJournal = DiskJournalMachine.TestCase
TestDiskJournal.settings = settings(max_examples=250, stateful_step_count=60, deadline=None)
TestCappedJournal = CappedJournalMachine.TestCase
TestCappedJournal.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
