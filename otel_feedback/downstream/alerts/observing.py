"""What rules see: a query over the tables of events for each rule, with a value for each key and each moment looked at.

    tables, rule, moments ──► kinds/*.sql, with the rule's own numbers ──► Observations, those of a key in order

A moment is the end of a window, a whole multiple of 300 seconds (of the window, where that is shorter). Nothing here knows
the time or keeps anything: the same tables give the same observations. For one thread, the one of the tables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import msgspec

from otel_feedback.downstream.alerts.rules import WINDOWS_BEFORE, Options, Rule
from otel_feedback.downstream.tables.tables import Tables, any_of, quoted
from otel_feedback.errors import FeedbackError

__all__ = ["Key", "Observation", "QueryError", "moments_every", "moments_of", "observe", "reach_s"]

STEP_S = 300
CHANCE = 3.0
"""Standard errors: of a thousand windows exactly at the limit one is above it by more."""
_COLUMNS = {"tenant": "tenant_id", "agent": "agent_name", "action": "action_type"}
_OF_ACTIONS = {
    "relation": "outcomes", "time": "event_time", "actions": "count(*)",
    "columns": "status, own_cost, quality_score, run_id, $took AS took, "
    "CASE WHEN status IN ('failure', 'timeout') THEN 1.0 ELSE 0.0 END AS bad",
}  # fmt: skip
_OF_WINDOWS = {
    "relation": "metrics", "time": "window_start",
    "columns": "executions, failures + timeouts AS bad, $percentile_column AS took, cost, avg_quality, quality_count",
}  # fmt: skip
_LATENCY = "CASE WHEN status <> 'pending' THEN coalesce(latency_ms, duration_ms) END"


class Key(NamedTuple):
    """What an alert is about; None where the rule does not tell them apart, or nobody said."""

    rule: str
    tenant: str | None = None
    agent: str | None = None
    action: str | None = None


class Observation(msgspec.Struct, frozen=True):
    """What a rule saw of a key at a moment.

    `judged` is `value` with the doubt that chance leaves in its favour: by it an alert begins, and by `value` it goes on.
    `before` is what was usual, None where nobody knows.
    """

    key: Key
    at: datetime
    value: float
    judged: float
    count: int
    before: float | None = None
    run_id: str | None = None
    detail: str | None = None
    """Of what the value is made, where nothing else says so."""


class QueryError(FeedbackError):
    """The SQL of a rule does not run; the message says which, and what DuckDB says."""


class _Measure(NamedTuple):
    """What a window of a kind is: SQL over its actions `x`. `usual` is over the values of the windows before."""

    condition: str
    value: str
    judged: str
    run_id: str
    usual: str = "median(value) OVER usual"


_FACTS = {
    # `t`, `n`, `what`; a record of the account may come twice
    "losing": (
        "SELECT DISTINCT ON (producer_id, exporter, destination, reason, first_sequence, last_sequence, events) "
        "epoch(\"timestamp\") AS t, events AS n, format('{} ({}, {})', reason, exporter, service_name) AS what "
        "FROM accounts WHERE type = 'loss' AND $of_service AND $of_reason"
    ),
    "dead_letters": (
        "SELECT epoch(\"timestamp\") AS t, 1 AS n, format('{} ({})', reason, coalesce(reader, culprit)) AS what "
        "FROM dead_letters WHERE $of_reason"
    ),
}  # fmt: skip
"""What is counted of the pipeline, by kind."""
_Z = CHANCE


def _wilson(share: str, n: str) -> str:
    """Return Wilson's lower bound of a share."""
    return (
        f"({share} + {_Z**2} / (2 * {n}) - {_Z} * sqrt({share} * (1 - {share}) / {n}"
        f" + {_Z**2} / (4 * {n} * {n}))) / (1 + {_Z**2} / {n})"
    )


_MEASURES = {
    "errors": _Measure(
        "status <> 'pending'",
        "avg(bad)",
        _wilson("avg(bad)", "count(*)"),
        "arg_max(run_id, t) FILTER (WHERE bad = 1)",
        "sum(value * actions) OVER usual / sum(actions) OVER usual",
    ),
    "latency": _Measure(
        "took IS NOT NULL",
        "quantile_cont(took, $percentile)",
        # the order statistic that is below the percentile whatever the distribution
        f"list_sort(list(took))[greatest(1, CAST(floor(count(*) * ($percentile - {_Z} * sqrt($percentile"
        " * (1 - $percentile) / count(*)))) AS BIGINT))]",
        "arg_max(run_id, took)",
    ),
    "cost": _Measure("own_cost IS NOT NULL", "sum(own_cost)", "sum(own_cost)", "arg_max(run_id, own_cost)"),
    "quality": _Measure(
        "quality_score IS NOT NULL",
        "avg(quality_score)",
        f"avg(quality_score) + {_Z} * coalesce(stddev_samp(quality_score), 0) / sqrt(count(*))",
        "arg_min(run_id, quality_score)",
        "sum(value * actions) OVER usual / sum(actions) OVER usual",
    ),
}

_METERED = {
    # of windows of five minutes: condition, value, and of how many actions; how far single actions are from it nobody knows
    "errors": ("executions > 0", "sum(bad) / sum(executions)", "sum(executions)"),
    "latency": ("took IS NOT NULL", "max(took)", "sum(executions)"),
    "cost": ("cost IS NOT NULL", "sum(cost)", "sum(executions)"),
    "quality": ("quality_count > 0", "sum(avg_quality * quality_count) / sum(quality_count)", "sum(quality_count)"),
}
_PERCENTILES = {0.5: "p50_latency_ms", 0.95: "p95_latency_ms", 0.99: "p99_latency_ms"}


def is_metered(rule: Rule) -> bool:
    """Tell whether windowed figures, by tenant, agent and action, say all that a rule asks."""
    if rule.kind not in _METERED or rule.service != ("*",) or rule.window % STEP_S:
        return False
    is_exact = rule.percentile in _PERCENTILES and rule.window == STEP_S and set(rule.by) == set(_COLUMNS)
    return rule.kind != "latency" or is_exact


def moments_of(rule: Rule, after: datetime, until: datetime) -> tuple[int, int] | None:
    """Return the first and the last moment of a rule that are after one time and not after another; None: there is none.

    Of `behind` there is none: it is about the time at which it is looked at.
    """
    return None if rule.kind == "behind" else moments_every(_step(rule), after, until)


def moments_every(step: int, after: datetime, until: datetime) -> tuple[int, int] | None:
    """Return the first and the last multiple of so many seconds that are after one time and not after another."""
    first = (math.floor(after.timestamp() / step) + 1) * step
    last = math.floor(until.timestamp() / step) * step
    return (first, last) if first <= last else None


def reach_s(rule: Rule, options: Options) -> float:
    """Return how long before a moment the events begin that count for it, in seconds."""
    if rule.kind == "silent":
        return rule.window + max(1, rule.compare // 86_400) * 86_400
    if rule.kind in ("stuck", *_FACTS, "behind"):
        return 2 * rule.window
    return 2 * rule.window + rule.compare + options.recent


def observe(
    tables: Tables, rule: Rule, options: Options, moments: tuple[int, int], *, of_windows: bool = False
) -> list[Observation]:
    """Return what a rule sees from the first to the last of these moments.

    Args:
        tables: The events; as far back as `reach_s()` says before the first moment.
        rule: Which.
        options: Of all rules.
        moments: As `moments_of()` returns them.
        of_windows: Not of events but of the table `metrics`, where `is_metered()` says so.

    Raises:
        QueryError: Its SQL does not run.
    """
    if rule.kind == "sql":
        return [each for ended in range(moments[0], moments[1] + 1, _step(rule)) for each in _own(tables, rule, ended)]
    name = "windowed" if rule.kind in _MEASURES else "counted" if rule.kind in _FACTS else rule.kind
    text = (Path(__file__).parent / "kinds" / f"{name}.sql").read_text(encoding="utf-8")
    query = Template(text).substitute(_numbers(rule, options, moments, of_windows=of_windows))
    return [_observation(rule, row) for row in _rows(tables, rule, query)]


def _step(rule: Rule) -> int:
    return int(min(rule.window, STEP_S))


def _numbers(rule: Rule, options: Options, moments: tuple[int, int], *, of_windows: bool) -> dict[str, Any]:
    keys = [column if part in rule.by else f"NULL::VARCHAR AS {column}" for part, column in _COLUMNS.items()]
    parameters: dict[str, Any] = {
        "first": moments[0], "last": moments[1], "step": _step(rule), "window": int(rule.window),
        "compare": int(rule.compare), "recent": int(options.recent), "overdue": int(rule.overdue),
        "days": max(1, int(rule.compare // 86_400)), "windows_before": WINDOWS_BEFORE, "min_count": rule.min_count,
        "keys": ", ".join(keys), "where": _where(rule), "of_service": any_of("service_name", rule.service), "of_reason": any_of("reason", rule.reason), "took": _LATENCY, "percentile": float(rule.percentile),
        "listed": "[" + ", ".join(map(quoted, rule.agents)) + "]::VARCHAR[]",
    }  # fmt: skip
    parameters["facts"] = Template(_FACTS.get(rule.kind, "")).substitute(parameters)
    measure = _MEASURES.get(rule.kind)
    rows: dict[str, str] = _OF_ACTIONS
    if of_windows:
        condition, value, actions = _METERED[rule.kind]
        judged = _wilson(value, actions) if rule.kind == "errors" else value
        measure = _Measure(condition, value, judged, "NULL", _MEASURES[rule.kind].usual)
        rows = {**_OF_WINDOWS, "actions": actions}
        parameters["percentile_column"] = _PERCENTILES.get(rule.percentile, "NULL")
    parameters.update({name: Template(told).safe_substitute(parameters) for name, told in rows.items()})
    if measure is not None:
        told = {name: Template(text).safe_substitute(parameters) for name, text in measure._asdict().items()}
        parameters.update(told, judged=told["value"] if rule.by_chance else told["judged"])
    return parameters


def _where(rule: Rule) -> str:
    wanted = {
        "tenant_id": rule.tenant,
        "agent_name": rule.agent,
        "action_type": rule.action,
        "service_name": rule.service,
    }
    return " AND ".join(any_of(column, patterns) for column, patterns in wanted.items())


def _own(tables: Tables, rule: Rule, ended: int) -> list[Observation]:
    assert rule.sql is not None
    for name, seconds in (("since", ended - int(rule.window)), ("until", ended)):
        tables.connection.execute(f"SET VARIABLE {name} = to_timestamp({seconds})")
    rows = _rows(tables, rule, rule.sql.rstrip().rstrip(";"))
    for row in rows:
        if "value" not in row:
            raise QueryError(f"rule {rule.name}: its SQL has no column `value`; name one so")
    found = [
        _observation(rule, {
            "ended": ended, "actions": row.get("count", 0), "judged": row.get("judged", row["value"]),
            **{name: row.get(name) for name in ("tenant_id", "agent_name", "action_type", "before", "run_id", "value")},
        })
        for row in rows
        if row["value"] is not None
    ]  # fmt: skip
    return [each for each in found if each.count >= rule.min_count]


def _rows(tables: Tables, rule: Rule, query: str) -> list[dict[str, Any]]:
    import duckdb

    try:
        answer = tables.connection.execute(query)
        names = [each[0] for each in answer.description or []]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
    except duckdb.IOException:
        raise  # the store's files were made into others meanwhile
    except duckdb.Error as exc:
        raise QueryError(f"rule {rule.name}: {_told(exc)}") from exc


def _observation(rule: Rule, row: dict[str, Any]) -> Observation:
    try:
        value = float(row["value"])
        judged = value if row["judged"] is None else float(row["judged"])
        before = None if row["before"] is None else float(row["before"])
    except (TypeError, ValueError):
        raise QueryError(f"rule {rule.name}: value, judged and before are to be numbers") from None
    key = Key(rule.name, *(None if row[column] is None else str(row[column]) for column in _COLUMNS.values()))
    at = datetime.fromtimestamp(row["ended"], timezone.utc)
    return Observation(key, at, value, judged, int(row["actions"]), before, row["run_id"], row.get("detail"))


def _told(exc: Exception) -> str:
    lines: Sequence[str] = [line.strip() for line in str(exc).splitlines() if line.strip()]
    return " ".join(lines)[:300]
