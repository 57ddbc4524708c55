"""`otel-feedback slo`: how each objective stands, as a table that fits, as JSON or as CSV."""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from otel_feedback.cli.console import UNKNOWN, moment, open_console, write
from otel_feedback.cli.reading.selection import said_of
from otel_feedback.cli.reading.source import answering, opened, source_of, tell, watched
from otel_feedback.cli.slo.place import read_objectives
from otel_feedback.downstream.objectives.counting import COLUMNS
from otel_feedback.downstream.objectives.objective import Objective
from otel_feedback.downstream.objectives.standings import Standing, since_of, standings
from otel_feedback.downstream.tables.selection import Selection

__all__ = ["run"]

GAP = 2
_STYLES = {"met": "green", "at risk": "yellow", "missed": "bold red", "not enough yet": "dim"}


def run(
    *, objectives: str | None, source: Sequence[str], bootstrap_servers: str | None, at: datetime | None,
    values: Mapping[str, Sequence[str | None]], form: str,
) -> int:  # fmt: skip
    """Ask, write, and return the exit code.

    Args:
        objectives: Their file; None: the one of this directory.
        source: What `--from` says.
        bootstrap_servers: In place of the setting.
        at: As of when; None: now.
        values: By column what those actions have that count; empty: all do.
        form: "table", "json" or "csv".
    """
    wanted = read_objectives(objectives)
    if wanted is None:
        return 1
    now = at or datetime.now(timezone.utc)

    def work() -> int:
        asked = source_of(source, bootstrap_servers)
        chosen = Selection(values=values)
        with opened(asked, chosen._replace(since=since_of(wanted, now)), COLUMNS) as tables:
            tables.choose(chosen.condition())
            found = watched(tables, lambda: standings(tables, wanted, now))
            tell(tables)
        if form == "json":
            print(json.dumps([_as_data(each) for each in found], indent=2))
        elif form == "csv":
            writer = csv.DictWriter(sys.stdout, Standing.__struct_fields__, lineterminator="\n")
            writer.writeheader()
            writer.writerows(_as_data(each) for each in found)
        else:
            title = ", ".join(each for each in (asked.said, moment(now), said_of(chosen)) if each)
            _write(open_console(), title, wanted, found, now)
        return 0

    return answering(work)


def _as_data(standing: Standing) -> Mapping[str, Any]:
    return msgspec.to_builtins(standing)


# -- the table -----------------------------------------------------------------------------------------------------


class _Column(NamedTuple):
    """One column. `rank`: those with a high one give way first."""

    title: str
    rank: int
    shown: Callable[[Standing], str]


def share(value: float | None, target: float) -> str:
    """Return a share in percent, rounded down, with one digit more than its target has: 100 % is all of them."""
    if value is None:
        return UNKNOWN
    digits = _digits(target) + 1
    down = math.floor(round(value * 100 * 10**digits, 6)) / 10**digits
    return f"{down:.{digits}f} %"


def _digits(target: float) -> int:
    return len(f"{target * 100:.6f}".rstrip("0").partition(".")[2])


def _of(standing: Standing, by: Sequence[str]) -> str:
    parts = {"tenant": standing.tenant_id, "agent": standing.agent_name, "action": standing.action_type}
    if standing.coverage is None:
        return "nobody yet"
    return " ".join(parts[part] or UNKNOWN for part in by) or "all"


def _left(standing: Standing) -> str:
    left = standing.budget_remaining
    return UNKNOWN if left is None else f"{math.floor(round(left * 100, 6)):,d} %"


def _state(standing: Standing, now: datetime) -> str:
    """Return the state, and what there is to say of it, after a colon."""
    details: list[str] = []
    if standing.state == "at risk" and standing.used_up_at is not None:
        details.append(f"{_in(standing.used_up_at - now)} left")
    if standing.state == "not enough yet":
        details.append(f"{standing.counted:,d} of {standing.least:,d}")
    if standing.coverage is not None and standing.coverage < 1:
        details.append(f"{math.floor(standing.coverage * 100)} % known")
    return f"{standing.state}: {', '.join(details)}" if details else standing.state


def _in(time: timedelta) -> str:
    hours = time.total_seconds() / 3_600
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} d"


def _burn(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.1f}"


_COLUMNS = (
    _Column("Target", 2, lambda one: f"{one.target * 100:.{_digits(one.target)}f} %"),
    _Column("Good", 1, lambda one: share(one.attained, one.target)),
    _Column("Left", 0, _left),
    _Column("Burn 1h", 5, lambda one: _burn(one.burn_1h)),
    _Column("Burn 6h", 6, lambda one: _burn(one.burn_6h)),
    _Column("Burn 24h", 3, lambda one: _burn(one.burn_24h)),
    _Column("Burn 3d", 7, lambda one: _burn(one.burn_3d)),
    _Column("Counted", 4, lambda one: f"{one.counted:,d}"),
)
_LEAST = (1, 2)


def _write(
    console: Console, title: str, objectives: Sequence[Objective], found: Sequence[Standing], now: datetime
) -> None:
    by = {each.name: each.by for each in objectives}
    names = [(one.objective, _of(one, by[one.objective])) for one in found]
    states = [_state(one, now) for one in found]
    cells = [[column.shown(one) for column in _COLUMNS] for one in found]
    widths = [max(len(column.title), *(len(row[place]) for row in cells)) for place, column in enumerate(_COLUMNS)]
    titled = [("Objective", "Of"), *names]
    room = console.width - GAP - sum(max(map(len, each)) + GAP for each in zip(*titled, strict=True))
    if room - max(map(len, states)) < sum(widths[place] + GAP for place in _LEAST):
        states = [state.partition(":")[0] for state in states]
    shown = _that_fit(widths, room - max(map(len, states)))
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for name in ("Objective", "Of"):
        table.add_column(name, overflow="fold")  # a name is all there, however long
    for place in shown:
        table.add_column(_COLUMNS[place].title, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one, name, row, state in zip(found, names, cells, states, strict=True):
        table.add_row(*map(Text, name), *(Text(row[place]) for place in shown), Text(state, _STYLES[one.state]))
    write(console, Text(title, "bold"), "", table)


def _that_fit(widths: Sequence[int], room: int) -> list[int]:
    """Return the places of the columns that there is room for, the most important ones first."""
    chosen: list[int] = []
    for place in sorted(range(len(_COLUMNS)), key=lambda each: _COLUMNS[each].rank):
        room -= widths[place] + GAP
        if room < 0 and place not in _LEAST:
            break
        chosen.append(place)
    return sorted(chosen)
