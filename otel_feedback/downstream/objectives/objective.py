"""What `slo.toml` says: objectives, each with its type and its defaults. Durations are seconds here.

An objective is that of the actions that count at least a share, `target`, is good; what is left, `allowance`, is the budget
of the period.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from otel_feedback.downstream.declared.reading import Duration, Share
from otel_feedback.shares import percent

__all__ = ["BURNS", "DAY_S", "THRESHOLDS", "Burn", "Objective"]

DAY_S = 86_400
LEAST_FOR_BURN = 0.99
THRESHOLDS = {"latency": "threshold_ms", "cost": "threshold_usd", "quality": "threshold_score"}
"""By kind: the field that says what is good; of `success` none is needed."""


class Burn(msgspec.Struct, frozen=True):
    """When a budget burns too fast: so many times as fast as it may, over a long window and, still, over a short one."""

    name: str
    rate: float
    long_s: int
    short_s: int
    severity: Literal["warning", "critical"]


BURNS = (
    # 2 % of the budget of 30 days in an hour, 5 % in 6, 10 % in 3 days: the SRE workbook's
    Burn("burn-1h", 14.4, 3_600, 300, "critical"),
    Burn("burn-6h", 6.0, 6 * 3_600, 1_800, "critical"),
    Burn("burn-3d", 1.0, 3 * DAY_S, 6 * 3_600, "warning"),
)
FASTEST = max(burn.rate for burn in BURNS)


class Objective(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is wanted of some actions.

    `threshold_ms`, `threshold_usd` and `threshold_score` are the last values that are good. With `window`, of kind `cost`
    only, windows of that length are counted by what they cost, and not actions. With fewer than `min_count` that count
    nothing is said.
    """

    name: str
    kind: Literal["success", "latency", "cost", "quality"]
    target: Share
    period: Duration = Duration(30 * DAY_S)
    threshold_ms: float | None = None
    threshold_usd: float | None = None
    threshold_score: Share | None = None
    window: Duration | None = None
    partial: Literal["good", "bad"] = "good"
    min_count: int | None = None
    by: tuple[Literal["tenant", "agent", "action"], ...] = ("agent",)
    tenant: tuple[str, ...] = ("*",)
    agent: tuple[str, ...] = ("*",)
    action: tuple[str, ...] = ("*",)
    service: tuple[str, ...] = ("*",)
    alerts: Literal["burn", "budget", "none"] | None = None
    channels: tuple[str, ...] = ("*",)

    @property
    def allowance(self) -> float:
        """The share that may be bad."""
        return round(1 - self.target, 12)

    @property
    def least(self) -> int:
        """How many have to count before something is said: as many as may have one that is bad, unless it says so."""
        return math.ceil(round(1 / self.allowance, 6)) if self.min_count is None else self.min_count

    @property
    def days(self) -> int:
        """How long the period is."""
        return int(self.period // DAY_S)

    @property
    def told(self) -> Literal["burn", "budget", "none"]:
        """What somebody is told of: of a budget that burns fast, or of one that is used up."""
        if self.alerts is not None:
            return self.alerts
        return "burn" if self.target >= LEAST_FOR_BURN and self.window is None else "budget"

    @property
    def burns(self) -> list[Burn]:
        """The burn rates that somebody is told of: none over more than the period."""
        return [burn for burn in BURNS if burn.long_s <= self.period] if self.told == "burn" else []

    @property
    def unburnable(self) -> str | None:
        """Why no burn rate is told of, where none can be or should be."""
        if self.window is not None:
            return "windows are too few for burn rates"
        share = FASTEST * self.allowance
        if share >= 1:
            return f"burn rates can never fire: {FASTEST:g} times its budget of {self.allowance:.3g} is more than all actions"
        if self.target < LEAST_FOR_BURN:
            return f"burn rates are for targets of {LEAST_FOR_BURN} and more: here they would fire when {percent(share, 0)} are bad"
        return None
