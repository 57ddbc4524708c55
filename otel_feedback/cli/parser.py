"""The arguments of `otel-feedback`: one function for each command, with its help, its examples, and what it runs.

Each command is imported when it is run: --help and --version need none of what they need.
"""

from __future__ import annotations

import argparse
from typing import Any

from otel_feedback.cli.alerts.arguments import add_alerts
from otel_feedback.cli.arguments import Parser, add_bootstrap_servers, add_json, moment, positive, seconds, timeout
from otel_feedback.cli.learning.compare_arguments import add_compare
from otel_feedback.cli.learning.looking_back import add_evaluate_policy, add_gaps
from otel_feedback.cli.learning.selector_arguments import add_selector
from otel_feedback.cli.reading.parsers import add_failures, add_sql, add_stats, add_tail, add_trace
from otel_feedback.cli.slo.arguments import add_slo
from otel_feedback.cli.storing.parsers import add_erase, add_store
from otel_feedback.cli.streaming.arguments import add_stream
from otel_feedback.cli.ui.arguments import add_ui
from otel_feedback.version import VERSION

__all__ = ["make_parser"]

EXAMPLES = """\
examples:
  otel-feedback demo                        a team at work, without any service
  otel-feedback demo --json | jq .summary   the same as data
  otel-feedback demo --ui                   the same on a page in the browser
  otel-feedback demo --learn                outcomes choose the next agent
  otel-feedback ui                          a page in the browser
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


COMPLETION_EXAMPLES = """\
examples:
  otel-feedback completion bash > ~/.local/share/bash-completion/completions/otel-feedback
  otel-feedback completion zsh > "${fpath[1]}/_otel-feedback"
  otel-feedback completion fish > ~/.config/fish/completions/otel-feedback.fish
  source <(otel-feedback completion bash)       in this shell alone
"""


SCHEMA_EXAMPLES = """\
examples:
  otel-feedback schema json                        for who checks events
  bq mk --table set.outcomes <(otel-feedback schema bigquery)
  otel-feedback schema flink > events.sql          CREATE TABLE of the topic
"""


def make_parser() -> Parser:
    """Return the parser; what it parses has `command`, `run` (called with what was parsed) and `parser`, the command's own."""
    parser = Parser(
        prog="otel-feedback",
        description="Outcome events of AI agents: OpenTelemetry spans in, Kafka and OTLP out.",
        epilog=EXAMPLES,
    )
    parser.set_defaults(parser=parser)
    parser.add_argument("--version", action="version", version=f"otel-feedback {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for add in (
        _demo, add_ui, add_tail, add_stats, add_failures, add_gaps, add_compare, add_evaluate_policy, add_trace, add_sql, add_store,
        add_erase, add_alerts, add_slo, add_stream, add_selector, _topics,
        _doctor,
        _journal, _verify,
        _schema, _completion,
    ):  # fmt: skip
        add(commands)
    below = (
        each
        for name in ("journal", "alerts", "slo", "stream", "selector")
        for each in parser.commands()[name].commands().values()
    )
    for command in (*parser.commands().values(), *below):
        command.set_defaults(parser=command)
    return parser


def _demo(commands: Any) -> None:
    def run(options: argparse.Namespace) -> int:
        if options.learn:
            from otel_feedback.cli.demo.learning import learn

            return learn.run(
                seconds=options.seconds, port=options.port, opens=options.open, shows_page=options.ui is not False,
                as_json=options.json,
            )  # fmt: skip
        if options.ui:
            from otel_feedback.cli.demo import page

            return page.run(seconds=options.seconds, port=options.port, opens=options.open)
        from otel_feedback.cli.demo import demo

        return demo.run(seconds=options.seconds, as_json=options.json)

    parser = commands.add_parser(
        "demo",
        help="watch a team of agents at work, without any service",
        description="Run a small team of agents in this process and show its outcomes as they arrive, then a summary.",
    )
    parser.add_argument(
        "--seconds", type=seconds, metavar="N", help="how long the agents work (8; without a terminal 1; --learn: 120)"
    )
    form = parser.add_mutually_exclusive_group()
    add_json(form, "write one JSON object: events, summary, account")
    form.add_argument(
        "--ui", action=argparse.BooleanOptionalAction, help="show it on a page in the browser, until Ctrl-C"
    )
    parser.add_argument(
        "--learn",
        action="store_true",
        help="let a selector find the better agent; on the page, or with --no-ui without",
    )
    parser.add_argument("--port", metavar="N", help="of the page (4390)")
    parser.add_argument("--open", action="store_true", help="open a browser on the page")
    parser.set_defaults(run=run)


def _topics(commands: Any) -> None:
    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.kafka import topics

        return topics.run(
            partitions=options.partitions,
            replication_factor=options.replication_factor,
            dry_run=options.dry_run,
            bootstrap_servers=options.bootstrap_servers,
            tenants=options.tenant,
        )

    parser = commands.add_parser(
        "topics",
        help="create the Kafka topics",
        description="Create the topics that this project uses; those that exist are left as they are.",
    )
    parser.add_argument(
        "--partitions",
        type=positive,
        default=6,
        metavar="N",
        help="partitions of the topics of outcomes and of feedback (6); others get 1",
    )
    parser.add_argument(
        "--replication-factor", type=positive, default=1, metavar="N", help="copies of each partition (1)"
    )
    parser.add_argument(
        "--tenant",
        action="append",
        default=[],
        metavar="NAME",
        help="this tenant's topic, too; several times for several",
    )
    parser.add_argument("--dry-run", action="store_true", help="let the broker check the request, create nothing")
    add_bootstrap_servers(parser)
    parser.set_defaults(run=run)


def _doctor(commands: Any) -> None:
    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.doctor import doctor

        return doctor.run(as_json=options.json, jaeger_url=options.jaeger, bootstrap_servers=options.bootstrap_servers)

    parser = commands.add_parser(
        "doctor",
        help="check Kafka, the collector and Jaeger",
        description="Check settings, Kafka, collector and Jaeger, and say what to do about each thing that is wrong.",
    )
    add_json(parser, "write the findings as JSON")
    parser.add_argument("--jaeger", metavar="URL", help="Jaeger's query API (http://localhost:16686)")
    add_bootstrap_servers(parser)
    parser.set_defaults(run=run)


def _verify(commands: Any) -> None:
    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli import verify

        return verify.run(since=options.since, as_json=options.json, bootstrap_servers=options.bootstrap_servers)

    parser = commands.add_parser(
        "verify",
        help="prove that no event is missing on the topic",
        description="Compare the outcome topic with the account on the audit topic, and say what became of each event.",
        epilog=VERIFY_EXAMPLES,
    )
    parser.add_argument(
        "--since", type=moment, metavar="WHEN", help="only what was recorded from then on: 2h ago, or a time (all)"
    )
    add_json(parser)
    add_bootstrap_servers(parser)
    parser.set_defaults(run=run)


def _journal(commands: Any) -> None:
    parser = commands.add_parser(
        "journal",
        help="look into the journals on disk, deliver what dead processes left",
        description="Look into the journals on disk, check them, deliver what dead processes left.",
        epilog=JOURNAL_EXAMPLES,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
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
    for action, run in ((inspect, _inspect_journal), (verify, _verify_journal), (replay, _replay_journal)):
        action.add_argument(
            "path", nargs="?", metavar="PATH", help="where the journals are (OTEL_FEEDBACK_JOURNAL_DIR)"
        )
        add_json(action)
        action.set_defaults(run=run)
    replay.add_argument(
        "--quarantine", action="store_true", help="send what a destination refused once more, instead of the journals"
    )
    replay.add_argument("--timeout", type=timeout, default=300.0, metavar="SECONDS", help="how long to try (300)")
    replay.add_argument(
        "--take", metavar="DESTINATION", help="deliver what is for this destination to the one of the settings"
    )


def _inspect_journal(options: argparse.Namespace) -> int:
    from otel_feedback.cli.journal import inspect as journal_inspect

    return journal_inspect.run(path=options.path, as_json=options.json)


def _verify_journal(options: argparse.Namespace) -> int:
    from otel_feedback.cli.journal import verify as journal_verify

    return journal_verify.run(path=options.path, as_json=options.json)


def _replay_journal(options: argparse.Namespace) -> int:
    from otel_feedback.cli.journal import replay as journal_replay

    return journal_replay.run(
        path=options.path,
        as_json=options.json,
        timeout_s=options.timeout,
        take=options.take,
        quarantine=options.quarantine,
    )


def _schema(commands: Any) -> None:
    def run(options: argparse.Namespace) -> int:
        from otel_feedback.downstream.contract.schemas import ALL_SCHEMAS

        print(ALL_SCHEMAS[options.language].text(), end="")
        return 0

    languages = ("json", "avro", "bigquery", "flink", "parquet", "feedback")
    parser = commands.add_parser(
        "schema",
        help="the event's schema, for other tools",
        description="Write the schema of the outcome event: as JSON Schema, for Avro, BigQuery and Flink SQL, or as the "
        "store's Parquet files have it; or the JSON Schema of feedback.",
        epilog=SCHEMA_EXAMPLES,
    )
    parser.add_argument("language", choices=languages, metavar="LANGUAGE", help=", ".join(languages))
    parser.set_defaults(run=run)


def _completion(commands: Any) -> None:
    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli import completion

        print(completion.script(options.shell, make_parser()), end="")
        return 0

    parser = commands.add_parser(
        "completion",
        help="have the shell complete commands and options",
        description="Write what a shell reads to complete commands, options and their choices.",
        epilog=COMPLETION_EXAMPLES,
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="bash, zsh or fish")
    parser.set_defaults(run=run)
