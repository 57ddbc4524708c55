"""Three members, of which one is killed (SIGKILL) and another comes, again and again: nothing is lost or committed unhandled."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.downstream.topics import Topic, event
from tests.stack.kafka import KafkaBroker
from tests.stack.waiting import wait_until
from tests.support import ROOT, environment

A_ROUND = 240
"""Events that come with each kill."""

MEMBER = """
    import os, sys, time
    from otel_feedback import KafkaConfig
    from otel_feedback.downstream import OutcomeConsumer
    servers, topic, path = sys.argv[1:]
    handled = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    # a short session, so that who is killed is missed soon
    options = {"session_timeout_ms": 2_500, "heartbeat_interval_ms": 300}
    with OutcomeConsumer("group", kafka=KafkaConfig(bootstrap_servers=(servers,), topic=topic), kafka_options=options,
                         commit_interval_s=0.02) as consumer:
        for event in consumer:
            # now and then longer than it takes to commit, so that who is killed has mostly an event in hand
            time.sleep(0.15 if event.position.offset % 15 == 0 else 0.002)
            os.write(handled, b"%d %d\\n" % (event.position.partition, event.position.offset))
"""


class Members:
    """Processes of one group, and where they note what they have handled, by partition and offset."""

    def __init__(self, topic: Topic, folder: Path) -> None:
        self._topic = topic
        self._folder = folder
        self._started = 0
        self.running: list[tuple[subprocess.Popen[bytes], Path]] = []

    def start(self) -> None:
        self._started += 1
        notes = self._folder / f"{self._started}.txt"
        notes.touch()
        program = [sys.executable, "-c", textwrap.dedent(MEMBER)]
        process = subprocess.Popen(
            [*program, self._topic.broker.bootstrap_servers, self._topic.name, str(notes)], cwd=ROOT, env=environment()
        )
        self.running.append((process, notes))

    def handled(self) -> list[tuple[int, int]]:
        lines = [line for notes in self._folder.glob("*.txt") for line in notes.read_text().splitlines()]
        return [(int(partition), int(offset)) for partition, offset in map(str.split, lines)]

    def require_handled(self) -> int:
        """Check that each record below what is committed was handled; return how many that are."""
        committed = self._topic.committed()  # before the notes are looked at: they are written before a commit
        handled = set(self.handled())
        below = {(partition, offset) for partition, end in committed.items() for offset in range(end)}
        assert below <= handled, f"committed, and not handled: {sorted(below - handled)[:10]}"
        return len(below)

    def kill(self, chance: random.Random) -> None:
        """Kill one at a point that chance chooses: at its start, in a rebalance, or while it handles events."""
        process, notes = self.running.pop(chance.randrange(len(self.running)))
        size = notes.stat().st_size + chance.choice([0, 1, 200, 600])
        total = len(self.handled()) + chance.randrange(A_ROUND)
        wait_until(
            lambda: notes.stat().st_size >= size or len(self.handled()) >= total,
            timeout_s=90,
            what="events that are handled",
        )
        process.kill()
        process.wait()

    def stop(self) -> None:
        for process, _ in self.running:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(120) for process, _ in self.running] == [0] * len(self.running)


@pytest.fixture
def topic(kafka_broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch) -> Topic:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    return Topic.make(kafka_broker)


@pytest.fixture
def members(topic: Topic, tmp_path: Path) -> Iterator[Members]:
    made = Members(topic, tmp_path)
    yield made
    for process, _ in made.running:
        process.kill()
        process.wait()


@pytest.mark.parametrize("kills", [pytest.param(3, marks=pytest.mark.brief), 20])
def test_members_that_are_killed_lose_nothing(kills: int, topic: Topic, members: Members) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # shown with a failure
    chance = random.Random(seed)
    for _ in range(3):
        members.start()
    for number in range(kills):
        topic.send([event(number * A_ROUND + each) for each in range(A_ROUND)])
        members.kill(chance)
        members.require_handled()
        members.start()
    total = kills * A_ROUND
    wait_until(lambda: members.require_handled() == total, timeout_s=180, what="all of them")
    members.stop()
    assert members.require_handled() == total
    assert len(set(members.handled())) == total
