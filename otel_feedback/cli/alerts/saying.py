"""`otel-feedback alerts ack` and `silence`: what people say of alerts, for the one that runs."""

from __future__ import annotations

import getpass
from datetime import datetime, timedelta, timezone

import msgspec

from otel_feedback.cli.alerts.place import find_folder
from otel_feedback.cli.console import failed, moment, number_of
from otel_feedback.downstream.alerts.messages import named
from otel_feedback.downstream.alerts.state import Acknowledged, Silence, StateError

__all__ = ["acknowledge", "end_silence", "silence"]


def acknowledge(
    *,
    state: str | None,
    rule: str,
    tenant: str | None,
    agent: str | None,
    action: str | None,
    who: str | None,
    why: str,
) -> int:
    """Say that somebody knows of the open alerts that these patterns cover; 0 when there are some, else 1."""
    folder = find_folder(state)
    now = datetime.now(timezone.utc)
    wanted = Silence(0, now + timedelta(days=1), "", "", rule, tenant, agent, action)
    try:
        alerts = folder.state().alerts
        known = [alert for alert in alerts if alert.is_open and wanted.covers(alert.key, now)]
        if not known:
            failed(f"no alert is open that is of {rule}", "`otel-feedback alerts list` shows which are")
            return 1
        with folder.changing() as hand:
            new = tuple(Acknowledged(alert.key, alert.since, now, who or _user(), why) for alert in known)
            there = {(alert.key, alert.since) for alert in alerts}
            kept = tuple(
                each for each in hand.acknowledged
                if (each.key, each.since) in there and all(each.key != one.key for one in new)
            )  # fmt: skip
            folder.keep_hand(msgspec.structs.replace(hand, acknowledged=(*kept, *new)))
    except StateError as exc:
        return _failed(exc)
    for alert in known:
        print(f"acknowledged: {alert.key.rule} ({named(None, alert.key)})")
    return 0


def silence(
    *, state: str | None, rule: str, tenant: str | None, agent: str | None, action: str | None, who: str | None, why: str,
    length_s: float,
) -> int:  # fmt: skip
    """Tell nobody of the alerts that these patterns cover for so many seconds; 0."""
    folder = find_folder(state)
    now = datetime.now(timezone.utc)
    try:
        with folder.changing() as hand:
            number = max((each.number for each in hand.silences), default=0) + 1
            new = Silence(number, now + timedelta(seconds=length_s), who or _user(), why, rule, tenant, agent, action)
            # the newest stays although it is over: its number is not given again
            kept = tuple(each for each in hand.silences if each.until > now or each.number == number - 1)
            folder.keep_hand(msgspec.structs.replace(hand, silences=(*kept, new)))
        covered = sum(alert.is_open and new.covers(alert.key, now) for alert in folder.state().alerts)
    except StateError as exc:
        return _failed(exc)
    print(f"silence {number}: {new.said} until {moment(new.until)}; {number_of(covered, 'alert')} of it open now")
    print(f"otel-feedback alerts silence --end {number} ends it")
    return 0


def end_silence(*, state: str | None, number: int) -> int:
    """End a silence; 0 when there was one of this number, else 1."""
    folder = find_folder(state)
    now = datetime.now(timezone.utc)
    try:
        with folder.changing() as hand:
            if not any(each.number == number and each.until > now for each in hand.silences):
                failed(f"there is no silence {number}", "`otel-feedback alerts list` shows those there are")
                return 1
            ended = tuple(
                msgspec.structs.replace(each, until=now) if each.number == number else each for each in hand.silences
            )
            folder.keep_hand(msgspec.structs.replace(hand, silences=ended))
    except StateError as exc:
        return _failed(exc)
    print(f"silence {number} is over")
    return 0


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        return "somebody"


def _failed(exc: StateError) -> int:
    failed(str(exc), "see to it, or name another folder with --state")
    return 1
