"""What a run found: rows of ours against a baseline, goals, and the versions that it was found with.

Immutable values; as JSON for machines (`Report.to_dict`), as a table for people (`table`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from benchmarks.children import BenchmarkError
from benchmarks.progress import say
from benchmarks.summary import Spread, median, paired
from tests.stack.errors import StackError

__all__ = ["Goal", "Report", "Result", "Row", "row", "telling"]


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit on our own figure (`ours`), on `ratio`, or on what ours is above the baseline (`growth`)."""

    of: Literal["ours", "ratio", "growth"]
    limit: float
    at_least: bool = False

    def is_met(self, ours: float, baseline: float, ratio: float) -> bool:
        """Tell whether these figures keep within the limit."""
        value = {"ours": ours, "ratio": ratio, "growth": ours - baseline}[self.of]
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of ours beside the same figure of the baseline; `ratio` is ours / baseline."""

    benchmark: str
    name: str
    against: str
    unit: str
    ours: float
    baseline: float
    ratio: Spread
    goal: Goal | None

    @property
    def met(self) -> bool | None:
        """Whether the goal was met; None without a goal."""
        return None if self.goal is None else self.goal.is_met(self.ours, self.baseline, self.ratio.median)


def row(
    benchmark: str,
    name: str,
    against: str,
    unit: str,
    ours: Sequence[float],
    baseline: Sequence[float],
    goal: Goal | None = None,
) -> Row:
    """Make a row from the figures of rounds that ran in turns."""
    return Row(benchmark, name, against, unit, median(ours), median(baseline), paired(ours, baseline), goal)


@dataclass(frozen=True, slots=True)
class Result:
    """What one measurement found. `details` holds its rounds and its parameters, in JSON types."""

    rows: Sequence[Row]
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run. `failed` holds, by measurement, why there is no result."""

    versions: Mapping[str, str]
    is_quick: bool
    results: Mapping[str, Result]
    failed: Mapping[str, str]

    @property
    def rows(self) -> list[Row]:
        """All rows, in the order of their measurements."""
        return [row for result in self.results.values() for row in result.rows]

    def to_dict(self) -> dict[str, Any]:
        """Return the report in JSON types."""
        return {
            "versions": dict(self.versions),
            "quick": self.is_quick,
            "rows": [{**asdict(row), "met": row.met} for row in self.rows],
            "details": {name: dict(result.details) for name, result in self.results.items()},
            "failed": dict(self.failed),
        }


@contextlib.contextmanager
def telling(failed: dict[str, str], name: str) -> Generator[None, None, None]:
    """Note and say that a measurement could not be made, and go on."""
    try:
        yield
    except (BenchmarkError, StackError) as exc:
        say(f"{name}: {exc}")
        failed[name] = str(exc)
