"""Intervals hold the truth as often as they say, on logs of policies that learn; and what cannot be told is refused."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from otel_feedback.downstream.learning.policies.decisions import Decision, Decisions, UnusableError, decisions_of
from otel_feedback.downstream.learning.policies.policy import UNIFORM, Policy, policy_of
from otel_feedback.downstream.learning.policies.valuing import LEAST_EFFECTIVE, Estimate, as_data, value_of
from otel_feedback.learning.reward import Reward
from tests.downstream.learning.policies.learners import AGENTS, CASES, learned_log

POLICIES = [*(policy_of(f"always:{name}") for name in AGENTS), UNIFORM, policy_of("weights:planner=1,writer=3")]


def true_value(policy: Policy, truth: Sequence[float]) -> float:
    probabilities = policy.probabilities(AGENTS)
    assert probabilities is not None
    return sum(probabilities[name] * value for name, value in zip(AGENTS, truth, strict=True))


def holds(estimate: Estimate | None, truth: float) -> bool:
    assert estimate is not None
    return estimate.low <= truth <= estimate.high


@pytest.mark.parametrize(  # the long ones are thorough: tests/plan.py
    ("case", "logs", "least"),
    [
        *((case, 300, 0.93) for case in CASES),
        pytest.param("drifting", 25, 0.83, marks=pytest.mark.brief),
    ],
)
def test_intervals_hold_the_truth(case: str, logs: int, least: float) -> None:
    """In 93 of 100 logs at least, for both estimates and each policy; a mean of what an agent brought does not on a drift."""
    held = {(policy.name, kind): 0 for policy in POLICIES for kind in ("snips", "doubly robust", "plain")}
    told = dict.fromkeys((policy.name for policy in POLICIES), 0)
    for seed in range(logs):
        made, truth = learned_log(CASES[case], seed)
        for policy in POLICIES:
            value = value_of(Decisions(made, 0), policy)
            if value.refused is not None:
                assert value.effective < LEAST_EFFECTIVE
                continue
            wanted = true_value(policy, truth)
            told[policy.name] += 1
            held[policy.name, "snips"] += holds(value.snips, wanted)
            held[policy.name, "doubly robust"] += holds(value.doubly_robust, wanted)
            if policy.weights is not None and len(policy.weights) == 1:
                held[policy.name, "plain"] += holds(plain_mean(made, policy), wanted)
    assert min(told.values()) >= 0.6 * logs, told
    shares = {key: times / told[key[0]] for key, times in held.items()}
    assert min(share for key, share in shares.items() if key[1] != "plain") >= least, shares
    if case == "drifting":
        assert shares["always:writer", "plain"] < 0.5, shares


def plain_mean(log: Sequence[Decision], policy: Policy) -> Estimate:
    """Return what somebody would say who looks at the agent's own outcomes."""
    own = [decision for decision in log if decision.agent in (policy.weights or {})]
    even = [decision._replace(candidates=(decision.agent,), propensity=1.0) for decision in own]
    estimate = value_of(Decisions(even, 0), policy).snips
    assert estimate is not None
    return estimate


def coins(number: int, seed: int = 1, **fields: float) -> list[Decision]:
    """Return decisions that a coin made, for agents of which b is better."""
    lot = random.Random(seed)
    made: list[Decision] = []
    for place in range(number):
        agent = lot.choice("ab")
        reward = float(lot.random() < (0.8 if agent == "b" else 0.5))
        made.append(Decision(agent, ("a", "b"), fields.get("propensity", 0.5), reward, "", f"run-{place}"))
    return made


def test_the_policy_that_chose_is_worth_what_it_brought() -> None:
    made = coins(2_000)
    value = value_of(Decisions(made, 0), UNIFORM)
    mean = sum(decision.reward for decision in made) / len(made)
    assert value.logged is not None
    assert value.snips is not None
    assert value.doubly_robust is not None
    assert (value.logged.value, value.snips.value) == (pytest.approx(mean), pytest.approx(mean))
    assert value.doubly_robust.value == pytest.approx(mean, abs=0.01)
    assert (value.effective, value.decisions, value.verdict) == (pytest.approx(2_000), 2_000, "not told apart")


def test_a_better_one_and_a_worse_one_are_told() -> None:
    log = Decisions(coins(2_000), 0)
    better, worse = value_of(log, policy_of("always:b")), value_of(log, policy_of("always:a"))
    assert (better.verdict, worse.verdict) == ("better", "worse")
    own = [decision.reward for decision in log.made if decision.agent == "b"]
    assert better.snips is not None
    assert better.snips.value == pytest.approx(sum(own) / len(own))
    assert better.effective == pytest.approx(len(own))
    assert holds(better.doubly_robust, 0.8)
    assert holds(worse.doubly_robust, 0.5)
    assert holds(better.difference, 0.15)


def test_a_context_that_the_model_knows_makes_the_interval_narrower() -> None:
    made, _ = learned_log(CASES["by context"], 3, 3_000)
    told, untold = (
        value_of(Decisions(log, 0), UNIFORM).doubly_robust
        for log in (made, [decision._replace(context="") for decision in made])
    )
    assert told is not None
    assert untold is not None
    assert told.high - told.low < 0.97 * (untold.high - untold.low)


def test_what_is_decided_ten_times_in_a_run_counts_once() -> None:
    """Its interval is that of one decision a run; ten times as many that have nothing to do with each other have a third of it."""
    once = coins(400)
    ten = [decision for decision in once for _ in range(10)]
    apart = [decision._replace(run=f"{decision.run}-{place}") for place, decision in enumerate(ten)]
    width, same, less = (
        value.snips.high - value.snips.low
        for value in (value_of(Decisions(log, 0), policy_of("always:b")) for log in (once, ten, apart))
        if value.snips is not None
    )
    assert same == pytest.approx(width, rel=0.02)
    assert less == pytest.approx(width / 10**0.5, rel=0.02)


def test_overlap_that_is_too_small_is_refused_with_its_size() -> None:
    rare = [
        decision._replace(agent="b" if place % 100 == 0 else "a", propensity=0.01 if place % 100 == 0 else 0.99)
        for place, decision in enumerate(coins(3_000))
    ]
    value = value_of(Decisions(rare, 0), policy_of("always:b"))
    assert (value.verdict, value.snips, value.doubly_robust) == ("refused", None, None)
    assert value.effective == pytest.approx(30)
    assert value.refused == "too little overlap: an effective sample of 30 of 3,000 decisions, and 50 is the least"
    never = value_of(Decisions([d._replace(agent="a") for d in rare], 0), policy_of("always:b"))
    assert (never.effective, never.refused) == (0, "none of its agents was chosen in 3,000 decisions")
    nobody = value_of(Decisions(rare, 0), policy_of("always:c"))
    assert (nobody.decisions, nobody.not_offered) == (0, 3_000)
    assert nobody.refused == "none of its agents could be chosen: candidates were a, b"


def test_an_agent_that_was_excluded_in_secret_is_refused() -> None:
    """Half of the time it was never chosen, though it is among the candidates: its outcomes say nothing of that time."""
    made = [
        decision._replace(agent="a", propensity=1.0) if place < 1_000 else decision
        for place, decision in enumerate(coins(2_000))
    ]
    value = value_of(Decisions(made, 0), policy_of("always:b"))
    assert value.refused is not None
    assert value.refused.startswith("the weights' mean is 0.5")
    wrong = value_of(Decisions(coins(2_000, propensity=0.9), 0), policy_of("always:b"))
    assert wrong.refused is not None
    assert "choice_propensity is not what they were chosen by" in wrong.refused


def test_decisions_in_which_it_could_not_choose_are_left_out() -> None:
    """They are neither of the policy's value nor of what it is compared with."""
    made = [*coins(1_000), *(Decision("c", ("c", "d"), 0.5, 0.0, "", f"other-{place}") for place in range(500))]
    value = value_of(Decisions(made, 0), policy_of("always:b"))
    assert (value.decisions, value.not_offered) == (1_000, 500)
    assert value.logged is not None
    assert value.logged.value == pytest.approx(0.65, abs=0.05)
    assert value_of(Decisions(made, 0), UNIFORM).not_offered == 0


def row(**fields: object) -> dict[str, object]:
    plain = {
        "run": "r",
        "agent_name": "a",
        "candidates": ["a", "b"],
        "propensity": 0.5,
        "status": "success",
        "context": None,
    }
    return {**plain, **fields}


def test_a_log_without_probabilities_is_refused() -> None:
    with pytest.raises(UnusableError, match="no event says how its agent was chosen"):
        decisions_of([], Reward().of)
    rows = [row() for _ in range(90)]
    for wrong in (
        {"propensity": None},
        {"propensity": 0.0},
        {"propensity": 1.5},
        {"agent_name": "z"},
        {"candidates": None},
    ):
        with pytest.raises(UnusableError, match="10 of 100 choices do not say how probable they were"):
            decisions_of([*rows, *(row(**wrong) for _ in range(10))], Reward().of)
    few = decisions_of([*rows, *rows, row(propensity=None)], Reward().of)
    assert (len(few.made), few.unknown) == (180, 1)


def test_rewards_are_those_of_the_selector() -> None:
    rows = [
        row(status="success", quality_score=0.5), row(status="failure"), row(status="partial", cost_estimate=0.1),
        row(status="success", feedback_score=0.25, quality_score=1.0), row(status="pending"),
    ]  # fmt: skip
    log = decisions_of(rows, Reward(cost_weight=1.0).of)
    assert [decision.reward for decision in log.made] == [0.5, 0.0, 0.4, 0.25]


def test_the_data_of_a_page_is_all_of_it() -> None:
    log = Decisions(coins(1_000), 2)
    data = as_data(log, [value_of(log, policy) for policy in (UNIFORM, policy_of("always:c"))])
    assert {name: data[name] for name in ("decisions", "unknown", "least_effective")} == {
        "decisions": 1_000, "unknown": 2, "least_effective": LEAST_EFFECTIVE,
    }  # fmt: skip
    told, refused = data["policies"]
    assert told["doubly_robust"].keys() == {"value", "low", "high"}
    assert (refused["policy"], refused["verdict"], refused["snips"]) == ("always:c", "refused", None)
