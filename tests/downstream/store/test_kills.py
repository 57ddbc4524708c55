"""A writer that is killed (SIGKILL) at any point: nothing is lost, and no row is there twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from tests.downstream.store.stores import Store, ids, lines
from tests.downstream.topics import Topic, event
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.waiting import wait_until
from tests.support import ROOT, environment


def kill_again_and_again(topic: Topic, store: Store, kills: int, events: int) -> None:
    """Send events all the time, and kill the writer so often, each time a while after it has committed something."""
    rounds = kills + 1
    sending = threading.Thread(
        target=lambda: [
            topic.send([event(number) for number in range(start, start + events // rounds)])
            for start in range(0, events // rounds * rounds, events // rounds)
        ],
        daemon=True,
    )
    sending.start()
    chance = random.Random()
    for _ in range(kills):
        kafka_clients.produce(topic.broker.bootstrap_servers, f"{topic.name}-dlq", [b"a letter"] * 5, key=b"k")
        writer = store.follow("--flush-interval", "0.05", "--flush-rows", "150")
        before = store.manifest().counts.get("written", 0)
        wait_until(
            lambda before=before: store.manifest().counts.get("written", 0) > before or not sending.is_alive(),
            timeout_s=120, what="the first rows after a kill",
        )  # fmt: skip
        time.sleep(chance.uniform(0, 0.5))
        writer.kill()
        writer.communicate()
    sending.join(120)
    assert not sending.is_alive()


def assert_exactly_once(topic: Topic, store: Store) -> None:
    wanted = sorted((record.partition, record.offset) for record in topic.records())
    assert sorted(store.places()) == wanted
    for table, records in (("accounts", topic.audit()), ("dead_letters", topic.letters())):
        assert records
        assert sorted(store.places(table)) == [(record.partition, record.offset) for record in records]


@pytest.mark.brief
def test_a_writer_that_is_killed_loses_nothing_and_repeats_nothing(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    topic = Topic.make(kafka_broker)
    store = Store.of(topic, tmp_path / "store")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OTEL_TRACES_EXPORTER", "none")
        kill_again_and_again(topic, store, 3, 4_000)
    assert store.once()["up_to_date"]
    assert_exactly_once(topic, store)


@pytest.mark.timeout(900)
def test_twenty_kills_at_random_points(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    topic = Topic.make(kafka_broker)
    store = Store.of(topic, tmp_path / "store")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OTEL_TRACES_EXPORTER", "none")
        kill_again_and_again(topic, store, 20, 42_000)
    assert store.once()["up_to_date"]
    assert_exactly_once(topic, store)


STEPS = """
    import os, signal, sys
    from otel_feedback.cli.main import main
    store, last, *arguments = sys.argv[1:]
    steps = 0
    def look(kind, told):
        global steps
        if any(isinstance(one, (str, bytes)) and store in os.fsdecode(one) for one in told):
            steps += 1
            if steps == int(last):
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(look)
    code = main(["store", "--store", store, *arguments])
    print(steps)
    sys.exit(code)
"""


def test_killed_before_each_step_on_the_disk(tmp_path: Path) -> None:
    """Whatever it opens, makes, moves or deletes in the store, it may die just before: with rows, a join, a rule of erasure."""
    log = tmp_path / "outcomes.jsonl"
    log.write_bytes(lines(range(330), user_id="u-1") + lines(range(330, 360), user_id="u-2"))

    def run(path: Path, last: int) -> tuple[int, str]:
        arguments = ["--from", str(log), "--once", "--flush-rows", "30", "--flush-interval", "0.05"]
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(STEPS), str(path), str(last), *arguments],
            cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        out, err = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), err
        return process.returncode, out

    code, out = run(tmp_path / "whole", -1)
    assert code == 0
    steps = int(out.split()[-1])
    assert steps > 100, "it is about the disk"
    chance = random.Random()
    for number, last in enumerate(chance.sample(range(1, steps), 12)):
        path = tmp_path / f"store-{number}"
        assert run(path, last)[0] == -signal.SIGKILL
        store = Store(path, "--from", str(log))
        store.once()
        assert store.ids() == ids(range(360)), f"killed before step {last} of {steps}"
        assert not list((path / "unfinished").iterdir())
