"""What an agent's answer says of tokens, cost and quality."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import otel_feedback as feedback
from otel_feedback import ActionDispatcher
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.agents import Doing, run, warnings_of

NUMBERS = ("tokens_used", "input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")


def event_of(answer: Any, pipeline: FeedbackPipeline, **options: Any) -> feedback.OutcomeEvent:
    result = run(lambda: ActionDispatcher(**options).dispatch(Doing("a", lambda _: answer)))
    assert (result["status"], result["output"]) == ("success", answer)
    return pipeline.get_recent_events()[-1]


def test_an_answer_hands_over_all_of_it(pipeline: FeedbackPipeline) -> None:
    event = event_of(
        {
            "answer": "42",
            "usage": {"input_tokens": 900, "output_tokens": 120},
            "cost": 0.0034,
            "model": "gpt-4o",
            "provider": "openai",
            "quality_score": 0.9,
            "confidence": 0.8,
        },
        pipeline,
    )
    assert [getattr(event, name) for name in NUMBERS] == [1020, 900, 120, None, None]
    assert (event.cost_estimate, event.model, event.provider, event.llm_calls) == (0.0034, "gpt-4o", "openai", 1)
    assert (event.quality_score, event.confidence_score) == (0.9, 0.8)
    assert event.metadata == {}, "what is said in the answer itself stays there"


USAGES: dict[str, tuple[Mapping[str, Any], tuple[int | None, ...]]] = {
    "total alone": ({"tokens_used": 100}, (100, None, None, None, None)),
    "total in the usage": ({"usage": {"total_tokens": 100}}, (100, None, None, None, None)),
    "None is unknown": ({"tokens_used": None, "usage": {"total_tokens": 7}}, (7, None, None, None, None)),
    "parts before the total": (
        {"tokens_used": 5, "usage": {"input_tokens": 90, "output_tokens": 10}},
        (100, 90, 10, None, None),
    ),
    "the other spelling": (
        {"usage": {"prompt_tokens": 90, "completion_tokens": 10, "total_tokens": 100}},
        (100, 90, 10, None, None),
    ),
    "ours": (
        {"usage": {"input_tokens": 90, "output_tokens": 10, "cached_input_tokens": 50, "reasoning_tokens": 4}},
        (100, 90, 10, 50, 4),
    ),
    "openai, chat": (
        {
            "usage": {
                "prompt_tokens": 90,
                "completion_tokens": 10,
                "prompt_tokens_details": {"cached_tokens": 50},
                "completion_tokens_details": {"reasoning_tokens": 4},
            }
        },
        (100, 90, 10, 50, 4),
    ),
    "openai, responses": (
        {
            "usage": {
                "input_tokens": 90,
                "output_tokens": 10,
                "input_tokens_details": {"cached_tokens": 50},
                "output_tokens_details": {"reasoning_tokens": 4},
            }
        },
        (100, 90, 10, 50, 4),
    ),
    "anthropic, whose input is without the cached": (
        {
            "usage": {
                "input_tokens": 30,
                "output_tokens": 10,
                "cache_read_input_tokens": 50,
                "cache_creation_input_tokens": 10,
            }
        },
        (100, 90, 10, 50, None),
    ),
}


@pytest.mark.parametrize("case", USAGES)
def test_usage_in_each_spelling(case: str, pipeline: FeedbackPipeline) -> None:
    answer, expected = USAGES[case]
    event = event_of(answer, pipeline)
    assert tuple(getattr(event, name) for name in NUMBERS) == expected
    assert event.metadata == {}


@pytest.mark.parametrize("answer", [None, "text", 7, ["tokens_used"], {}, {"usage": "none", "other": 1}], ids=str)
def test_an_answer_that_says_nothing_counts_nothing(answer: Any, pipeline: FeedbackPipeline) -> None:
    event = event_of(answer, pipeline)
    assert [getattr(event, name) for name in NUMBERS] == [None] * 5
    assert (event.llm_calls, event.model, event.quality_score, event.confidence_score) == (None,) * 4


def test_values_that_cannot_be_used_are_named(pipeline: FeedbackPipeline) -> None:
    event = event_of({"tokens_used": "many", "cost": -1, "confidence": 7, "quality_score": 0.5}, pipeline)
    assert (event.tokens_used, event.cost_estimate, event.confidence_score, event.quality_score) == (
        None,
        None,
        None,
        0.5,
    )
    assert set(event.metadata["otel_feedback.invalid"]) == {"total_tokens", "cost", "confidence_score"}  # type: ignore[arg-type]


def test_confidence_goes_by_the_events_name_too(pipeline: FeedbackPipeline) -> None:
    assert event_of({"confidence_score": 0.7}, pipeline).confidence_score == 0.7


def test_what_the_agent_told_of_its_action_is_not_counted_twice(pipeline: FeedbackPipeline) -> None:
    def work(_: Any) -> dict[str, Any]:
        act = feedback.current_action()
        assert act is not None
        act.add_usage(input_tokens=10, cost=0.5)
        act.score(quality=0.9)
        return {"tokens_used": 10, "cost": 0.5, "quality_score": 0.1, "confidence": 0.8}

    run(lambda: ActionDispatcher().dispatch(Doing("a", work)))
    [event] = pipeline.get_recent_events()
    assert (event.tokens_used, event.cost_estimate, event.llm_calls) == (10, 0.5, 1)
    assert (event.quality_score, event.confidence_score) == (0.9, 0.8)


def test_an_answer_tells_of_the_agent_without_the_actions_in_it(pipeline: FeedbackPipeline) -> None:
    dispatcher = ActionDispatcher()

    async def coordinate(_: Any) -> dict[str, Any]:
        await dispatcher.dispatch(Doing("helper", lambda _: {"tokens_used": 5}))
        return {"tokens_used": 2}

    run(lambda: dispatcher.dispatch(Doing("coordinator", coordinate)))
    event = pipeline.get_recent_events()[-1]
    assert (event.own_tokens, event.tokens_used) == (2, 7)


def test_a_failure_tells_nothing(pipeline: FeedbackPipeline) -> None:
    def fail(_: Any) -> None:
        raise ValueError({"tokens_used": 5})

    run(lambda: ActionDispatcher().dispatch(Doing("a", fail)))
    assert pipeline.get_recent_events()[0].tokens_used is None


class Message:
    """An answer that is no mapping."""

    tokens = 12


def test_an_extractor_reads_other_answers(pipeline: FeedbackPipeline) -> None:
    def extract(answer: Any) -> Mapping[str, Any] | None:
        return {"tokens_used": answer.tokens, "model": "m"} if isinstance(answer, Message) else None

    event = event_of(Message(), pipeline, extractor=extract)
    assert (event.tokens_used, event.model) == (12, "m")
    assert event_of({"tokens_used": 3}, pipeline, extractor=extract).tokens_used is None, "the extractor decides"


class Trap(Mapping[str, Any]):
    """A mapping that is not what it seems."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("closed")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("closed")

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize("what", ["extractor", "answer"])
def test_what_cannot_be_read_is_logged_and_changes_nothing(
    what: str, pipeline: FeedbackPipeline, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from otel_feedback.dispatch import answers
    from otel_feedback.throttle import ThrottledLog

    monkeypatch.setattr(answers, "_log", ThrottledLog(answers.logger))

    def extract(answer: Any) -> Mapping[str, Any]:
        raise RuntimeError("closed")

    event = event_of(Trap(), pipeline, **({"extractor": extract} if what == "extractor" else {}))
    assert event.status == "success"
    [line] = warnings_of(caplog, "dispatch.answers")
    assert line == "the metrics in an agent's answer could not be read: RuntimeError('closed')"
