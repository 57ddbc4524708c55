"""What runs: groups, pairs, waits for channels that are down, survives kills, and publishes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from otel_feedback.downstream.alerts.delivery import batch_of
from otel_feedback.downstream.alerts.machine import Alert, Phase, Told
from otel_feedback.downstream.alerts.observing import Key, Observation
from otel_feedback.downstream.alerts.reading import parse
from otel_feedback.downstream.alerts.running import Runner
from otel_feedback.downstream.alerts.state import Folder, Hand, Notice, Silence, StateError
from tests.downstream.alerts.standins import Everybody
from tests.pace import slowness

RULES = """
[settings]
every = "1s"
[[channel]]
name = "chat"
url = "jsons://chat.example/"
[[channel]]
name = "pager"
url = "pagerduty://route0000000000000000000000000@key00000000000000000"
[[rule]]
name = "errors"
kind = "errors"
keep_firing_for = "0s"
by = ["agent"]
[[rule]]
name = "slow"
kind = "latency"
above = 5
keep_firing_for = "0s"
by = ["agent"]
"""


class Sight:
    """What the rules see: by rule and agent a value."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], float] = {}

    def __call__(self, now: datetime) -> list[Observation]:
        return [
            Observation(Key(rule, None, agent), now, value, value, 50) for (rule, agent), value in self.values.items()
        ]


def until(condition: Callable[[], bool], limit_s: float = 20) -> None:
    end = time.monotonic() + limit_s * slowness()
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@contextmanager
def running(folder: Folder, sight: Callable[[datetime], Sequence[Observation]]) -> Generator[Runner, None, None]:
    with folder.owned():
        runner = Runner(parse(RULES), folder, sight)
        thread = threading.Thread(target=runner.run)
        thread.start()
        try:
            yield runner
        finally:
            runner.stop()
            thread.join()


def titles(others: Everybody, host: str = "chat.example") -> list[str]:
    return [request.body["title"] for request in others.to(host)]


def pages(others: Everybody) -> list[tuple[str, str]]:
    return [(request.body["event_action"], request.body["dedup_key"]) for request in others.to("events.pagerduty.com")]


def test_an_alert_opens_is_grouped_and_resolves(tmp_path: Path, others: Everybody) -> None:
    sight = Sight()
    sight.values = {("errors", "planner"): 0.5, ("errors", "writer"): 0.5, ("slow", "writer"): 9.0}
    key = "otel-feedback:"
    with running(Folder(tmp_path / "state"), sight) as runner:
        until(lambda: len(pages(others)) == 2 and len(titles(others)) == 2)
        assert sorted(titles(others)) == ["errors: 2 firing", "firing: slow (agent writer)"]
        assert sorted(pages(others)) == [("trigger", f"{key}errors"), ("trigger", f"{key}slow")]
        sight.values["errors", "planner"] = 0.0
        until(lambda: len(titles(others)) == 3 and len(pages(others)) == 3)
        assert titles(others)[-1] == "resolved: errors (agent planner)"
        assert pages(others)[-1] == ("trigger", f"{key}errors"), "another of the rule is open: its incident stays"
        sight.values["errors", "writer"] = 0.0
        until(lambda: len(titles(others)) == 4 and len(pages(others)) == 4)
        assert pages(others)[-1] == ("resolve", f"{key}errors")
        until(lambda: not runner.state.outbox)


def test_a_channel_that_is_down_loses_nothing_and_holds_up_no_other(tmp_path: Path, others: Everybody) -> None:
    others.down.add("events.pagerduty.com")
    sight = Sight()
    sight.values = {("errors", "planner"): 0.5}
    folder = Folder(tmp_path / "state")
    with running(folder, sight) as runner:
        until(lambda: titles(others) == ["firing: errors (agent planner)"])
        until(lambda: len(others.refused) >= 2)
        sight.values = {("errors", "planner"): 0.0, ("slow", "writer"): 9.0}
        until(lambda: len(titles(others)) == 3)
        until(lambda: {notice.channel for notice in runner.state.outbox} == {"pager"})
    kept = folder.state().outbox
    assert [(notice.alert.key.rule, notice.told) for notice in kept] == [
        ("errors", Told.OPENED), ("errors", Told.RESOLVED), ("slow", Told.OPENED),
    ]  # fmt: skip
    others.down.clear()
    with running(folder, sight) as runner:
        until(lambda: not runner.state.outbox)
    assert sorted(pages(others)) == [("resolve", "otel-feedback:errors"), ("trigger", "otel-feedback:slow")]
    assert len(titles(others)) == 3, "what was taken is not sent again"


def test_a_silence_of_a_command_is_seen_and_its_end_too(tmp_path: Path, others: Everybody) -> None:
    folder = Folder(tmp_path / "state")
    ends = datetime.now(timezone.utc) + timedelta(days=1)
    with folder.changing() as hand:
        assert hand == Hand()
        folder.keep_hand(Hand((Silence(1, ends, "ann", "load test", "err*"),)))
    sight = Sight()
    sight.values = {("errors", "planner"): 0.5, ("slow", "planner"): 9.0}
    with running(folder, sight) as runner:
        until(lambda: titles(others) == ["firing: slow (agent planner)"])
        assert {alert.key.rule for alert in runner.state.alerts} == {"errors", "slow"}
        with folder.changing():
            folder.keep_hand(Hand())
        until(lambda: titles(others)[1:] == ["firing: errors (agent planner)"])


def test_of_two_that_run_on_one_folder_one_is_refused(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with (
        folder.owned(),
        pytest.raises(StateError, match="another `otel-feedback alerts run` has"),
        Folder(tmp_path).owned(),
    ):
        pass


def test_what_cannot_be_read_is_said_and_not_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(StateError, match="move it away to begin anew"):
        Runner(parse(RULES), Folder(tmp_path), Sight())


def test_a_look_that_fails_is_tried_again(tmp_path: Path, others: Everybody) -> None:
    looks = iter([StateError("the events are away"), StateError("still")])
    sight = Sight()
    sight.values = {("errors", "planner"): 0.5}

    def look(now: datetime) -> Sequence[Observation]:
        for failure in looks:
            raise failure
        return sight(now)

    with running(Folder(tmp_path / "state"), look):
        until(lambda: titles(others) == ["firing: errors (agent planner)"])


def test_so_many_an_hour_and_a_failing_rule_lets_others_pass() -> None:
    at = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)

    def notice(number: int, rule: str) -> Notice:
        alert = Alert(
            key=Key(rule),
            phase=Phase.FIRING,
            since=at,
            changed=at,
            seen=at,
            value=1,
            worst=1,
            count=1,
            severity="warning",
        )
        return Notice(number, "chat", Told.OPENED, alert)

    waiting = [notice(1, "errors"), notice(2, "slow"), notice(3, "errors")]
    numbers = [each.number for each in batch_of(waiting, None, [], 2, at)]
    assert numbers == [1, 3], "what waits of a rule goes together"
    assert [each.number for each in batch_of(waiting, "errors", [], 2, at)] == [2]
    assert [each.number for each in batch_of(waiting[:1], "errors", [], 2, at)] == [1]
    lately = [at - timedelta(minutes=50), at - timedelta(minutes=1)]
    assert batch_of(waiting, None, lately, 2, at) == []
    assert batch_of(waiting, None, lately, 2, at + timedelta(minutes=11)) != []
