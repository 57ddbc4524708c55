"""The memory journal against a model: plain lists that do the same things the slow, obvious way."""

from __future__ import annotations

import threading
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from otel_feedback.events.model import OutcomeEvent, OutcomeStatus, encode
from otel_feedback.journal.cursor import JournalCursor
from otel_feedback.journal.memory import MemoryJournal

EVENT = OutcomeEvent(action_type="a", status=OutcomeStatus.SUCCESS)
PAYLOAD = encode(EVENT)


class Model:
    """One destination: what is pending, what is leased, what became of the rest."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.pending: dict[int, bool] = {}  # sequence to "leased"
        self.delivered = 0
        self.lost: dict[str, int] = {}


class JournalMachine(RuleBasedStateMachine):
    @initialize(cap=st.integers(20, 6 * len(PAYLOAD)))
    def start(self, cap: int) -> None:
        self.cap = cap
        self.journal = MemoryJournal(max_bytes=cap)
        self.sizes: list[int] = []
        self.kept: list[int] = []
        self.cursors: list[tuple[JournalCursor, Model]] = []

    @precondition(lambda self: len(self.cursors) < 3)
    @rule()
    def open_cursor(self) -> None:
        end = len(self.sizes)
        self.cursors.append((self.journal.cursor(f"x{len(self.cursors)}", "there", durable=True), Model(end)))

    @rule(size=st.integers(len(PAYLOAD), len(PAYLOAD) + 60))
    def append(self, size: int) -> None:
        sequence = self.journal.append("key", PAYLOAD.ljust(size), EVENT, sampled=True)
        assert sequence == len(self.sizes)
        self.sizes.append(size)
        if not self.cursors:
            return
        self.kept.append(sequence)
        for _, model in self.cursors:
            model.pending[sequence] = False
        while sum(self.sizes[s] for s in self.kept) > self.cap and len(self.kept) > 1:
            gone = self.kept.pop(0)
            for _, model in self.cursors:
                if model.pending.pop(gone, None) is not None:
                    model.lost["retention"] = model.lost.get("retention", 0) + 1

    @precondition(lambda self: bool(self.cursors))
    @rule(data=st.data(), most=st.integers(1, 5))
    def lease(self, data: Any, most: int) -> None:
        cursor, model = data.draw(st.sampled_from(self.cursors))
        after = max((s for s, leased in model.pending.items() if leased), default=-1)
        expected = [s for s in sorted(model.pending) if s > after and not model.pending[s]][:most]
        leased = cursor.lease(most)
        assert [record.sequence for record in leased] == expected
        for record in leased:
            model.pending[record.sequence] = True
            assert len(record.payload) == self.sizes[record.sequence]

    @precondition(lambda self: bool(self.cursors))
    @rule(data=st.data(), lost=st.sampled_from([None, None, "too_large"]))
    def settle(self, data: Any, lost: str | None) -> None:
        cursor, model = data.draw(st.sampled_from(self.cursors))
        leased = [s for s, taken in model.pending.items() if taken]
        if not leased:
            return
        sequence = data.draw(st.sampled_from(leased))
        assert cursor.settle(sequence, lost) is True
        assert cursor.settle(sequence) is False, "a record is settled once"
        del model.pending[sequence]
        if lost is None:
            model.delivered += 1
        else:
            model.lost[lost] = model.lost.get(lost, 0) + 1

    @precondition(lambda self: bool(self.cursors))
    @rule(data=st.data())
    def rewind(self, data: Any) -> None:
        cursor, model = data.draw(st.sampled_from(self.cursors))
        cursor.rewind()
        model.pending = dict.fromkeys(model.pending, False)

    @precondition(lambda self: bool(self.cursors))
    @rule(data=st.data())
    def release(self, data: Any) -> None:
        cursor, _ = data.draw(st.sampled_from(self.cursors))
        cursor.release()
        lowest = min(c.low for c, _ in self.cursors)
        self.kept = [s for s in self.kept if s >= lowest]

    @precondition(lambda self: bool(self.cursors))
    @rule(data=st.data())
    def give_up(self, data: Any) -> None:
        cursor, model = data.draw(st.sampled_from(self.cursors))
        assert cursor.give_up("shutdown") == len(model.pending)
        if model.pending:
            model.lost["shutdown"] = model.lost.get("shutdown", 0) + len(model.pending)
        model.pending = {}
        lowest = min(c.low for c, _ in self.cursors)
        self.kept = [s for s in self.kept if s >= lowest]

    @invariant()
    def accounts_agree(self) -> None:
        for cursor, model in getattr(self, "cursors", []):
            account = cursor.account()
            assert account.appended == len(self.sizes) - model.start
            assert account.delivered == model.delivered
            assert account.lost == model.lost
            assert account.pending == len(model.pending)
            assert account.appended == account.delivered + account.pending + sum(account.lost.values())
            assert cursor.low == min(model.pending, default=len(self.sizes))


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


def test_appends_from_many_threads_get_one_sequence_each() -> None:
    journal = MemoryJournal(max_bytes=10**9)
    cursor = journal.cursor("x", "there", durable=True)
    seen: list[list[int]] = [[] for _ in range(8)]

    def append(mine: list[int]) -> None:
        mine.extend(journal.append("k", PAYLOAD, EVENT, sampled=False) for _ in range(500))

    threads = [threading.Thread(target=append, args=(mine,)) for mine in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(s for mine in seen for s in mine) == list(range(4000))
    assert all(mine == sorted(mine) for mine in seen)
    assert [r.sequence for r in cursor.lease(5000)] == list(range(4000))
