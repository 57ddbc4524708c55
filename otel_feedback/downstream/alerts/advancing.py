"""One look: from what was kept, what rules see, and what people said, to what is to be kept. Pure.

State, observations, Hand, now ──► State, with the notices of what changed in its outbox
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from otel_feedback.downstream.alerts.machine import Alert, Phase, Told, decide, step
from otel_feedback.downstream.alerts.observing import Key, Observation
from otel_feedback.downstream.alerts.rules import AlertFile, Rule
from otel_feedback.downstream.alerts.state import Change, Hand, Notice, State

__all__ = ["Said", "advance", "newest"]

RATE_S = 3_600


class Said(NamedTuple):
    """What somebody is told of an alert."""

    told: Told
    alert: Alert


def newest(observations: Iterable[Observation]) -> dict[Key, Observation]:
    """Return the last observation of each key."""
    found: dict[Key, Observation] = {}
    for each in observations:
        if each.key not in found or each.at >= found[each.key].at:
            found[each.key] = each
    return found


def advance(
    file: AlertFile,
    state: State,
    seen: Mapping[Key, Observation],
    hand: Hand,
    now: datetime,
    *,
    publishes: bool = False,
) -> tuple[State, list[Said]]:
    """Return what is to be kept, and what somebody is told now.

    Args:
        file: Rules and channels. An alert whose rule is gone expires.
        state: What was kept.
        seen: The newest observation of each key.
        hand: What people said.
        now: The time.
        publishes: Whether changes are to be published.
    """
    rules = {rule.name: rule for rule in file.rules}
    before = {alert.key: alert for alert in state.alerts}
    after: list[Alert] = []
    said: list[Said] = []
    new: list[Notice] = []
    changed: list[Key] = []
    for key in dict.fromkeys((*before, *seen)):
        alert, told = _looked_at(file, rules.get(key.rule), before.get(key), seen.get(key), hand, now)
        if told is not None and alert is not None:
            said.append(Said(told, alert))
            for channel in _channels(file, rules.get(key.rule)):
                new.append(Notice(state.last_number + len(new) + 1, channel, told, alert))
        if alert is not None:
            after.append(alert)
        if publishes and _shown(alert, hand) != _shown(before.get(key), hand, state.looked_at):
            changed.append(key)
    sent = {
        channel: tuple(at for at in times if now - at < timedelta(seconds=RATE_S))
        for channel, times in state.sent.items()
    }
    number = state.last_number + len(new)
    changes = [each for each in state.changes if each.key not in changed]  # what is newest of a key is enough
    changes += [Change(number + place, key) for place, key in enumerate(changed, 1)]
    after_that = State(
        looked_at=now, alerts=tuple(after), outbox=(*state.outbox, *new), changes=tuple(changes),
        last_number=number + len(changed), sent=sent,
    )  # fmt: skip
    return after_that, said


def _shown(alert: Alert | None, hand: Hand, at: datetime | None = None) -> object:
    """Return what makes a change of an alert; of acknowledgements those that were made by a time."""
    if alert is None:
        return None
    known = hand.acknowledgement(alert)
    is_known = known is not None and (at is None or known.at <= at)
    return (alert.phase, alert.told, alert.is_flapping, alert.since, is_known)


def _looked_at(
    file: AlertFile, rule: Rule | None, alert: Alert | None, seen: Observation | None, hand: Hand, now: datetime
) -> tuple[Alert | None, Told | None]:
    if rule is None:
        if alert is None or not alert.is_told_open:
            return None, None
        alert, told = msgspec.structs.replace(alert, phase=Phase.EXPIRED, changed=now, is_flapping=False), Told.EXPIRED
    else:
        alert = step(rule, file.settings, alert, seen, now)
        if alert is None:
            return None, None
        told = decide(
            rule, alert, now, is_silenced=hand.is_silenced(alert.key, now),
            is_acknowledged=hand.acknowledgement(alert) is not None,
        )  # fmt: skip
    return (alert if told is None else msgspec.structs.replace(alert, told=told, told_at=now)), told


def _channels(file: AlertFile, rule: Rule | None) -> list[str]:
    wanted = ("*",) if rule is None else rule.channels
    return [channel.name for channel in file.channels if "*" in wanted or channel.name in wanted]
