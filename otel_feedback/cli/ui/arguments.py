"""The arguments of `ui`, with their help and examples."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from otel_feedback.cli.arguments import add_bootstrap_servers

__all__ = ["add_ui"]

EXAMPLES = """\
examples:
  otel-feedback ui                                 what the settings name, on this machine alone
  otel-feedback ui --from outcomes.jsonl --open    a log file, without Kafka
  otel-feedback ui --from /var/lib/outcomes        a store that another process writes
  OTEL_FEEDBACK_UI_TOKEN=… otel-feedback ui --host 0.0.0.0 --token
  otel-feedback ui --host 0.0.0.0 --token-file tokens.txt

A token file has a secret in each line, or tenant=NAME:SECRET, which shows that
tenant's events and nothing else.
"""


def add_ui(commands: Any) -> None:
    """Add `ui`."""

    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.ui import ui

        return ui.run(
            source=options.source or (),
            bootstrap_servers=options.bootstrap_servers,
            store=options.store,
            host=options.host,
            port=options.port,
            tokens=options.token or (),
            token_files=options.token_file or (),
            hosts=options.allow_host or (),
            jaeger=options.jaeger,
            rules=options.rules,
            state=options.state,
            selectors=options.selector or (),
            opens=options.open,
            feedback_tokens=options.feedback_token or (),
            feedback_origins=options.feedback_origin or (),
        )

    parser = commands.add_parser(
        "ui",
        help="a page in the browser: live, runs, failures, cost, alerts",
        description="Serve a page that shows what agents do: live, runs as trees, failures, cost, choices, gaps, objectives, "
        "alerts.",
        epilog=EXAMPLES,
    )
    parser.add_argument(
        "--from", dest="source", action="append", metavar="SOURCE",
        help="topic, store, a store's folder, or log files (what the settings name)",
    )  # fmt: skip
    parser.add_argument(
        "--store", type=Path, metavar="PATH", help="where a topic's or log's events are kept (OTEL_FEEDBACK_STORE_DIR)"
    )
    parser.add_argument("--host", metavar="ADDRESS", help="where to listen; other than 127.0.0.1 needs a token")
    parser.add_argument("--port", metavar="N", help="which port (4390); 0: a free one")
    parser.add_argument(
        "--token", action="append", nargs="?", const="", metavar="TOKEN",
        help="let in who has it: a secret, or tenant=NAME:SECRET; alone: from OTEL_FEEDBACK_UI_TOKEN, or asked for",
    )  # fmt: skip
    parser.add_argument("--token-file", action="append", type=Path, metavar="FILE", help="a file with a token a line")
    parser.add_argument("--allow-host", action="append", metavar="NAME", help="a name that a proxy calls this by")
    parser.add_argument("--jaeger", metavar="URL", help="Jaeger's page, to link traces to (OTEL_FEEDBACK_UI_JAEGER)")
    parser.add_argument("--rules", metavar="FILE", help="the alerts' rules (alerts.toml)")
    parser.add_argument("--state", metavar="FOLDER", help="where `alerts run` keeps its alerts")
    parser.add_argument(
        "--selector", action="append", type=Path, metavar="FILE",
        help="a selector's file (AgentSelector's state), to show what it believes beside what it chose",
    )  # fmt: skip
    parser.add_argument(
        "--feedback-token", action="append", nargs="?", const="", metavar="TOKEN",
        help="take feedback by POST /feedback from who has it; alone: from OTEL_FEEDBACK_UI_FEEDBACK_TOKEN, or asked for",
    )  # fmt: skip
    parser.add_argument(
        "--feedback-origin",
        action="append",
        metavar="SITE",
        help="whose pages may give it, such as https://app.example.com",
    )
    parser.add_argument("--open", action="store_true", help="open a browser")
    add_bootstrap_servers(parser)
    parser.set_defaults(run=run)
