"""The end of `demo --learn`: shares before and after the change, what that brought, and what the commands say of its files.

Input: what came of the decisions, and where the files are. Output: stdout. Each command is run as it is shown.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from otel_feedback.cli.console import UNKNOWN, size, write, write_whole
from otel_feedback.cli.demo.learning.help_desk import EXPERIMENT
from otel_feedback.cli.demo.learning.shares import FIRST_S, LAST_S, Share, Told
from otel_feedback.shares import percent

__all__ = ["commands_on", "write_report"]


def commands_on(folder: Path) -> list[tuple[str, list[str]]]:
    """Return questions, and the arguments of the commands that answer them of the files in a folder."""
    log, state = ["--from", str(folder / "outcomes.jsonl")], str(folder / "selector.json")
    return [
        ("Are answers of both lengths the same?", ["compare", "--experiment", EXPERIMENT, *log]),
        ("What is to be improved next?", ["gaps", "--top", "3", *log]),
        ("Would another way to choose have been better?", ["evaluate-policy", *log]),
        ("What does the selector know now?", ["selector", "show", state]),
    ]


def write_report(console: Console, told: Told, folder: Path) -> None:
    """Write all of it."""
    if not told.decisions:
        write(console, Text("\nNothing was decided yet", "dim"))
        return
    note = f"of the decisions: the first {FIRST_S:.0f} s, {LAST_S:.0f} s before the change, the last {LAST_S:.0f} s"
    _part(console, "Shares", note, _shares(told))
    _part(console, "Reward", f"{told.decisions:,} decisions, by how good each agent really was then", _reward(told))
    for question, arguments in commands_on(folder):
        write(console, Text("\n").append(question, "bold"))
        write_whole(console, Text(shlex.join(["otel-feedback", *arguments]), "cyan"))
        print()
        _run(arguments)
    kept = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    write(console, Text("\n").append("Files", "bold").append(f"  they stay, {size(kept)}", "dim"))
    write_whole(console, Text(f"  {folder}"))
    sys.stdout.flush()


def _part(console: Console, title: str, note: str, body: RenderableType) -> None:
    heading = Text("\n").append(title, "bold").append(f"  {note}", "dim")
    write(console, heading, Padding(body, (0, 0, 0, 2), expand=False))


def _run(arguments: list[str]) -> None:
    from otel_feedback.cli.parser import make_parser  # which knows the demo

    options = make_parser().parse_args(arguments)
    options.run(options)


def _shares(told: Told) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("Agent", no_wrap=True)
    table.add_column("Quality", no_wrap=True)
    for title in ("First", "Before", "After"):
        table.add_column(title, justify="right", no_wrap=True, min_width=6)
    for one in told.by_agent:
        table.add_row(one.agent, _quality(one), *(_share(each) for each in (one.first, one.before, one.after)))
    return table


def _quality(one: Share) -> str:
    return f"{one.quality:.2f}" if one.later is None else f"{one.quality:.2f}, then {one.later:.2f}"


def _share(share: float | None) -> str:
    return UNKNOWN if share is None else percent(share, 0)


def _reward(told: Told) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for what, worth in (("as the selector chose", told.reached), ("all alike", told.uniform)):
        table.add_row(what, f"{worth:.3f}", Text(f"{percent(worth / told.possible, 0)} of what was possible", "dim"))
    table.add_row("always the best", f"{told.possible:.3f}")
    return table
