"""The one state machine of alerts: what became of an alert, by what its rule saw, as a pure function.

    (inactive) ──breach──► pending ──for──► firing ──clear──► resolving ──keep_firing_for──► resolved
         ▲                    │               │ ▲ └──────────────breach──────────┘  │             │
         └─────── clear ──────┘               │                                     │       forgotten, later
                                              └───────── no data for long ──────────┴──► expired ──clear──► resolved

Inactive is where no alert is kept. Times are those of what was seen, not of when it was looked at: one window that is looked
at ten times is one. Without data nothing is resolved. An alert that opens again and again flaps: that is told once, and
then nothing until it has been quiet.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

import msgspec

from otel_feedback.downstream.alerts.observing import Key, Observation
from otel_feedback.downstream.alerts.rules import Options, Rule

__all__ = ["Alert", "Phase", "Told", "decide", "step"]


class Phase(str, Enum):
    """Where an alert is."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVING = "resolving"
    RESOLVED = "resolved"
    EXPIRED = "expired"


OPEN = frozenset({Phase.FIRING, Phase.RESOLVING})


class Told(str, Enum):
    """What somebody is told of an alert."""

    OPENED = "opened"
    FLAPPING = "flapping"
    STILL = "still"
    RESOLVED = "resolved"
    EXPIRED = "expired"


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert, from its first breach until it is forgotten.

    `since` is when what is wrong began, `seen` the last moment with data, `changed` when the phase began, `usual` what was
    usual before `since`, `openings` when it opened lately, and `told`, `told_at` what was said of it last.
    """

    key: Key
    phase: Phase
    since: datetime
    changed: datetime
    seen: datetime
    value: float
    worst: float
    count: int
    severity: str
    usual: float | None = None
    run_id: str | None = None
    detail: str | None = None
    openings: tuple[datetime, ...] = ()
    is_flapping: bool = False
    told: Told | None = None
    told_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether something is wrong, as far as is known."""
        return self.phase in OPEN

    @property
    def is_told_open(self) -> bool:
        """Whether what was said of it last is that something is wrong."""
        return self.told in (Told.OPENED, Told.FLAPPING, Told.STILL)


def step(rule: Rule, options: Options, alert: Alert | None, seen: Observation | None, now: datetime) -> Alert | None:
    """Return what becomes of an alert.

    Args:
        rule: The alert's.
        options: Of all rules.
        alert: As it was; None: inactive.
        seen: The newest observation of its key; None: there is none.
        now: The time.
    """
    if seen is None or (alert is not None and seen.at < alert.seen):
        after = None if alert is None else _without_data(options, alert, now)
    else:
        after = _with_data(rule, options, alert, seen, now)
    if after is not None and after.is_flapping and not _lately(options, after.openings, now):
        return msgspec.structs.replace(after, is_flapping=False)
    return after


def _with_data(rule: Rule, options: Options, alert: Alert | None, seen: Observation, now: datetime) -> Alert | None:
    opens, goes_on = _judge(rule, alert, seen)
    if alert is None or alert.phase in (Phase.RESOLVED, Phase.EXPIRED):
        if not opens:
            return None if alert is None else _kept(options, _known(alert, seen, now, goes_on=goes_on), now)
        begun = _begun(rule, alert, seen)
        return _opened(options, begun, now) if seen.at - begun.since >= _span(rule.for_) else begun
    alert = msgspec.structs.replace(
        alert, seen=seen.at, value=seen.value, count=seen.count, worst=_worse(rule, alert.worst, seen.value),
        run_id=seen.run_id if goes_on and seen.run_id is not None else alert.run_id,
        detail=seen.detail if goes_on else alert.detail,
    )  # fmt: skip
    if alert.phase is Phase.PENDING:
        if not opens:
            return _given_up(alert, now)
        return _opened(options, alert, now) if seen.at - alert.since >= _span(rule.for_) else alert
    if goes_on:
        if alert.phase is Phase.RESOLVING:  # not a new one: it was never said to be over
            alert = _in(alert, Phase.FIRING, seen.at)
    elif alert.phase is Phase.FIRING:
        alert = _in(alert, Phase.RESOLVING, seen.at)
    if alert.phase is Phase.RESOLVING and seen.at - alert.changed >= _span(rule.keep_firing_for):
        return _in(alert, Phase.RESOLVED, now)
    return alert


def decide(rule: Rule, alert: Alert, now: datetime, *, is_silenced: bool, is_acknowledged: bool) -> Told | None:
    """Return what somebody is to be told of an alert now; None: nothing.

    By what was said last, not by what has just happened: so what a silence or flapping held back is said when it ends, if
    it is still so.
    """
    if alert.is_open:
        if is_silenced:
            return None
        if alert.is_flapping:
            return Told.FLAPPING if alert.told is not Told.FLAPPING else None
        if not alert.is_told_open:
            return Told.OPENED
        is_due = rule.remind is not None and alert.told_at is not None and now - alert.told_at >= _span(rule.remind)
        return Told.STILL if is_due and not is_acknowledged else None
    is_known_at_last = alert.told is Told.EXPIRED and alert.phase is Phase.RESOLVED
    if not (alert.is_told_open or is_known_at_last) or alert.is_flapping or alert.phase is Phase.PENDING:
        return None
    return Told.EXPIRED if alert.phase is Phase.EXPIRED else Told.RESOLVED


def _judge(rule: Rule, alert: Alert | None, seen: Observation) -> tuple[bool, bool]:
    """Tell whether an alert opens, and whether one that is open goes on.

    One that is open is compared with what was usual when it began: else a week of errors would be what is usual.
    """
    before = seen.before if alert is None or not alert.is_open else alert.usual
    return rule.is_breached(seen.judged, before), rule.is_breached(seen.value, before)


def _begun(rule: Rule, alert: Alert | None, seen: Observation) -> Alert:
    begun = Alert(
        key=seen.key, phase=Phase.PENDING, since=seen.at, changed=seen.at, seen=seen.at, value=seen.value,
        worst=seen.value, count=seen.count, severity=rule.severity, usual=seen.before, run_id=seen.run_id, detail=seen.detail,
    )  # fmt: skip
    if alert is None:
        return begun
    return msgspec.structs.replace(
        begun, openings=alert.openings, is_flapping=alert.is_flapping, told=alert.told, told_at=alert.told_at
    )


def _opened(options: Options, alert: Alert, now: datetime) -> Alert:
    openings = (*_lately(options, alert.openings, now), now)
    is_flapping = alert.is_flapping or len(openings) >= options.flap_count
    return msgspec.structs.replace(
        alert, phase=Phase.FIRING, changed=alert.seen, openings=openings, is_flapping=is_flapping
    )


def _without_data(options: Options, alert: Alert, now: datetime) -> Alert | None:
    silent = now - alert.seen
    if alert.phase is Phase.PENDING:  # what was seen of it becomes old
        return alert if silent < _span(options.recent) else _given_up(alert, now)
    if alert.is_open:
        return _in(alert, Phase.EXPIRED, now) if silent >= _span(options.expire_after) else alert
    return _kept(options, alert, now)


def _given_up(alert: Alert, now: datetime) -> Alert | None:
    """Return what is left of one that did not open: what it was before."""
    if alert.told is Told.EXPIRED:
        return _in(alert, Phase.EXPIRED, now)
    return _in(alert, Phase.RESOLVED, now) if alert.openings or alert.is_told_open else None


def _known(alert: Alert, seen: Observation, now: datetime, *, goes_on: bool) -> Alert:
    """Return one that is over; of one that had expired it is known now: what it opened elsewhere can be closed."""
    if alert.phase is not Phase.EXPIRED or goes_on:
        return alert
    known = msgspec.structs.replace(alert, seen=seen.at, value=seen.value, count=seen.count)
    return _in(known, Phase.RESOLVED, now)


def _kept(options: Options, alert: Alert, now: datetime) -> Alert | None:
    """Return one that is over, for as long as it is shown, may flap, or somebody still has to be told."""
    kept_s = max(options.expire_after, options.flap_window)
    return alert if alert.is_told_open or now - alert.changed < _span(kept_s) else None


def _lately(options: Options, openings: tuple[datetime, ...], now: datetime) -> tuple[datetime, ...]:
    return tuple(at for at in openings if now - at < _span(options.flap_window))


def _in(alert: Alert, phase: Phase, at: datetime) -> Alert:
    return msgspec.structs.replace(alert, phase=phase, changed=at)


def _worse(rule: Rule, worst: float, value: float) -> float:
    return max(worst, value) if rule.measures.is_high else min(worst, value)


def _span(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)
