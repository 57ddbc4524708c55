"""Whatever an agent hands in, its own code goes on, and the event says what had to be changed."""

from __future__ import annotations

import enum
import json
import logging
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import otel_feedback as feedback
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.redaction.limits import MAX_ITEMS, MAX_NAME, MAX_STACK, MAX_TEXT


class Hostile:
    """Raises from wherever it is touched."""

    def __str__(self) -> str:
        raise RuntimeError("no str")

    __repr__ = __str__

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no iter")


class HostileMapping(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("no item")

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


class Color(enum.Enum):
    RED = "red"


def _run(**given_: Any) -> feedback.OutcomeEvent:
    with feedback.action("work", **given_) as act:
        pass
    assert act.event is not None
    json.loads(act.event.to_json())
    return act.event


def test_wrong_types_become_text_and_are_named(pipeline: FeedbackPipeline) -> None:
    event = _run(agent=Color.RED, workflow_id=12, tags="one", metadata=[1], timeout_s="soon")
    assert (event.agent_name, event.workflow_id, event.tags) == ("red", "12", ("one",))
    assert event.metadata == {"otel_feedback.invalid": ["agent_name", "workflow_id", "tags", "metadata", "timeout_s"]}


def test_values_that_json_cannot_hold(pipeline: FeedbackPipeline) -> None:
    event = _run(
        metadata={
            "uuid": uuid.UUID(int=1), "time": datetime(2026, 1, 1, tzinfo=timezone.utc), "money": Decimal("1.50"),
            "object": object(), "bytes": b"\x00secret", "nan": float("nan"), "big": 10**30, "none": None,
            "set": {1}, "mixed": [1, "a"], "nested": {"a": {"b": 1}}, 5: "key", "enum": Color.RED, "hostile": Hostile(),
        }
    )  # fmt: skip
    assert event.metadata == {
        "uuid": "00000000-0000-0000-0000-000000000001", "time": "2026-01-01 00:00:00+00:00", "money": "1.50",
        "object": "<object>", "bytes": "<bytes>", "nan": "<float>", "big": str(10**30),
        "set": [1], "mixed": ["1", "a"], "nested.a.b": 1, "5": "key", "enum": "red", "hostile": "<Hostile>",
        "otel_feedback.invalid": [
            "metadata.object", "metadata.bytes", "metadata.nan", "metadata.big", "metadata", "metadata.hostile",
        ],
    }  # fmt: skip


def test_huge_values_are_cut_and_flagged(pipeline: FeedbackPipeline) -> None:
    huge = "x" * 1_000_000
    with (
        pytest.raises(ValueError, match="xxx"),
        feedback.action(
            huge,
            agent=huge,
            tags=[huge, *map(str, range(1000))],
            metadata={"k": huge, **{str(i): i for i in range(1000)}},
        ),
    ):
        raise ValueError(huge)
    [event] = pipeline.get_recent_events()
    assert len(event.action_type) == MAX_NAME
    assert event.agent_name == "x" * MAX_NAME
    assert len(event.tags) == MAX_ITEMS
    assert len(event.metadata) == MAX_ITEMS + 1
    assert event.metadata["k"] == "x" * MAX_TEXT
    assert len(event.error_message or "") == MAX_TEXT
    assert len(event.stack_trace or "") == MAX_STACK
    assert set(event.metadata["otel_feedback.truncated"]) == {  # type: ignore[arg-type]
        "action_type", "agent_name", "tags", "metadata.k", "metadata", "error_message", "stack_trace",
    }  # fmt: skip
    assert len(event.to_json()) < 50_000


def test_hostile_objects_do_not_reach_the_agent(pipeline: FeedbackPipeline) -> None:
    class HostileError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no str")

    raised = HostileError()
    with pytest.raises(HostileError) as caught:
        with feedback.action(Hostile(), agent=Hostile(), tags=Hostile(), metadata=HostileMapping()) as act:  # type: ignore[arg-type]
            act.tag(Hostile())  # type: ignore[arg-type]
            act.set_metadata(HostileMapping())
            act.set_metadata(Hostile())  # type: ignore[arg-type]
            act.partial(Hostile())  # type: ignore[arg-type]
            raise raised
    assert caught.value is raised
    [event] = pipeline.get_recent_events()
    assert event.action_type == "<Hostile>"
    assert event.error_message == "<HostileError>"


@pytest.mark.parametrize("bad", [-1, True, "3", 1.5, float("nan"), 10**30, [], Hostile()])
def test_amounts_that_are_none_are_left_out_and_named(bad: Any, pipeline: FeedbackPipeline) -> None:
    with feedback.action("work") as act:
        act.add_usage(input_tokens=5)
        act.add_usage(input_tokens=bad, cost=-1 if bad in (1.5, 10**30) else bad, llm_latency_ms=-2)
        act.score(quality=bad, confidence=7)
    event = act.event
    assert event is not None
    assert (event.input_tokens, event.cost_estimate, event.llm_latency_ms) == (5, None, None)
    assert (event.quality_score, event.confidence_score) == (None, None)
    assert event.metadata["otel_feedback.invalid"] == [
        "input_tokens", "cost", "llm_latency_ms", "quality_score", "confidence_score",
    ]  # fmt: skip


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=12,
)


@given(anything, anything, anything)
def test_anything_at_all_gives_an_event_that_round_trips(tags: Any, metadata: Any, amount: Any) -> None:
    from otel_feedback.bootstrap import get_feedback_pipeline

    with feedback.action(tags, agent=amount, tags=tags, metadata=metadata, timeout_s=amount, user_id=metadata) as act:
        act.add_usage(model=tags, input_tokens=amount, cost=amount)
        act.score(quality=amount)
        act.set_metadata(metadata)
        act.tag(amount)
    recent = get_feedback_pipeline().get_recent_events(1)
    assert act.event == recent[0]
    assert feedback.OutcomeEvent.from_json(recent[0].to_json()) == recent[0]


@pytest.fixture(autouse=True)
def _pipeline_for_all(pipeline: FeedbackPipeline) -> None:
    """Have every test here run configured."""


def test_record_outcome_takes_valid_events_only(pipeline: FeedbackPipeline, caplog: pytest.LogCaptureFixture) -> None:
    good = feedback.OutcomeEvent(action_type="a", status=feedback.OutcomeStatus.SUCCESS)
    bad = feedback.OutcomeEvent(action_type="a", status=feedback.OutcomeStatus.SUCCESS, duration_ms="long")  # type: ignore[arg-type]
    assert pipeline.record_outcome(good) is True
    with caplog.at_level(logging.WARNING):
        assert pipeline.record_outcome(bad) is False
    assert "duration_ms" in caplog.text
    assert pipeline.record_outcome({"action_type": "a"}) is False  # type: ignore[arg-type]
    assert pipeline.metrics()["recorded"] == 1
    assert pipeline.metrics()["not_recorded"] == {"invalid": 2}
    assert pipeline.get_recent_events() == [good]


def test_times_of_events_made_by_hand_need_a_zone_and_become_utc(pipeline: FeedbackPipeline) -> None:
    here = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    common: dict[str, Any] = {"action_type": "a", "status": feedback.OutcomeStatus.SUCCESS}
    assert pipeline.record_outcome(feedback.OutcomeEvent(timestamp=here, **common)) is True
    assert pipeline.get_recent_events()[0].to_dict()["timestamp"] == "2026-01-01T10:00:00Z"
    assert pipeline.record_outcome(feedback.OutcomeEvent(timestamp=here.replace(tzinfo=None), **common)) is False


def test_an_outcome_that_cannot_be_written_is_counted_once(
    pipeline: FeedbackPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(event: object) -> bytes:
        raise OverflowError("too big")

    monkeypatch.setattr("otel_feedback.pipeline.pipeline.pack", fail)
    monkeypatch.setattr("otel_feedback.events.codec.encode", fail)
    with feedback.action("work") as act:
        pass
    assert act.event is None
    assert pipeline.metrics()["not_recorded"] == {"unencodable": 1}
    assert pipeline.metrics()["recorded"] == 0


def test_after_shutdown_outcomes_are_counted_and_nothing_raises(
    pipeline: FeedbackPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    with feedback.action("before"):
        pass
    assert pipeline.shutdown(timeout_s=5) is True
    with caplog.at_level(logging.WARNING):
        acts: list[feedback.Action] = []
        for _ in range(3):
            with feedback.action("after") as act:
                act.add_usage(input_tokens=1)
            acts.append(act)
    assert [act.event for act in acts] == [None] * 3
    assert pipeline.metrics()["not_recorded"] == {"after_shutdown": 3}
    assert caplog.text.count("after shutdown()") == 1
    assert pipeline.shutdown() is True, "idempotent"
    assert pipeline.force_flush(1) is True
    assert [e.action_type for e in pipeline.get_recent_events()] == ["before"]


def test_attributes_set_by_hand_that_do_not_fit_are_left_out(pipeline: FeedbackPipeline) -> None:
    from opentelemetry import trace

    with feedback.action("work"):
        span = trace.get_current_span()
        span.set_attribute("gen_ai.usage.input_tokens", "many")
        span.set_attribute("outcome.quality_score", 0.5)
    [event] = pipeline.get_recent_events()
    assert (event.input_tokens, event.quality_score) == (None, 0.5)
    assert event.metadata["otel_feedback.invalid"] == ["input_tokens"]
