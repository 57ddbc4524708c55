"""`otel-feedback verify`: is every event on the topic, or declared lost?

Read-only; joins no group. Exit code 0 when nothing is missing that nobody declared, 1 when something is, or when it could
not be found out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from otel_feedback.cli import env_file
from otel_feedback.cli.console import CORRECT_IT, failed, moment, number_of, open_console, progress_console, write
from otel_feedback.cli.kafka.admin import check_network, open_admin
from otel_feedback.cli.kafka.problem import KafkaSetupError
from otel_feedback.cli.listening import listening
from otel_feedback.downstream.verify.account import COMPLETE, LOSSES, MISSING, PENDING, Run, Verdict
from otel_feedback.downstream.verify.verifying import Report, TopicMissingError, verify
from otel_feedback.errors import ConfigError, describe
from otel_feedback.settings.kafka import KafkaConfig
from otel_feedback.settings.settings import get_settings
from otel_feedback.version import VERSION

__all__ = ["run"]

MOST_NAMED = 10
"""Runs of sequences, and losses, of one producer that are named; JSON has all."""
ROOM_FOR_TABLE = 80
"""Columns of a terminal that the table wants: in fewer, each producer has lines of its own."""

_STYLES = {COMPLETE: "green", LOSSES: "yellow", PENDING: "yellow", MISSING: "bold red"}


def run(*, since: datetime | None, as_json: bool, bootstrap_servers: str | None) -> int:
    """Compare topic and account, and return the exit code: 0, or 1 when something is missing or cannot be read.

    Args:
        since: Look at what was recorded from then on only.
        as_json: Write one JSON object and nothing else.
        bootstrap_servers: In place of the setting.
    """
    env_file.load()
    try:
        config = get_settings(kafka_bootstrap_servers=bootstrap_servers).kafka
        check_network(config)
        with open_admin(config):  # says in words what is wrong with protocol or login
            pass
        reports = _read(config, since)
    except ConfigError as exc:
        failed(str(exc), CORRECT_IT)
    except KafkaSetupError as exc:
        failed(f"Kafka: {exc.found}", exc.todo)
    except TopicMissingError as exc:
        failed(f"Kafka: {exc}", "create it: `otel-feedback topics`; or correct KAFKA_OUTCOME_TOPIC")
    except Exception as exc:  # kafka-python's, of which each has a class
        failed(f"Kafka: {describe(exc)}", "look at the broker's log; `otel-feedback doctor` looks at permissions")
    else:
        # of feedback there is nothing to say where nobody gives any
        reports = [report for report in reports if report is reports[0] or report.producers or report.foreign]
        if as_json:
            outcomes, *of_feedback = map(_as_data, reports)
            print(json.dumps({"version": VERSION, **outcomes, "feedback": next(iter(of_feedback), None)}, indent=2))
        else:
            console = open_console()
            for report in reports:
                _write(console, config, report)
        return 1 if any(report.missing for report in reports) else 0
    return 1


def _read(config: KafkaConfig, since: datetime | None) -> list[Report]:
    shown_on = progress_console()
    bars = TextColumn("reading {task.description}"), BarColumn(), MofNCompleteColumn()
    with (
        listening("kafka"),
        Progress(*bars, console=shown_on, transient=True, disable=shown_on is None) as progress,
    ):
        task = progress.add_task("")

        def show(topic: str, read: int, total: int) -> None:
            progress.update(task, description=topic, completed=read, total=total)

        return verify(config, since, show)


def _as_data(report: Report) -> dict[str, Any]:
    return {
        "topic": report.topic,
        "since": None if report.since is None else report.since.isoformat(),
        "complete": report.is_complete,
        "missing": report.missing,
        "producers": [_producer(one) for one in report.producers],
        "records_of_nobody": report.foreign,
        "audit_records_unread": report.unread,
        "deleted_below": {_partition(report, *place): offset for place, offset in report.deleted.items()},
    }


def _producer(one: Verdict) -> dict[str, Any]:
    return {
        "producer_id": one.producer_id,
        "service_name": one.service_name,
        "state": one.state,
        "first": one.first,
        "end": one.end,
        "delivered": one.delivered,
        "repeated": one.repeated,
        "pending": _runs(one.pending),
        "missing": _runs(one.missing),
        "losses": [
            {
                "reason": loss.reason,
                "first": loss.first_sequence,
                "last": loss.last_sequence,
                "count": loss.count,
                "timestamp": loss.timestamp.isoformat(),
            }
            for loss in one.losses
        ],
        "closed": one.closed,
        "told": None if one.told is None else one.told.isoformat(),
    }


def _runs(runs: Sequence[Run]) -> list[dict[str, int]]:
    return [{"first": run.first, "last": run.last} for run in runs]


def _write(console: Console, config: KafkaConfig, report: Report) -> None:
    since = "" if report.since is None else f", since {moment(report.since)}"
    title = Text(f"{report.topic} on {', '.join(config.bootstrap_servers)}{since}", "bold")
    shown = _table if console.width >= ROOM_FOR_TABLE else _lines
    producers = shown(report.producers) if report.producers else Text("  no producer")
    before = [] if report.noun == "event" else [""]
    write(console, *before, title, "", producers, *_details(report), "", _result(report))


def _lines(producers: Sequence[Verdict]) -> RenderableType:
    said = Text()
    for one in producers:
        counts = _counts(one)
        told = [f"{number:,} {name}" for name, number in counts.items() if number or name == "delivered"]
        said.append(f"{one.producer_id[:8]} {one.service_name}: ")
        said.append(one.state, _STYLES[one.state])
        said.append(f"\n  {', '.join(told)}\n")
    said.rstrip()
    return said


def _counts(one: Verdict) -> dict[str, int]:
    return {
        "delivered": one.delivered,
        "repeated": one.repeated,
        "lost": sum(loss.count for loss in one.losses),
        "pending": _count(one.pending),
        "missing": _count(one.missing),
    }


def _table(producers: Sequence[Verdict]) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("producer", "service"):
        table.add_column(name, overflow="fold")
    for name in _counts(producers[0]):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in producers:
        numbers = (f"{number:,}" for number in _counts(one).values())
        table.add_row(one.producer_id[:8], one.service_name, *numbers, Text(one.state, _STYLES[one.state]))
    return table


def _details(report: Report) -> Iterator[RenderableType]:
    for one in report.producers:
        lines = [f"missing: {_said(run)}" for run in one.missing]
        lines += [f"pending: {_said(run)}" for run in one.pending]
        lines += [
            f"lost ({loss.reason}): {loss.count:,} of {_said(Run(loss.first_sequence, loss.last_sequence))}"
            for loss in one.losses
        ]
        if lines:
            told = "" if one.told is None else f", last heard of {moment(one.told)}"
            yield Text("")
            yield Text(f"{one.producer_id} ({one.service_name}){told}")
            yield from (Text(f"  {line}") for line in lines[:MOST_NAMED])
            if len(lines) > MOST_NAMED:
                yield Text(f"  and {len(lines) - MOST_NAMED:,} more: --json has all")


def _partition(report: Report, topic: str, number: int) -> str:
    return str(number) if topic == report.topic else f"{topic}/{number}"


def _said(run: Run) -> str:
    return f"sequence {run.first}" if run.length == 1 else f"sequences {run.first} to {run.last}"


def _result(report: Report) -> Text:
    said = Text()
    if report.foreign:
        said.append(f"{number_of(report.foreign, 'record')} without a producer's headers\n")
    if report.unread:
        said.append(f"{number_of(report.unread, 'record')} of the audit topic cannot be read\n", "yellow")
    if report.missing and report.deleted:
        where = ", ".join(
            f"partition {_partition(report, *place)} below {offset}" for place, offset in sorted(report.deleted.items())
        )
        said.append(f"the topic has nothing any more of {where}: by its retention, use --since; or by hand\n", "yellow")
    if report.missing:
        return said.append(
            f"{number_of(report.missing, report.noun)} missing that nobody declared lost", _STYLES[MISSING]
        )
    if not report.producers:
        return said.append(
            "there is nothing to look for: no producer recorded anything in this time, or told of it", "yellow"
        )
    going_on = sum(not one.closed for one in report.producers)
    if going_on:
        said.append(
            f"{number_of(going_on, 'producer')} did not say that there will be no more: it may still run, or have died, and "
            "what it has told nobody of is not looked for\n", "yellow",
        )  # fmt: skip
    if report.is_complete:
        return said.append(f"complete: every {report.noun} is on the topic", _STYLES[COMPLETE])
    return said.append("nothing is missing: what is not on the topic is declared lost, or may still come", "yellow")


def _count(runs: Sequence[Run]) -> int:
    return sum(run.length for run in runs)
