"""Logs that a policy wrote which learns: Thompson sampling with a floor, on agents of which the truth is known."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from otel_feedback.downstream.learning.policies.decisions import Decision

__all__ = ["AGENTS", "CASES", "Case", "learned_log"]

AGENTS = ("planner", "researcher", "writer")
DRAWS, EVERY = 40, 75
QUALITY = (0.8, 1.0)
"""A success has as much, and anything between."""


class Case:
    """Agents, and a policy that learns which is best.

    Args:
        success: How probable an agent's success is, by its place, how far through the log it is (0 to 1), and the context (0 or 1).
        half_life: After how many decisions what was learned counts half; None: never.
        contexts: Whether there are two, or one.
    """

    def __init__(self, success: Callable[[int, float, int], float], half_life: float | None, *, contexts: bool) -> None:
        self.success = success
        self.half_life = half_life
        self.contexts = contexts


CASES: Mapping[str, Case] = {
    "steady": Case(lambda agent, _, __: (0.6, 0.72, 0.8)[agent], None, contexts=False),
    "drifting": Case(lambda agent, at, _: (0.6, 0.72, 0.85 - 0.4 * at)[agent], 300, contexts=False),
    "by context": Case(lambda agent, _, kind: (0.6, 0.7, 0.8)[agent] + (0.15, -0.15)[agent % 2 ^ kind], None, contexts=True),
}  # fmt: skip


def learned_log(
    case: Case, seed: int, number: int = 1_500, floor: float = 0.15
) -> tuple[list[Decision], Sequence[float]]:
    """Return a log, and what each agent would have brought in it on average: the truth."""
    lot = random.Random(seed)
    places = range(len(AGENTS))
    successes, failures = [1.0] * len(AGENTS), [1.0] * len(AGENTS)
    probabilities = [1 / len(AGENTS)] * len(AGENTS)
    truth = [0.0] * len(AGENTS)
    log: list[Decision] = []
    for decision in range(number):
        if decision % EVERY == 0:
            best = [0] * len(AGENTS)
            for _ in range(DRAWS):
                drawn = [lot.betavariate(successes[place], failures[place]) for place in places]
                best[drawn.index(max(drawn))] += 1
            probabilities = [(1 - floor) * times / DRAWS + floor / len(AGENTS) for times in best]
            if case.half_life is not None:
                kept = 0.5 ** (EVERY / case.half_life)
                successes, failures = ([1 + (each - 1) * kept for each in sums] for sums in (successes, failures))
        kind = lot.randrange(2) if case.contexts else 0
        expected = [case.success(place, decision / number, kind) for place in places]
        for place in places:
            truth[place] += expected[place] * sum(QUALITY) / 2 / number
        (chosen,) = lot.choices(places, probabilities)
        reward = lot.uniform(*QUALITY) if lot.random() < expected[chosen] else 0.0
        successes[chosen] += reward
        failures[chosen] += 1 - reward
        log.append(Decision(AGENTS[chosen], AGENTS, probabilities[chosen], reward, f"kind={kind}", f"run-{decision}"))
    return log, truth
