"""`otel-feedback evaluate-policy`: what other policies of choosing agents would have brought, beside the one that chose."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from otel_feedback.cli.console import UNKNOWN, failed, moment, number_of, open_console, remark, write
from otel_feedback.cli.reading.selection import said_of
from otel_feedback.cli.reading.source import answering, opened, source_of, tell, watched
from otel_feedback.downstream.learning.policies.decisions import COLUMNS, Decisions, UnusableError, read
from otel_feedback.downstream.learning.policies.policy import Policy, usual
from otel_feedback.downstream.learning.policies.valuing import Estimate, Value, as_data, value_of
from otel_feedback.downstream.tables.selection import Selection
from otel_feedback.learning.reward import Reward
from otel_feedback.version import VERSION

__all__ = ["run"]

GAP = 2
MOST_NAME = 32
_STYLES = {"better": "green", "worse": "red", "not told apart": "none", "refused": "yellow"}


def run(
    *, source: Sequence[str], bootstrap_servers: str | None, selection: Selection, policies: Sequence[Policy] | None,
    cost_weight: float, latency_weight: float, form: str,
) -> int:  # fmt: skip
    """Estimate, write, and return the exit code: 1 where nothing can be said of any of them.

    Args:
        source: What `--from` says.
        bootstrap_servers: In place of the setting.
        selection: Which events.
        policies: Which policies; None: each agent always, and uniform.
        cost_weight, latency_weight: Of the reward.
        form: "table", "json" or "csv".
    """
    reward = Reward(cost_weight, latency_weight)

    def work() -> int:
        asked = source_of(source, bootstrap_servers)
        with opened(asked, selection, COLUMNS) as tables:
            tables.choose(selection.condition())
            try:
                log = watched(tables, lambda: read(tables, reward.of))
            except UnusableError as exc:
                failed(
                    str(exc), "choose agents by an AgentSelector, or look at other events: --since, --action, --tenant"
                )
                return 1
            finally:
                tell(tables)
        values = [value_of(log, policy) for policy in policies or usual(log.agents)]
        if log.unknown:
            remark(f"{number_of(log.unknown, 'choice')} left out: not said how probable")
        if form == "json":
            weights = {"cost_weight": cost_weight, "latency_weight": latency_weight}
            document = {"version": VERSION, "source": asked.said, "reward": weights, **as_data(log, values)}
            print(json.dumps(document, indent=2))
        elif form == "csv":
            _write_csv(values)
        else:
            _write(open_console(), _title(asked.said, selection), reward, log, values)
        return 0 if any(value.refused is None for value in values) else 1

    return answering(work)


def _write_csv(values: Sequence[Value]) -> None:
    estimates = ("logged", "snips", "doubly_robust", "difference")
    plain = [name for name in Value.__struct_fields__ if name not in estimates]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*plain, *(name for each in estimates for name in (each, f"{each}_low", f"{each}_high"))])
    for value in values:
        row: list[Any] = [getattr(value, name) for name in plain]
        for name in estimates:
            estimate: Estimate | None = getattr(value, name)
            row += [None] * 3 if estimate is None else [estimate.value, estimate.low, estimate.high]
        writer.writerow(row)


# -- the table -----------------------------------------------------------------------------------------------------


class _Column(NamedTuple):
    """One column. `rank`: those with a high one give way first."""

    title: str
    rank: int
    shown: Callable[[Value], str]


def _estimate(estimate: Estimate | None, *, signed: bool = False) -> str:
    if estimate is None:
        return UNKNOWN
    around = max(estimate.high - estimate.value, estimate.value - estimate.low)
    return f"{estimate.value:{'+' if signed else ''}.3f} ±{around:.3f}"


_COLUMNS = (
    _Column("Value", 0, lambda one: _estimate(one.doubly_robust)),
    _Column("SNIPS", 2, lambda one: _estimate(one.snips)),
    _Column("Logged", 0, lambda one: UNKNOWN if one.logged is None else f"{one.logged.value:.3f}"),
    _Column("Change", 1, lambda one: _estimate(one.difference, signed=True)),
    _Column("Effective", 0, lambda one: f"{one.effective:,.0f}"),
    _Column("Of", 3, lambda one: f"{one.decisions:,}"),
)


def _title(source: str, selection: Selection) -> Text:
    since = "" if selection.since is None else f"since {moment(selection.since)}"
    said = ", ".join(each for each in (said_of(selection), since) if each)
    return Text(source, "bold").append(f"  {said}" if said else "", "not bold")


def _write(console: Console, title: Text, reward: Reward, log: Decisions, values: Sequence[Value]) -> None:
    weights = [
        f" - {weight:g} * {unit}"
        for weight, unit in ((reward.cost_weight, "US dollars"), (reward.latency_weight, "seconds"))
        if weight
    ]
    said = f"{number_of(len(log.made), 'decision')}; reward: success * quality{''.join(weights)}, 0 to 1"
    write(console, title, Text(said), "")
    cells = [[column.shown(value) for column in _COLUMNS] for value in values]
    policies = [value.policy.replace(",", ", ") for value in values]  # where it may break
    names = ["Policy", *policies]
    verdicts = [value.verdict for value in values]
    widths = [max(len(column.title), *(len(row[place]) for row in cells)) for place, column in enumerate(_COLUMNS)]
    least = sum(widths[place] + GAP for place, column in enumerate(_COLUMNS) if column.rank == 0)
    named = min(
        max(map(len, names)), MOST_NAME, max(console.width - least - GAP - max(map(len, verdicts)), len("Policy") + GAP)
    )
    room = console.width - named - GAP - max(map(len, verdicts))
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    table.add_column("Policy", overflow="fold", min_width=named, max_width=named)  # a policy is all there, however long
    shown = _that_fit(widths, room)
    for place in shown:
        table.add_column(_COLUMNS[place].title, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for policy, value, row in zip(policies, values, cells, strict=True):
        verdict = Text(value.verdict, _STYLES[value.verdict])
        table.add_row(Text(policy), *(Text(row[place]) for place in shown), verdict)
    write(console, table)
    for value in values:
        if value.refused is not None:
            write(console, Text(f"\n{value.policy}: ", "yellow").append(value.refused, "none"))
        elif value.not_offered:
            count = number_of(value.not_offered, "decision")
            write(
                console, Text(f"\n{value.policy}: {count} left out, in which none of its agents could be chosen", "dim")
            )
    write(
        console, Text("\n± 95 %. Value: doubly robust. Effective: as how many decisions of its own these count.", "dim")
    )


def _that_fit(widths: Sequence[int], room: int) -> list[int]:
    """Return the places of the columns that there is room for, the most important ones first."""
    chosen: list[int] = []
    for place in sorted(range(len(_COLUMNS)), key=lambda each: _COLUMNS[each].rank):
        room -= widths[place] + GAP
        if room < 0 and _COLUMNS[place].rank:
            break
        chosen.append(place)
    return sorted(chosen)
