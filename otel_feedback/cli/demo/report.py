"""The demo's summary: by status, by agent, what went wrong, the slowest, one run as a tree, the account.

Input: events and the pipeline's `metrics()`. Output: renderables for one console; nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.cli.console import UNKNOWN, can_write, count, dollars, duration, marks, write
from otel_feedback.cli.demo.summary import Summary, origins, slowest
from otel_feedback.cli.outcomes import NARROW, cut, nested, tree_of, why
from otel_feedback.shares import percent

__all__ = ["Report"]

BAR = 30
SLOWEST = 3


class Report:
    """Renders the summary for one console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._marks = marks(console)
        self._bar = "█" if can_write(console, "█") else "#"

    def write(
        self, events: Sequence[OutcomeEvent], summary: Summary, metrics: Mapping[str, Any], elapsed_s: float, run: str
    ) -> None:
        """Write all parts that have something to say."""
        for title, body in self._parts(events, summary, metrics, elapsed_s, run):
            heading = Text("\n").append(title[0], "bold").append(f"  {title[1]}".rstrip(), "dim")
            write(self._console, heading, Padding(body, (0, 0, 0, 2), expand=False))

    def _parts(
        self, events: Sequence[OutcomeEvent], summary: Summary, metrics: Mapping[str, Any], elapsed_s: float, run: str
    ) -> Iterator[tuple[tuple[str, str], RenderableType]]:
        what = f"{summary.actions} actions of {len(summary.by_agent)} agents in {summary.runs} runs, {elapsed_s:.1f} s"
        yield ("Outcomes", what), self._statuses(summary)
        if events:
            yield ("Agents", "each action counted once, without the actions inside it"), self._agents(summary)
        first, followed = origins(events)
        if first:
            note = f"{len(first)} times; {followed} more actions ended badly because of one of these"
            yield ("Where it went wrong", note), self._list(first)
        if events:
            yield ("Slowest steps", ""), self._list(slowest(events, SLOWEST))
        tree = nested(events, run)
        if tree:
            yield (
                ("One run as it was nested", f"{run}, by parent_event_id; sums include what is inside"),
                tree_of(self._console, tree),
            )
        yield (
            ("Account", "recorded = delivered + pending + lost, at any moment"),
            self._account(metrics, summary.actions),
        )

    def _statuses(self, summary: Summary) -> RenderableType:
        table = Table.grid(padding=(0, 2, 0, 0))
        for right in (False, True, False, True):
            table.add_column(justify="right" if right else "left", no_wrap=True)
        for status, mark in self._marks.items():
            number = summary.by_status[status.value]
            if number:
                share = number / summary.actions
                bar = self._bar * max(1, round(BAR * share))
                table.add_row(
                    Text(f"{mark.symbol} {status.value}", mark.style), str(number),
                    Text(bar, mark.style), Text(percent(share, 0), "dim"),
                )  # fmt: skip
        return table if table.row_count else Text("nothing ended", "dim")

    def _agents(self, summary: Summary) -> RenderableType:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column("Agent", width=12, no_wrap=True)
        is_wide = self._console.width >= NARROW
        between = ("p95", "Quality") if is_wide else ()
        for title in ("Actions", "Success", "p50", *between, "Tokens", "Cost"):
            table.add_column(title, justify="right", min_width=7, no_wrap=True)
        for line in summary.by_agent:
            more = (duration(line.p95_ms), UNKNOWN if line.quality is None else f"{line.quality:.2f}")
            table.add_row(
                line.agent, str(line.actions), percent(line.success_rate, 0), duration(line.p50_ms), *more[: len(between)],
                count(line.tokens), dollars(line.cost),
            )  # fmt: skip
        ended_well = summary.by_status[OutcomeStatus.SUCCESS.value] / max(1, summary.actions)
        table.add_row(
            Text("all", "bold"), str(summary.actions), percent(ended_well, 0), "", *("" for _ in between),
            count(summary.tokens), dollars(summary.cost), style="dim",
        )  # fmt: skip
        return table

    def _list(self, events: Sequence[OutcomeEvent]) -> RenderableType:
        table = Table.grid(padding=(0, 2, 0, 0))
        for right in (False, False, False, True):
            table.add_column(justify="right" if right else "left", no_wrap=True)
        table.add_column()  # the only one that gives way in a narrow terminal
        for event in events:
            mark = self._marks[event.status]
            table.add_row(
                Text(mark.symbol, mark.style), Text(event.run_id or "", "dim"), event.action_type,
                duration(event.duration_ms), cut(why(event) or event.model or ""),
            )  # fmt: skip
        return table

    def _account(self, metrics: Mapping[str, Any], actions: int) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        again = metrics["recorded"] - actions
        # an action above one that ends after it, as at Ctrl-C, is told once more with what that one used
        what = (
            f"{actions} actions, and {again} of them once more, with what came later"
            if again
            else "one for each action"
        )
        table.add_row("recorded", str(metrics["recorded"]), Text(what, "dim"))
        for name, account in metrics["exporters"].items():
            lost = sum(account["lost"].values())
            numbers = f"delivered {account['delivered']}, pending {account['pending']}, lost {lost}"
            table.add_row(f"to the {name}", str(account["appended"]), Text(numbers, "bold red" if lost else ""))
        refused = sum(metrics["not_recorded"].values())
        if refused:
            table.add_row("not recorded", str(refused), Text(str(metrics["not_recorded"]), "bold red"))
        return table
