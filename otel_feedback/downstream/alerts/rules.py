"""What `alerts.toml` says: settings, channels and rules, each with its type and its defaults.

Durations are seconds here, and `90s`, `5m`, `2h`, `7d` in the file. A rule's defaults are those of its kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from otel_feedback.downstream.declared.reading import Duration, Share

__all__ = ["DEFAULTS", "KINDS", "WINDOWS_BEFORE", "AlertFile", "Channel", "Kind", "Options", "Rule"]

DEFAULTS = Path(__file__).parent / "defaults.toml"
"""The file that counts where there is none."""
WINDOWS_BEFORE = 6
"""With fewer of them nobody knows what was usual before."""


class Kind(msgspec.Struct, frozen=True):
    """What a rule of a kind measures.

    `unit` is how its values are told, `is_high` whether more is worse, `parts` what its keys are made of, and `defaults`
    what a rule of it has that does not say otherwise.
    """

    meaning: str
    unit: Literal["share", "ms", "s", "usd", "score", "count", "budget"]
    is_high: bool
    parts: tuple[str, ...]
    defaults: Mapping[str, Any]
    needs_store: bool = False
    """Whether it sees what only a store knows: log files have no account."""


_ALL = ("tenant", "agent", "action")

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "errors": Kind("failures and timeouts by actions that ended", "share", True, _ALL, {"above": 0.1}),
        "latency": Kind("the percentile of how long actions took, in ms", "ms", True, _ALL, {"rise": 3.0}),
        "cost": Kind("US dollars of all actions of the window", "usd", True, ("tenant",),
                     {"window": "1h", "min_count": 1, "rise": 3.0, "above": 1.0}),
        "quality": Kind("the mean of quality scores", "score", False, ("tenant", "agent"), {"drop": 0.2}),
        "stuck": Kind("actions that began and never ended", "count", True, ("agent", "action"),
                      {"window": "24h", "min_count": 0, "above": 0.0}),
        "silent": Kind("actions of an agent that is seen at this hour each day", "count", False, ("agent",),
                       {"window": "1h", "min_count": 0, "below": 1.0, "compare": "7d"}),
        "missing": Kind("events that a producer numbered and that did not arrive", "count", True, (),
                        {"window": "1h", "min_count": 0, "above": 0.0}, True),
        "losing": Kind("events that a producer declared lost", "count", True, (),
                       {"window": "1h", "min_count": 0, "above": 0.0}, True),
        "behind": Kind("how far the store is behind its source, or the longest that a producer's event is known to wait",
                       "s", True, (), {"window": "24h", "min_count": 0, "above": 300.0}, True),
        "dead_letters": Kind("records that Kafka or a reader refused", "count", True, (),
                             {"window": "1h", "min_count": 0, "above": 0.0}, True),
        "sql": Kind("the column `value` of its own SQL", "count", True, _ALL, {"min_count": 0}),
    }
)  # fmt: skip
"""The kinds of rules, by the word in the file."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to tell somebody.

    All of `above`, `below`, `rise` and `drop` that are given must hold: more than, less than, so many times as much as
    before, by such a share less than before. "Before" is the same key's mean in the time `compare` before the window.
    """

    name: str
    kind: str
    above: float | None = None
    below: float | None = None
    rise: float | None = None
    drop: Share | None = None
    min_count: int = 20
    by_chance: bool = False
    percentile: Share = Share(0.95)
    window: Duration = Duration(300)
    compare: Duration = Duration(86_400)
    overdue: Duration = Duration(3_600)
    for_: Duration = msgspec.field(default=Duration(0), name="for")
    keep_firing_for: Duration = Duration(600)
    remind: Duration | None = None
    severity: Literal["warning", "critical"] = "warning"
    by: tuple[Literal["tenant", "agent", "action"], ...] = _ALL
    tenant: tuple[str, ...] = ("*",)
    agent: tuple[str, ...] = ("*",)
    action: tuple[str, ...] = ("*",)
    service: tuple[str, ...] = ("*",)
    reason: tuple[str, ...] = ("*",)
    agents: tuple[str, ...] = ()
    sql: str | None = None
    channels: tuple[str, ...] = ("*",)

    def is_breached(self, value: float, before: float | None) -> bool:
        """Tell whether a value is one to tell of; `before` None: nobody knows what it was, so it is not worse."""
        return (
            (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
            and (self.rise is None or (before is not None and value > before * self.rise))
            and (self.drop is None or (before is not None and value < before * (1 - self.drop)))
        )

    @property
    def measures(self) -> Kind:
        """What it measures."""
        return KINDS[self.kind]


class Channel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where notifications go: a URL of Apprise, in which `${NAME}` is a variable of the environment."""

    name: str
    url: str
    at_most: int = 20
    """Notifications an hour; more wait, and go together."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is set for all rules."""

    every: Duration = Duration(60)
    recent: Duration = Duration(900)
    settle: Duration = Duration(30)
    expire_after: Duration = Duration(86_400)
    flap_window: Duration = Duration(3_600)
    flap_count: int = 3
    link: str | None = None


class AlertFile(msgspec.Struct, frozen=True):
    """What is in a file of alerts."""

    settings: Options
    channels: tuple[Channel, ...]
    rules: tuple[Rule, ...]
