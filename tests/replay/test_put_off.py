"""What is converted later, and what is read back from notes after a crash, is what is converted at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import pytest

from otel_feedback.convert.conventions.builtin import CONVENTIONS
from otel_feedback.convert.noted import LostSpans
from otel_feedback.convert.outcomes import Outcomes
from otel_feedback.convert.pricing import Prices
from otel_feedback.convert.rules import Rules
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.events.started import StartedAction
from otel_feedback.journal.memory import MemoryJournal
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.pipeline.processor import OutcomeSpanProcessor
from tests.replay.captures import FILES, Run, load_runs
from tests.replay.replaying import VARIANTS, Variant, replay

# of two calls that an agent of another trace made, more is known of their place when all is read back
SAYS_MORE = {"langchain2-oi+ol-agent_tool"}
RULES = Rules(price=Prices().price)
_decode = msgspec.msgpack.Decoder(StartedAction).decode


class Kept:
    """Notes as the journal has them."""

    def __init__(self) -> None:
        self.notes: dict[str, bytes] = {}
        self.written = 0

    def write(self, left: StartedAction, texts: Collection[str | None], metadata: Mapping[str, Any]) -> bool:
        note = self.notes[left.event_id] = msgspec.msgpack.encode(left)
        assert note[-1:] != b"\0", "a journal's frame must not end so: zeros are room"
        self.written += 1
        return True

    def queue(self) -> None:
        pass

    def forget(self, ids: Sequence[str]) -> None:
        for one in ids:
            del self.notes[one]

    def lost(self) -> list[OutcomeEvent]:
        """Return the events of those that were not converted, as whoever adopts the journal makes them."""
        left = {note_id: _decode(note).ended for note_id, note in self.notes.items()}
        lost = LostSpans(left, RULES)
        return [event for note_id in left if (event := lost.event(note_id)) is not None]


def fail(exc: Exception) -> None:
    raise exc


class Played:
    """One run, with its newest events by their ids."""

    def __init__(self, run: Run, variant: Variant, notes: Kept | None) -> None:
        self.events: dict[str, OutcomeEvent] = {}
        pipeline = FeedbackPipeline(new_journal=lambda: MemoryJournal(1 << 26), rules=RULES)
        processor = OutcomeSpanProcessor(pipeline)
        self.outcomes = processor.outcomes = Outcomes(self.take, CONVENTIONS, RULES, notes=notes, failed=fail)
        replay(run.rows, [processor], variant)
        pipeline.shutdown()

    def take(self, event: OutcomeEvent, key: str, sampled: bool, is_told: bool) -> OutcomeEvent:
        self.events[event.event_id] = event
        return event


def facts(events: Mapping[str, OutcomeEvent]) -> dict[str, dict[str, Any]]:
    """Return what the events say, by their ids, but for how often it was said, and when a span was given up."""
    return {
        event_id: {name: value for name, value in event.to_dict().items() if name not in _of_when(event)}
        for event_id, event in events.items()
    }


def _of_when(event: OutcomeEvent) -> tuple[str, ...]:
    return ("revision", "timestamp") if event.metadata.get("never_ended") else ("revision",)


@pytest.mark.parametrize(("name", "least"), [("as it was", 1_000), ("parents end first", 200)])
def test_what_is_put_off_says_the_same(name: str, least: int) -> None:
    variant, written = VARIANTS[name], 0
    for run in (run for file in FILES for run in load_runs(file)):
        at_once, notes = Played(run, variant, None), Kept()
        later = Played(run, variant, notes)
        lost = {**later.events, **{event.event_id: event for event in notes.lost()}}
        later.outcomes.catch_up()
        assert facts(later.events) == facts(at_once.events), run.name
        assert not notes.notes
        assert run.name in SAYS_MORE or facts(lost) == facts(at_once.events), run.name
        written += notes.written
    assert written > least
