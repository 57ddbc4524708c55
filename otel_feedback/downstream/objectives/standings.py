"""How objectives stand: a view on `outcomes`, and its rows.

    slo.toml ──► objectives ──┐
    Tables ───────────────────┴──► the view `objectives` ──► a Standing for each objective and key

Nothing is kept: the same events and the same moment give the same numbers. For the thread of the tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from string import Template

import msgspec

from otel_feedback.downstream.objectives.counting import KEYS, counted, seen
from otel_feedback.downstream.objectives.objective import DAY_S, Objective
from otel_feedback.downstream.tables.tables import Tables, quoted

__all__ = ["VIEW", "Standing", "add_view", "since_of", "standings"]

VIEW = "objectives"
LONGEST_BURN_DAYS = 3


class Standing(msgspec.Struct, frozen=True):
    """A row of the view: one objective, of one key.

    `counted` are the actions, or windows, of the period that are good or bad, `coverage` their share of those that could
    be, and `attained` the share that is good. `budget_remaining` is 1 where nothing is used up, below 0 where more is.
    Burn rates are multiples of the rate that uses up the budget in just the period. `used_up_at` is when it will be, if
    every day is as this one. What nobody can say is None.
    """

    objective: str
    kind: str
    tenant_id: str | None
    agent_name: str | None
    action_type: str | None
    target: float
    period_days: int
    counted: int
    bad: int
    least: int
    coverage: float | None
    attained: float | None
    budget_remaining: float | None
    burn_1h: float | None
    burn_6h: float | None
    burn_24h: float | None
    burn_3d: float | None
    used_up_at: datetime | None
    state: str
    bad_run_id: str | None
    """A run in which something was bad, the newest."""


def since_of(objectives: Sequence[Objective], now: datetime) -> datetime:
    """Return from when on events are needed."""
    return now - timedelta(days=_longest(objectives))


def add_view(tables: Tables, objectives: Sequence[Objective], now: datetime) -> None:
    """Make the view `objectives`, as of a moment.

    Args:
        tables: With the columns of `counting.COLUMNS`.
        objectives: At least one.
        now: What ended later does not count.
    """
    tables.connection.execute(f"CREATE OR REPLACE VIEW {VIEW} AS {_text(objectives, now)}")


def standings(tables: Tables, objectives: Sequence[Objective], now: datetime) -> list[Standing]:
    """Return how objectives stand at a moment, in their order."""
    add_view(tables, objectives, now)
    answer = tables.ask(f"SELECT * FROM {VIEW}")
    return [Standing(**dict(zip(answer.names, row, strict=True))) for row in answer.rows]


def _longest(objectives: Sequence[Objective]) -> int:
    return max(LONGEST_BURN_DAYS, *(each.days for each in objectives))


def _text(objectives: Sequence[Objective], now: datetime) -> str:
    until_s = now.timestamp()
    since_s = until_s - _longest(objectives) * DAY_S
    named = [
        f"({place}, {quoted(each.name)}, {quoted(each.kind)}, {float(each.target)!r}::DOUBLE, {each.allowance!r}::DOUBLE,"
        f" {each.days}, {each.least})"
        for place, each in enumerate(objectives)
    ]
    by_day = [_by_day(place, each, since_s, until_s) for place, each in enumerate(objectives)]
    text = (Path(__file__).parent / "standings.sql").read_text(encoding="utf-8")
    return Template(text).substitute(
        seen=seen(since_s, until_s), named=", ".join(named), counted=" UNION ALL ".join(by_day),
        longest=max(each.days for each in objectives), now=repr(until_s),
    )  # fmt: skip


def _by_day(place: int, objective: Objective, since_s: float, until_s: float) -> str:
    recent = ", ".join(
        f"count(bad) FILTER (WHERE t > {until_s - hours * 3_600!r}) AS n_{hours}h,"
        f" coalesce(sum(bad) FILTER (WHERE t > {until_s - hours * 3_600!r}), 0) AS bad_{hours}h"
        for hours in (1, 6)
    )
    keys = ", ".join(KEYS.values())
    return (
        f"SELECT {place} AS place, {keys}, CAST(floor(({until_s!r} - t) / {DAY_S}) AS INTEGER) AS age, count(*) AS eligible,"
        f" count(bad) AS n, coalesce(sum(bad), 0) AS bad, {recent}, arg_max(run_id, t) FILTER (WHERE bad = 1) AS run_id,"
        f" max(t) FILTER (WHERE bad = 1) AS newest FROM ({counted(objective, since_s, until_s)})"
        f" GROUP BY {keys}, age"
    )
