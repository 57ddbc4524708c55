"""What goes wrong around one that runs: a channel that is down for an hour, a full disk, looks that fail. The hour is simulated."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from otel_feedback.downstream.alerts.delivery import Clock
from otel_feedback.downstream.alerts.observing import Key, Observation
from otel_feedback.downstream.alerts.reading import parse
from otel_feedback.downstream.alerts.running import Runner
from otel_feedback.downstream.alerts.state import Folder, Hand, Silence
from tests.downstream.alerts.commands import Running, alerts
from tests.downstream.alerts.standins import Everybody
from tests.downstream.store.stores import Store, append, lines
from tests.fault.small_disk import SmallDisk

BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)
STEP_S = 30
STEPS = 120
MOST_WAIT_S = 300
RULES = """
[[channel]]
name = "chat"
url = "jsons://chat.example/"
at_most = 100000
[[channel]]
name = "away"
url = "jsons://away.example/"
[[rule]]
name = "errors"
kind = "errors"
keep_firing_for = "0s"
by = ["agent"]
"""
SAID = re.compile(r"^(firing|resolved): agent (agent-\d+)$", re.MULTILINE)


class Moved:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = BEGIN

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.at, lambda: self.at.timestamp())  # noqa: PLW0108 - of the moment when it is asked

    def look(self, now: datetime) -> list[Observation]:
        """Agent number n is wrong from the n-th step on, for three."""
        step = int((now - BEGIN).total_seconds()) // STEP_S
        seen = {each: 0.9 if step - 3 < each else 0.0 for each in range(min(step, STEPS) + 1) if each < STEPS}
        return [
            Observation(Key("errors", None, f"agent-{each}"), now, value, value, 50) for each, value in seen.items()
        ]


def said(others: Everybody, host: str) -> list[tuple[str, str]]:
    return [told for request in others.to(host) for told in SAID.findall(request.body["message"])]


def owed(last: int) -> Iterator[tuple[str, str]]:
    """Yield what is told up to a step, in order."""
    for step in range(last + 1):
        if 0 <= step - 3 < STEPS:
            yield ("resolved", f"agent-{step - 3}")
        if step < STEPS:
            yield ("firing", f"agent-{step}")


def test_a_channel_that_is_down_for_an_hour_gets_all_of_it_together_and_in_order(
    tmp_path: Path, others: Everybody
) -> None:
    """In the middle of the hour the process ends, and another goes on."""
    others.down.add("away.example")
    (tmp_path / "state").mkdir()
    moved, folder = Moved(), Folder(tmp_path / "state")
    runner = Runner(parse(RULES), folder, moved.look, clock=moved.clock)
    tries: list[float] = []
    for step in range(STEPS):
        if step == STEPS // 2:
            runner = Runner(parse(RULES), folder, moved.look, clock=moved.clock)
        before = len(others.refused)
        runner.run(once=True)
        tries += [moved.at.timestamp()] * (len(others.refused) - before)
        assert sorted(said(others, "chat.example")) == sorted(owed(step)), "another channel waits for nothing"
        moved.at += timedelta(seconds=STEP_S)
    assert others.to("away.example") == []
    gaps = [after - first for first, after in itertools.pairwise(tries)]
    assert max(gaps) <= MOST_WAIT_S + STEP_S, "it is tried again within five minutes"
    assert len(tries) <= 60, "and not all the time"

    others.down.clear()
    up_at = moved.at
    while not others.to("away.example"):
        runner.run(once=True)
        moved.at += timedelta(seconds=STEP_S)
    assert moved.at - up_at <= timedelta(seconds=MOST_WAIT_S + STEP_S)
    for _ in range(4):
        runner.run(once=True)
        moved.at += timedelta(seconds=STEP_S)
    told = said(others, "away.example")
    assert len(others.to("away.example")) < 8, "it came together"
    assert len(told) == len(set(told)), "nothing twice"
    assert set(told) == set(owed(STEPS + 2)), "nothing lost"
    for agent in (f"agent-{number}" for number in range(STEPS)):
        assert told.index(("firing", agent)) < told.index(("resolved", agent))
    firing = [agent for word, agent in told if word == "firing"]
    assert firing == [f"agent-{number}" for number in range(STEPS)], "in order"
    assert runner.state.outbox == ()


def always_wrong(now: datetime) -> list[Observation]:
    return [Observation(Key("errors", None, "agent-1"), now, 0.9, 0.9, 50)]


def test_with_a_full_disk_somebody_is_told_all_the_same_and_once(
    tmp_path: Path, others: Everybody, caplog: pytest.LogCaptureFixture
) -> None:
    moved, path = Moved(), tmp_path / "disk"
    path.mkdir()
    disk = SmallDisk(path)
    disk.mount()
    try:
        folder = Folder(path / "state")
        with folder.owned():
            runner = Runner(parse(RULES), folder, always_wrong, clock=moved.clock)
            disk.fill()
            for _ in range(3):
                runner.run(once=True)
                moved.at += timedelta(seconds=STEP_S)
            assert said(others, "chat.example") == said(others, "away.example") == [("firing", "agent-1")]
            assert [each for each in caplog.messages if "cannot be written: No space left on device" in each]
            assert len(caplog.messages) == 1, "a line a minute"
            assert folder.state().alerts == ()
            disk.free()
            runner.run(once=True)
            assert [alert.key.agent for alert in folder.state().alerts] == ["agent-1"]
            assert folder.state().outbox == ()
    finally:
        disk.unmount()
    assert len(others.received) == 2


def test_a_hand_that_cannot_be_read_any_more_stays_what_it_was(
    tmp_path: Path, others: Everybody, caplog: pytest.LogCaptureFixture
) -> None:
    moved, folder = Moved(), Folder(tmp_path)
    with folder.changing():
        folder.keep_hand(Hand((Silence(1, BEGIN + timedelta(hours=1), "ann", "load test"),)))
    runner = Runner(parse(RULES), folder, always_wrong, clock=moved.clock)
    (tmp_path / "hand.json").write_text("{")
    runner.run(once=True)
    assert others.received == []
    assert "silences and acknowledgements stay what they were" in caplog.text
    moved.at += timedelta(hours=2)
    runner.run(once=True)
    assert said(others, "chat.example") == [("firing", "agent-1")], "it is over"


def test_a_look_that_raises_whatever_it_is_is_said_and_tried_again(
    tmp_path: Path, others: Everybody, caplog: pytest.LogCaptureFixture
) -> None:
    moved = Moved()
    failures: list[Exception] = [OSError(5, "Input/output error"), RuntimeError("a bug"), MemoryError()]

    def look(now: datetime) -> Sequence[Observation]:
        if failures:
            raise failures.pop()
        return always_wrong(now)

    runner = Runner(parse(RULES), Folder(tmp_path), look, clock=moved.clock)
    for _ in range(4):
        runner.run(once=True)
    assert said(others, "chat.example") == [("firing", "agent-1")]
    assert caplog.messages == ["alerts could not be looked at, and will be again: MemoryError()"], "a line a minute"


OWN = """
[settings]
every = "1s"
settle = "0s"
[[rule]]
name = "divides"
kind = "sql"
above = 0
sql = "SELECT error('no such luck') AS value"
[[rule]]
name = "counts"
kind = "sql"
above = 0
sql = "SELECT agent_name, count(*) AS value FROM outcomes GROUP BY agent_name"
"""


def test_a_rule_whose_sql_fails_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "alerts.toml").write_text(OWN)
    (tmp_path / "outcomes.log").write_bytes(lines(range(3), agent_name="planner"))
    done = alerts(tmp_path, "run", "--once", "--from", "outcomes.log")
    assert done.returncode == 0
    assert done.stdout.startswith("firing: counts (no tenant, agent planner, no action): 3 since ")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "rule divides: " in done.stderr
    assert "no such luck" in done.stderr
    assert "; the other rules go on" in done.stderr


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store with three events of an agent, beside rules that see them."""
    (tmp_path / "alerts.toml").write_text(OWN)
    (tmp_path / "outcomes.log").write_bytes(lines(range(3), agent_name="planner"))
    made = Store(tmp_path / "store", "--from", str(tmp_path / "outcomes.log"))
    made.once()
    return made


@pytest.mark.parametrize("what", ["torn", pytest.param("gone", marks=pytest.mark.thorough)])
def test_a_store_that_is_torn_or_gone_for_a_while_does_not_end_it(store: Store, tmp_path: Path, what: str) -> None:
    with Running(tmp_path, "--from", str(store.path)) as running:
        running.wait_for("firing: counts (no tenant, agent planner")
        manifest, gone = store.path / "manifest.json", tmp_path / "gone"
        whole = manifest.read_bytes()
        if what == "torn":
            manifest.write_bytes(whole[: len(whole) // 2])
        else:
            store.path.rename(gone)
        running.wait_for("alerts could not be looked at, and will be again: ")
        if what == "torn":
            manifest.write_bytes(whole)
        else:
            gone.rename(store.path)
        append(tmp_path / "outcomes.log", lines(range(3, 6), agent_name="writer"))
        store.once()
        running.wait_for("firing: counts (no tenant, agent writer")
    assert sum("could not be looked at" in each for each in running.lines) == 1, "a line a minute"


def test_a_file_that_is_no_parquet_any_more_is_named_and_left_out(store: Store, tmp_path: Path) -> None:
    (path,) = store.path.rglob("*.parquet")
    path.write_bytes(path.read_bytes()[:100])
    done = alerts(tmp_path, "run", "--once", "--from", str(store.path))
    assert done.returncode == 0
    (told,) = (each for each in done.stderr.splitlines() if path.name in each)
    assert "alerts do not see its rows" in told
