"""Choosing by what there is to do: that it is better where contexts differ, what its events say, and without its library."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

import otel_feedback as feedback
from otel_feedback import ActionDispatcher, AgentSelector, FeedbackError
from otel_feedback.learning.selector.contextual import features_of
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.agents import run
from tests.support import run_python
from tests.unit.learning.simulated import Clock, event_of

CHANCES: Mapping[str, Mapping[str, float]] = {
    "billing": {"planner": 0.95, "writer": 0.6, "solver": 0.5},
    "code": {"planner": 0.5, "writer": 0.9, "solver": 0.6},
    "chat": {"planner": 0.7, "writer": 0.6, "solver": 0.7},
    "law": {"planner": 0.4, "writer": 0.5, "solver": 0.9},
}


def selector_of(**options: object) -> AgentSelector:
    given = {"contextual": ["topic"], "refresh_s": None, "clock": Clock(), "seed": 7, **options}
    return AgentSelector(["planner", "writer", "solver"], **given)  # pyright: ignore[reportArgumentType]


def decide(selector: AgentSelector, decisions: int, seed: int = 1) -> float:
    """Return what share of the best possible it reached, of the second half."""
    luck, reached, possible = random.Random(seed), 0.0, 0.0
    for place in range(decisions):
        topic = luck.choice(list(CHANCES))
        choice = selector.choose({"topic": topic, "secret": "not looked at"})
        chance = CHANCES[topic][choice.name]
        if luck.random() >= 0.3:
            choice.learn(float(luck.random() < chance))
        if place % 20 == 0:
            selector.refresh()
        if place >= decisions / 2:
            reached, possible = reached + chance, possible + max(CHANCES[topic].values())
    return reached / possible


def test_it_finds_who_is_best_in_which_context() -> None:
    """The best that one agent can reach in all contexts together is 0.78 of what is possible."""
    best = sum(max(chances.values()) for chances in CHANCES.values())
    alone = max(sum(chances[name] for chances in CHANCES.values()) for name in CHANCES["law"]) / best
    assert alone < 0.79
    assert decide(selector_of(), 3_000) >= 0.93
    assert decide(selector_of(contextual=()), 3_000) < 0.8


def test_a_choice_says_its_context_and_how_probable_it_was_in_that() -> None:
    selector = selector_of(floor=0.3)
    decide(selector, 600)
    drawn = Counter(selector.choose({"topic": "law"}).name for _ in range(2_000))
    choice = selector.choose({"topic": "law", "text": "what somebody wrote"})
    while choice.name != "solver":
        choice = selector.choose({"topic": "law"})
    assert dict(choice.context) == {"topic": "law"}
    assert choice.policy.startswith("squarecb:")
    assert drawn["solver"] / 2_000 == pytest.approx(choice.propensity, abs=0.04)
    assert choice.propensity > 0.5
    assert min(drawn.values()) > 0.08 * 2_000  # a tenth each is the floor


def test_without_its_context_it_chooses_as_any_other() -> None:
    selector = selector_of()
    for context in (None, {}, {"other": 1}, {"topic": object()}):
        assert selector.choose(context).policy == "thompson:0"


def test_whom_it_may_not_choose_it_does_not_choose_in_any_context() -> None:
    selector = selector_of(exclude=["solver"])
    decide_among = {selector.choose({"topic": topic}).name for topic in CHANCES for _ in range(100)}
    assert decide_among == {"planner", "writer"}


def test_the_event_has_the_context_as_metadata(pipeline: FeedbackPipeline) -> None:
    def planner(input_data: object) -> None: ...
    def writer(input_data: object) -> None: ...

    selector = AgentSelector([planner, writer], contextual=["topic", "length", "urgent"], refresh_s=None, seed=1)
    context = {"topic": "law", "length": 3, "urgent": True, "text": "what somebody wrote"}
    run(lambda: ActionDispatcher().dispatch(selector, "answer", "?", context, metadata={"k": 1}))
    [event] = pipeline.get_recent_events()
    assert event.metadata == {"k": 1, "choice.topic": "law", "choice.length": 3, "choice.urgent": True}
    assert event.choice_policy == "squarecb:0"
    assert event.choice_candidates == ("planner", "writer")


def test_an_outcome_waits_for_feedback_before_it_is_learned() -> None:
    clock = Clock()
    selector = selector_of(clock=clock, settle_s=60.0)
    choice = selector.choose({"topic": "law"})
    choice.learn(event_of(choice, clock.moment))
    selector.refresh()
    assert selector.choose({"topic": "law"}).policy == "squarecb:0"
    clock.now += 61.0
    selector.refresh()
    assert selector.choose({"topic": "law"}).policy == "squarecb:1"


def test_what_it_learned_is_there_in_the_next_process(tmp_path: Path) -> None:
    selector = selector_of(state=tmp_path / "selector.json")
    decide(selector, 1_500)
    selector.close()
    known = selector.choose({"topic": "law"}).candidates
    again = selector_of(state=tmp_path / "selector.json")
    assert known == ("planner", "writer", "solver")
    drawn = Counter(again.choose({"topic": "law"}).name for _ in range(500))
    assert drawn["solver"] > 400


@pytest.mark.parametrize("harm", [b"", b"no model"])
def test_a_model_that_cannot_be_read_is_begun_anew(
    tmp_path: Path, harm: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "selector.json.vw").write_bytes(harm)
    selector = selector_of(state=tmp_path / "selector.json")
    assert selector.choose({"topic": "law"}).policy == "squarecb:0"
    assert "begins anew" in caplog.text


def test_odd_contexts_do_no_harm() -> None:
    selector = selector_of(contextual=["a b", "x|y:z", "number"])
    odd = {"a b": "c\n|d:1 e", "x|y:z": "\u2028" * 600, "number": float("nan")}
    for context in (odd, {"number": 1e300}, {"number": -(10**400)}, {"a b": ""}, {"a b": "\ud800"}):
        choice = selector.choose(context)
        choice.learn(1.0)
        selector.refresh()
    assert features_of(odd, ["a b"]) == {"a b": "c\n|d:1 e"}
    assert feedback.AgentSelector(["a"], refresh_s=None).choose(odd).name == "a"


def test_names_that_are_none_are_named() -> None:
    with pytest.raises(FeedbackError, match="contextual is 'topic': expected a list of names"):
        selector_of(contextual="topic")
    with pytest.raises(FeedbackError, match="contextual has 1: expected names"):
        selector_of(contextual=[1])


def test_without_its_library_it_says_what_to_install_and_others_need_none() -> None:
    program = """
    import sys
    sys.modules["vowpalwabbit"] = None
    from otel_feedback import AgentSelector, FeedbackError
    AgentSelector(["a", "b"]).choose({"topic": "law"})
    try:
        AgentSelector(["a", "b"], contextual=["topic"])
    except FeedbackError as exc:
        print(exc)
    """
    done = run_python(program)
    assert done.stderr == ""
    assert "expected pip install 'otel-feedback[select]'" in done.stdout
