"""`otel-feedback failures`: what goes wrong, by agent, action and kind of error, the most frequent first."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from otel_feedback import OutcomeStatus
from otel_feedback.cli.console import UNKNOWN, marks, moment, number_of, open_console, write, write_whole
from otel_feedback.cli.reading.selection import said_of
from otel_feedback.cli.reading.source import Source, answering, opened, source_of, tell, watched
from otel_feedback.downstream.tables.selection import Selection
from otel_feedback.downstream.tables.tables import columns_of, text_of
from otel_feedback.version import VERSION

__all__ = ["run"]


def run(
    *, source: Sequence[str], bootstrap_servers: str | None, selection: Selection, top: int, as_json: bool
) -> int:  # fmt: skip
    """Group, write, and return the exit code.

    Args:
        source: What `--from` says.
        bootstrap_servers: In place of the setting.
        selection: Which events.
        top: How many groups are shown at most; 0: all.
        as_json: Write one JSON object and nothing else.
    """

    def work() -> int:
        asked = source_of(source, bootstrap_servers)
        text = text_of("failures")
        columns = columns_of(text)
        with opened(asked, selection, columns) as tables:
            tables.choose(selection.condition(), columns | selection.columns)
            answer = watched(
                tables,
                lambda: tables.ask(f"{text} ORDER BY times DESC, last DESC, agent_name, action_type, error_type"),
            )
            groups = [dict(zip(answer.names, row, strict=True)) for row in answer.rows]
            tell(tables)
        if as_json:
            print(json.dumps({"version": VERSION, "source": asked.said, "groups": groups}, indent=2, default=_said))
        else:
            _write(open_console(), asked, selection, groups, top, " ".join(_again(source)))
        return 0

    return answering(work)


def _again(source: Sequence[str]) -> Iterator[str]:
    """Yield what another command needs, to look at the same place."""
    for each in source:
        yield f"--from {shlex.quote(each)}"


def _said(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")


def _write(
    console: Console, source: Source, selection: Selection, groups: Sequence[Mapping[str, Any]], top: int, again: str
) -> None:  # fmt: skip
    since = "" if selection.since is None else f"since {moment(selection.since)}"
    times = sum(group["times"] for group in groups)
    said = ", ".join(each for each in (said_of(selection), since) if each)
    title = Text(source.said, "bold").append(f"  {said}" if said else "", "not bold")
    what = (
        f"{number_of(times, 'action')} went wrong, in {number_of(len(groups), 'way')}"
        if groups
        else "nothing went wrong"
    )
    write(console, title, Text(what))
    shown = groups[:top] if top else groups
    width = max((len(f"{group['times']:,}") for group in shown), default=1)
    for group in shown:
        write(console, *_lines(console, group, width))
        command = f"otel-feedback trace {group['example_run_id'] or group['example_event_id']} {again}".rstrip()
        write_whole(console, Text(" " * (width + 3)).append(command, "dim"))
    if len(shown) < len(groups):
        write(console, Text(f"\nand {number_of(len(groups) - len(shown), 'more way')}: --top 0 has all", "dim"))


def _lines(console: Console, group: Mapping[str, Any], width: int) -> list[RenderableType]:
    mark = marks(console)[OutcomeStatus(group["status"])]
    head = Text(f"\n{group['times']:>{width},} x ")
    head.append(f"{group['agent_name'] or UNKNOWN} {group['action_type']}", "bold")
    error = group["error_type"] if group["error_type"] not in (None, "_OTHER") else group["status"]
    head.append(f"  {mark.symbol} {error}", mark.style)
    when = moment(group["last"]) if group["times"] == 1 else f"{moment(group['first'])} to {moment(group['last'])}"
    of_tenants = f", {number_of(group['tenants'], 'tenant')}" if group["tenants"] else ""
    message = " ".join((group["example_message"] or "").split())
    below = [Text(f"{when}; {number_of(group['runs'], 'run')}{of_tenants}", "dim")]
    below += [Text(message, no_wrap=True, overflow="ellipsis")] if message else []
    return [head, *(Padding(line, (0, 0, 0, width + 3)) for line in below)]
