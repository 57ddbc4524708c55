"""What `give()` takes in the same process reaches a selector by itself."""

from __future__ import annotations

import pytest

import otel_feedback as feedback
from otel_feedback import AgentSelector
from otel_feedback.learning.giving import give
from otel_feedback.pipeline.pipeline import FeedbackPipeline


def test_feedback_that_is_given_in_this_process_is_learned_from(pipeline: FeedbackPipeline) -> None:
    selector = AgentSelector(["a"], refresh_s=None)
    choice = selector.choose()
    with choice.action("answer") as act:
        pass
    choice.learn(act.event)
    selector.refresh()
    assert selector.state().agents["a"].successes == pytest.approx(1.0, abs=1e-3)
    assert give(act, score=0.25, by="u-1") is not None
    selector.refresh()
    known = selector.state().agents["a"]
    assert (known.outcomes, known.feedback, known.successes) == (1, 1, pytest.approx(0.25, abs=1e-3))
    assert give(act.event_id, score=0.75, by="u-1") is not None
    selector.refresh()
    assert selector.state().agents["a"].successes == pytest.approx(0.75, abs=1e-3)
    with feedback.action("other"):
        pass
