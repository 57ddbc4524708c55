"""The arguments of the commands that read events: what they have in common, in one place, and what each has besides."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from otel_feedback.cli.arguments import add_bootstrap_servers, add_json, moment, positive
from otel_feedback.cli.reading.names import FILTERS, GROUPS, SORTS, STATUSES

if TYPE_CHECKING:
    from otel_feedback.downstream.tables.selection import Selection

__all__ = [
    "add_failures", "add_filter", "add_sql", "add_stats", "add_tail", "add_trace", "add_where", "reading_options", "where_and_which", "whole",
]  # fmt: skip

WHERE = """
where and which, the same for all commands that read:
  --from topic                 or a store's folder, or logs: 'outcomes.jsonl*'
  --since 2h --until 1h        or 90s, 30m, 7d; 2026-03-02, 2026-03-02T09:30Z
  --agent a --agent b --tenant acme     one of these agents, and this tenant
  --tenant -                   those without one
"""

TAIL = """\
examples:
  otel-feedback tail                                the newest, and what comes
  otel-feedback tail --status failure --status timeout --tenant acme
  otel-feedback tail --user u-302 --lines all --once       all that a user did
  otel-feedback tail --tenant acme --lines all --once --json > acme.jsonl
"""

STATS = """\
examples:
  otel-feedback stats --since 24h                agents, against the day before
  otel-feedback stats --by tenant --sort cost    what each client costs
  otel-feedback stats --by tenant,workflow --csv > costs.csv
  otel-feedback stats --by window --window 15m --since 6h --agent planner
"""

FAILURES = """\
examples:
  otel-feedback failures --since 24h       what goes wrong, most often first
  otel-feedback failures --agent researcher --json
"""

TRACE = """\
examples:
  otel-feedback trace run-17                  the whole run, as a tree
  otel-feedback trace 4bf92f35                that of an event, or of a trace
  otel-feedback trace run-17 --json           its events, with all fields
"""

SQL = """\
examples:
  otel-feedback sql                       which tables and columns there are
  otel-feedback sql "SELECT * FROM windows ORDER BY error_rate DESC LIMIT 5"
  otel-feedback sql --csv "SELECT tenant_id, sum(cost) FROM costs GROUP BY 1"
  otel-feedback sql - < report.sql        from standard input

events has all records; outcomes each action once; windows, runs, failures,
costs and producers are made of them. --since and filters are about outcomes and
what is made of it. The SQL is DuckDB's.
"""


def add_where(parser: argparse.ArgumentParser) -> None:
    """Add what says where the events are: `source` and `bootstrap_servers`."""
    where = parser.add_argument_group("where the events are")
    where.add_argument(
        "--from", dest="source", action="append", default=[], metavar="SOURCE",
        help="topic, store, a store's folder, or log files (also .gz, patterns, several times); unsaid: the store if "
        "there is one, the topic if Kafka is configured, the log file",
    )  # fmt: skip
    add_bootstrap_servers(where)


def add_filter(parser: Any, name: str, what: str | None, choices: Sequence[str] | None = None) -> None:
    """Add an option of FILTERS, which `selection.values_of` reads."""
    parser.add_argument(
        f"--{name}", dest=f"of_{name}", action="append", choices=choices, metavar=name.upper(), help=what
    )


def reading_options(examples: str, positional: str = "") -> dict[str, Any]:
    """Return what a parser of a command that reads has: where the events are and which of them, examples, usage."""
    common = argparse.ArgumentParser(add_help=False)
    add_where(common)
    which = common.add_argument_group("which of them")
    which.add_argument("--since", type=moment, metavar="WHEN", help="ended at or after: 2h ago, or a time")
    which.add_argument("--until", type=moment, metavar="WHEN", help="ended before: 2h ago, or a time")
    for name in FILTERS:
        choices = STATUSES if name == "status" else None
        add_filter(which, name, ", ".join(STATUSES) if choices else None, choices)
    which.add_argument("--tag", dest="of_tag", action="append", metavar="TAG", help="has this tag, and this")
    which.add_argument(
        "--text", dest="of_text", action="append", metavar="TEXT", help="in names, errors, tags or metadata"
    )
    usage = f"%(prog)s {positional}[--from SOURCE] [filters] [options]"
    return {"parents": [common], "epilog": examples + WHERE, "usage": usage}


def where_and_which(options: argparse.Namespace) -> Mapping[str, Any]:
    """Return what these options say: `source`, `bootstrap_servers` and `selection`."""
    from otel_feedback.cli.reading.selection import selection_of

    selection: Selection = selection_of(options)
    if selection.since and selection.until and selection.since >= selection.until:
        options.parser.error(f"--since {selection.since} is not before --until {selection.until}")
    return {"source": options.source, "bootstrap_servers": options.bootstrap_servers, "selection": selection}


def add_tail(commands: Any) -> None:
    """Add `tail`."""

    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.reading import tail

        return tail.run(**where_and_which(options), lines=options.lines, follow=not options.once, as_json=options.json)

    parser = commands.add_parser(
        "tail",
        help="watch events arrive, or read how it was",
        description="Show the newest outcomes, one line each, and those that come, until Ctrl-C.",
        **reading_options(TAIL),
    )
    parser.add_argument(
        "-n", "--lines", type=_lines, default=20, metavar="N", help="how many to begin with: 20, or `all`"
    )
    parser.add_argument("--once", action="store_true", help="end with what there is, for scripts")
    add_json(parser, "write one JSON object a line, with all fields")
    parser.set_defaults(run=run)


def add_stats(commands: Any) -> None:
    """Add `stats`."""

    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.reading import stats

        form = "json" if options.json else "csv" if options.csv else "table"
        return stats.run(
            **where_and_which(options),
            by=options.by,
            window_s=options.window,
            sort=options.sort,
            top=options.top,
            form=form,
        )

    parser = commands.add_parser(
        "stats",
        help="count, by agent, tenant, model, window …",
        description="Actions, success, errors, latency, tokens, cost and quality by group; with --since against the "
        "period before, which is as long.",
        **reading_options(STATS),
    )
    parser.add_argument(
        "--by", type=_groups, default=["agent"], metavar="GROUPS", help=f"agent; of {', '.join(GROUPS)}; several: a,b"
    )
    parser.add_argument("--window", type=_window, default=300, metavar="LENGTH", help="of --by window: 5m")
    parser.add_argument(
        "--sort", choices=list(SORTS), default="actions", help="what the groups are ordered by (actions)"
    )
    parser.add_argument("--top", type=whole, default=20, metavar="N", help="groups in the table (20); 0: all")
    form = parser.add_mutually_exclusive_group()
    add_json(form, "write one JSON object, with all groups and measures")
    form.add_argument("--csv", action="store_true", help="write all groups and measures as CSV")
    parser.set_defaults(run=run)


def add_failures(commands: Any) -> None:
    """Add `failures`."""

    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.reading import failures

        return failures.run(**where_and_which(options), top=options.top, as_json=options.json)

    parser = commands.add_parser(
        "failures",
        help="what goes wrong, by agent, action and error",
        description="Failures and timeouts by agent, action and kind of error: how often, since when, with an example.",
        **reading_options(FAILURES),
    )
    parser.add_argument("--top", type=whole, default=20, metavar="N", help="groups that are shown (20); 0: all")
    add_json(parser, "write one JSON object, with all groups")
    parser.set_defaults(run=run)


def add_trace(commands: Any) -> None:
    """Add `trace`."""

    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.reading import trace

        return trace.run(**where_and_which(options), wanted=options.id, jaeger_url=options.jaeger, as_json=options.json)

    parser = commands.add_parser(
        "trace",
        help="one run as a tree",
        description="Show a run as it was nested: how each action ended, what it took and cost, what went wrong, and what "
        "is not there.",
        **reading_options(TRACE, "RUN_OR_EVENT_ID "),
    )
    parser.add_argument(
        "id", metavar="RUN_OR_EVENT_ID", help="of a run, an event or a trace; of ids the beginning will do"
    )
    parser.add_argument("--jaeger", metavar="URL", help="Jaeger's page (http://localhost:16686)")
    add_json(parser, "write the events as one JSON array, with all fields")
    parser.set_defaults(run=run)


def add_sql(commands: Any) -> None:
    """Add `sql`."""

    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.reading import sql

        form = "json" if options.json else "csv" if options.csv else "table"
        return sql.run(**where_and_which(options), text=options.query, window_s=options.window, form=form)

    parser = commands.add_parser(
        "sql",
        help="ask the events a question of your own",
        description="Answer a query on the events and on the views that are made of them.",
        **reading_options(SQL, "[QUERY] "),
    )
    parser.add_argument(
        "query", nargs="?", metavar="QUERY", help="SQL; `-`: from standard input; none: list the tables"
    )
    parser.add_argument("--window", type=_window, default=300, metavar="LENGTH", help="of the view `windows`: 5m")
    form = parser.add_mutually_exclusive_group()
    add_json(form, "write an array of JSON objects")
    form.add_argument("--csv", action="store_true", help="write CSV")
    parser.set_defaults(run=run)


# -- types ---------------------------------------------------------------------------------------------------------


def _lines(text: str) -> int | None:
    return None if text == "all" else whole(text)


def whole(text: str) -> int:
    """Read a whole number, or 0."""
    return 0 if text == "0" else positive(text)


def _groups(text: str) -> list[str]:
    from difflib import get_close_matches

    groups = [each.strip() for each in text.split(",")]
    for each in groups:
        if each not in GROUPS:
            near = get_close_matches(each, GROUPS, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise argparse.ArgumentTypeError(f"{each!r} is no group; {hint}there are {', '.join(GROUPS)}")
    return list(dict.fromkeys(groups))


def _window(text: str) -> int:
    units: Mapping[str, Callable[[int], int]] = {
        "s": lambda n: n, "m": lambda n: n * 60, "h": lambda n: n * 3_600, "d": lambda n: n * 86_400,
    }  # fmt: skip
    number, unit = (text[:-1], text[-1:]) if text[-1:] in units else (text, "s")
    if not number.isdecimal() or not 0 < units[unit](int(number)) <= 86_400 * 366:
        raise argparse.ArgumentTypeError(f"{text!r} is no length of a window: 30s, 5m, 1h or 1d")
    return units[unit](int(number))
