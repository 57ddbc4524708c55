"""`otel-feedback`: the arguments, and which command they mean. Exit codes: 0, 1 (it failed), 2 (usage), 130 (Ctrl-C)."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from otel_feedback.version import VERSION

__all__ = ["main"]

INTERRUPTED = 130
PIPE_CLOSED = 141

EXAMPLES = """\
examples:
  otel-feedback demo                        a team at work, without any service
  otel-feedback demo --json | jq .summary   the same as data
  docker compose up -d                      Kafka, a collector, Jaeger
  otel-feedback topics --dry-run            which topics would be made
  KAFKA_BOOTSTRAP_SERVERS=localhost:9092 otel-feedback doctor
  otel-feedback journal inspect             what waits on disk, and for whom
  otel-feedback verify --since 2h           is every event on the topic?
  otel-feedback store                       keep the events on this machine

Settings come from arguments, then from the environment, then from a file .env
in the current directory, then from the defaults.
"""


JOURNAL_EXAMPLES = """\
examples:
  otel-feedback journal inspect                         the service of the settings
  otel-feedback journal verify ~/.local/state/otel-feedback --json
  otel-feedback journal replay --timeout 60
  otel-feedback journal replay --take MkU3OEVBNTcwNTJENDM2Qg/agent-outcomes
  otel-feedback journal replay --quarantine

PATH is the directory of a service's journals, or the folder of one journal;
for inspect and verify also a directory with several services in it.
"""


VERIFY_EXAMPLES = """\
examples:
  otel-feedback verify                       all that the topic holds
  otel-feedback verify --since 2h            or 90s, 30m, 7d, 2026-03-02T09:30Z
  otel-feedback verify --json | jq .missing

Of each producer: delivered, repeated, lost and why, pending, missing.
Exit code 0: nothing is missing that nobody declared lost. 1: something is.
"""


STORE_EXAMPLES = """\
examples:
  otel-feedback store                              follow the topic, until Ctrl-C or SIGTERM
  otel-feedback store --from outcomes.jsonl        follow a log file, without Kafka
  otel-feedback store --once --json                for scripts: write what is there, and end
  otel-feedback store --retention-days 90 --max-bytes 50000000000
  otel-feedback store --rebuild                    all of the topic again, but for what was erased

A store has one writer, and any number of readers.
"""


ERASE_EXAMPLES = """\
examples:
  otel-feedback erase --user u-4711                what there is of this user up to now
  otel-feedback erase --tenant acme --before 2026-03-02
  otel-feedback erase --tenant acme --for-good     and whatever comes later

The rule is kept: records that come late, and a rebuild, obey it. It is about the
store alone: the topic and log files have their own retention.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: What follows the program's name; default: those of the process.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]  # closed by who started us
        return _cannot_write("it is closed")
    try:
        code = _run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _write_no_more()  # the reader, for example `head`, has seen enough
        return PIPE_CLOSED
    except OSError as exc:
        if exc.filename is not None:  # not a stream's
            raise
        _write_no_more()
        return _cannot_write(exc.strerror or str(exc))
    return code


def _cannot_write(why: str) -> int:
    with contextlib.suppress(OSError, AttributeError):  # nor on stderr
        sys.stderr.write(f"error: nothing can be written to standard output: {why}\n")
    return 1


def _write_no_more() -> None:
    """Keep the interpreter's own flush at the end from complaining again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(options: argparse.Namespace) -> int:
    # each command is imported when it is asked for: --help and --version need none of what they need
    if options.command == "demo":
        from otel_feedback.cli.demo import demo

        return demo.run(seconds=options.seconds, as_json=options.json)
    if options.command == "topics":
        from otel_feedback.cli.kafka import topics

        return topics.run(
            partitions=options.partitions,
            replication_factor=options.replication_factor,
            dry_run=options.dry_run,
            bootstrap_servers=options.bootstrap_servers,
        )
    if options.command == "journal":
        return _run_journal(options)
    if options.command == "verify":
        from otel_feedback.cli import verify

        return verify.run(since=options.since, as_json=options.json, bootstrap_servers=options.bootstrap_servers)
    if options.command == "store":
        return _run_store(options)
    if options.command == "erase":
        from otel_feedback.cli import erase

        return erase.run(
            directory=options.store, tenant=options.tenant, user=options.user, before=options.before,
            for_good=options.for_good, as_json=options.json,
        )  # fmt: skip
    from otel_feedback.cli.doctor import doctor

    return doctor.run(as_json=options.json, jaeger_url=options.jaeger, bootstrap_servers=options.bootstrap_servers)


def _run_store(options: argparse.Namespace) -> int:
    from otel_feedback.cli import store

    return store.run(
        logs=options.logs or (),
        once=options.once,
        rebuild=options.rebuild,
        as_json=options.json,
        bootstrap_servers=options.bootstrap_servers,
        directory=options.store,
        group=options.group,
        retention_days=options.retention_days,
        max_bytes=options.max_bytes,
        flush_interval_s=options.flush_interval,
        flush_rows=options.flush_rows,
    )


def _run_journal(options: argparse.Namespace) -> int:
    if options.action == "inspect":
        from otel_feedback.cli.journal import inspect as journal_inspect

        return journal_inspect.run(path=options.path, as_json=options.json)
    if options.action == "verify":
        from otel_feedback.cli.journal import verify as journal_verify

        return journal_verify.run(path=options.path, as_json=options.json)
    from otel_feedback.cli.journal import replay as journal_replay

    return journal_replay.run(
        path=options.path,
        as_json=options.json,
        timeout_s=options.timeout,
        take=options.take,
        quarantine=options.quarantine,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="otel-feedback",
        description="Outcome events of AI agents: OpenTelemetry spans in, Kafka and OTLP out.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"otel-feedback {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    demo = commands.add_parser(
        "demo",
        help="watch a team of agents at work, without any service",
        description="Run a small team of agents in this process and show its outcomes as they arrive, then a summary.",
    )
    demo.add_argument(
        "--seconds", type=_seconds, metavar="N", help="how long the agents work (8; without a terminal 1)"
    )
    demo.add_argument("--json", action="store_true", help="write one JSON object: events, summary, account")

    topics = commands.add_parser(
        "topics",
        help="create the Kafka topics",
        description="Create the topics that this project uses; those that exist are left as they are.",
    )
    topics.add_argument(
        "--partitions", type=_positive, default=6, metavar="N", help="partitions of the outcome topic (6); others get 1"
    )
    topics.add_argument(
        "--replication-factor", type=_positive, default=1, metavar="N", help="copies of each partition (1)"
    )
    topics.add_argument("--dry-run", action="store_true", help="let the broker check the request, create nothing")
    _add_bootstrap_servers(topics)

    doctor = commands.add_parser(
        "doctor",
        help="check Kafka, the collector and Jaeger",
        description="Check settings, Kafka, collector and Jaeger, and say what to do about each thing that is wrong.",
    )
    doctor.add_argument("--json", action="store_true", help="write the findings as JSON")
    doctor.add_argument("--jaeger", metavar="URL", help="Jaeger's query API (http://localhost:16686)")
    _add_bootstrap_servers(doctor)

    journal = commands.add_parser(
        "journal",
        help="look into the journals on disk, deliver what dead processes left",
        description="Look into the journals on disk, check them, deliver what dead processes left.",
        epilog=JOURNAL_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_actions(journal)

    verify = commands.add_parser(
        "verify",
        help="prove that no event is missing on the topic",
        description="Compare the outcome topic with the account on the audit topic, and say what became of each event.",
        epilog=VERIFY_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verify.add_argument(
        "--since", type=_since, metavar="WHEN", help="only what was recorded from then on: 2h ago, or a time (all)"
    )
    verify.add_argument("--json", action="store_true", help="write one JSON object")
    _add_bootstrap_servers(verify)

    _add_store(
        commands.add_parser(
            "store",
            help="keep the events in a folder of Parquet files",
            description="Follow the topic, or log files, and write a folder of Parquet files, one or more for each day.",
            epilog=STORE_EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    _add_erase(
        commands.add_parser(
            "erase",
            help="take a user's or tenant's events out of the store, and keep them out",
            description="Take a user's or a tenant's events out of the store, and keep them out.",
            epilog=ERASE_EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
    )
    return parser


def _add_store(store: argparse.ArgumentParser) -> None:
    _add_store_folder(store)
    store.add_argument(
        "--from", dest="logs", action="append", type=Path, metavar="LOG",
        help="follow this log file, with what was rotated beside it, instead of the topic; may be given again",
    )  # fmt: skip
    store.add_argument("--once", action="store_true", help="end when all is written that is there")
    store.add_argument("--rebuild", action="store_true", help="throw away what is there, and read from the beginning")
    store.add_argument("--retention-days", metavar="N", help="delete events that are older (all are kept)")
    store.add_argument("--max-bytes", metavar="N", help="delete the oldest days when it is larger (no limit)")
    store.add_argument("--flush-interval", metavar="SECONDS", help="how long an event may wait to be written (5)")
    store.add_argument("--flush-rows", metavar="N", help="events that are written at once, at most (20000)")
    store.add_argument("--group", metavar="NAME", help="the group that its progress is committed for")
    store.add_argument("--json", action="store_true", help="at the end, write one JSON object")
    _add_bootstrap_servers(store)


def _add_erase(erase: argparse.ArgumentParser) -> None:
    whose = erase.add_mutually_exclusive_group(required=True)
    whose.add_argument("--tenant", metavar="ID", help="of this tenant")
    whose.add_argument("--user", metavar="ID", help="of this user")
    until = erase.add_mutually_exclusive_group()
    until.add_argument("--before", type=_since, metavar="WHEN", help="only events up to then: 2h ago, or a time (now)")
    until.add_argument("--for-good", action="store_true", help="also events that are still to come")
    _add_store_folder(erase)
    erase.add_argument("--json", action="store_true", help="write one JSON object")


def _add_store_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", type=Path, metavar="PATH", help="the folder, in place of OTEL_FEEDBACK_STORE_DIR")


def _add_actions(journal: argparse.ArgumentParser) -> None:
    actions = journal.add_subparsers(dest="action", metavar="ACTION", required=True)
    inspect = actions.add_parser(
        "inspect",
        help="whose they are, what is in them, how far each destination is",
        description="Show whose the journals are, what is in them, and how far each destination is. Changes nothing.",
    )
    verify = actions.add_parser(
        "verify",
        help="read every byte, and say what is damaged",
        description="Read every frame of every segment, and say what is damaged. Changes nothing.",
    )
    replay = actions.add_parser(
        "replay",
        help="deliver what dead processes left",
        description="Deliver what dead processes left, now, with the settings of the environment. What cannot be "
        "delivered stays where it is.",
    )
    for action in (inspect, verify, replay):
        action.add_argument(
            "path", nargs="?", metavar="PATH", help="where the journals are (OTEL_FEEDBACK_JOURNAL_DIR)"
        )
        action.add_argument("--json", action="store_true", help="write one JSON object")
    replay.add_argument(
        "--quarantine", action="store_true", help="send what a destination refused once more, instead of the journals"
    )
    replay.add_argument("--timeout", type=_timeout, default=300.0, metavar="SECONDS", help="how long to try (300)")
    replay.add_argument(
        "--take", metavar="DESTINATION", help="deliver what is for this destination to the one of the settings"
    )


def _add_bootstrap_servers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bootstrap-servers", metavar="HOST:PORT", help="brokers, in place of KAFKA_BOOTSTRAP_SERVERS")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.2 <= seconds <= 3_600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0.2 to 3600")
    return seconds


def _timeout(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 10**9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds


def _since(text: str) -> datetime:
    from otel_feedback.cli.since import moment_of

    try:
        return moment_of(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
