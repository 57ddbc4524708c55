"""`otel-feedback alerts list`: alerts, who knows of them, silences, and what waits to be sent."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from otel_feedback.cli.alerts.place import find_folder, read_rules
from otel_feedback.cli.console import failed, moment, number_of, open_console, write
from otel_feedback.downstream.alerts.machine import Alert, Phase
from otel_feedback.downstream.alerts.messages import named, value_of
from otel_feedback.downstream.alerts.publishing import ALERTS_TOPIC
from otel_feedback.downstream.alerts.rules import Rule
from otel_feedback.downstream.alerts.state import Hand, State, StateError

__all__ = ["run"]

_STYLES = {Phase.FIRING: "bold red", Phase.RESOLVING: "yellow", Phase.PENDING: "yellow", Phase.RESOLVED: "green"}


def run(*, rules: str | None, state: str | None, as_json: bool) -> int:
    """Show them, and return the exit code: 0 when none is open, 1 when one is, or when they cannot be read."""
    file = read_rules(rules)
    if file is None:
        return 1
    folder = find_folder(state)
    try:
        kept, hand = folder.state(), folder.hand()
    except StateError as exc:
        failed(str(exc), "name another folder with --state")
        return 1
    now = datetime.now(timezone.utc)
    if as_json:
        print(json.dumps(_as_data(kept, hand, now), indent=2, default=str))
    else:
        _write(kept, hand, {rule.name: rule for rule in file.rules}, now)
    return 1 if any(alert.is_open for alert in kept.alerts) else 0


def _as_data(kept: State, hand: Hand, now: datetime) -> dict[str, Any]:
    return {
        "looked_at": None if kept.looked_at is None else kept.looked_at.isoformat(),
        "alerts": [
            {
                **alert.key._asdict(), "phase": alert.phase.value, "since": alert.since.isoformat(), "value": alert.value,
                "worst": alert.worst, "usual": alert.usual, "count": alert.count, "run_id": alert.run_id,
                "detail": alert.detail, "is_flapping": alert.is_flapping, "is_silenced": hand.is_silenced(alert.key, now),
                "acknowledged": None if (known := hand.acknowledgement(alert)) is None else {"who": known.who, "why": known.why},
            }
            for alert in kept.alerts
        ],
        "silences": [
            {"number": each.number, "rule": each.rule, "tenant": each.tenant, "agent": each.agent, "action": each.action,
             "until": each.until.isoformat(), "who": each.who, "why": each.why}
            for each in hand.silences if each.until > now
        ],
        "waiting": {
            channel: sum(notice.channel == channel for notice in kept.outbox)
            for channel in sorted({notice.channel for notice in kept.outbox})
        },
        "unpublished": len(kept.changes),
    }  # fmt: skip


def _write(kept: State, hand: Hand, rules: dict[str, Rule], now: datetime) -> None:
    parts: list[RenderableType] = []
    if kept.looked_at is None:
        parts.append(Text("nothing was looked at yet: otel-feedback alerts run"))
    else:
        parts.append(Text(f"looked at {moment(kept.looked_at)}", "dim"))
        parts.append(_table(kept, hand, rules, now) if kept.alerts else Text("no alert", "green"))
    for each in hand.silences:
        if each.until > now:
            said = f"silence {each.number}: {each.said} until {moment(each.until)}, by {each.who}"
            parts.append(Text(said + (f": {each.why}" if each.why else "")))
    for channel in sorted({notice.channel for notice in kept.outbox}):
        waiting = sum(notice.channel == channel for notice in kept.outbox)
        parts.append(Text(f"{number_of(waiting, 'notification')} for {channel} not sent yet", "yellow"))
    if kept.changes:
        parts.append(Text(f"{number_of(len(kept.changes), 'change')} not on {ALERTS_TOPIC} yet", "yellow"))
    write(open_console(), *parts)


def _table(kept: State, hand: Hand, rules: dict[str, Rule], now: datetime) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("state", "rule", "of", "since", "value", "usual", ""):
        table.add_column(title, overflow="fold")
    for alert in sorted(kept.alerts, key=lambda each: (not each.is_open, each.key.rule, each.since)):
        rule = rules.get(alert.key.rule)
        usual = "" if alert.usual is None else value_of(rule, alert.usual)
        table.add_row(
            Text(alert.phase.value, _STYLES.get(alert.phase, "dim")), alert.key.rule, named(rule, alert.key), moment(alert.since),
            value_of(rule, alert.value), usual, ", ".join(_remarks(alert, hand, now)),
        )  # fmt: skip
    return table


def _remarks(alert: Alert, hand: Hand, now: datetime) -> list[str]:
    known = hand.acknowledgement(alert)
    remarks = [alert.detail] if alert.detail is not None and alert.is_open else []
    if known is not None:
        remarks.append(f"{known.who} knows" + (f": {known.why}" if known.why else ""))
    if alert.is_flapping:
        remarks.append("flapping")
    if hand.is_silenced(alert.key, now):
        remarks.append("silenced")
    return remarks
