"""The arguments of `otel-feedback stream`. Each action is imported when it is run."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from otel_feedback.cli.arguments import add_bootstrap_servers, positive

__all__ = ["add_stream"]

JOBS = ("windows", "outcomes_latest", "alerts")
EXAMPLES = """\
examples:
  otel-feedback stream run windows                  on this machine, until Ctrl-C or SIGTERM
  otel-feedback stream run windows --once           what is on the topic, and end
  otel-feedback stream sql windows > windows.sql    for a cluster: sql-client.sh -f windows.sql
  otel-feedback stream sql outcomes_latest --bootstrap-servers kafka:29092

windows           the store's windows, on agent-metrics
alerts            the same, with the default rules that hold in them, in its place
outcomes_latest   how each action ended, on agent-outcomes-latest
What comes too late to be counted is on agent-metrics-refused, by hour and agent.
"""


def add_stream(commands: Any) -> None:
    """Add the command and its actions."""
    parser = commands.add_parser(
        "stream",
        help="keep windows on a topic, by Flink",
        description="Keep the store's views up to date on topics, as jobs of Flink SQL.",
        epilog=EXAMPLES,
    )

    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _sql(actions)
    _run(actions)


def _sql(actions: Any) -> None:
    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.streaming import streaming

        return streaming.show(options.job, **_common(options))

    parser = actions.add_parser(
        "sql",
        help="write what the SQL client of a cluster takes",
        description="Write a job as the SQL client of a Flink cluster takes it. No password is in it.",
    )
    _add_job(parser)
    parser.set_defaults(run=run)


def _run(actions: Any) -> None:
    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.streaming import streaming

        return streaming.run(
            options.job, state=options.state, jars=options.jars, once=options.once, anew=options.anew,
            savepoint=options.savepoint, parallelism=options.parallelism, **_common(options),
        )  # fmt: skip

    parser = actions.add_parser(
        "run",
        help="run a job on this machine, until Ctrl-C or SIGTERM",
        description="Run a job in a process of Java on this machine. It goes on where the last one stopped.",
    )
    _add_job(parser)
    parser.add_argument("--once", action="store_true", help="take what is on the topic, all of it, and end")
    parser.add_argument("--parallelism", type=positive, default=2, metavar="N", help="how many work side by side (2)")
    parser.add_argument(
        "--state",
        metavar="DIR",
        help="where checkpoints are (otel-feedback-stream in $XDG_STATE_HOME, or ~/.local/state)",
    )
    parser.add_argument("--anew", action="store_true", help="begin with the first event of the topic")
    parser.add_argument("--savepoint", metavar="PATH", help="begin with this savepoint or checkpoint")
    parser.add_argument(
        "--jars", metavar="DIR",
        help="where the jars are that Flink has not itself (otel-feedback/flink in $XDG_DATA_HOME, or ~/.local/share)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def _add_job(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", choices=JOBS, metavar="JOB", help=", ".join(JOBS))
    add_bootstrap_servers(parser)
    parser.add_argument("--to", metavar="TOPIC", help="where rows go (agent-metrics; agent-outcomes-latest)")
    parser.add_argument("--refused", metavar="TOPIC", help="where is counted what is not (agent-metrics-refused)")
    parser.add_argument("--window", type=_length, default=300, metavar="TIME", help="how long a window is (5m)")
    parser.add_argument(
        "--ttl", type=_length, default=8 * 86_400, metavar="TIME",
        help="how long Flink keeps state: longer than journals keep events (8d)",
    )  # fmt: skip
    parser.add_argument(
        "--latency", type=_length, default=2, metavar="TIME", help="how long changes gather before they go on (2s)"
    )
    parser.add_argument("--checkpoint", type=_length, default=30, metavar="TIME", help="between two checkpoints (30s)")
    parser.add_argument(
        "--kafka", action="append", default=[], type=_pair, metavar="NAME=VALUE", help="of Kafka's Java client"
    )
    parser.add_argument("--set", action="append", default=[], type=_pair, metavar="NAME=VALUE", help="of Flink")


def _common(options: argparse.Namespace) -> Mapping[str, Any]:
    return {
        "bootstrap_servers": options.bootstrap_servers, "sink": options.to, "refused": options.refused,
        "window_s": options.window, "ttl_s": options.ttl, "latency_s": options.latency,
        "checkpoint_s": options.checkpoint, "kafka": dict(options.kafka), "flink": dict(options.set),
    }  # fmt: skip


def _length(text: str) -> int:
    from otel_feedback.downstream.declared.reading import seconds_of

    seconds = seconds_of(text)
    if seconds is None or seconds < 1 or seconds != int(seconds):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time of whole seconds such as 30s, 5m or 8d")
    return int(seconds)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name.strip(), value
