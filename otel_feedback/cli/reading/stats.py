"""`otel-feedback stats`: how many actions, how they ended, how long they took and what they cost, by what one likes.

With `--since` against the period before, which is as long. Tokens and cost are the actions' own, so nothing counts twice.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from otel_feedback.cli.console import UNKNOWN, dollars, duration, moment, number_of, open_console, write
from otel_feedback.cli.reading.feedback import feedback_names
from otel_feedback.cli.reading.names import SORTS
from otel_feedback.cli.reading.numbers import MEASURES, Group, columns_for, count
from otel_feedback.cli.reading.selection import said_of
from otel_feedback.cli.reading.source import Source, answering, opened, source_of, tell, watched
from otel_feedback.downstream.learning.feedback.told import feedback_told
from otel_feedback.downstream.tables.selection import Selection, literal
from otel_feedback.shares import percent
from otel_feedback.version import VERSION

if TYPE_CHECKING:
    from otel_feedback.downstream.tables.tables import Tables

__all__ = ["run"]

LEAST_NAME = 9
LEAST_COLUMNS, ENOUGH_COLUMNS = 3, 6
MOST_NAME = 40
GAP = 2
FEEDBACK = "feedback_score"
SCORES = ("avg_quality", FEEDBACK)


class _Column(NamedTuple):
    """One measure in the table. `rank`: columns with a high one give way first."""

    title: str
    name: str
    rank: int
    shown: Callable[[Any], str]
    worse: int = 0  # 1: more is worse, -1: less is


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else percent(share, 0 if share in (0, 1) else 1)


def _whole(number: int | None) -> str:
    return UNKNOWN if number is None else f"{number:,}"


def _score(score: float | None) -> str:
    return UNKNOWN if score is None else f"{score:.2f}"


_COLUMNS = (
    _Column("Actions", "executions", 0, _whole),
    _Column("Success", "success_rate", 1, _percent, -1),
    _Column("Errors", "error_rate", 4, _percent, 1),
    _Column("p50", "p50_latency_ms", 6, duration, 1),
    _Column("p95", "p95_latency_ms", 3, duration, 1),
    _Column("p99", "p99_latency_ms", 8, duration, 1),
    _Column("Tokens", "tokens", 5, _whole),
    _Column("Cost", "cost", 2, dollars, 1),
    _Column("Quality", "avg_quality", 7, _score, -1),
    _Column("Feedback", FEEDBACK, 5, _score, -1),
    _Column("Pending", "pending", 9, _whole),
)


def run(
    *, source: Sequence[str], bootstrap_servers: str | None, selection: Selection, by: Sequence[str], window_s: int,
    sort: str, top: int, form: str,
) -> int:  # fmt: skip
    """Count, write, and return the exit code.

    Args:
        source: What `--from` says.
        bootstrap_servers: In place of the setting.
        selection: Which events.
        by: Groups, names of `numbers.GROUPS`.
        window_s: How long a window is.
        sort: Of `SORTS`, what the groups are ordered by.
        top: How many groups the table has at most; 0: all.
        form: "table", "json" or "csv".
    """

    def work() -> int:
        asked = source_of(source, bootstrap_servers)
        before = selection.before()
        wider = selection if before is None else selection._replace(since=before.since)
        with opened(asked, wider, columns_for(by), window_s) as tables:
            groups, total = watched(tables, lambda: count(tables, selection, by))
            names = _names_of(tables, selection, total)
            tell(tables)
        _order(groups, by, sort)
        if form == "json":
            _write_json(asked, selection, by, groups, total, names)
        elif form == "csv":
            _write_csv(by, groups)
        else:
            _write_table(open_console(), asked, selection, by, groups, total, top)
            if names:
                write(open_console(), "", feedback_names(names))
        return 0

    return answering(work)


def _names_of(tables: Tables, selection: Selection, total: Group) -> list[dict[str, Any]]:
    """Return what was said of the actions of now, by name; nothing is asked where nothing was."""
    if not total.now["feedback_count"]:
        return []
    since = "true" if selection.since is None else f"event_time >= {literal(selection.since)}"
    names: list[dict[str, Any]] = watched(tables, lambda: feedback_told(tables.rows, since, 0))["names"]
    return names


def _order(groups: list[Group], by: Sequence[str], sort: str) -> None:
    def key(group: Group) -> Any:
        names = [(each is None, "" if each is None else each) for each in group.key]
        value = group.now[SORTS[sort]]
        return names if "window" in by else [value is None, -(value or 0), *names]

    groups.sort(key=key)


def _write_json(
    source: Source, selection: Selection, by: Sequence[str], groups: Sequence[Group], total: Group,
    names: Sequence[dict[str, Any]],
) -> None:  # fmt: skip
    document = {
        "version": VERSION,
        "source": source.said,
        "since": _said(selection.since),
        "until": _said(selection.until),
        "by": list(by),
        "total": _numbers(total),
        "groups": [
            {**{name: _said(each) for name, each in zip(by, one.key, strict=True)}, **_numbers(one)} for one in groups
        ],
        "feedback": list(names),
    }
    print(json.dumps(document, indent=2))


def _numbers(group: Group) -> dict[str, Any]:
    return dict(group.now) if group.before is None else {**group.now, "before": dict(group.before)}


def _write_csv(by: Sequence[str], groups: Sequence[Group]) -> None:
    compares = any(group.before is not None for group in groups)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*by, *MEASURES, *(f"before_{name}" for name in MEASURES if compares)])
    for group in groups:
        before = () if group.before is None else group.before.values()
        writer.writerow([*map(_said, group.key), *group.now.values(), *before])


def _said(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


# -- the table -----------------------------------------------------------------------------------------------------


def _write_table(
    console: Console, source: Source, selection: Selection, by: Sequence[str], groups: list[Group], total: Group, top: int
) -> None:  # fmt: skip
    title = Text(source.said, "bold")
    chosen = said_of(selection)
    if chosen:
        title.append(f"  {chosen}", "not bold")
    write(console, title, _summary(selection, total), "")
    if not groups:
        return
    shown = groups if not top else groups[-top:] if "window" in by else groups[:top]
    write(console, _table(console, by, shown, total))
    if len(shown) < len(groups):
        write(console, Text(f"and {number_of(len(groups) - len(shown), 'more group')}: --top 0 has all", "dim"))


def _summary(selection: Selection, total: Group) -> Text:
    now, before = total.now, total.before
    line = Text()
    parts = [
        ("executions", number_of(now["executions"], "action"), 0),
        ("success_rate", f"{_percent(now['success_rate'])} success", -1),
        ("p95_latency_ms", f"p95 {duration(now['p95_latency_ms'])}", 1),
        ("cost", dollars(now["cost"]), 1),
    ]
    for name, text, worse in parts:
        if name == "executions" or now[name] is not None:
            line.append(", " if line else "").append(text)
            change = None if before is None else _change(name, now, before, worse)
            if change is not None:
                line.append(" (").append_text(change).append(")")
    if now["pending"]:
        line.append(f", {now['pending']:,} under way")
    if selection.since is not None:
        until = "" if selection.until is None else f" to {moment(selection.until)}"
        line.append(f"; since {moment(selection.since)}{until}", "dim")
        line.append("" if before is None else ", against as long before", "dim")
    return line


def _change(name: str, now: dict[str, Any] | Any, before: dict[str, Any] | Any, worse: int) -> Text | None:
    """Return how much a measure has changed, in points or percent; red where that is for the worse."""
    new, old = now[name], before[name]
    if new is None or old is None or (not name.endswith("_rate") and not old):
        return None
    change = (new - old) * 100 if name.endswith("_rate") or name in SCORES else (new - old) / old * 100
    if name in SCORES:
        change /= 100
    rounded = round(change, 2) if name in SCORES else round(change)
    if not rounded:
        return Text("±0", "dim")
    text = f"{rounded:+,.2f}" if name in SCORES else f"{rounded:+,}{' pt' if name.endswith('_rate') else ' %'}"
    return Text(text, "dim" if not worse else "red" if change * worse > 0 else "green")


def _table(console: Console, by: Sequence[str], groups: Sequence[Group], total: Group) -> Table:
    compares = total.before is not None
    names = [[_key(each) for each in group.key] for group in groups]
    longest = [max(len(row[place]) for row in [*names, ["all"] * len(by)]) for place in range(len(by))]
    room = console.width - sum(
        max(min(each, MOST_NAME), len(title)) + GAP for each, title in zip(longest, by, strict=True)
    )
    columns, cells = _laid_out([*groups, total], room, changes=compares)
    if compares and len(columns) < ENOUGH_COLUMNS:
        columns, cells = _laid_out([*groups, total], room, changes=False)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for place, name in enumerate(by):
        table.add_column(
            name.title(), no_wrap=True, overflow="ellipsis", min_width=min(longest[place], LEAST_NAME),
            max_width=MOST_NAME,
        )  # fmt: skip
    for place in columns:
        width = max(len(_COLUMNS[place].title), *(row[place].cell_len for row in cells))
        table.add_column(_COLUMNS[place].title, justify="right", no_wrap=True, min_width=width)
    for key, row in zip(names, cells[:-1], strict=True):
        table.add_row(*(Text(each) for each in key), *(row[place] for place in columns))
    table.add_row(Text("all", "bold"), *[""] * (len(by) - 1), *(cells[-1][place] for place in columns))
    return table


def _laid_out(groups: Sequence[Group], room: int, *, changes: bool) -> tuple[list[int], list[list[Text]]]:
    """Return the places of the columns that there is room for, the most important ones first, and the cells of all."""
    cells = [[_cell(column, group, changes=changes) for column in _COLUMNS] for group in groups]
    chosen: list[int] = []
    for place in sorted(range(len(_COLUMNS)), key=lambda each: _COLUMNS[each].rank):
        if _COLUMNS[place].name == FEEDBACK and not any(group.now["feedback_count"] for group in groups):
            continue
        room -= max(len(_COLUMNS[place].title), *(row[place].cell_len for row in cells)) + GAP
        if room < -GAP and (changes or len(chosen) >= LEAST_COLUMNS):
            break
        chosen.append(place)
    return sorted(chosen), cells


def _key(value: Any) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S").removesuffix(":00")
    return UNKNOWN if value is None else str(value)


def _cell(column: _Column, group: Group, *, changes: bool) -> Text:
    text = Text(column.shown(group.now[column.name]))
    if column.name == FEEDBACK and group.now["feedback_coverage"] is not None:  # a mean of few is to be seen as one
        text.append(f" ({_percent(group.now['feedback_coverage'])})", "dim")
    if column.name == "error_rate" and (group.now["error_rate"] or 0) >= 0.1:
        text.stylize("bold red")
    if changes and group.before is not None and column.rank < 5:
        change = _change(column.name, group.now, group.before, column.worse)
        text.append(" ").append_text(Text(f"{UNKNOWN:>6}", "dim") if change is None else change)
    return text
