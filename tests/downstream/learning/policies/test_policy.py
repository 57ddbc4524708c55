"""Policies as people write them, and what is said of those that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from otel_feedback.downstream.learning.policies.policy import PolicyError, policy_of


def test_the_forms_of_a_policy() -> None:
    assert policy_of("always:planner").probabilities(["planner", "writer"]) == {"planner": 1.0, "writer": 0.0}
    assert policy_of("uniform").probabilities(["a", "b", "c", "d"]) == dict.fromkeys("abcd", 0.25)
    weights = policy_of("weights:planner=7, writer=3")
    assert weights.probabilities(["planner", "writer", "critic"]) == {"planner": 0.7, "writer": 0.3, "critic": 0.0}
    assert policy_of("weights:team=a=1").probabilities(["team=a"]) == {"team=a": 1.0}


def test_a_policy_is_of_those_that_may_be_chosen() -> None:
    weights = policy_of("weights:planner=0.7,writer=0.3")
    assert weights.probabilities(["writer", "critic"]) == {"writer": 1.0, "critic": 0.0}
    assert weights.probabilities(["critic"]) is None


@pytest.mark.parametrize(
    "state",
    [
        {"planner": 0.75, "writer": 0.25},
        {"schema_version": "1.0", "version": 3, "agents": {"planner": {"probability": 0.75, "mean": 0.9}, "writer": {"probability": 0.25}}},
    ],
    ids=["names and numbers", "exported"],
)  # fmt: skip
def test_the_state_of_a_selector_is_a_policy(state: object, tmp_path: Path) -> None:
    path = tmp_path / "selector.json"
    path.write_text(json.dumps(state))
    assert policy_of(f"state:{path}").probabilities(["planner", "writer"]) == {"planner": 0.75, "writer": 0.25}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("planner", "is no policy: expected always:AGENT, uniform"), ("uniform:a", "is no policy"), ("always:", "is no policy"),
        ("weights:planner", "'planner' is no weight of an agent: expected weights:planner=0.7,writer=0.3"),
        ("weights:a=x", "'a=x' is no weight"), ("weights:=1", "'=1' is no weight"), ("weights:a=1,a=2", "a is there twice"),
        ("weights:a=-1", "a has -1.0: expected a number from 0"), ("weights:a=nan", "a has nan"), ("weights:a=inf", "a has inf"),
        ("weights:a=0,b=0", "no agent has a weight above 0"), ("state:/nowhere/s.json", "cannot be read: No such file"),
    ],
)  # fmt: skip
def test_what_is_no_policy_is_told_what_would_be_right(text: str, said: str) -> None:
    with pytest.raises(PolicyError, match="^.*" + said.replace("(", r"\(").replace("'", "'")):
        policy_of(text)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[1]", "has no agents"), ("{", "is no JSON"), ('{"a": "x"}', "a has 'x': expected a number from 0"), ('{"agents": {}}', "no agent has"),
        ('{"agents": {"a": {"mean": 1}}}', "a has None"), ('{"a": true}', "a has True"),
    ],
)  # fmt: skip
def test_what_is_no_state_is_told_what_would_be_right(written: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "selector.json"
    path.write_text(written)
    with pytest.raises(PolicyError, match=said):
        policy_of(f"state:{path}")
