"""`otel-feedback trace`: one run as a tree, with what went wrong in it, what it used, what was said of it afterwards, and what
of it is not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.cli.console import count, dollars, duration, failed, marks, moment, open_console, write, write_whole
from otel_feedback.cli.outcomes import Node, began, cut, nested, tree_of, why
from otel_feedback.cli.reading.feedback import feedback_line
from otel_feedback.cli.reading.rows import SELECTED, events_of, feedback_of
from otel_feedback.cli.reading.source import Source, answering, opened, source_of, tell, watched
from otel_feedback.downstream.tables.selection import Selection, literal
from otel_feedback.downstream.tables.tables import highest

__all__ = ["run"]

JAEGER = "http://localhost:16686"
SHORTEST = 6
"""Characters of an id from which on its beginning will do."""
MOST_NAMED = 10
BAD = (OutcomeStatus.FAILURE, OutcomeStatus.TIMEOUT)
SAID = {"otel_feedback.truncated": "cut", "otel_feedback.redacted": "redacted", "otel_feedback.invalid": "invalid"}
"""Metadata that names fields which are not as they were given: what to call it."""


def run(
    *, source: Sequence[str], bootstrap_servers: str | None, selection: Selection, wanted: str, jaeger_url: str | None,
    as_json: bool,
) -> int:  # fmt: skip
    """Find the run, write it, and return the exit code: 1 where there is none.

    Args:
        source: What `--from` says.
        bootstrap_servers: In place of the setting.
        selection: Which events are looked at.
        wanted: Id of a run, an event or a trace, or its beginning.
        jaeger_url: Where traces are looked at.
        as_json: Write the events, and after them the feedback on them, as one JSON array and nothing else.
    """

    def work() -> int:
        asked = source_of(source, bootstrap_servers)
        events, given = _read(asked, selection, _means(wanted))
        runs = sorted({event.run_id for event in events if event.run_id is not None})
        if wanted in runs:
            runs = [wanted]
        if len(runs) > 1 and not any(event.trace_id == wanted for event in events):
            named = ", ".join(runs[:MOST_NAMED]) + (" …" if len(runs) > MOST_NAMED else "")
            failed(f"{wanted} is the beginning of {len(runs)} runs: {named}", "give more of it")
            return 1
        if not events:
            failed(
                f"there is no run, event or trace {wanted} in {asked.said}",
                "`otel-feedback tail` shows which there are",
            )
            return 1
        if wanted not in runs and runs:
            found = {event.event_id for event in events}
            events, given = _read(asked, selection, f"run_id IN ({', '.join(map(literal, runs))})")
        else:
            found = set[str]()
        events = sorted((event for event in events if not runs or event.run_id in runs), key=began)
        there = {event.event_id for event in events}
        given = [row for row in given if row["counts_for"] in there]
        if as_json:
            lines = [one.to_json() for one in (*events, *map(feedback_of, given))]
            print("[\n " + ",\n ".join(lines) + "\n]")
        else:
            console = open_console()
            for run_id in runs or [None]:
                own = [event for event in events if event.run_id == run_id]
                _write(console, run_id, own, given, jaeger_url or JAEGER)
            if len(found) == 1:
                (event,) = (event for event in events if event.event_id in found)
                _write_event(console, event)
        return 0

    return answering(work)


def _means(wanted: str) -> str:
    exactly = literal(wanted)
    parts = [f"{name} = {exactly}" for name in ("run_id", "event_id", "trace_id")]
    if len(wanted) >= SHORTEST:
        parts += [f"starts_with({name}, {exactly})" for name in ("run_id", "event_id")]
    return f"({' OR '.join(parts)})"


def _read(source: Source, selection: Selection, condition: str) -> tuple[list[OutcomeEvent], list[dict[str, Any]]]:
    """Return the outcomes for which a condition holds, which no revision changes, and what was said of them, the newest first."""
    with opened(source, selection, None, keep=condition) as tables:
        # looked up among the records, not after all of them have been compared
        found = highest(f"SELECT * FROM main.events WHERE {condition}")
        text = f"SELECT {SELECTED} FROM ({found}) WHERE {selection.condition()}"
        events = list(events_of(watched(tables, lambda: tables.ask(text))))
        ids = ", ".join(literal(event.event_id) for event in events)
        asked = f'SELECT * FROM feedback WHERE counts_for IN ({ids}) ORDER BY "timestamp" DESC, feedback_id'
        given = watched(tables, lambda: tables.rows(asked)) if events else []
        tell(tables)
        return events, given


# -- a run -----------------------------------------------------------------------------------------------------------


def _write(
    console: Console, run_id: str | None, events: Sequence[OutcomeEvent], given: Sequence[Mapping[str, Any]], jaeger_url: str
) -> None:  # fmt: skip
    tops = nested(events, run_id or "") if run_id else [Node(event, []) for event in events]
    write(console, Text(f"run {run_id}" if run_id else "without a run", "bold"), *_facts(console, events, tops), "")
    write(console, Padding(tree_of(console, tops), (0, 0, 0, 2), expand=False))
    parts = (
        ("What went wrong", _errors(console, events)), ("What was said of it", _said(events, given)),
        ("What is not there", _gaps(events)),
    )  # fmt: skip
    for title, lines in parts:
        body = list(lines)
        if body:
            write(console, Text(f"\n{title}", "bold"), *(Padding(line, (0, 0, 0, 2)) for line in body))
    for trace_id in dict.fromkeys(event.trace_id for event in events if event.trace_id):
        write(console, "")
        write_whole(console, Text(f"{jaeger_url.rstrip('/')}/trace/{trace_id}", "dim"))


def _facts(console: Console, events: Sequence[OutcomeEvent], tops: Sequence[Node]) -> Iterator[RenderableType]:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    last = max(tops, key=lambda node: node.event.end_time or node.event.timestamp).event
    mark = marks(console)[last.status]
    table.add_row("status", Text(f"{mark.symbol} {last.status.value}", mark.style))
    for title, name in (
        ("tenant", "tenant_id"), ("user", "user_id"), ("session", "session_id"), ("workflow", "workflow_id"),
        ("service", "service_name"), ("request", "correlation_id"),
    ):  # fmt: skip
        values = dict.fromkeys(getattr(event, name) for event in events if getattr(event, name) is not None)
        if values:
            table.add_row(title, ", ".join(values))
    begin = min(event.start_time or event.timestamp for event in events)
    end = max(event.end_time or event.timestamp for event in events)
    table.add_row("began", f"{moment(begin)}, took {duration((end - begin).total_seconds() * 1e3)}")
    tokens, cost = sum(event.own_tokens or 0 for event in events), sum(event.own_cost or 0 for event in events)
    used = f", {count(tokens)} tokens, {dollars(cost)}" if tokens or cost else ""
    table.add_row("actions", f"{len(events):,}{used}")
    yield table


def _errors(console: Console, events: Sequence[OutcomeEvent]) -> Iterator[RenderableType]:
    """Yield those with which it began: what an action ended as because of one inside it is a consequence."""
    bad = [event for event in events if event.status in BAD]
    parents = {event.parent_event_id for event in bad}
    for event in bad:
        if event.event_id not in parents:
            mark = marks(console)[event.status]
            head = Text(f"{mark.symbol} ", mark.style).append(
                f"{event.agent_name or ''} {event.action_type}".strip(), "bold"
            )
            head.append(f"  {event.event_id}", "dim")
            yield head
            yield Padding(Text(why(event) or event.status.value, mark.style), (0, 0, 0, 2))


def _said(events: Sequence[OutcomeEvent], given: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    names = {event.event_id: f"{event.agent_name or ''} {event.action_type}".strip() for event in events}
    for row in given:
        if row["counts_for"] in names:
            of = "the run" if row["target"] == "run" else names[row["counts_for"]]
            yield feedback_line(row).append(f"  {of}", "not bold")
            if row["comment"]:
                yield Padding(Text(row["comment"]), (0, 0, 0, 2))


def _gaps(events: Sequence[OutcomeEvent]) -> Iterator[RenderableType]:
    there = {event.event_id for event in events}
    missing = dict.fromkeys(
        event.parent_event_id for event in events if event.parent_event_id and event.parent_event_id not in there
    )
    for event_id in missing:
        inside = sum(event.parent_event_id == event_id for event in events)
        yield Text(f"the action {event_id} around {inside} of these", "yellow")
    if missing:
        yield Text("not ended yet, lost, or elsewhere: `otel-feedback verify` tells whether events are missing")
    for event in events:
        name = f"{event.agent_name or ''} {event.action_type}".strip()
        if event.status is OutcomeStatus.PENDING:
            yield Text(f"the end of {name}: it is under way, or was killed", "yellow")
        if event.usage_complete is False:
            yield Text(f"tokens and cost of what was still open below {name}", "yellow")
        for key, said in SAID.items():
            fields = event.metadata.get(key)
            if fields:
                listed = ", ".join(map(str, fields)) if isinstance(fields, list) else fields
                yield Text(f"{name}: {said}: {listed}", "yellow")


def _write_event(console: Console, event: OutcomeEvent) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    shown: dict[str, Any] = event.to_dict()
    stack = shown.pop("stack_trace", None)
    for name, value in shown.items():
        table.add_row(name, Text(_text(value)))
    write(console, Text(f"\nevent {event.event_id}", "bold"), Padding(table, (0, 0, 0, 2), expand=False))
    if stack:
        write(console, Text("\nstack trace", "bold"), *(cut(f"  {line}") for line in str(stack).splitlines()))


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={each}" for name, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
