"""What an outcome is worth, as one number from 0 to 1: of that agents are chosen, and policies judged.

    success * quality - cost_weight * US dollars - latency_weight * seconds, cut to 0 … 1

Input: an event, or a row of a view with its columns. Output: a reward, or None where nothing is known yet. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from otel_feedback.errors import FeedbackError
from otel_feedback.events.model import OutcomeStatus

__all__ = ["SUCCESS_OF", "Reward"]

SUCCESS_OF: dict[str, float] = {
    OutcomeStatus.SUCCESS.value: 1.0,
    OutcomeStatus.PARTIAL.value: 0.5,
    OutcomeStatus.FAILURE.value: 0.0,
    OutcomeStatus.TIMEOUT.value: 0.0,
    # nobody had anything of it; were it left out, an agent that is so slow that people leave would look like a good one
    OutcomeStatus.CANCELLED.value: 0.0,
}
"""How much of a success a status is; what is pending has none."""


class Reward(msgspec.Struct, frozen=True):
    """How an outcome is valued.

    Args:
        cost_weight: What a US dollar of `cost_estimate` takes away; from 0.
        latency_weight: What a second of `latency_ms` takes away (of `duration_ms`, where nobody says when it was asked for);
            from 0.

    Quality is the feedback on the outcome where there is some, else its `quality_score`, else 1: what nobody knows is not
    bad. So are a cost and a latency that nobody knows 0. Immutable.

    Raises:
        FeedbackError: A weight is no number from 0.
    """

    cost_weight: float = 0.0
    latency_weight: float = 0.0

    def __post_init__(self) -> None:
        for name in ("cost_weight", "latency_weight"):
            value: object = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise FeedbackError(f"{name} is {value!r}: expected a number from 0")

    def of(self, outcome: Any, feedback: float | None = None) -> float | None:
        """Return the reward of an outcome, from 0 to 1; None where it is pending.

        Args:
            outcome: An `OutcomeEvent`, or a mapping with the names of its fields; one with `feedback_score`, as rows of the
                view `outcomes` are, says the feedback, too.
            feedback: The mean score of what people and judges said of it, from 0 to 1, where somebody did.
        """
        get = outcome.get if isinstance(outcome, Mapping) else lambda name: getattr(outcome, name, None)
        success = SUCCESS_OF.get(get("status") or "")
        if success is None:
            return None
        quality = get("feedback_score") if feedback is None else feedback
        if quality is None:
            quality = get("quality_score")
        if quality is not None:
            success *= quality
        if self.cost_weight:
            success -= self.cost_weight * (get("cost_estimate") or 0.0)
        if self.latency_weight:
            taken_ms = get("latency_ms")
            success -= self.latency_weight * ((get("duration_ms") if taken_ms is None else taken_ms) or 0.0) / 1e3
        return min(1.0, max(0.0, success))
