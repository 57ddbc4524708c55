"""The state machine: its ways, one by one, and the laws that hold on each of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as some

from otel_feedback.downstream.alerts.machine import Alert, Phase, Told, decide, step
from otel_feedback.downstream.alerts.observing import Key, Observation
from otel_feedback.downstream.alerts.rules import Options, Rule
from otel_feedback.downstream.declared.reading import Duration

BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)
OPTIONS = Options()
RULE = Rule(name="errors", kind="errors", above=0.1, for_=Duration(300), keep_firing_for=Duration(600))
KEY = Key("errors", "acme", "planner", "plan")
TICK_S = 300


class Said(NamedTuple):
    """What a tick came to."""

    alert: Alert | None
    told: Told | None


def seen(at: datetime, value: float, before: float | None = None, judged: float | None = None) -> Observation:
    return Observation(KEY, at, value, value if judged is None else judged, 100, before, "run-1")


def run(
    values: Iterable[float | None], *, rule: Rule = RULE, options: Options = OPTIONS, silenced: Iterable[int] = (),
    acknowledged: Iterable[int] = (), alert: Alert | None = None,
) -> list[Said]:  # fmt: skip
    """Return what each tick of 5 minutes comes to; None: no data."""
    said: list[Said] = []
    quiet, known = set(silenced), set(acknowledged)
    for number, value in enumerate(values):
        now = BEGIN + timedelta(seconds=TICK_S * number)
        alert = step(rule, options, alert, None if value is None else seen(now, value), now)
        told = None
        if alert is not None:
            told = decide(rule, alert, now, is_silenced=number in quiet, is_acknowledged=number in known)
            if told is not None:
                alert = msgspec.structs.replace(alert, told=told, told_at=now)
        said.append(Said(alert, told))
    return said


def phases(said: list[Said]) -> list[str | None]:
    return [None if each.alert is None else each.alert.phase.value for each in said]


def told(said: list[Said]) -> list[tuple[int, str]]:
    return [(number, each.told.value) for number, each in enumerate(said) if each.told is not None]


def test_from_pending_to_resolved() -> None:
    said = run([0, 0.5, 0.5, 0.5, 0, 0, 0, 0])
    assert phases(said) == [None, "pending", "firing", "firing", "resolving", "resolving", "resolved", "resolved"]
    assert told(said) == [(2, "opened"), (6, "resolved")]


def test_what_is_over_before_for_is_told_to_nobody() -> None:
    said = run([0.5, 0, 0.5, 0])
    assert phases(said) == ["pending", None, "pending", None]
    assert told(said) == []


def test_without_for_it_opens_at_once() -> None:
    assert told(run([0.5], rule=msgspec.structs.replace(RULE, for_=Duration(0)))) == [(0, "opened")]


def test_what_begins_again_while_it_resolves_is_the_same_alert() -> None:
    assert told(run([0.5, 0.5, 0, 0.5, 0, 0, 0])) == [(1, "opened"), (6, "resolved")]


def test_no_data_never_means_resolved_but_after_a_day_expired() -> None:
    said = run([0.5, 0.5, *[None] * 300])
    assert set(phases(said[2:288])) == {"firing"}
    assert told(said) == [(1, "opened"), (289, "expired")]
    assert told(run([0.5, 0.5, 0, *[None] * 300])) == [(1, "opened"), (290, "expired")], "nor while it resolves"


def test_what_expired_is_resolved_when_it_is_seen_to_be_well() -> None:
    gone = [0.5, 0.5, *[None] * 288]
    assert told(run([*gone, None, 0, 0])) == [(1, "opened"), (289, "expired"), (291, "resolved")]
    assert told(run([*gone, 0.5, 0.5, 0, 0, 0]))[1:] == [(289, "expired"), (291, "opened"), (294, "resolved")]
    assert told(run([*gone, 0.5, None, None, None, None, 0]))[1:] == [(289, "expired"), (295, "resolved")]


def test_one_pending_without_data_is_let_go() -> None:
    assert phases(run([0.5, None, None, None])) == ["pending", "pending", "pending", None]


def test_one_window_seen_ten_times_is_one() -> None:
    alert = None
    for number in range(10):
        alert = step(RULE, OPTIONS, alert, seen(BEGIN, 0.5), BEGIN + timedelta(seconds=60 * number))
    assert alert is not None
    assert alert.phase is Phase.PENDING


def test_a_window_corrected_in_time_counts_and_an_older_one_does_not() -> None:
    firing = run([0.5, 0.5])[-1].alert
    assert firing is not None
    corrected = step(RULE, OPTIONS, firing, seen(firing.seen, 0.01), BEGIN + timedelta(seconds=400))
    older = step(RULE, OPTIONS, firing, seen(BEGIN, 0.01), BEGIN + timedelta(seconds=400))
    assert corrected is not None
    assert corrected.phase is Phase.RESOLVING
    assert older is not None
    assert older.phase is Phase.FIRING


def test_it_opens_beyond_chance_and_goes_on_while_it_is_wrong() -> None:
    doubtful = seen(BEGIN, 0.15, judged=0.05)
    assert step(RULE, OPTIONS, None, doubtful, BEGIN) is None
    firing = run([0.5, 0.5])[-1].alert
    assert firing is not None
    later = step(RULE, OPTIONS, firing, seen(BEGIN + timedelta(seconds=600), 0.15, judged=0.05), BEGIN)
    assert later is not None
    assert later.phase is Phase.FIRING


def test_a_week_of_it_does_not_become_what_is_usual() -> None:
    rule = Rule(name="slow", kind="latency", rise=3.0)
    alert = step(rule, OPTIONS, None, seen(BEGIN, 900, before=100), BEGIN)
    for number in range(1, 50):
        now = BEGIN + timedelta(seconds=300 * number)
        alert = step(rule, OPTIONS, alert, seen(now, 900, before=900), now)
    assert alert is not None
    assert (alert.phase, alert.usual) == (Phase.FIRING, 100)


def test_flapping_is_told_once_and_then_nothing_until_it_is_quiet() -> None:
    rule = Rule(name="errors", kind="errors", above=0.1, keep_firing_for=Duration(0))
    said = run([0.5, 0] * 10 + [0] * 14, rule=rule)
    assert told(said) == [
        (0, "opened"),
        (1, "resolved"),
        (2, "opened"),
        (3, "resolved"),
        (4, "flapping"),
        (30, "resolved"),
    ]


def test_a_silence_holds_back_what_is_still_so_when_it_ends() -> None:
    assert told(run([0.5] * 9, silenced=range(6))) == [(6, "opened")]
    assert told(run([0.5] * 3 + [0] * 6, silenced=range(9))) == []


def test_it_is_told_again_until_somebody_has_acknowledged_it() -> None:
    rule = msgspec.structs.replace(RULE, remind=Duration(600))
    assert told(run([0.5] * 7, rule=rule)) == [(1, "opened"), (3, "still"), (5, "still")]
    assert told(run([0.5] * 7, rule=rule, acknowledged=range(3, 7))) == [(1, "opened")]


def test_one_that_was_not_looked_at_for_days_is_still_said_to_be_over() -> None:
    firing = run([0.5, 0.5])[-1].alert
    assert firing is not None
    resolved = msgspec.structs.replace(firing, phase=Phase.RESOLVED)
    kept = step(RULE, OPTIONS, resolved, None, BEGIN + timedelta(days=5))
    assert kept is not None
    assert decide(RULE, kept, BEGIN + timedelta(days=5), is_silenced=False, is_acknowledged=False) is Told.RESOLVED


VALUES = some.lists(some.sampled_from([0.0, 0.05, 0.5, 0.9, None]), max_size=400)
RULES = some.builds(
    lambda wait, keep: Rule(
        name="errors", kind="errors", above=0.1, for_=Duration(wait), keep_firing_for=Duration(keep)
    ),
    some.sampled_from([0, 300, 900]),
    some.sampled_from([0, 600, 1_800]),
)


@given(VALUES, RULES, some.sets(some.integers(0, 399), max_size=80))
def test_laws(values: list[float | None], rule: Rule, silenced: set[int]) -> None:
    """Opened and over come in pairs; nothing ends without data but by expiring; nothing opens in a silence."""
    said = run(values, rule=rule, silenced=silenced)
    is_open, is_unknown, breaches = False, False, 0
    before: Alert | None = None
    for number, (alert, words) in enumerate(said):
        breaches = breaches + 1 if (values[number] or 0) > 0.1 else 0 if values[number] is not None else breaches
        if words in (Told.OPENED, Told.FLAPPING) and not is_open:
            assert number not in silenced
            is_open, is_unknown = True, False
        elif words in (Told.RESOLVED, Told.EXPIRED):
            assert is_open or (words is Told.RESOLVED and is_unknown and values[number] is not None)
            is_open, is_unknown = False, words is Told.EXPIRED
        else:
            assert words is not Told.OPENED
        if alert is not None and before is not None and before.is_open and not alert.is_open:
            assert (alert.phase is Phase.EXPIRED) == (values[number] is None)
        if alert is not None and alert.phase is Phase.FIRING and (before is None or not before.is_open):
            assert breaches * TICK_S >= rule.for_, "it was wrong for as long as it is to be"
        if before is not None and before.is_told_open:
            assert alert is not None, "what somebody was told of is not forgotten"
        before = alert


@given(VALUES, RULES)
def test_looked_at_again_it_is_the_same(values: list[float | None], rule: Rule) -> None:
    """The same observations at the same time change nothing more: a tick may be done again after a kill."""
    alert = None
    for number, value in enumerate(values):
        now = BEGIN + timedelta(seconds=TICK_S * number)
        observation = None if value is None else seen(now, value)
        once = step(rule, OPTIONS, alert, observation, now)
        twice = step(rule, OPTIONS, once, observation, now)
        assert _opens(once) == _opens(twice)
        alert = once


def _opens(alert: Alert | None) -> bool:
    return alert is not None and alert.is_open
