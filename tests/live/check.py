"""From the events of a scenario to what is wrong with them, in words."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterable
from typing import Any

from tests.live.expected import Row
from tests.model.answers import CACHED_TOKENS, INPUT_TOKENS, OUTPUT_TOKENS, REASONING_TOKENS

__all__ = ["Event", "by_scenario", "problems"]

Event = dict[str, Any]

TOKENS = INPUT_TOKENS + OUTPUT_TOKENS
COST = ((INPUT_TOKENS - CACHED_TOKENS) * 2.5 + CACHED_TOKENS * 1.25 + OUTPUT_TOKENS * 10) / 1e6
"""Of one call of gpt-4o, in USD."""


def by_scenario(items: list[Event], begun: dict[str, int], start_ns: Callable[[Event], int]) -> dict[str, list[Event]]:
    """Sort events or spans by the scenario in which they began: some end long after it."""
    names = list(begun)
    found: dict[str, list[Event]] = {name: [] for name in names}
    for item in items:
        # times of events are whole microseconds
        place = bisect([when - 1000 for when in begun.values()], start_ns(item)) - 1
        found[names[max(place, 0)]].append(item)
    return found


def problems(events: list[Event], rows: list[Row]) -> list[str]:
    """Return what differs from what really happened; nothing where all is right."""
    by_id = {event["event_id"]: event for event in events}
    events = _without_doubles(events, by_id)
    found = [f"{_name(one)}: its parent is no event" for one in events if _parent(one) and _parent(one) not in by_id]
    actual = [event for event in events if event["action_type"] in {"agent", "tool", "llm", "handoff"}]
    left = list(rows)
    unmatched: list[Event] = []
    # what fits goes first, then what is nearest tells what is wrong with it
    for event in actual:
        row = next((row for row in left if not _differences(event, row, by_id)), None)
        if row is None:
            unmatched.append(event)
        else:
            left.remove(row)
    for event in unmatched:
        near = [row for row in left if row.kind == event["action_type"] and _same_name(event, row)]
        row = min(near, key=lambda row: len(_differences(event, row, by_id)), default=None)
        if row is None:
            found.append(f"too many: {_name(event)} of {_owner(event, by_id) or 'nobody'}, {event['status']}")
        else:
            left.remove(row)
            found += [f"{row}: {difference}" for difference in _differences(event, row, by_id)]
    found += [f"missing: {row}" for row in left]
    return [*found, *_sums(events, rows)]


def _without_doubles(events: list[Event], by_id: dict[str, Event]) -> list[Event]:
    """Return each model call once: where a framework and the library below it have recorded it, one has the tokens."""
    inside = {_parent(event): event for event in events if event["action_type"] == "llm"}
    kept: list[Event] = []
    for event in events:
        above = by_id.get(_parent(event) or "", {})
        if event["action_type"] == "llm" and above.get("action_type") == "llm":
            continue
        inner = inside.get(event["event_id"])
        if event["action_type"] == "llm" and inner is not None:
            kept.append({**inner, **{key: value for key, value in event.items() if value is not None}})
        else:
            kept.append(event)
    return kept


def _sums(events: list[Event], rows: list[Row]) -> list[str]:
    roots = [event for event in events if _parent(event) is None]
    calls = [row for row in rows if row.kind == "llm"]
    found: list[str] = []
    if all(row.has_tokens for row in calls):
        own, inclusive = (_total(some, key) for some, key in ((events, "own_tokens"), (roots, "tokens_used")))
        expected = TOKENS * len(calls)
        found += [
            f"{what} add up to {number}, should be {expected}"
            for what, number in (("own tokens", own), ("tokens of the roots", inclusive))
            if number != expected
        ]
    counted = _total(roots, "llm_calls")
    if counted != len(calls):
        found.append(f"model calls of the roots add up to {counted}, should be {len(calls)}")
    top = {status for row in rows if row.kind == "agent" and not row.of for status in row.status.split("|")}
    for root in roots:
        if top and root["action_type"] in {"workflow", "step"} and root["status"] not in top:
            found.append(f"the root {_name(root)} is {root['status']}, should be {'|'.join(sorted(top))}")
    expected_roots = len([row for row in rows if row.kind == "agent" and not row.of]) or len(calls)
    if len(roots) > expected_roots:
        found.append(f"{len(roots)} roots, should be {expected_roots}: {', '.join(map(_name, roots))}")
    return found


def _total(events: Iterable[Event], key: str) -> int:
    return sum(event.get(key) or 0 for event in events)


def _differences(event: Event, row: Row, by_id: dict[str, Event]) -> list[str]:
    given: list[tuple[str, Any, str]] = [
        ("status", event["status"], row.status),
        ("error_type", event.get("error_type") or "", row.error),
        ("belongs to", _owner(event, by_id), row.of),
    ]
    given.append(("kind", event["action_type"], row.kind))
    if row.kind == "agent" or row.of:
        given.append(("agent_name", event.get("agent_name") or "", row.name if row.kind == "agent" else row.of))
    if row.kind == "tool":
        given.append(("tool_name", event.get("tool_name") or "", row.name))
    if row.kind == "llm":
        given += [("model", event.get("model"), "gpt-4o"), ("provider", event.get("provider"), "openai")]
        if row.has_tokens:
            counts = (
                ("input", INPUT_TOKENS),
                ("output", OUTPUT_TOKENS),
                ("cached_input", CACHED_TOKENS),
                ("reasoning", REASONING_TOKENS),
            )
            given += [(f"{name}_tokens", event.get(f"{name}_tokens"), str(count)) for name, count in counts]
        cost = event.get("own_cost")
        if row.has_tokens or event.get("own_tokens") is None:
            expected = str(round(COST, 9)) if row.has_tokens else "None"  # unknown is not zero
            given.append(("own_cost", cost if cost is None else round(cost, 9), expected))
    return [f"{what} {is_!r}, should be {should!r}" for what, is_, should in given if str(is_) not in should.split("|")]


def _same_name(event: Event, row: Row) -> bool:
    return row.kind not in {"agent", "tool"} or row.name == event.get(
        "agent_name" if row.kind == "agent" else "tool_name"
    )


def _owner(event: Event, by_id: dict[str, Event]) -> str:
    """Return the nearest agent above, by the links between events."""
    above = by_id.get(_parent(event) or "")
    while above is not None and above["action_type"] != "agent":
        above = by_id.get(_parent(above) or "")
    return "" if above is None else above.get("agent_name") or "?"


def _parent(event: Event) -> str | None:
    return event.get("parent_event_id")


def _name(event: Event) -> str:
    name = event.get("tool_name") if event["action_type"] == "tool" else event.get("agent_name")
    return f"{event['action_type']} {name or ''}".strip()
