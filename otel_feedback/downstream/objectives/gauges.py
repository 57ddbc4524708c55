"""Standings as OpenTelemetry gauges, for who has a MeterProvider: `agent.slo.target`, `.budget_remaining`, `.burn_rate`.

They are asked for at most every five minutes, by who looks at the events anyway; what collects gets the last ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from otel_feedback.downstream.objectives.standings import Standing
from otel_feedback.version import VERSION

__all__ = ["Gauges"]

EVERY = timedelta(minutes=5)
MOST = 500
"""Standings that are told, of those with the most actions: four burn rates of each are what the SDK keeps of a metric."""
_BURNS = ("1h", "6h", "24h", "3d")


class Gauges:
    """The gauges of the process's MeterProvider.

    Args:
        look: Returns how objectives stand at a time; called by `refresh()` alone.
    """

    def __init__(self, look: Callable[[datetime], Sequence[Standing]]) -> None:
        self._look = look
        self._looked_at: datetime | None = None
        self._told: Sequence[Standing] = ()  # replaced as a whole: collected on another thread
        meter = metrics.get_meter("otel_feedback", VERSION)
        for name, tell, unit, meaning in (
            ("target", self._targets, "{share}", "The share that is to be good."),
            ("budget_remaining", self._budgets, "{share}", "What is left of the budget: 1 all, below 0 more than there was."),
            ("burn_rate", self._burns, "{budget}", "How fast the budget burns: 1 uses it up in just the period."),
        ):  # fmt: skip
            meter.create_observable_gauge(f"agent.slo.{name}", [tell], unit, meaning)

    def refresh(self, now: datetime) -> None:
        """Look again, where that is due.

        Raises:
            FeedbackError: `look` does.
        """
        if self._looked_at is None or now - self._looked_at >= EVERY:
            self._looked_at = now
            self._told = sorted(self._look(now), key=lambda each: -each.counted)[:MOST]

    def _targets(self, _options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(each.target, _labels(each)) for each in self._told]

    def _budgets(self, _options: CallbackOptions) -> Iterable[Observation]:
        return [
            Observation(each.budget_remaining, _labels(each)) for each in self._told if each.budget_remaining is not None
        ]  # fmt: skip

    def _burns(self, _options: CallbackOptions) -> Iterable[Observation]:
        rates = [
            (each, window, rate)
            for each in self._told
            for window, rate in zip(_BURNS, (each.burn_1h, each.burn_6h, each.burn_24h, each.burn_3d), strict=True)
        ]
        return [
            Observation(rate, {**_labels(each), "window": window}) for each, window, rate in rates if rate is not None
        ]


def _labels(standing: Standing) -> dict[str, str]:
    labels = {
        "objective": standing.objective, "tenant": standing.tenant_id, "agent": standing.agent_name,
        "action": standing.action_type,
    }  # fmt: skip
    return {name: value for name, value in labels.items() if value is not None}
