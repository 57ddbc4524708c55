"""What is said of gaps, in the same words on a terminal and on a page. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from otel_feedback.downstream.learning.gaps.finding import LEAST_ACTIONS
from otel_feedback.downstream.learning.gaps.gap import Gap, Gaps, Slice
from otel_feedback.logger import number_of
from otel_feedback.shares import percent

__all__ = ["left_out", "likely", "lost", "named", "rates", "same", "table", "verdict", "what"]

LEAST_P = 1e-4
MOST_NAMED = 10


def verdict(found: Gaps) -> str:
    """Return how many there are, or why there are none, and of what."""
    looked = f"{number_of(found.actions, 'action')}, {number_of(found.tests, 'slice')} looked at"
    if not found.tests:
        said = f"too few actions to tell a gap from chance: a slice has {LEAST_ACTIONS} at least, and as many elsewhere"
    elif found.gaps:
        said = number_of(len(found.gaps), "gap")
    else:
        said = "nothing is lower than elsewhere by more than chance"
    return f"{said} ({looked})"


def named(slices: Sequence[Slice]) -> str:
    """Return a slice's name: `agent researcher, model small`."""
    return ", ".join(map(str, slices))


def lost(gap: Gap) -> str:
    """Return how much was lost."""
    return f"{gap.lost:,.0f}" if gap.lost >= 10 else f"{gap.lost:,.1f}"


def what(gap: Gap) -> str:
    """Return of what that is."""
    return ("more failures" if gap.metric == "success" else "points of quality less") + " than elsewhere"


def rates(gap: Gap) -> str:
    """Return how it is there, and elsewhere."""
    if gap.metric == "success":
        return f"{percent(gap.here)} success, elsewhere {percent(gap.elsewhere)}"
    return f"quality {gap.here:.2f}, elsewhere {gap.elsewhere:.2f}"


def likely(gap: Gap) -> str:
    """Return how probable as much is by chance."""
    return f"p < {LEAST_P:g}" if gap.p < LEAST_P else f"p = {gap.p:.2g}"


def same(gap: Gap) -> str | None:
    """Return which other slices are nearly the same actions; None: no other."""
    return f"the same actions: {'; '.join(map(named, gap.same_as))}" if gap.same_as else None


def left_out(found: Gaps) -> str | None:
    """Return of which dimensions not all was looked at; None: of all it was."""
    if not found.left_out:
        return None
    parts = [f"{each.dimension} ({each.looked_at} of {each.values:,})" for each in found.left_out[:MOST_NAMED]]
    parts += [f"and {len(found.left_out) - MOST_NAMED:,} more"] if len(found.left_out) > MOST_NAMED else []
    return f"rare or too many values, not all looked at: {', '.join(parts)}"


def table(gaps: Sequence[Gap]) -> list[list[Any]]:
    """Return gaps as the rows of a table, of which the first one has the names."""
    names = [name for name in Gap.__struct_fields__ if name not in ("slices", "same_as", "examples")]
    rows: list[list[Any]] = [["slice", *names, "same_as", "example_run_ids"]]
    for gap in gaps:
        runs = " ".join(each.run_id or each.event_id for each in gap.examples)
        alike = "; ".join(map(named, gap.same_as))
        rows.append([named(gap.slices), *(getattr(gap, name) for name in names), alike, runs])
    return rows
