"""What waits for a topic, against a model: plain lists that do the same things the slow, obvious way."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from otel_feedback.exporters.kafka.notices import lane as notice_lane
from otel_feedback.exporters.kafka.notices.lane import Notice, NoticeLane
from tests.unit.exporters.kafka.notices.fakes import record


class LaneMachine(RuleBasedStateMachine):
    """The lane against a model: plain lists."""

    def __init__(self) -> None:
        super().__init__()
        self.lane = NoticeLane("t")
        self.waiting: list[Notice] = []
        self.flying: list[Notice] = []
        self.put_count = self.sent = self.lost = 0

    def teardown(self) -> None:
        assert self.lane.give_up() == len(self.waiting) + len(self.flying)
        assert self.lane.settled == self.put_count

    def bound(self) -> int:
        gone = 0
        while len(self.waiting) + len(self.flying) > 8 or (
            sum(len(one.value) for one in [*self.waiting, *self.flying]) > 100 and len(self.waiting) > 1
        ):
            self.waiting.pop(0)
            gone += 1
        self.lost += gone
        return gone

    @rule(size=st.sampled_from([0, 1, 10, 60, 200]))
    def put(self, size: int) -> None:
        notice = Notice(b"k", b"x" * size, [], is_event=False)
        self.put_count += 1
        self.waiting.append(notice)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(notice_lane, "MOST_NOTICES", 8)
            patch.setattr(notice_lane, "MOST_BYTES", 100)
            gone = self.lane.put(notice)
        assert gone == self.bound()

    @precondition(lambda self: not self.flying)
    @rule(most=st.integers(1, 5))
    def take(self, most: int) -> None:
        self.flying, self.waiting = self.waiting[:most], self.waiting[most:]
        assert all(one is other for one, other in zip(self.lane.take(most), self.flying, strict=True))

    @precondition(lambda self: self.flying)
    @rule(is_sent=st.booleans(), data=st.data())
    def settle(self, is_sent: bool, data: Any) -> None:
        notice = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        self.lane.settle(notice, is_sent=is_sent)
        self.lane.settle(notice, is_sent=not is_sent)  # twice is once
        self.sent += is_sent
        self.lost += not is_sent

    @rule()
    def put_back(self) -> None:
        self.waiting, self.flying = [*self.flying, *self.waiting], []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(notice_lane, "MOST_NOTICES", 8)
            patch.setattr(notice_lane, "MOST_BYTES", 100)
            assert self.lane.put_back() == self.bound()

    @invariant()
    def accounts_agree(self) -> None:
        lane = self.lane
        assert (lane.sent, lane.lost, lane.pending) == (self.sent, self.lost, len(self.waiting) + len(self.flying))
        assert lane.sent + lane.lost + lane.pending == self.put_count


TestLane = LaneMachine.TestCase
TestLane.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@settings(deadline=None, max_examples=30)
@given(text=st.integers(0, 5_000))
def test_the_smaller_forms_of_a_dead_letter_end_with_nothing_of_the_event(text: int) -> None:
    headers = [("ce_id", b"an id"), ("sequence", b"7"), ("error.reason", b"policy"), ("error.detail", b"a text")]
    letter = Notice(b"k", record(text).payload, headers, is_event=True, producer_id=b"p")
    *forms, empty, bare = letter.smaller()
    sizes = [len(form.value) for form in (letter, *forms, empty)]
    assert sizes == sorted(set(sizes), reverse=True)
    assert empty == letter._replace(value=b"")
    assert (bare.key, bare.value, bare.headers) == (b"p", b"", [headers[1], headers[2]])
