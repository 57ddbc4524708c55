"""Made-up events as they come: repeats, revisions, late ones, such as are under way for ever; and the views recomputed plainly."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

from otel_feedback import OutcomeEvent, OutcomeStatus

BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)
ENDED = ("success",) * 14 + ("failure", "failure", "timeout", "cancelled", "partial")
ERRORS = {"failure": ("RateLimitError", "ValueError", "_OTHER"), "timeout": ("TimeoutError",)}
PRICES = {"gpt-4o": 4e-6, "claude-sonnet": 6e-6, "gpt-4o-mini": 3e-7}


def events(number: int, seed: int = 1, minutes: int = 180) -> list[OutcomeEvent]:
    """Return so many records in the order in which they arrive, which is not that of time.

    Of 100 some 5 are pending first, and a few of them for ever; 8 are told again with more cost, 4 come twice, and 3 come
    an hour or so late, as a journal's replay brings them.
    """
    lot = random.Random(seed)
    arrivals: list[tuple[float, int, OutcomeEvent]] = []
    while len(arrivals) < number:
        action = len(arrivals)
        at = BEGIN + timedelta(seconds=minutes * 60 * len(arrivals) / number, microseconds=lot.randrange(1_000_000))
        arrives = at.timestamp() + (lot.uniform(600, 5_400) if lot.random() < 0.03 else lot.uniform(0, 3))
        last = _ended(lot, action, at)
        records = [last]
        if lot.random() < 0.08:
            cost = None if last.own_cost is None else last.own_cost + 0.001
            records.append(changed(last, revision=2, own_cost=cost, own_tokens=(last.own_tokens or 0) + 7))
        if lot.random() < 0.05:
            pending = changed(
                last, revision=0, status=OutcomeStatus.PENDING, timestamp=last.start_time, end_time=None,
                latency_ms=None, duration_ms=None, own_tokens=None, own_cost=None, quality_score=None, error_type=None,
                error_message=None,
            )  # fmt: skip
            records = [pending] if lot.random() < 0.2 else [pending, *records]
        if lot.random() < 0.04:
            records.append(lot.choice(records))
        for record in records:
            arrivals.append((arrives + lot.uniform(0, 400) * (len(records) > 1), len(arrivals), record))
    return [record for _, _, record in sorted(arrivals, key=lambda each: each[:2])][:number]


def _ended(lot: random.Random, action: int, at: datetime) -> OutcomeEvent:
    status = lot.choice(ENDED)
    took_ms = round(lot.lognormvariate(6, 1), 3)
    model = lot.choice([*PRICES, None])
    tokens = None if model is None else lot.randrange(100, 9_000)
    run = action // 6
    return OutcomeEvent(
        event_id=f"{run:032x}-{action:016x}", revision=1, timestamp=at, end_time=at if lot.random() < 0.97 else None,
        start_time=at - timedelta(milliseconds=took_ms), action_type=lot.choice(["plan", "tool", "write"]),
        status=OutcomeStatus(status), agent_name=lot.choice(["planner", "researcher", "writer", None]),
        tenant_id=("acme", "globex", "initech", None)[run % 4], user_id=f"u-{run % 50}", session_id=f"s-{run % 300}",
        workflow_id=("refund", "report")[run % 2], service_name="support-bot", run_id=f"run-{run}",
        root_event_id=f"{run:032x}-{run * 6:016x}",
        latency_ms=took_ms, duration_ms=took_ms, model=model, own_tokens=tokens,
        input_tokens=tokens, own_cost=None if model is None or tokens is None else tokens * PRICES[model],
        quality_score=round(lot.random(), 3) if lot.random() < 0.3 else None,
        error_type=lot.choice(ERRORS[status]) if status in ERRORS else None,
        error_message="it did not work" if status in ERRORS else None,
        tags=tuple(lot.sample(["beta", "paid", "eu"], lot.randrange(3))),
    )  # fmt: skip


def changed(event: OutcomeEvent, **fields: Any) -> OutcomeEvent:
    """Return an event with other fields."""
    if "status" in fields:
        fields["severity"] = None
    return msgspec.structs.replace(event, **fields)


def recent(records: Iterable[OutcomeEvent]) -> list[OutcomeEvent]:
    """Return the same of the last three hours: brokers refuse what is too old."""
    shift = datetime.now(timezone.utc) - BEGIN - timedelta(hours=3, minutes=10)
    moved: list[OutcomeEvent] = []
    for event in records:
        times = {name: getattr(event, name) for name in ("timestamp", "start_time", "end_time")}
        moved.append(
            msgspec.structs.replace(event, **{name: at + shift for name, at in times.items() if at is not None})
        )
    return moved


def rounded(value: Any) -> Any:
    """Return the same without the last digits of sums, which depend on the order of what is added."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items() if name != "source"}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return float(f"{value:.12g}") if isinstance(value, float) else value


def outcomes(records: Iterable[OutcomeEvent]) -> list[OutcomeEvent]:
    """Return the highest revision of each event."""
    highest: dict[str, OutcomeEvent] = {}
    for record in records:
        if record.event_id not in highest or record.revision > highest[record.event_id].revision:
            highest[record.event_id] = record
    return list(highest.values())


def windows(records: Iterable[OutcomeEvent], window_s: int = 300) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Recompute the view `windows`: by start, tenant, agent and action what it has."""
    grouped: dict[tuple[Any, ...], list[OutcomeEvent]] = defaultdict(list)
    for event in outcomes(records):
        start = math.floor((event.end_time or event.timestamp).timestamp() / window_s) * window_s
        grouped[start, event.tenant_id, event.agent_name, event.action_type].append(event)
    return {key: _window(group) for key, group in grouped.items()}


def _window(group: Sequence[OutcomeEvent]) -> dict[str, Any]:
    ended = [event for event in group if event.status != "pending"]
    counts = {status.value: sum(event.status is status for event in group) for status in OutcomeStatus}
    took = sorted(event.latency_ms for event in ended if event.latency_ms is not None)
    costs = [event.own_cost for event in group if event.own_cost is not None]
    tokens = [event.own_tokens for event in group if event.own_tokens is not None]
    quality = [event.quality_score for event in group if event.quality_score is not None]
    return {
        "executions": len(ended), "successes": counts["success"], "failures": counts["failure"],
        "timeouts": counts["timeout"], "cancelled": counts["cancelled"], "partial": counts["partial"],
        "pending": counts["pending"],
        "error_rate": counts["failure"] / len(ended) if ended else None,
        "timeout_rate": counts["timeout"] / len(ended) if ended else None,
        "avg_latency_ms": sum(took) / len(took) if took else None,
        **{f"p{share}_latency_ms": _between(took, share / 100) for share in (50, 95, 99)},
        "tokens": sum(tokens) if tokens else None, "cost": math.fsum(costs) if costs else None,
        "avg_quality": sum(quality) / len(quality) if quality else None, "quality_count": len(quality),
    }  # fmt: skip


def runs(records: Iterable[OutcomeEvent]) -> dict[Any, dict[str, Any]]:
    """Recompute the view `runs`: by run what it has."""
    return {key: _run(group) for (key,), group in _grouped(records, "run_id").items()}


def _run(group: Sequence[OutcomeEvent]) -> dict[str, Any]:
    in_time = sorted(group, key=_time)
    outermost = [event for event in in_time if (event.root_event_id or event.event_id) == event.event_id]
    is_pending = any(event.status == "pending" for event in group)
    first, last = min(event.start_time or _time(event) for event in group), _time(in_time[-1])
    status = outermost[-1].status.value if outermost else "pending" if is_pending else in_time[-1].status.value
    quality = [event.quality_score for event in group if event.quality_score is not None]
    return {
        **{name: _least(group, name) for name in ("tenant_id", "user_id", "session_id", "workflow_id", "service_name")},
        "status": status, "first": first, "last": last, "duration_ms": (last - first) / timedelta(milliseconds=1),
        "actions": len(group), "agents": len({event.agent_name for event in group} - {None}),
        **{
            name: sum(event.status == status for event in group)
            for name, status in (
                ("failures", "failure"), ("timeouts", "timeout"), ("cancelled", "cancelled"), ("pending", "pending")
            )
        },
        "tokens": _total(group, "own_tokens"), "cost": _total(group, "own_cost"),
        "avg_quality": sum(quality) / len(quality) if quality else None,
    }  # fmt: skip


def costs(records: Iterable[OutcomeEvent]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Recompute the view `costs`: by tenant, workflow, agent, model and provider what it has."""
    groups = _grouped(records, "tenant_id", "workflow_id", "agent_name", "model", "provider")
    return {
        key: {
            "actions": len(group), "runs": len({event.run_id for event in group}),
            "tokens": _total(group, "own_tokens"),
            **{name: _total(group, name) for name in ("input_tokens", "cached_input_tokens", "output_tokens")},
            "cost": _total(group, "own_cost"),
            "actions_without_price": sum(bool(event.own_tokens) and event.own_cost is None for event in group),
        }
        for key, group in groups.items()
    }  # fmt: skip


def failures(records: Iterable[OutcomeEvent]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Recompute the view `failures`: by agent, action, error and status what it has."""
    wrong = [event for event in outcomes(records) if event.status in ("failure", "timeout")]
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for key, group in _grouped(wrong, "agent_name", "action_type", "error_type", "status").items():
        newest = max(group, key=_time)
        found[key] = {
            "times": len(group), "runs": len({event.run_id for event in group}),
            "tenants": len({event.tenant_id for event in group} - {None}),
            "first": min(map(_time, group)), "last": _time(newest), "example_event_id": newest.event_id,
            "example_run_id": newest.run_id, "example_message": newest.error_message,
        }  # fmt: skip
    return found


def _grouped(records: Iterable[OutcomeEvent], *names: str) -> dict[tuple[Any, ...], list[OutcomeEvent]]:
    groups: dict[tuple[Any, ...], list[OutcomeEvent]] = defaultdict(list)
    for event in outcomes(records):
        groups[tuple(getattr(event, name) for name in names)].append(event)
    return groups


def _time(event: OutcomeEvent) -> datetime:
    return event.end_time or event.timestamp


def _least(group: Sequence[OutcomeEvent], name: str) -> Any:
    return min((value for event in group if (value := getattr(event, name)) is not None), default=None)


def _total(group: Sequence[OutcomeEvent], name: str) -> Any:
    given = [value for event in group if (value := getattr(event, name)) is not None]
    return (math.fsum(given) if isinstance(given[0], float) else sum(given)) if given else None


def _between(ordered: Sequence[float], share: float) -> float | None:
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
