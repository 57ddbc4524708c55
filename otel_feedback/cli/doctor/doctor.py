"""`otel-feedback doctor`: is everything there that the settings ask for, and what to do where it is not.

Each group of checks has a thread of its own; each check ends within seconds, also where hosts hang or names do not
resolve. Exit code 0 unless something failed; what is switched off has not failed.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from otel_feedback.cli import env_file
from otel_feedback.cli.console import can_write, open_console, write
from otel_feedback.cli.doctor.findings import Finding, State, without_secrets
from otel_feedback.cli.doctor.jaeger import check_jaeger
from otel_feedback.cli.doctor.journal import check_journal
from otel_feedback.cli.doctor.kafka import check_kafka
from otel_feedback.cli.doctor.otlp import check_logs, check_traces, import_clients
from otel_feedback.cli.doctor.settings import check_log_tier, check_settings
from otel_feedback.errors import ConfigError
from otel_feedback.settings.settings import Settings, get_settings
from otel_feedback.version import VERSION

__all__ = ["run"]

_STYLES = {
    State.OK: "green",
    State.WARNING: "yellow",
    State.FAILED: "bold red",
    State.SKIPPED: "dim",
    State.OFF: "dim",
}


class _Group(NamedTuple):
    """Checks that depend on each other."""

    name: str
    checks: Callable[[], Iterator[Finding]]


def run(*, as_json: bool, jaeger_url: str | None, bootstrap_servers: str | None) -> int:
    """Check everything and return the exit code: 0 when nothing failed, else 1.

    Args:
        as_json: Write one JSON object and nothing else.
        jaeger_url: Jaeger's query API; default: where docker compose puts it.
        bootstrap_servers: Brokers, in place of the setting; turns Kafka on.
    """
    read = env_file.load()
    try:
        settings: Settings | ConfigError = get_settings(kafka_bootstrap_servers=bootstrap_servers)
    except ConfigError as exc:
        settings = exc
    groups = [_Group("settings", partial(check_settings, settings, read))]
    if isinstance(settings, Settings):
        groups += [
            _Group("log tier", partial(check_log_tier, settings)),
            _Group("journal", partial(check_journal, settings)),
            _Group("Kafka", partial(check_kafka, settings)),
            _Group("OTLP logs", partial(check_logs, settings)),
            _Group("OTLP traces", partial(check_traces, settings)),
            _Group("Jaeger", partial(check_jaeger, settings, jaeger_url)),
        ]
        import_clients()
    console = open_console()
    found = _all_at_once(groups, console, silent=as_json)
    if isinstance(settings, Settings):
        _add_waiting(found, settings)
    if isinstance(settings, ConfigError):
        found += [
            Finding(name, State.SKIPPED, "needs settings")
            for name in ("journal", "Kafka", "OTLP logs", "OTLP traces", "Jaeger")
        ]
    findings = without_secrets(found)
    failed = any(finding.state is State.FAILED for finding in findings)
    if as_json:
        checks = [{**finding._asdict(), "state": finding.state.value} for finding in findings]
        print(json.dumps({"version": VERSION, "ok": not failed, "checks": checks}, indent=2))
    else:
        _write(console, findings)
    return 1 if failed else 0


def _all_at_once(groups: Sequence[_Group], console: Console, *, silent: bool) -> list[Finding]:
    found: dict[str, list[Finding]] = {group.name: [] for group in groups}

    def work(group: _Group) -> None:
        try:
            found[group.name].extend(group.checks())
        except Exception as exc:  # a defect of a check must not hide what the others found
            found[group.name].append(Finding(group.name, State.FAILED, f"the check broke: {exc!r}", "please report it"))

    threads = [threading.Thread(target=work, args=(group,), name=group.name, daemon=True) for group in groups]
    for thread in threads:
        thread.start()
    if silent or not console.is_terminal:
        for thread in threads:
            thread.join()
    else:
        with console.status("") as status:
            while running := [thread for thread in threads if thread.is_alive()]:
                status.update(f"checking {', '.join(thread.name for thread in running)}")
                running[0].join(timeout=0.1)
    return [finding for group in groups for finding in found[group.name]]


def _add_waiting(found: list[Finding], settings: Settings) -> None:
    """Add what waits in the journal, below what was found of the journal; after the others, since it may ask Kafka."""
    journal = [place for place, finding in enumerate(found) if finding.check == "journal"]
    if not journal or found[journal[-1]].state is State.OFF or not settings.journal_dir.is_dir():
        return
    from otel_feedback.cli.doctor.waiting import check_waiting  # imports what delivers, which takes some tenths

    is_reached = not any(finding.check.startswith("Kafka") and finding.state is State.FAILED for finding in found)
    after = journal[-1] + 1
    found[after:after] = check_waiting(settings, finds_out=is_reached)


def _write(console: Console, findings: Sequence[Finding]) -> None:
    arrow = "→" if can_write(console, "→") else "->"
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        style = _STYLES[finding.state]
        quiet = "dim" if finding.state in (State.OFF, State.SKIPPED) else ""
        table.add_row(Text(f"  {finding.state}", style), Text(finding.check, quiet), Text(finding.found, quiet))
        if finding.todo is not None:
            table.add_row("", "", Text(f"{arrow} {finding.todo}", quiet or "bold"))
    write(console, Text("otel-feedback doctor", "bold"), "", table, "", _verdict(findings))


def _verdict(findings: Sequence[Finding]) -> Text:
    counts = Counter(finding.state for finding in findings)
    warnings = f"{counts[State.WARNING]} warning{'' if counts[State.WARNING] == 1 else 's'}"
    if counts[State.FAILED]:
        return Text(f"  {counts[State.FAILED]} failed, {warnings}", _STYLES[State.FAILED])
    if counts[State.WARNING]:
        return Text(f"  nothing failed, {warnings}", _STYLES[State.WARNING])
    return Text("  all that is switched on works", _STYLES[State.OK])
