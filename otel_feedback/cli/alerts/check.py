"""`otel-feedback alerts check`: what is wrong with the rules, by line, and what would be right; else what they say."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from otel_feedback.cli.alerts.place import NoEventsError, blind_rules, find_events, name_of, read_rules
from otel_feedback.cli.console import failed, number_of, open_console, write
from otel_feedback.downstream.alerts.channels import ChannelError, Sender
from otel_feedback.downstream.alerts.messages import value_of
from otel_feedback.downstream.alerts.observing import QueryError
from otel_feedback.downstream.alerts.rules import AlertFile, Rule
from otel_feedback.errors import ConfigError
from otel_feedback.shares import percent

__all__ = ["run"]


def run(*, rules: str | None) -> int:
    """Check, and return the exit code: 0 when nothing is wrong, else 1."""
    file = read_rules(rules)
    if file is None:
        return 1
    is_right = _queries(file)
    if not file.rules:
        failed(f"{name_of(rules)}: there is no rule", "add a [[rule]], or remove the file: then the defaults count")
        is_right = False
    for channel in file.channels:
        try:
            Sender(channel).check()
        except ChannelError as exc:
            failed(f"channel {channel.name}: {exc}", "set it in the environment, or correct the channel's url")
            is_right = False
    console = open_console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("rule", "when", "of each", *(["to"] if file.channels else [])):
        table.add_column(title, overflow="fold")
    for rule in file.rules:
        to = [channel.name for channel in file.channels if "*" in rule.channels or channel.name in rule.channels]
        cells = (rule.name, _when(rule), _of(rule))
        table.add_row(*cells, ", ".join(to) or "nobody") if file.channels else table.add_row(*cells)
    write(console, Text(name_of(rules), "bold"), table)
    if not file.channels:
        write(console, Text("no channel: `alerts run` says what happens, and sends nothing", "yellow"))
    blind = _blind(file)
    if blind is not None:
        write(console, Text(blind, "yellow"))
    if is_right:
        write(console, Text(f"{number_of(len(file.rules), 'rule')}, nothing wrong", "green"))
    return 0 if is_right else 1


def _blind(file: AlertFile) -> str | None:
    try:
        return blind_rules(file, find_events(None))
    except (NoEventsError, ConfigError):  # of them `run` tells
        return None


def _queries(file: AlertFile) -> bool:
    from otel_feedback.downstream.alerts.looking import check_queries

    try:
        check_queries(file)
    except QueryError as exc:
        failed(str(exc), "correct its sql; `otel-feedback sql` tries it out")
        return False
    return True


def _when(rule: Rule) -> str:
    what = rule.kind if rule.kind != "latency" else f"p{rule.percentile * 100:.6g} latency"
    said = [
        *([f"more than {value_of(rule, rule.above)}"] if rule.above is not None else []),
        *([f"less than {value_of(rule, rule.below)}"] if rule.below is not None else []),
        *([f"{rule.rise:g} times what was usual"] if rule.rise is not None else []),
        *([f"{percent(rule.drop, 0)} less than usual"] if rule.drop is not None else []),
    ]
    waits = f", for {_length(rule.for_)}" if rule.for_ else ""
    least = f", of {rule.min_count} at least" if rule.min_count > 1 else ""
    within = "" if rule.kind == "behind" else f" in {_length(rule.window)}"
    return f"{what}: {' and '.join(said)}{within}{least}{waits}"


def _of(rule: Rule) -> str:
    names = ("tenant", "agent", "action", "service", "reason")
    patterns = zip(names, (rule.tenant, rule.agent, rule.action, rule.service, rule.reason), strict=True)
    only = [f"{part} {'|'.join(wanted)}" for part, wanted in patterns if "*" not in wanted]
    each = ", ".join(rule.by) or "all together"
    return f"{each}; {', '.join(only)} only" if only else each


def _length(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:g}s"
