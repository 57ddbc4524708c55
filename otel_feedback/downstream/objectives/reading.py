"""`slo.toml` from text to objectives; what is wrong with it, all at once: line, field, value, and what would be right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from otel_feedback.downstream.declared.reading import FileError, Problem, Reading, said, tables_of, text_of
from otel_feedback.downstream.objectives.objective import DAY_S, THRESHOLDS, Objective

__all__ = ["ObjectivesError", "check_channels", "parse", "read"]

MOST_DAYS = 366
KINDS = ("success", *THRESHOLDS)


class ObjectivesError(FileError):
    """A file of objectives has mistakes: `problems` has them all."""


def read(path: Path) -> tuple[Objective, ...]:
    """Return what a file says.

    Raises:
        ObjectivesError: It has mistakes, or is not there.
    """
    return parse(text_of(path, ObjectivesError), str(path))


def parse(text: str, path: str = "slo.toml") -> tuple[Objective, ...]:
    """Return what a text says.

    Raises:
        ObjectivesError: It has mistakes.
    """
    tables = tables_of(text, path, ObjectivesError)
    reading = _Reading(text)
    objectives = reading.several("objective", tables.get("objective", []), Objective)
    for name in tables.keys() - {"objective"}:
        reading.unknown("", 0, name, ["objective"])
    reading.check_names("objective", (each and each.name for each in objectives))
    if not objectives and not reading.problems:
        reading.note("objective", 0, "", "there is none", "write [[objective]], and its fields below it")
    if reading.problems:
        raise ObjectivesError(path, sorted(reading.problems, key=lambda problem: problem.line or 0))
    return tuple(made for made in objectives if made is not None)


def check_channels(objectives: Iterable[Objective], names: Iterable[str], path: str) -> None:
    """See that the channels of objectives are among those of alerts.

    Raises:
        ObjectivesError: One is not.
    """
    known = {*names, "*"}
    problems = [
        Problem(None, f"objective {each.name}.channels", f"there is no channel {name!r} in alerts.toml", "correct one")
        for each in objectives
        for name in each.channels
        if name not in known
    ]
    if problems:
        raise ObjectivesError(path, problems)


class _Reading(Reading):
    """Reads the tables of a file of objectives."""

    right: ClassVar[Mapping[str, str]] = {
        "kind": f"one of {', '.join(KINDS)}", "target": "a share such as 0.95", "threshold_ms": "a number of milliseconds",
        "threshold_usd": "a number of US dollars", "partial": 'one of "good", "bad"', "min_count": "a whole number",
        "by": 'some of ["tenant", "agent", "action"], or [] for all together', "alerts": 'one of "burn", "budget", "none"',
    }  # fmt: skip
    lists = frozenset({"by", "tenant", "agent", "action", "service", "channels"})

    def check(self, kind: type[msgspec.Struct], number: int, values: dict[str, Any], told: dict[str, Any]) -> None:
        """Note what is wrong beside types."""
        before = len(self.problems)
        of = values["kind"]
        if not 0 < values["target"] < 1:
            self._note(number, "target", told, "use a share above 0 and below 1: 95 % are 0.95, and 1 leaves no budget")
        period = values.get("period", DAY_S)
        if period % DAY_S or not DAY_S <= period <= MOST_DAYS * DAY_S:
            self._note(number, "period", told, f"use whole days, from 1d to {MOST_DAYS}d")
        wanted = THRESHOLDS.get(of)
        if wanted is not None and wanted not in values:
            self.note("objective", number, wanted, "is missing", f"say what is good: {wanted} = …")
        for other, name in THRESHOLDS.items():
            if name in values and other != of:
                self.note("objective", number, name, f"is of kind {other} only", "remove it")
        self.at_least("objective", number, values, {"threshold_ms": 0, "threshold_usd": 0, "min_count": 1})
        if "window" in values and of != "cost":
            self.note("objective", number, "window", "is of kind cost only", "remove it")
        elif "window" in values and (values["window"] % 300 or not 300 <= values["window"] <= DAY_S):
            self._note(number, "window", told, "use a multiple of 5m, up to 1d")
        if "partial" in values and of != "success":
            self.note("objective", number, "partial", "is of kind success only", "remove it")
        if len(self.problems) == before:
            self._check_whole(number, Objective(**values), told)

    def _check_whole(self, number: int, objective: Objective, told: dict[str, Any]) -> None:
        if objective.alerts == "burn" and objective.unburnable is not None:
            self.note("objective", number, "alerts", f"'burn': {objective.unburnable}", 'use "budget"')
        if objective.window is not None and objective.period < objective.window * objective.least:
            found = f"{said(told['window'])}, of which {objective.days}d have fewer than the {objective.least} that are needed"
            self.note("objective", number, "window", found, "use a shorter one, or a lower min_count")

    def _note(self, number: int, name: str, told: dict[str, Any], remedy: str) -> None:
        self.note("objective", number, name, said(told[name]), remedy)
