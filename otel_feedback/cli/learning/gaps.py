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
from otel_feedback.downstream.learning.gaps.exporting import MOST_ACTIONS, lines
from otel_feedback.downstream.learning.gaps.finding import COLUMNS, LEAST_ACTIONS, find
from otel_feedback.downstream.learning.gaps.gap import SORTS, Gap, Gaps, Slice, as_data
from otel_feedback.downstream.tables.selection import Selection
from otel_feedback.version import VERSION

__all__ = ["run"]

LEAST_P = 1e-4
MOST_NAMED = 10


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
            _write_csv(found.gaps)
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


def _write_csv(gaps: Sequence[Gap]) -> None:
    names = [name for name in Gap.__struct_fields__ if name not in ("slices", "same_as", "examples")]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["slice", *names, "same_as", "example_run_ids"])
    for gap in gaps:
        same = "; ".join(map(_named, gap.same_as))
        runs = " ".join(each.run_id or each.event_id for each in gap.examples)
        writer.writerow([_named(gap.slices), *(getattr(gap, name) for name in names), same, runs])


def _named(slices: Sequence[Slice]) -> str:
    return ", ".join(map(str, slices))


# -- for people ----------------------------------------------------------------------------------------------------


def _write(console: Console, source: str, selection: Selection, found: Gaps, top: int, again: str) -> None:
    since = "" if selection.since is None else f"since {moment(selection.since)}"
    said = ", ".join(each for each in (said_of(selection), since) if each)
    title = Text(source, "bold").append(f"  {said}" if said else "", "not bold")
    looked = f"{number_of(found.actions, 'action')}, {number_of(found.tests, 'slice')} looked at"
    if not found.tests:
        what = f"too few actions to tell a gap from chance: a slice has {LEAST_ACTIONS} at least, and as many elsewhere"
    else:
        what = (
            f"{number_of(len(found.gaps), 'gap')}"
            if found.gaps
            else "nothing is lower than elsewhere by more than chance"
        )
    write(console, title, Text(f"{what} ({looked})"))
    shown = found.gaps[:top] if top else found.gaps
    texts = [_lost(gap) for gap in shown]
    width = max(map(len, texts), default=1)
    for gap, text in zip(shown, texts, strict=True):
        write(console, *_lines(gap, text, width))
        for example in gap.examples[:1]:
            command = f"otel-feedback trace {shlex.quote(example.run_id or example.event_id)} {again}".rstrip()
            write_whole(console, Text(" " * (width + 2)).append(command, "dim"))
    if len(shown) < len(found.gaps):
        write(console, Text(f"\nand {number_of(len(found.gaps) - len(shown), 'more gap')}: --top 0 has all", "dim"))
    if found.left_out:
        parts = [f"{each.dimension} ({each.looked_at} of {each.values:,})" for each in found.left_out[:MOST_NAMED]]
        parts += [f"and {len(found.left_out) - MOST_NAMED:,} more"] if len(found.left_out) > MOST_NAMED else []
        write(console, Text(f"\nrare or too many values, not all looked at: {', '.join(parts)}", "dim"))


def _lost(gap: Gap) -> str:
    return f"{gap.lost:,.0f}" if gap.lost >= 10 else f"{gap.lost:,.1f}"


def _lines(gap: Gap, lost: str, width: int) -> list[RenderableType]:
    head = Text(f"\n{lost:>{width}}  ").append(_named(gap.slices), "bold")
    what = "more failures" if gap.metric == "success" else "points of quality less"
    if gap.metric == "success":
        rates = f"{gap.here:.1%} success, elsewhere {gap.elsewhere:.1%}"
    else:
        rates = f"quality {gap.here:.2f}, elsewhere {gap.elsewhere:.2f}"
    price = ", ".join([
        *([dollars(gap.cost)] if gap.cost else []), *([duration(gap.took_ms)] if gap.took_ms else []),
    ])  # fmt: skip
    parts = [
        f"{what} than elsewhere" + (f", for {price}" if price else ""),
        f"{rates}; {number_of(gap.actions, 'action')}, {number_of(gap.runs, 'run')}; {_likely(gap.p)}",
    ]
    below = [Text(parts[0], "red"), Text(parts[1])]
    below += [Text(f"the same actions: {'; '.join(map(_named, gap.same_as))}", "dim")] if gap.same_as else []
    return [head, *(Padding(line, (0, 0, 0, width + 2)) for line in below)]


def _likely(p: float) -> str:
    return f"p < {LEAST_P:g}" if p < LEAST_P else f"p = {p:.2g}"
