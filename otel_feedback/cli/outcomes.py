"""Outcomes on a console: one line each, and as the tree that they were nested in. What the demo and `tail` and `trace` share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from rich.cells import set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.cli.console import Mark, can_write, dollars, duration, marks

__all__ = ["NARROW", "OUTCOME", "Column", "Node", "Rows", "began", "cut", "nested", "tally", "tree_of", "why"]

WIDE = 104
"""Columns from which there is room to say why an action ended as it did."""
NARROW = 78
"""Columns below which the table has fewer and smaller ones."""
OUTCOME = "Outcome"


class Column(NamedTuple):
    """One column of the table."""

    title: str
    width: int
    right: bool
    cell: Callable[[OutcomeEvent], str]
    least: int = 0
    """In narrower consoles it is left out."""


def why(event: OutcomeEvent) -> str:
    """Return in a few words why an action ended as it did."""
    if event.error_message:
        known = event.error_type not in (None, "_OTHER")
        return f"{event.error_type}: {event.error_message}" if known else event.error_message
    if event.status is OutcomeStatus.CANCELLED:
        return "no longer wanted"
    reason = event.metadata.get("status_reason")
    if reason is not None:
        return str(reason)
    return f"quality {event.quality_score:.2f}" if event.quality_score is not None else ""


class Rows:
    """Outcomes as lines of text, as wide as the console.

    Args:
        console: Where they go.
        columns: The first one is dim. The one titled `OUTCOME` has marks.
    """

    def __init__(self, console: Console, columns: Sequence[Column]) -> None:
        self.console = console
        self.marks = marks(console)
        self._gap = "  " if console.width >= NARROW else " "
        self._columns = [column for column in columns if console.width >= column.least]

    def head(self) -> Text:
        """Return the titles."""
        line = Text("  ", style="bold", no_wrap=True, overflow="ellipsis")
        for column in self._columns:
            line.append(_fitted(column.title, column) + self._gap)
        if self.console.width >= WIDE:
            line.append("Why")
        line.rstrip()
        return line

    def row(self, event: OutcomeEvent) -> Text:
        """Return the line of an outcome."""
        line = Text("  ", no_wrap=True, overflow="ellipsis")
        mark = self.marks[event.status]
        for index, column in enumerate(self._columns):
            if column.title == OUTCOME:
                line.append(_fitted(f"{mark.symbol} {column.cell(event)}", column), mark.style)
            else:
                line.append(_fitted(column.cell(event), column), "dim" if index == 0 else "")
            line.append(self._gap)
        if self.console.width >= WIDE:
            line.append(why(event), "dim" if event.status is OutcomeStatus.SUCCESS else "")
        line.rstrip()
        return line


def _fitted(text: str, column: Column) -> str:
    return text.rjust(column.width) if column.right else set_cell_size(text, column.width)


def tally(events: Sequence[OutcomeEvent], symbols: dict[OutcomeStatus, Mark], elapsed_s: float) -> Text:
    """Return one line that counts the outcomes by status."""
    counts = Counter(event.status for event in events)
    line = Text("  ", no_wrap=True, overflow="ellipsis")
    for status, mark in symbols.items():
        if counts[status]:
            line.append(f"{mark.symbol} {counts[status]} {status.value}", mark.style)
            line.append("   ")
    line.append(f"{elapsed_s:.1f} s", "dim")
    return line


# -- trees -----------------------------------------------------------------------------------------------------------


class Node(NamedTuple):
    """An outcome and the outcomes of the actions that it was made of, in the order in which they began."""

    event: OutcomeEvent
    children: list[Node]


def nested(events: Sequence[OutcomeEvent], run_id: str) -> list[Node]:
    """Return the outcomes of one run as they were nested; one whose parent is not there stands at the top."""
    nodes = {event.event_id: Node(event, []) for event in sorted(events, key=began) if event.run_id == run_id}
    top: list[Node] = []
    for node in nodes.values():
        parent = nodes.get(node.event.parent_event_id or "")
        (top if parent is None else parent.children).append(node)
    return top


def began(event: OutcomeEvent) -> float:
    """Return when an action began, in seconds since 1970; 0 where it does not say."""
    return 0.0 if event.start_time is None else event.start_time.timestamp()


def tree_of(console: Console, nodes: Sequence[Node]) -> Table:
    """Return the outcomes as a tree: how each ended, what it took and cost with all inside it, and what went wrong."""
    symbols = marks(console)
    guides = ("└─ ", "├─ ", "│  ") if can_write(console, "└─├│") else ("`- ", "|- ", "|  ")
    table = Table.grid(padding=(0, 2, 0, 0))
    for right in (False, True, True):
        table.add_column(justify="right" if right else "left", no_wrap=True, overflow="ellipsis")
    table.add_column()
    for guide, node in _lines(nodes, "", guides, at_top=True):
        event = node.event
        mark = symbols[event.status]
        name = Text(guide, "dim").append(f"{mark.symbol} ", f"not dim {mark.style}")
        name.append(
            " ".join((event.agent_name or "", event.action_type)).strip(),
            "not dim bold" if node.children else "not dim",
        )
        table.add_row(
            name, Text(duration(event.duration_ms)), Text(dollars(event.cost_estimate), "dim"),
            cut("" if event.status is OutcomeStatus.SUCCESS else why(event), mark.style),
        )  # fmt: skip
    return table


def _lines(
    nodes: Sequence[Node], indent: str, guides: tuple[str, str, str], *, at_top: bool = False
) -> Iterator[tuple[str, Node]]:
    """Yield each node below the one before it, with the lines that lead to it."""
    corner, tee, pipe = guides
    for node in nodes:
        last = node is nodes[-1]
        yield ("" if at_top else indent + (corner if last else tee)), node
        yield from _lines(node.children, "" if at_top else indent + ("   " if last else pipe), guides)


def cut(text: str, style: str = "") -> Text:
    """Return a text that gives way where a line is too narrow for it."""
    return Text(text, style, no_wrap=True, overflow="ellipsis")
