"""What `docs/performance.md` and README show of the runs that were kept; `tools.docs` writes it there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from benchmarks.kept import BENCHMARKS, PEERS, kept
from benchmarks.report import Report, Row
from benchmarks.subjects.names import AWAY, IN_MEMORY, NO_EXPORTER, NO_START, SET_ATTRIBUTE, THERE
from benchmarks.table import figure, limit

__all__ = [
    "AGAINST",
    "PARTS",
    "Bar",
    "action_bars",
    "goals",
    "machine",
    "of_action",
    "of_peers",
    "paced_bars",
    "peer_bars",
    "piece_bars",
    "summary",
]

AGAINST: Final = f"bare span, {SET_ATTRIBUTE}"

_ACTIONS: Final = (
    (NO_EXPORTER, "span and event, no destination: no journal"),
    (IN_MEMORY, "journal in memory, Kafka away"),
    (NO_START, "journal on disk, without the note of the start"),
    (AWAY, "journal on disk, with the note: the default"),
    (f"{THERE}, 1,000/s", "the same, Kafka there, 1,000 a second"),
    (THERE, "the same, Kafka there, back to back"),
)


class Bar(NamedTuple):
    """One figure in bare spans."""

    label: str
    row: Row
    is_ours: bool = True


def action_bars(report: Report) -> list[Bar]:
    """Return an action with ever more of what it does, by the wall time of its thread."""
    found = ((label, report.find("action", f"{name}: mean, wall", AGAINST)) for name, label in _ACTIONS)
    return [Bar(label, row) for label, row in found if row is not None]


def piece_bars(report: Report) -> list[Bar]:
    """Return the pieces, each by itself."""
    return [Bar(row.name, row, is_ours=False) for row in report.rows if row.benchmark == "pieces"]


def peer_bars(report: Report, figure_of: str) -> list[Bar]:
    """Return every SDK by one figure of the table, the cheapest first."""
    found = [
        (row.name.removesuffix(f": {figure_of}"), row) for row in report.rows if row.name.endswith(f": {figure_of}")
    ]
    bars = [Bar(name, row, is_ours=name.startswith("otel_feedback")) for name, row in found]
    return sorted(bars, key=lambda bar: bar.row.ratio.median)


def paced_bars(report: Report) -> list[Bar]:
    """Return an action at a pace, with Kafka there, against each bare span."""
    name = f"{THERE}, 1,000/s: mean, wall"
    return [Bar(row.against, row) for row in report.rows if row.benchmark == "action" and row.name == name]


def summary(report: Report) -> str:
    """Return what an action costs in one line."""
    away = report.find("action", f"{AWAY}: mean, wall", AGAINST)
    there = report.find("action", f"{THERE}: mean, wall", AGAINST)
    if away is None:
        return ""
    kafka = "" if there is None else f", and {_times(there)} with Kafka there, back to back"
    return (
        f"An action, its event and its journal on disk included, costs an agent {_times(away)} what a bare OpenTelemetry span"
        f" with ten attributes costs{kafka}: [performance](docs/performance.md)."
    )


def of_action(report: Report) -> str:
    """Return the tables of an action and of its pieces."""
    parts = [
        ("An action", action_bars(report)),
        ("An action, Kafka there, 1,000 a second, against", paced_bars(report)),
        ("A piece by itself (CPU time)", piece_bars(report)),
    ]
    return "\n\n".join(_bars(title, bars) for title, bars in parts if bars)


def _bars(title: str, bars: Sequence[Bar]) -> str:
    head = (title, "µs", "bare span, µs", "ratio", "middle 80 %")
    lines = [
        (bar.label, figure(bar.row.ours), figure(bar.row.baseline), _ratio(bar.row), _range(bar.row)) for bar in bars
    ]
    return _table(head, lines, right={1, 2, 3})


def goals(report: Report) -> str:
    """Return every figure that has a goal."""
    head = ("", "", "against", "ours", "baseline", "ratio", "middle 80 %", "goal", "")
    return _table(head, list(_goal_lines(report)), right={3, 4, 5})


def _goal_lines(report: Report) -> Iterator[tuple[str, ...]]:
    before = ""
    for row in report.rows:
        if row.goal is not None:
            shown = "" if row.benchmark == before else f"`{row.benchmark}`"
            before = row.benchmark
            figures = (f"{figure(row.ours)} {row.unit}", f"{figure(row.baseline)} {row.unit}", _ratio(row), _range(row))
            yield shown, row.name, row.against, *figures, limit(row.goal, row.unit), "met" if row.met else "**missed**"


def of_peers(report: Report) -> str:
    """Return the table of other SDKs."""
    wall, cpu = (peer_bars(report, what) for what in ("mean, wall", "CPU of the process"))
    by_name = {bar.label: bar.row for bar in cpu}
    head = ("", "installed", "thread, µs", "÷ bare span", "process CPU, µs", "÷ bare span")
    lines = [
        (
            f"**{bar.label}**" if bar.is_ours else bar.label,
            "this version" if bar.is_ours else report.versions.get(bar.label, ""),
            figure(bar.row.ours), _ratio(bar.row), figure(by_name[bar.label].ours), _ratio(by_name[bar.label]),
        )
        for bar in wall
    ]  # fmt: skip
    return _table(head, lines, right={2, 3, 4, 5})


def machine(report: Report, peers: Report) -> str:
    """Return what the figures depend on; which SDKs there were is in their own table."""
    of_sdks = {bar.label for bar in peer_bars(peers, "mean, wall")}
    names = [name for name in {**report.versions, **peers.versions} if name not in of_sdks]
    lines = [(name, report.versions.get(name, ""), peers.versions.get(name, "")) for name in names]
    return _table(("", "`python -m benchmarks`", "`python -m benchmarks.peers`"), lines)


def _times(row: Row) -> str:
    return f"**{_ratio(row)}** times"


def _ratio(row: Row) -> str:
    return f"{row.ratio.median:.2f}"


def _range(row: Row) -> str:
    return f"{row.ratio.p10:.2f} - {row.ratio.p90:.2f}"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]], right: set[int] | frozenset[int] = frozenset()) -> str:
    rule = ("---:" if place in right else "---" for place in range(len(head)))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, tuple(rule), *lines))


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "what an action costs": lambda: of_action(kept(BENCHMARKS)),
    "goals": lambda: goals(kept(BENCHMARKS)),
    "other SDKs": lambda: of_peers(kept(PEERS)),
    "the machine": lambda: machine(kept(BENCHMARKS), kept(PEERS)),
    "the figure": lambda: summary(kept(BENCHMARKS)),
}
"""What `tools.docs` writes into pages, by name."""
