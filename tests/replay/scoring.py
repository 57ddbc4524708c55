"""Compares the events of a run with what really happened: a table of what was right, and each miss in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import isclose
from typing import NamedTuple

from otel_feedback.events.model import OutcomeEvent
from tests.replay.captures import Run, Truth

__all__ = ["FACTS", "Miss", "Table", "misses_of", "visible"]

FACTS = ("status", "error", "agents", "tools", "tokens", "cost")

_NO_NAMES = frozenset({"", "unknown", "unnamed", "anonymous", "none", "null", "undefined", "n/a", "<not specified>"})
_NO_AGENTS = _NO_NAMES | {
    "agent", "default", "langgraph", "runnablesequence", "runnablelambda", "runnablewithfallbacks",
}  # fmt: skip
"""Names of classes and operations that stand where there is no name."""


class Miss(NamedTuple):
    """A fact that the events have wrong."""

    run: str
    fact: str
    why: str


def visible(truth: Truth) -> frozenset[str]:
    """Return the facts that the spans of a run show."""
    hidden = {
        "status": not truth.status_visible,
        "error": not truth.error_type_visible,
        "agents": not truth.agents_visible,
        "tokens": not truth.tokens_visible,
        "cost": not truth.tokens_visible or truth.cost_usd is None,
    }
    return frozenset(fact for fact in FACTS if not hidden.get(fact))


def misses_of(run: Run, events: Sequence[OutcomeEvent]) -> list[Miss]:
    """Return what is wrong, of what is visible.

    status, error: those of the events of the run itself. agents: all are there, and none has a name that is none. tools:
    the same names as often, with a status that is right. tokens: inclusive ones of the roots, own ones, and input and
    output of all events add up to what was used. cost: so do inclusive and own costs.
    """
    truth = run.truth
    wrong = {
        "status": _wrong_status(truth, events),
        "error": _wrong_error(truth, events),
        "agents": _wrong_agents(truth, events),
        "tools": _wrong_tools(truth, events),
        "tokens": _wrong_tokens(truth, events),
        "cost": _wrong_cost(truth.cost_usd or 0.0, events),
    }
    seen = visible(truth)
    return [Miss(run.name, fact, why) for fact, why in wrong.items() if why and fact in seen]


def _roots(events: Iterable[OutcomeEvent]) -> list[OutcomeEvent]:
    return [event for event in events if event.parent_event_id is None]


def _of_run(truth: Truth, events: Sequence[OutcomeEvent]) -> list[OutcomeEvent]:
    """Return the events that stand for the run as a whole."""
    named = [event for event in events if event.span_id in truth.run_span_ids]
    if named:
        return named
    roots = [event for event in _roots(events) if event.span_id not in truth.not_run_span_ids]
    return [event for event in roots if event.action_type in ("agent", "workflow")] or roots


def _wrong_status(truth: Truth, events: Sequence[OutcomeEvent]) -> str:
    got = [event.status.value for event in _of_run(truth, events)]
    return "" if got and set(got) <= set(truth.status) else f"{got}, not one of {truth.status}"


def _wrong_error(truth: Truth, events: Sequence[OutcomeEvent]) -> str:
    got = [_tail(event.error_type) for event in _of_run(truth, events)]
    right = {_tail(name) for name in truth.error_type}
    return "" if got and set(got) <= right else f"{got}, not one of {truth.error_type}"


def _tail(name: str | None) -> str | None:
    return name.strip().rpartition(".")[2].lower() if name else None


def _wrong_agents(truth: Truth, events: Sequence[OutcomeEvent]) -> str:
    found = [event for event in events if event.action_type in ("agent", "workflow")]
    names = {event.agent_name for event in found}
    missing = [name for name in truth.agent_names if name not in names]
    known = {None, *truth.agent_names, *truth.workflow_names}
    made_up = [
        event.agent_name
        for event in found
        if event.agent_name not in known
        and str(event.agent_name).strip().lower() in (_NO_AGENTS if event.action_type == "agent" else _NO_NAMES)
    ]
    return f"missing {missing}, no names {made_up}" if missing or made_up else ""


def _wrong_tools(truth: Truth, events: Sequence[OutcomeEvent]) -> str:
    left = [(event.tool_name, event.status.value) for event in events if event.action_type == "tool"]
    missing: list[str] = []
    for tool in sorted(truth.tools, key=lambda tool: (not tool.status_visible, not tool.visible)):
        same = [one for one in left if one[0] == tool.name and (not tool.status_visible or one[1] in tool.status)]
        if same:
            left.remove(same[0])
        elif tool.visible and not tool.never_ended:
            missing.append(f"{tool.name} {tool.status}")
    if truth.handoffs:
        left = [one for one in left if not str(one[0]).lower().startswith(("transfer_to", "handoff"))]
    return f"missing {missing}, too many {left}" if missing or left else ""


def _wrong_tokens(truth: Truth, events: Sequence[OutcomeEvent]) -> str:
    right = truth.input_tokens + truth.output_tokens
    sums = {
        "inclusive of the roots": (sum(event.tokens_used or 0 for event in _roots(events)), right),
        "own": (sum(event.own_tokens or 0 for event in events), right),
        "input": (sum(event.input_tokens or 0 for event in events), truth.input_tokens),
        "output": (sum(event.output_tokens or 0 for event in events), truth.output_tokens),
    }
    return ", ".join(f"{name} {got}, not {want}" for name, (got, want) in sums.items() if got != want)


def _wrong_cost(right: float, events: Sequence[OutcomeEvent]) -> str:
    sums = {
        "inclusive of the roots": sum(event.cost_estimate or 0.0 for event in _roots(events)),
        "own": sum(event.own_cost or 0.0 for event in events),
    }
    return ", ".join(
        f"{name} {got}, not {right}" for name, got in sums.items() if not isclose(got, right, abs_tol=1e-11)
    )


class Table:
    """What was right of what is visible, for each convention, or for those that a run has spans of."""

    def __init__(self) -> None:
        self._runs: Counter[str] = Counter()
        self._seen: Counter[tuple[str, str]] = Counter()
        self._wrong: Counter[tuple[str, str]] = Counter()

    def add(self, run: Run, misses: Iterable[Miss]) -> None:
        """Add one run."""
        self._runs[run.group] += 1
        self._seen.update((run.group, fact) for fact in visible(run.truth))
        self._wrong.update((run.group, miss.fact) for miss in misses)

    @property
    def seen(self) -> int:
        """How many facts are visible."""
        return self._seen.total()

    @property
    def right(self) -> int:
        """How many of them the events have right."""
        return self.seen - self._wrong.total()

    def __str__(self) -> str:
        width = max(map(len, self._runs))
        lines = [f"{'':{width}}  runs" + "".join(f"{fact:>10}" for fact in FACTS)]
        lines += [self._line(group, width, (group,)) for group in self._runs]
        lines.append(self._line("all", width, tuple(self._runs)))
        return "\n".join(lines)

    def _line(self, name: str, width: int, groups: tuple[str, ...]) -> str:
        line = f"{name:{width}}{sum(self._runs[group] for group in groups):6}"
        for fact in FACTS:
            seen = sum(self._seen[group, fact] for group in groups)
            right = seen - sum(self._wrong[group, fact] for group in groups)
            line += f"{f'{right}/{seen}' if seen else '-':>10}"
        return line
