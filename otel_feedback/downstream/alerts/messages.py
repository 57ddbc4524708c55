"""What people read of alerts: what, since when, how much worse than before, and an example run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime, timezone
from urllib.parse import quote

from otel_feedback.downstream.alerts.advancing import Said
from otel_feedback.downstream.alerts.channels import Mood
from otel_feedback.downstream.alerts.machine import Alert, Told
from otel_feedback.downstream.alerts.observing import Key
from otel_feedback.downstream.alerts.rules import Options, Rule
from otel_feedback.shares import percent

__all__ = ["body_of", "line_of", "mood_of", "named", "title_of", "value_of"]

MOST = 20
"""Alerts that one message describes; of others it has the names."""
_WORDS = {
    Told.OPENED: "firing", Told.FLAPPING: "flapping", Told.STILL: "still firing", Told.RESOLVED: "resolved",
    Told.EXPIRED: "expired",
}  # fmt: skip


def title_of(name: str, rule: Rule | None, several: Sequence[Said]) -> str:
    """Return one line of what happened to alerts of a rule."""
    if len(several) == 1:
        return f"{_WORDS[several[0].told]}: {name} ({named(rule, several[0].alert.key)})"
    words = [_WORDS[said.told] for said in several]
    return f"{name}: " + ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))


def body_of(rule: Rule | None, options: Options, several: Sequence[Said]) -> str:
    """Return the message, plain text of some lines for each alert."""
    parts = [_said(rule, options, said) for said in several[:MOST]]
    if len(several) > MOST:  # each is named, so that none is lost among many
        parts.append("\n".join(f"{_WORDS[said.told]}: {named(rule, said.alert.key)}" for said in several[MOST:]))
        parts.append("more of each: otel-feedback alerts list")
    return "\n\n".join(parts)


def mood_of(several: Sequence[Said], *, still_open: int) -> Mood:
    """Return how a message is meant: `success` only where nothing of its rule is open any more."""
    told = {said.told for said in several}
    if told & {Told.OPENED, Told.FLAPPING, Told.STILL} or still_open:
        return "failure" if any(said.alert.severity == "critical" for said in several) else "warning"
    # what expired is not known to be over: whatever it opened stays open
    return "warning" if Told.EXPIRED in told else "success"


def line_of(rule: Rule | None, said: Said) -> str:
    """Return an alert in one line."""
    alert = said.alert
    return f"{_WORDS[said.told]}: {alert.key.rule} ({named(rule, alert.key)}): {_what(rule, said)}"


def named(rule: Rule | None, key: Key) -> str:
    """Return what an alert is about."""
    parts = {"tenant": key.tenant, "agent": key.agent, "action": key.action}
    told_apart = () if rule is None else rule.by
    said = [
        f"{part} {_printed(value)}" if value is not None else f"no {part}"
        for part, value in parts.items()
        if value is not None or part in told_apart
    ]
    return ", ".join(said) or "all"


def value_of(rule: Rule | None, value: float) -> str:
    """Return a value with its unit."""
    unit = "count" if rule is None else rule.measures.unit
    if unit == "share":
        return percent(value)
    if unit == "budget":
        return f"{value:.3g} times the budget"
    if unit == "ms":
        return f"{value:.0f} ms" if value < 999.5 else f"{value / 1e3:.1f} s"
    if unit == "usd":
        return f"${value:,.2f}"
    if unit == "s":
        return f"{value:,.0f} s"
    return f"{value:,.2f}" if unit == "score" else f"{value:,.6g}"


def _said(rule: Rule | None, options: Options, said: Said) -> str:
    alert = said.alert
    lines = [f"{_WORDS[said.told]}: {named(rule, alert.key)}", f"  {_what(rule, said)}"]
    if rule is not None:
        lines.append(f"  what: {rule.measures.meaning}")
    if said.told is Told.EXPIRED:
        lines.append("  there was no data of it for so long that nobody can tell whether it is over")
    elif said.told is Told.FLAPPING:
        lines.append("  it comes and goes: nothing more is sent until it has been quiet")
    if alert.run_id is not None and said.told is not Told.RESOLVED:
        lines.append(f"  example: otel-feedback trace {shlex.quote(_printed(alert.run_id))}")
        if options.link is not None:
            lines.append(f"  {options.link.replace('{run_id}', quote(alert.run_id, safe=''))}")
    return "\n".join(lines)


def _what(rule: Rule | None, said: Said) -> str:
    alert = said.alert
    is_over = said.told in (Told.RESOLVED, Told.EXPIRED)
    amount = value_of(rule, alert.worst if is_over else alert.value)
    words = (
        f"it was {amount} at worst, since {_clock(alert.since)}" if is_over else f"{amount} since {_clock(alert.since)}"
    )
    if said.told is Told.RESOLVED:
        words += f", and is {value_of(rule, alert.value)} now"
    if alert.detail is not None:
        words += f": {alert.detail}"
    elif alert.count and not is_over:
        words += f", of {alert.count:,}"
    return words + _compared(rule, alert)


def _compared(rule: Rule | None, alert: Alert) -> str:
    if alert.usual is None:
        return ""
    usual = f"; usual is {value_of(rule, alert.usual)}"
    if alert.usual <= 0:
        return usual
    times = alert.value / alert.usual
    if rule is not None and not rule.measures.is_high:
        return f"{usual}, so {percent(1 - times, 0)} less" if times <= 0.95 else usual
    if times < 1.05:
        return usual
    return f"{usual}, so {times:,.0f} times as much" if times >= 9.5 else f"{usual}, so {times:.1f} times as much"


def _printed(text: str) -> str:
    """Return what agents call themselves, in one line and without codes that a terminal would follow."""
    return "".join(each if each.isprintable() else " " for each in text)


def _clock(at: datetime) -> str:
    return at.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%MZ")
