"""A report as a table for people, in plain text that fits into a closing note."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.report import Goal, Report, Row

__all__ = ["figure", "limit", "render"]

_HEAD = ("", "ours", "baseline", "", "ratio", "p10 - p90", "goal", "", "against")
_RIGHT = frozenset({1, 2, 4})


def render(report: Report) -> str:
    """Return the table, the versions below it, and what went wrong below that."""
    lines = _columns([_HEAD, *(_cells(row) for row in report.rows)])
    body = [lines[0]]
    previous = ""
    for row, line in zip(report.rows, lines[1:], strict=True):
        if row.benchmark != previous:
            body += ["", row.benchmark]
            previous = row.benchmark
        body.append(line)
    body += ["", "ratio = ours / baseline, paired round by round: median, and the range of the middle 80 %", ""]
    width = max(map(len, report.versions), default=0)
    body += [f"{name:<{width}}  {value}" for name, value in report.versions.items()]
    body += [f"\n{name} has no result: {why}" for name, why in report.failed.items()]
    if report.is_quick:
        body += ["", "--quick: too few rounds to mean anything; it only shows that the benchmarks run"]
    return "\n".join(body) + "\n"


def _cells(row: Row) -> tuple[str, ...]:
    verdict = {None: "", True: "met", False: "MISSED"}[row.met]
    return (
        f"  {row.name}", figure(row.ours), figure(row.baseline), row.unit,
        f"{row.ratio.median:.2f}x", f"{row.ratio.p10:.2f} - {row.ratio.p90:.2f}",
        "" if row.goal is None else limit(row.goal, row.unit), verdict, row.against,
    )  # fmt: skip


def limit(goal: Goal, unit: str) -> str:
    """Return a goal as people write it."""
    sign = ">=" if goal.at_least else "<="
    if goal.of == "ratio":
        return f"{sign} {goal.limit:g}x"
    return f"{sign} {'+' if goal.of == 'growth' else ''}{figure(goal.limit)} {unit}"


def figure(value: float) -> str:
    """Return a figure with the digits that mean something."""
    if value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place in _RIGHT else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in rows
    ]
