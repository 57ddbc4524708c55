"""What a policy would have brought, by what another one did: two estimates, their intervals, and whether they can be had.

With w = how probable the policy makes the agent that was chosen, by how probable that choice was:

    SNIPS            sum of w·reward / sum of w                                   (Swaminathan and Joachims, 2015)
    doubly robust    mean of what a model expects of the policy, and of w·(reward - what it expects of the agent chosen)
                                                                                     (Dudík, Langford and Li, 2011)

The model is a mean by agent and context, drawn to the agent's where there are few, made of runs that it is not used on (five
folds). Both hold on logs of policies that learn, since the probability is that of the moment. The effective sample is
(sum of w)² / sum of w²: how many decisions of the policy's own would say as much. Runs are independent, decisions in one need
not be. Pure.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from otel_feedback.downstream.learning.policies.decisions import Decision, Decisions
from otel_feedback.downstream.learning.policies.policy import Policy

__all__ = ["LEAST_EFFECTIVE", "Estimate", "Value", "as_data", "value_of"]

LEAST_EFFECTIVE = 50
"""The effective sample below which nothing is said: as few as that say nothing of how far off they are."""
Z = 2.1
"""Standard errors to each side for 95 %: with the 1.96 of a normal distribution 94 of 100 intervals held the truth on logs of
policies that learn, since those choose less of what had bad luck."""
FOLDS = 5
PRIOR = 10.0
"""As how many decisions the agent's mean counts in that of a context, and the mean of all in the agent's."""
_FAR_S, _FAR = 4.0, 0.05
"""How far from 1 the mean of w may be, in standard errors and at all: where it is further, w is not what it is said to be."""


class Estimate(msgspec.Struct, frozen=True):
    """A mean reward, 0 to 1, and its interval of 95 %; of a difference -1 to 1."""

    value: float
    low: float
    high: float


class Value(msgspec.Struct, frozen=True):
    """What is known of a policy. Where it is refused it has no estimates, and `refused` says why."""

    policy: str
    decisions: int  # in which it could have chosen
    not_offered: int  # in which none of its agents was among the candidates: left out
    effective: float
    logged: Estimate | None  # what was chosen in these decisions brought
    snips: Estimate | None
    doubly_robust: Estimate | None
    difference: Estimate | None  # doubly robust, to what was logged
    verdict: Literal["better", "worse", "not told apart", "refused"]
    refused: str | None = None


class _Weighed(NamedTuple):
    decision: Decision
    weight: float
    probabilities: Mapping[str, float]


def value_of(log: Decisions, policy: Policy) -> Value:
    """Return what a policy would have brought on the decisions of a log."""
    by_candidates = {each: policy.probabilities(each) for each in {decision.candidates for decision in log.made}}
    weighed = [
        _Weighed(decision, probabilities[decision.agent] / decision.propensity, probabilities)
        for decision in log.made
        if (probabilities := by_candidates[decision.candidates]) is not None
    ]
    weights = [each.weight for each in weighed]
    total, squares = math.fsum(weights), math.fsum(weight * weight for weight in weights)
    effective = total * total / squares if squares else 0.0
    numbers = (policy.name, len(weighed), len(log.made) - len(weighed), effective)
    runs = [each.decision.run for each in weighed]
    refused = _refused(log, weighed, effective, runs)
    if refused is not None:
        return Value(*numbers, None, None, None, None, "refused", refused)
    rewards = [each.decision.reward for each in weighed]
    logged = _mean(rewards, runs, math.inf)
    snips = math.fsum(weight * reward for weight, reward in zip(weights, rewards, strict=True)) / total
    parts = [weight * (reward - snips) * len(weights) / total for weight, reward in zip(weights, rewards, strict=True)]
    around = _mean(parts, runs, effective)
    scores = _scores(weighed)
    robust = _mean(scores, runs, effective)
    difference = _mean([score - reward for score, reward in zip(scores, rewards, strict=True)], runs, effective)
    verdict = "better" if difference.low > 0 else "worse" if difference.high < 0 else "not told apart"
    return Value(
        *numbers, logged, _bounded(Estimate(snips, snips + around.low, snips + around.high)), _bounded(robust), difference,
        verdict,
    )  # fmt: skip


def _refused(log: Decisions, weighed: Sequence[_Weighed], effective: float, runs: Sequence[str]) -> str | None:
    if not weighed:
        return f"none of its agents could be chosen: candidates were {', '.join(log.agents[:8])}"
    if not effective:
        return f"none of its agents was chosen in {len(weighed):,} decisions"
    if effective < LEAST_EFFECTIVE:
        return (
            f"too little overlap: an effective sample of {effective:,.0f} of {len(weighed):,} decisions, and "
            f"{LEAST_EFFECTIVE} is the least"
        )
    mean = _mean([each.weight for each in weighed], runs, effective)
    error = (mean.high - mean.low) / 2 / _quantile(effective)
    if abs(mean.value - 1) > max(_FAR_S * error, _FAR):
        return (
            f"the weights' mean is {mean.value:.2f}, where it would be 1: its agents could not be chosen in some decisions "
            "(what the policy excluded), or choice_propensity is not what they were chosen by"
        )
    return None


def _quantile(effective: float) -> float:
    """Return Z, wider for a small sample: the first term between Student's distribution and the normal one."""
    return Z + (Z**3 + Z) / (4 * effective)


def _mean(values: Sequence[float], runs: Sequence[str], effective: float) -> Estimate:
    """Return the mean, and its interval by the sums of each run."""
    mean = math.fsum(values) / len(values)
    sums: defaultdict[str, float] = defaultdict(float)
    for value, run in zip(values, runs, strict=True):
        sums[run] += value - mean
    few = len(sums) / max(len(sums) - 1, 1)
    around = _quantile(effective) * math.sqrt(few * math.fsum(each * each for each in sums.values())) / len(values)
    return Estimate(mean, mean - around, mean + around)


def _bounded(estimate: Estimate) -> Estimate:
    return Estimate(*(min(max(value, 0.0), 1.0) for value in (estimate.value, estimate.low, estimate.high)))


# -- the model -----------------------------------------------------------------------------------------------------


def _scores(weighed: Sequence[_Weighed]) -> list[float]:
    """Return the doubly robust score of each decision, of which the mean is the estimate."""
    place: dict[str, int] = {}
    folds = [place.setdefault(each.decision.run, len(place)) % FOLDS for each in weighed]
    parts = [_Sums() for _ in range(FOLDS)]
    for each, fold in zip(weighed, folds, strict=True):
        parts[fold].add(each.decision)
    models = [_Model([part for fold, part in enumerate(parts) if fold != without]) for without in range(FOLDS)]
    expected: dict[tuple[int, tuple[str, ...], str], float] = {}  # of the policy, where it may choose among these
    scores: list[float] = []
    for (decision, weight, probabilities), fold in zip(weighed, folds, strict=True):
        expect, key = models[fold].expects, (fold, decision.candidates, decision.context)
        if key not in expected:
            expected[key] = math.fsum(each * expect(name, decision.context) for name, each in probabilities.items())
        scores.append(expected[key] + weight * (decision.reward - expect(decision.agent, decision.context)))
    return scores


class _Sums:
    """How many decisions there are of each agent in each context, and the sum of their rewards."""

    def __init__(self) -> None:
        self.of: defaultdict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])

    def add(self, decision: Decision) -> None:
        sums = self.of[decision.agent, decision.context]
        sums[0] += 1
        sums[1] += decision.reward


class _Model:
    """The mean reward of an agent in a context, by the decisions of several folds."""

    def __init__(self, parts: Iterable[_Sums]) -> None:
        self._of: defaultdict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._of_agents: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        whole = [0.0, 0.0]
        for part in parts:
            for (agent, context), (times, total) in part.of.items():
                for sums in (self._of[agent, context], self._of_agents[agent], whole):
                    sums[0] += times
                    sums[1] += total
        self._mean = whole[1] / whole[0] if whole[0] else 0.5
        self._known: dict[tuple[str, str], float] = {}

    def expects(self, agent: str, context: str) -> float:
        """Return it, drawn to the agent's mean, and that to the mean of all, where there are few."""
        known = self._known.get((agent, context))
        if known is None:
            of_agent = _drawn(self._of_agents.get(agent), self._mean)
            known = self._known[agent, context] = _drawn(self._of.get((agent, context)), of_agent)
        return known


def _drawn(sums: Sequence[float] | None, to: float) -> float:
    times, total = sums or (0.0, 0.0)
    return (total + PRIOR * to) / (times + PRIOR)


def as_data(log: Decisions, values: Sequence[Value]) -> dict[str, Any]:
    """Return what is known of policies as JSON has it, for a page or a program.

    `decisions`, how many the log has; `unknown`, how many it has besides that do not say how probable they were;
    `least_effective`; `policies`, a list with the fields of `Value`, an estimate as {"value", "low", "high"}.
    """
    policies = msgspec.to_builtins(list(values))
    return {
        "decisions": len(log.made), "unknown": log.unknown, "least_effective": LEAST_EFFECTIVE, "policies": policies,
    }  # fmt: skip
