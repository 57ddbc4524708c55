"""The arguments of `otel-feedback store` and `erase`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from otel_feedback.cli.arguments import add_bootstrap_servers, add_json, moment

__all__ = ["add_erase", "add_store"]

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


def add_store(commands: Any) -> None:
    """Add `store`."""

    def run(options: argparse.Namespace) -> int:
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

    parser = commands.add_parser(
        "store",
        help="keep the events in a folder of Parquet files",
        description="Follow the topic, or log files, and write a folder of Parquet files, one or more for each day.",
        epilog=STORE_EXAMPLES,
    )
    _add_folder(parser)
    parser.add_argument(
        "--from", dest="logs", action="append", type=Path, metavar="LOG",
        help="follow this log file, with what was rotated beside it, instead of the topic; may be given again",
    )  # fmt: skip
    parser.add_argument("--once", action="store_true", help="end when all is written that is there")
    parser.add_argument("--rebuild", action="store_true", help="throw away what is there, and read from the beginning")
    parser.add_argument("--retention-days", metavar="N", help="delete events that are older (all are kept)")
    parser.add_argument("--max-bytes", metavar="N", help="delete the oldest days when it is larger (no limit)")
    parser.add_argument("--flush-interval", metavar="SECONDS", help="how long an event may wait to be written (5)")
    parser.add_argument("--flush-rows", metavar="N", help="events that are written at once, at most (20000)")
    parser.add_argument("--group", metavar="NAME", help="the group that its progress is committed for")
    add_json(parser, "at the end, write one JSON object")
    add_bootstrap_servers(parser)
    parser.set_defaults(run=run)


def add_erase(commands: Any) -> None:
    """Add `erase`."""

    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli import erase

        return erase.run(
            directory=options.store, tenant=options.tenant, user=options.user, before=options.before,
            for_good=options.for_good, as_json=options.json,
        )  # fmt: skip

    parser = commands.add_parser(
        "erase",
        help="take a user's or tenant's events out of the store, and keep them out",
        description="Take a user's or a tenant's events out of the store, and keep them out.",
        epilog=ERASE_EXAMPLES,
    )
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--tenant", metavar="ID", help="of this tenant")
    whose.add_argument("--user", metavar="ID", help="of this user")
    until = parser.add_mutually_exclusive_group()
    until.add_argument("--before", type=moment, metavar="WHEN", help="only events up to then: 2h ago, or a time (now)")
    until.add_argument("--for-good", action="store_true", help="also events that are still to come")
    _add_folder(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def _add_folder(parser: Any) -> None:
    parser.add_argument("--store", type=Path, metavar="PATH", help="the folder, in place of OTEL_FEEDBACK_STORE_DIR")
