"""`otel-feedback alerts test`: a made-up alert to each channel, and its end."""

from __future__ import annotations

from datetime import datetime, timezone

from rich.text import Text

from otel_feedback.cli.alerts.place import read_rules
from otel_feedback.cli.console import failed, open_console
from otel_feedback.downstream.alerts.advancing import Said
from otel_feedback.downstream.alerts.channels import ChannelError, Sender
from otel_feedback.downstream.alerts.machine import Alert, Phase, Told
from otel_feedback.downstream.alerts.messages import body_of, mood_of, title_of
from otel_feedback.downstream.alerts.observing import Key
from otel_feedback.downstream.alerts.rules import Rule

__all__ = ["run"]

RULE = Rule(name="test", kind="errors", above=0.1)


def run(*, rules: str | None, only: str | None) -> int:
    """Send, and return the exit code: 0 when each channel took both, else 1."""
    file = read_rules(rules)
    if file is None:
        return 1
    channels = [channel for channel in file.channels if only in (None, channel.name)]
    if not channels:
        names = ", ".join(channel.name for channel in file.channels)
        if only is None:
            failed("there is no channel", "add a [[channel]] with name and url to alerts.toml")
        else:
            failed(f"there is no channel {only!r}", f"there are: {names}" if names else "add it to alerts.toml")
        return 1
    now = datetime.now(timezone.utc).replace(microsecond=0)
    alert = Alert(
        key=Key("test", "acme", "planner", "plan"), phase=Phase.FIRING, since=now, changed=now, seen=now, value=0.42,
        worst=0.42, count=120, severity="warning", usual=0.03, run_id="run-of-a-test",
    )  # fmt: skip
    console = open_console()
    is_right = True
    for channel in channels:
        try:
            for told in (Told.OPENED, Told.RESOLVED):
                said = [Said(told, alert)]
                title = f"[test] {title_of(RULE.name, RULE, said)}"
                body = body_of(RULE, file.settings, said)
                Sender(channel).send(title, body, mood_of(said, still_open=0), "otel-feedback:test")
        except ChannelError as exc:
            failed(f"channel {channel.name}: {exc}", "correct its url, or what it names in the environment")
            is_right = False
        else:
            console.print(Text("  + ", "green").append(f"{channel.name}: firing and resolved were taken", "none"))
    return 0 if is_right else 1
