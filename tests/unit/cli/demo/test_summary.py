"""What outcomes come to: numbers, the origins of trouble, the tree."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.cli.console import count, dollars, duration
from otel_feedback.cli.demo.summary import origins, quantile, slowest, summarize
from otel_feedback.cli.outcomes import nested

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def event(
    name: str, parent: str | None = None, status: str = "success", at_s: float = 0.0, **more: Any
) -> OutcomeEvent:
    fields: dict[str, Any] = {"run_id": "r", "agent_name": name, "duration_ms": 100.0, **more}
    return OutcomeEvent(
        event_id=name,
        action_type="act",
        status=OutcomeStatus(status),
        parent_event_id=parent,
        start_time=NOON + timedelta(seconds=at_s),
        **fields,
    )


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([7.0], 0.5, 7.0),
        ([1.0, 2.0], 0.5, 1.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        (range(1, 101), 0.95, 95),
        ([1, 9], 0.95, 9),
    ],
)
def test_a_quantile_is_the_nearest_rank(values: Any, share: float, expected: float) -> None:
    assert quantile(values, share) == expected


def test_the_summary_counts_tokens_and_costs_of_nested_actions_once() -> None:
    events = [
        event("child", "root", own_tokens=10, tokens_used=10, own_cost=0.25, cost_estimate=0.25, quality_score=0.5),
        event("root", own_tokens=5, tokens_used=15, own_cost=0.5, cost_estimate=0.75, status="partial"),
    ]
    summary = summarize(events)
    assert (summary.actions, summary.runs, summary.tokens, summary.cost) == (2, 1, 15, 0.75)
    assert summary.by_status == {
        "success": 1, "failure": 0, "partial": 1, "timeout": 0, "cancelled": 0, "pending": 0
    }  # fmt: skip
    by_agent = {line.agent: line for line in summary.by_agent}
    assert (by_agent["root"].success_rate, by_agent["root"].tokens, by_agent["root"].quality) == (0.0, 5, None)
    assert (by_agent["child"].success_rate, by_agent["child"].quality, by_agent["child"].p95_ms) == (1.0, 0.5, 100.0)


def test_a_summary_of_nothing() -> None:
    assert summarize([]) == (0, 0, dict.fromkeys((status.value for status in OutcomeStatus), 0), [], 0, 0.0)
    assert origins([]) == ([], 0)
    assert slowest([], 3) == []
    assert nested([], "r") == []


def test_what_failed_because_something_inside_it_failed_is_no_origin() -> None:
    tool = event("tool", "research", "failure")
    recovered = event("search", "other", "timeout")
    events = [
        tool,
        event("research", "root", "failure"),
        recovered,
        event("other", "root"),
        event("root", None, "failure"),
    ]
    assert origins(events) == ([tool, recovered], 2)


def test_nothing_is_cancelled_because_something_inside_it_failed() -> None:
    """As after Ctrl-C, where a search had been tried again."""
    search = event("search", "research", "failure")
    research = event("research", "root", "cancelled")
    assert origins([search, research, event("root", None, "cancelled")]) == ([search, research], 1)


def test_partial_is_no_trouble() -> None:
    assert origins([event("root", None, "partial")]) == ([], 0)


def test_the_slowest_are_steps_and_not_what_is_made_of_steps() -> None:
    events = [event("a", "root", duration_ms=1.0), event("b", "root", duration_ms=3.0), event("root", duration_ms=9.0)]
    assert [slow.event_id for slow in slowest(events, 1)] == ["b"]


def test_a_run_is_nested_by_parent_in_the_order_of_beginning() -> None:
    events = [
        event("second", "root", at_s=2), event("inner", "first", at_s=1.5), event("first", "root", at_s=1),
        event("root"), event("elsewhere", run_id="other"), event("orphan", "gone", at_s=3),
    ]  # fmt: skip
    root, orphan = nested(events, "r")
    assert root.event.event_id == "root"
    assert [child.event.event_id for child in root.children] == ["first", "second"]
    assert [child.event.event_id for child in root.children[0].children] == ["inner"]
    assert orphan.event.event_id == "orphan"


def test_short_forms() -> None:
    assert [duration(value) for value in (None, 0.4, 999.4, 999.6, 2_345)] == [
        "-",
        "0 ms",
        "999 ms",
        "1.00 s",
        "2.35 s",
    ]
    assert [dollars(value) for value in (None, 0.0, 0.00315)] == ["-", "-", "$0.0032"]
    assert [count(value) for value in (None, 0, 12_345)] == ["-", "-", "12,345"]
