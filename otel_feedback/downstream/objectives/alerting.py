"""Alerts of objectives: rules like those of `alerts.toml`, made of `slo.toml`, and what they see.

    objective ──► target of 99 % and more: three burn rates, each over a long and a short window
              └─► else: the budget of the period, once an hour

What a rule sees is a multiple of its budget. All that are due are one query over `outcomes`: the budget's reaches back the
whole period, so it is in it once an hour only. From what they see on they are rules as all others: the same states, channels
and commands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from string import Template
from typing import Any, Literal, NamedTuple

import msgspec

from otel_feedback.downstream.alerts.observing import CHANCE, STEP_S, Key, Observation, moments_every
from otel_feedback.downstream.alerts.rules import AlertFile, Kind, Rule
from otel_feedback.downstream.declared.reading import Duration
from otel_feedback.downstream.objectives.counting import KEYS, counted, seen
from otel_feedback.downstream.objectives.objective import DAY_S, Objective
from otel_feedback.downstream.objectives.reading import check_channels, read
from otel_feedback.downstream.tables.tables import Tables

__all__ = ["Due", "ObjectiveRule", "due", "observe_objectives", "rules_of", "since_of", "with_objectives"]

HOUR_S = 3_600
LEAST_IN_WINDOW = 20
"""Actions that a long window has to have: as many as a window of `alerts.toml`."""
LEAST_TIMES = 10
"""A budget of a few actions is soon used up, by chance: before somebody is told there are so many times as many as are shown."""
_KEYS = ", ".join(KEYS.values())
_MEASURES = Kind("multiples of a budget", "budget", True, ("tenant", "agent", "action"), {})


class ObjectiveRule(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule about an objective: its `window` is the long one; it looks every `step_s`."""

    objective: Objective
    short_s: int
    step_s: int

    @property
    def measures(self) -> Kind:
        """What it measures."""
        return _MEASURES


class Due(NamedTuple):
    """A rule, and its first and last moment that are asked for."""

    rule: ObjectiveRule
    moments: tuple[int, int]


def rules_of(objectives: Sequence[Objective]) -> list[ObjectiveRule]:
    """Return the rules that tell of objectives."""
    return [rule for each in objectives for rule in _rules(each)]


def with_objectives(file: AlertFile, path: Path) -> AlertFile:
    """Return a file of alerts with the rules that tell of the objectives of another, where that is there.

    Raises:
        ObjectivesError: It has mistakes.
    """
    if not path.exists():
        return file
    objectives = read(path)
    check_channels(objectives, (channel.name for channel in file.channels), str(path))
    return msgspec.structs.replace(file, rules=(*file.rules, *rules_of(objectives)))


def due(rules: Sequence[Rule], after: datetime, until: datetime) -> list[Due]:
    """Return the rules of objectives among these that have a moment after one time and not after another."""
    own = [rule for rule in rules if isinstance(rule, ObjectiveRule)]
    found = ((rule, moments_every(rule.step_s, after, until)) for rule in own)
    return [Due(rule, moments) for rule, moments in found if moments is not None]


def since_of(asked: Sequence[Due]) -> datetime:
    """Return from when on events are needed for these."""
    return datetime.fromtimestamp(min(_since_s(each) for each in asked), timezone.utc)


def observe_objectives(tables: Tables, asked: Sequence[Due]) -> list[Observation]:
    """Return what these rules see, in the order of time."""
    if not asked:
        return []
    since_s, until_s = min(map(_since_s, asked)), max(each.moments[1] for each in asked)
    of_objectives = {each.rule.objective.name: each.rule for each in asked}  # all of one have the same steps
    steps = {name: f"steps_{place}" for place, name in enumerate(of_objectives)}
    parts = [f"seen AS MATERIALIZED ({seen(since_s, until_s)})"]
    parts += [_by_step(steps[name], rule, since_s, until_s) for name, rule in of_objectives.items()]
    text = Template((Path(__file__).parent / "burning.sql").read_text(encoding="utf-8"))
    rules = [text.substitute(_numbers(each, steps[each.rule.objective.name], at)) for at, each in enumerate(asked)]
    query = f"WITH {', '.join(parts)} SELECT * FROM ({' UNION ALL '.join(rules)}) ORDER BY ended"
    return [_observation(asked, row) for row in tables.connection.execute(query).fetchall()]


def _rules(objective: Objective) -> list[ObjectiveRule]:
    if objective.told == "budget":
        # an amount that was counted, and no guess at what is behind it
        return [_rule(objective, "budget", 1.0, int(objective.period), HOUR_S, HOUR_S, "warning", DAY_S)]
    return [
        _rule(objective, burn.name, burn.rate, burn.long_s, burn.short_s, STEP_S, burn.severity, max(600, burn.short_s))
        for burn in objective.burns
    ]


def _rule(
    objective: Objective, name: str, above: float, long_s: int, short_s: int, step_s: int,
    severity: Literal["warning", "critical"], kept_s: int,
) -> ObjectiveRule:  # fmt: skip
    is_budget = objective.told == "budget"
    times = 1 if objective.window is not None else LEAST_TIMES  # of windows there are few
    return ObjectiveRule(
        name=f"slo.{objective.name}.{name}", kind="objective", objective=objective, above=above, window=Duration(long_s),
        short_s=short_s, step_s=step_s, severity=severity, keep_firing_for=Duration(kept_s), by=objective.by,
        by_chance=is_budget, min_count=times * objective.least if is_budget else LEAST_IN_WINDOW,
        tenant=objective.tenant, agent=objective.agent, action=objective.action, service=objective.service,
        channels=objective.channels,
    )  # fmt: skip


def _since_s(asked: Due) -> int:
    return asked.moments[0] - int(asked.rule.window)


def _by_step(name: str, rule: ObjectiveRule, since_s: int, until_s: int) -> str:
    return (
        f"{name} AS MATERIALIZED (SELECT {_KEYS}, CAST(ceil(t / {rule.step_s}) AS BIGINT) * {rule.step_s} AS ended, count(bad) AS n,"
        f" coalesce(sum(bad), 0) AS bad, arg_max(run_id, t) FILTER (WHERE bad = 1) AS run_id"
        f" FROM ({counted(rule.objective, since_s, until_s)}) GROUP BY {_KEYS}, ended)"
    )


def _numbers(asked: Due, steps: str, number: int) -> Mapping[str, Any]:
    rule, (first, last) = asked
    allowance = rule.objective.allowance
    share, n, z = "(long_bad / long_n)", "long_n", CHANCE
    lower = (  # Wilson's lower bound
        f"({share} + {z * z} / (2 * {n}) - {z} * sqrt({share} * (1 - {share}) / {n} + {z * z} / (4 * {n} * {n})))"
        f" / (1 + {z * z} / {n})"
    )
    if rule.by_chance:
        value = judged = f"round({share} / {allowance!r}, 9)"
    else:
        value, judged = (f"least({long}, short_bad / short_n) / {allowance!r}" for long in (share, lower))
    return {
        "number": number, "steps": steps, "since": _since_s(asked), "keys": _KEYS, "value": value, "judged": judged, "first": first, "last": last,
        "step": rule.step_s, "long_s": int(rule.window) - rule.step_s, "short_s": rule.short_s - rule.step_s,
        "min_count": rule.min_count,
    }  # fmt: skip


def _observation(asked: Sequence[Due], row: Any) -> Observation:
    number, ended, tenant, agent, action, value, judged, count, run_id = row
    key = Key(asked[number].rule.name, tenant, agent, action)
    return Observation(key, datetime.fromtimestamp(ended, timezone.utc), value, judged, int(count), None, run_id)
