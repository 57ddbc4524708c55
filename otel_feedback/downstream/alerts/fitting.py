"""Which fields of a rule mean nothing to its kind, and which values, each right alone, can never hold. Pure.

Input: the values of a rule whose types are right. Output: a `Misfit` for each mistake.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from otel_feedback.downstream.alerts.rules import KINDS, WINDOWS_BEFORE, Options

__all__ = ["Misfit", "misfits", "of_settings"]

DAY_S = 86_400
STEP_S = 300
_OF_EVENTS = tuple(kind for kind, told in KINDS.items() if told.parts and kind != "sql")
_MEASURED = ("errors", "latency", "cost", "quality")
_ONLY: Mapping[str, tuple[str, ...]] = {
    "percentile": ("latency",), "overdue": ("stuck",), "agents": ("silent",), "sql": ("sql",),
    "reason": ("losing", "dead_letters"), "by_chance": ("errors", "latency", "quality"),
    "tenant": _OF_EVENTS, "agent": _OF_EVENTS, "action": _OF_EVENTS,
    "service": (*_OF_EVENTS, "missing", "losing", "behind"), "rise": (*_MEASURED, "sql"), "drop": (*_MEASURED, "sql"),
}  # fmt: skip
"""Fields that mean nothing to other kinds."""


class Misfit(NamedTuple):
    """What is wrong with a field, and what would be right."""

    field: str
    found: str
    remedy: str


def misfits(values: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[Misfit]:
    """Yield what is wrong with a rule.

    Args:
        values: Its fields, with the defaults of its kind.
        told: What the file says of it.
    """
    kind = values["kind"]
    for name, kinds in _ONLY.items():
        if name in told and kind not in kinds:
            yield Misfit(name, f"means nothing to kind {kind}", f"remove it: it is of {', '.join(kinds)}")
    if set(values["by"]) - set(KINDS[kind].parts) and (kind == "silent" or not KINDS[kind].parts):
        parts = list(KINDS[kind].parts)
        yield Misfit("by", str(told["by"]), f"use some of {parts}" if parts else "remove it: all are told together")
    yield from _conditions(kind, values)
    window_s, compare_s = values.get("window", STEP_S), values.get("compare", DAY_S)
    if {"rise", "drop"} & values.keys() and compare_s < WINDOWS_BEFORE * window_s:
        field = "compare" if "compare" in told else "window"
        yield Misfit(field, "nobody would know what was usual", f"use a compare of at least {WINDOWS_BEFORE} windows")
    if kind == "silent" and compare_s % DAY_S:
        yield Misfit("compare", str(told["compare"]), "use whole days, such as 7d")
    if kind == "stuck" and values.get("overdue", 3_600) >= window_s:
        yield Misfit(
            "overdue", "nothing would be seen that is so old", "use less than window, which is 24h unless it is given"
        )
    if values.get("remind", 60) < 60:
        yield Misfit("remind", str(told["remind"]), "use at least 1m")


def _conditions(kind: str, values: Mapping[str, Any]) -> Iterator[Misfit]:
    for name in ("above", "below", "rise"):
        value = values.get(name, 2.0)
        if kind == "errors" and name == "above":
            continue  # a share
        if not math.isfinite(value):
            yield Misfit(name, str(value), "use a number")
        elif kind != "sql" and (value < 0 or (name == "below" and value == 0)):
            right = "use more than 0" if name == "below" else "use 0 or more"
            yield Misfit(name, f"{value:g} is {'never' if name == 'below' else 'always'} so", right)


def of_settings(options: Options) -> Iterator[Misfit]:
    """Yield what is wrong with the settings of all rules."""
    least_s = STEP_S + options.settle + options.every
    if options.recent < least_s:
        yield Misfit(
            "recent", "some windows would never be looked at", f"use at least {least_s:g}s: 5m, settle and every"
        )
    if options.link is not None and "{run_id}" not in options.link:
        yield Misfit("link", options.link, "use a text with {run_id}")
