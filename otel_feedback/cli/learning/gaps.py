"""`otel-feedback gaps`: where success or quality is lower than elsewhere, what that cost, and runs to look at."""

from __future__ import annotations

import csv
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from otel_feedback.cli.console import (
    dollars,
    duration,
    failed,
    moment,
    number_of,
    open_console,
    remark,
    write,
    write_whole,
)
from otel_feedback.cli.reading.selection import said_of
from otel_feedback.cli.reading.source import answering, opened, source_of, tell, watched
from otel_feedback.downstream.learning.gaps import words
from otel_feedback.downstream.learning.gaps.exporting import MOST_ACTIONS, lines
from otel_feedback.downstream.learning.gaps.finding import COLUMNS, find
from otel_feedback.downstream.learning.gaps.gap import SORTS, Gap, Gaps, as_data
from otel_feedback.downstream.tables.selection import Selection
from otel_feedback.version import VERSION

__all__ = ["run"]


def run(
    *, source: Sequence[str], bootstrap_servers: str | None, selection: Selection, sort: str, top: int, form: str,
    export: str | None,
) -> int:  # fmt: skip
    """Find, write, and return the exit code.

    Args:
        source: What `--from` says.
        bootstrap_servers: In place of the setting.
        selection: Which events.
        sort: Of `SORTS`, what comes first.
        top: How many gaps are shown at most; 0: all.
        form: "text", "json" or "csv".
        export: The file for their actions; None: none.
    """
    path = None if export is None else Path(export).expanduser()
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        why = "it is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        failed(f"--export {path}: {why}", "name a file in a folder that is there")
        return 1

    def work() -> int:
        asked = source_of(source, bootstrap_servers)
        with opened(asked, selection, COLUMNS) as tables:
            tables.choose(selection.condition())
            found = watched(tables, lambda: find(tables))
            found.gaps.sort(key=lambda gap: -(getattr(gap, SORTS[sort]) or 0))
            tell(tables)
            if path is not None and not _exported(path, watched(tables, lambda: list(lines(tables, found.gaps)))):
                return 1
        if form == "json":
            print(json.dumps({"version": VERSION, "source": asked.said, **as_data(found)}, indent=2))
        elif form == "csv":
            csv.writer(sys.stdout, lineterminator="\n").writerows(words.table(found.gaps))
        else:
            _write(
                open_console(), asked.said, selection, found, top, " ".join(f"--from {shlex.quote(s)}" for s in source)
            )
        return 0

    return answering(work)


def _exported(path: Path, actions: Sequence[bytes]) -> bool:
    try:
        path.write_bytes(b"".join(actions))
    except OSError as exc:
        failed(f"--export {path} cannot be written: {exc.strerror}", "name a file that may be written")
        return False
    remark(f"{path}: {number_of(len(actions), 'action')}, at most {MOST_ACTIONS:,} of a gap")
    return True


# -- for people ----------------------------------------------------------------------------------------------------


def _write(console: Console, source: str, selection: Selection, found: Gaps, top: int, again: str) -> None:
    since = "" if selection.since is None else f"since {moment(selection.since)}"
    said = ", ".join(each for each in (said_of(selection), since) if each)
    title = Text(source, "bold").append(f"  {said}" if said else "", "not bold")
    write(console, title, Text(words.verdict(found)))
    shown = found.gaps[:top] if top else found.gaps
    texts = [words.lost(gap) for gap in shown]
    width = max(map(len, texts), default=1)
    for gap, text in zip(shown, texts, strict=True):
        write(console, *_lines(gap, text, width))
        for example in gap.examples[:1]:
            command = f"otel-feedback trace {shlex.quote(example.run_id or example.event_id)} {again}".rstrip()
            write_whole(console, Text(" " * (width + 2)).append(command, "dim"))
    if len(shown) < len(found.gaps):
        write(console, Text(f"\nand {number_of(len(found.gaps) - len(shown), 'more gap')}: --top 0 has all", "dim"))
    left_out = words.left_out(found)
    if left_out is not None:
        write(console, Text(f"\n{left_out}", "dim"))


def _lines(gap: Gap, lost: str, width: int) -> list[RenderableType]:
    head = Text(f"\n{lost:>{width}}  ").append(words.named(gap.slices), "bold")
    price = ", ".join([
        *([dollars(gap.cost)] if gap.cost else []), *([duration(gap.took_ms)] if gap.took_ms else []),
    ])  # fmt: skip
    parts = [
        words.what(gap) + (f", for {price}" if price else ""),
        f"{words.rates(gap)}; {number_of(gap.actions, 'action')}, {number_of(gap.runs, 'run')}; {words.likely(gap)}",
    ]
    below = [Text(parts[0], "red"), Text(parts[1])]
    same = words.same(gap)
    below += [] if same is None else [Text(same, "dim")]
    return [head, *(Padding(line, (0, 0, 0, width + 2)) for line in below)]
