"""The arguments of `otel-feedback alerts`. Each action is imported when it is run."""

from __future__ import annotations

import argparse
from typing import Any

from otel_feedback.cli.arguments import add_json, moment

__all__ = ["add_alerts"]

EXAMPLES = """\
examples:
  otel-feedback alerts check                       is alerts.toml right?
  otel-feedback alerts backtest --since 7d         when would they have fired?
  otel-feedback alerts test                        a message to each channel
  otel-feedback alerts run                         until Ctrl-C
  otel-feedback alerts list
  otel-feedback alerts ack errors --agent planner --why "known, fix is out at 15:00"
  otel-feedback alerts silence 'slow' --for 2h --why "load test"
  otel-feedback alerts silence --end 3
  otel-feedback alerts prometheus --out monitoring

Rules are those of alerts.toml in the current directory, else the defaults; and
the objectives of slo.toml beside it.
Events are read from a store, else from the log file of the settings.
"""


def add_alerts(commands: Any) -> None:
    """Add the command and its actions."""
    parser = commands.add_parser(
        "alerts",
        help="tell somebody when agents fail, slow down, cost more, or fall silent",
        description="Look at the outcomes every so often, and tell somebody when a rule says so.",
        epilog=EXAMPLES,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _run(actions)
    _check(actions)
    _test(actions)
    _list(actions)
    _ack(actions)
    _silence(actions)
    _backtest(actions)
    _prometheus(actions)


def _run(actions: Any) -> None:
    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.alerts import running

        return running.run(
            rules=options.rules, source=options.source, state=options.state, once=options.once,
            bootstrap_servers=options.bootstrap_servers,
        )  # fmt: skip

    parser = actions.add_parser(
        "run",
        help="look, and tell, until Ctrl-C",
        description="Look at the outcomes, keep what comes of it, send notifications, and publish each change to "
        "agent-alerts where Kafka is configured.",
    )
    _add_rules(parser)
    _add_source(parser, ", or agent-metrics, the topic of `otel-feedback stream`")
    _add_state(parser)
    parser.add_argument("--once", action="store_true", help="look once, try to send what there is, and end")
    parser.add_argument("--bootstrap-servers", metavar="HOST:PORT", help="brokers, in place of KAFKA_BOOTSTRAP_SERVERS")
    parser.set_defaults(run=run)


def _check(actions: Any) -> None:
    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.alerts import check

        return check.run(rules=options.rules)

    parser = actions.add_parser(
        "check",
        help="say what is wrong with the rules, and what would be right",
        description="Read the rules, run their SQL on nothing, look at the channels' URLs. Sends nothing.",
    )
    _add_rules(parser)
    parser.set_defaults(run=run)


def _test(actions: Any) -> None:
    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.alerts import trying

        return trying.run(rules=options.rules, only=options.channel)

    parser = actions.add_parser(
        "test",
        help="send a made-up alert to each channel, and its end",
        description="Send each channel a made-up alert that opens, and then its end, and say what became of it.",
    )
    _add_rules(parser)
    parser.add_argument("--channel", metavar="NAME", help="this one alone")
    parser.set_defaults(run=run)


def _list(actions: Any) -> None:
    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.alerts import listing

        return listing.run(rules=options.rules, state=options.state, as_json=options.json)

    parser = actions.add_parser(
        "list",
        help="which there are, who knows of them, what is silenced, what waits to be sent",
        description="Show the alerts that are kept, silences, and what waits to be sent. Exit code 1 when one is open.",
    )
    _add_rules(parser)
    _add_state(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def _ack(actions: Any) -> None:
    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.alerts import saying

        return saying.acknowledge(
            state=options.state, rule=options.rule, tenant=options.tenant, agent=options.agent, action=options.action_type,
            who=options.who, why=options.why,
        )  # fmt: skip

    parser = actions.add_parser(
        "ack",
        help="say that somebody knows of an alert",
        description="Say that somebody knows of the alerts that are open: nobody is reminded of them any more.",
    )
    parser.add_argument("rule", metavar="RULE", help="of this rule; a pattern such as 'err*'")
    _add_key(parser)
    _add_said(parser)
    _add_state(parser)
    parser.set_defaults(run=run)


def _silence(actions: Any) -> None:
    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.alerts import saying

        if options.end is not None:
            return saying.end_silence(state=options.state, number=options.end)
        rule: str | None = options.rule
        length_s: float | None = options.length
        if rule is None or length_s is None:
            parser.error("a RULE and --for are needed, or --end")
        return saying.silence(
            state=options.state, rule=rule, tenant=options.tenant, agent=options.agent, action=options.action_type,
            who=options.who, why=options.why, length_s=length_s,
        )  # fmt: skip

    parser: argparse.ArgumentParser = actions.add_parser(
        "silence",
        help="tell nobody of some alerts for a while",
        description="Tell nobody of some alerts for a while. They are looked at and listed all the same; what is still "
        "so at the end is told then.",
    )
    parser.add_argument("rule", metavar="RULE", nargs="?", help="of this rule; a pattern such as 'err*', or '*'")
    _add_key(parser)
    _add_said(parser)
    parser.add_argument("--for", dest="length", type=_length, metavar="TIME", help="how long: 30m, 2h, 1d")
    parser.add_argument("--end", type=int, metavar="N", help="end the silence of this number, as `list` has it")
    _add_state(parser)
    parser.set_defaults(run=run)


def _backtest(actions: Any) -> None:
    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.alerts import backtest

        return backtest.run(
            rules=options.rules, source=options.source, since=options.since, until=options.until, as_json=options.json
        )

    parser = actions.add_parser(
        "backtest",
        help="say when the rules would have told somebody",
        description="Look at what was, as it is known now, and say when the rules would have told somebody. Sends nothing.",
    )
    _add_rules(parser)
    _add_source(parser)
    parser.add_argument(
        "--since", type=moment, default="7d", metavar="WHEN", help="from then on: 7d ago, or a time (7d)"
    )
    parser.add_argument("--until", type=moment, default=None, metavar="WHEN", help="up to then (now)")
    add_json(parser)
    parser.set_defaults(run=run)


def _prometheus(actions: Any) -> None:
    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.alerts import prometheus

        return prometheus.run(rules=options.rules, out=options.out, secrets=options.secrets)

    parser = actions.add_parser(
        "prometheus",
        help="write the rules for Prometheus, and the channels for Alertmanager",
        description="Write rules of Prometheus and a configuration of Alertmanager that say the same, on the metrics that the "
        "collector exports. What they cannot say is named on stderr. No secret is in them.",
    )
    _add_rules(parser)
    parser.add_argument(
        "--out", metavar="DIR", help="write rules/otel-feedback.yaml and alertmanager.yaml there (stdout)"
    )
    parser.add_argument(
        "--secrets", metavar="DIR", default="/etc/alertmanager/secrets",
        help="where Alertmanager finds a file for each channel (/etc/alertmanager/secrets)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def _add_rules(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rules", metavar="FILE", help="the rules (alerts.toml in this directory, else the defaults)")


def _add_source(parser: argparse.ArgumentParser, more: str = "") -> None:
    parser.add_argument(
        "--from",
        dest="source",
        nargs="+",
        metavar="PATH",
        help=f"a store's folder, or log files{more} (as the settings say)",
    )


def _add_state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state",
        metavar="DIR",
        help="where alerts are kept (otel-feedback-alerts in $XDG_STATE_HOME, or ~/.local/state)",
    )


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tenant", metavar="PATTERN", help="of these tenants only")
    parser.add_argument("--agent", metavar="PATTERN", help="of these agents only")
    parser.add_argument("--action", dest="action_type", metavar="PATTERN", help="of these actions only")


def _add_said(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--who", metavar="NAME", help="who says so (the user of this process)")
    parser.add_argument("--why", metavar="TEXT", default="", help="why")


def _length(text: str) -> float:
    from otel_feedback.downstream.declared.reading import seconds_of

    seconds = seconds_of(text)
    if seconds is None or seconds <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 30m, 2h or 1d")
    return seconds
