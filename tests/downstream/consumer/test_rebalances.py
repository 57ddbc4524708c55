"""Members that come, go, die and are slow: nothing is lost, and nothing is committed that was not handled."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from otel_feedback.downstream import ReceivedEvent
from otel_feedback.downstream.consumer.group import AT_ONCE, ENOUGH
from tests.downstream.topics import QUICK, Topic, event
from tests.pace import slowness
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.waiting import wait_until
from tests.support import ROOT


class Member:
    """A consumer on a thread, and what it has handled."""

    def __init__(self, topic: Topic, work: Callable[[ReceivedEvent], object] = lambda _: None) -> None:
        self.handled: list[ReceivedEvent] = []
        self.consumer = topic.consumer()
        self._work = work
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        self.consumer.run(self._handle)

    def _handle(self, received: ReceivedEvent) -> None:
        self._work(received)
        self.handled.append(received)

    def stop(self) -> None:
        self.consumer.stop()
        self.thread.join(60)
        assert not self.thread.is_alive()


def handled_by(members: list[Member]) -> set[str]:
    return {one.event_id for member in members for one in list(member.handled)}


@pytest.fixture
def topic(kafka_broker: KafkaBroker) -> Topic:
    return Topic.make(kafka_broker)


@pytest.mark.brief
def test_members_that_come_and_go_lose_nothing(topic: Topic) -> None:
    """Three members, one after the other; the first leaves in the middle. Who comes later begins where the commit ends."""
    sent = [event(number) for number in range(3_000)]
    topic.send(sent)
    wanted = {one.event_id for one in sent}
    members: list[Member] = []
    for count in (200, 700, 1_200):
        members.append(Member(topic, lambda _: time.sleep(0.0005)))
        wait_until(lambda count=count: len(handled_by(members)) >= count, timeout_s=60, what=f"{count} events")
        wait_until(lambda: bool(members[-1].handled), timeout_s=60, what="the newest member's first event")
    members[0].stop()
    wait_until(lambda: handled_by(members) == wanted, timeout_s=60, what="all of them")
    for member in members[1:]:
        member.stop()
    assert sum(topic.committed().values()) == 3_000
    again = sum(len(member.handled) for member in members) - 3_000
    assert again <= 3 * 4, "only what a member had in hand at a rebalance comes twice"


def test_nothing_unhandled_is_committed(topic: Topic) -> None:
    """Of each member that is stopped, what it was handed and did not finish is read again."""
    topic.send([event(number) for number in range(400)])
    first = topic.consumer()
    with pytest.raises(KeyError), first:
        for number, _one in enumerate(first):
            if number == 150:
                raise KeyError
    assert sum(topic.committed().values()) == 150
    seen: list[Any] = []
    with topic.consumer() as second:
        for one in second:
            seen.append(one)
            if len(seen) == 250:
                break
    assert sum(topic.committed().values()) == 400


@pytest.mark.brief
def test_partitions_that_are_added_while_a_slow_handler_pauses_are_read(topic: Topic) -> None:
    """The group is joined again between polls that wait for nothing: it goes on, with the new ones, and loses nothing."""
    topic.send([event(number) for number in range(4_000)])
    go_on = threading.Event()
    handled: list[str] = []
    options = {**QUICK, "metadata_max_age_ms": 300}
    consumer = topic.consumer(kafka_options=options)

    def handle(received: ReceivedEvent) -> None:
        if not handled:
            go_on.wait(60)
        handled.append(received.event_id)

    thread = threading.Thread(target=consumer.run, args=[handle], daemon=True)
    thread.start()
    wait_until(lambda: consumer.metrics()["waiting"] >= ENOUGH - 1, timeout_s=60, what="partitions that are paused")
    before = consumer.metrics()["rebalances"]
    kafka_clients.add_partitions(topic.broker.bootstrap_servers, topic.name, 9)
    wait_until(lambda: consumer.metrics()["rebalances"] > before, timeout_s=60, what="the rebalance")
    go_on.set()
    topic.send([event(number) for number in range(4_000, 4_200)])
    assert any(record.partition > 5 for record in topic.records()), "some are in the new ones"
    wait_until(lambda: len(set(handled)) == 4_200, timeout_s=60, what="all of them")
    consumer.stop()
    thread.join(60)
    assert not thread.is_alive()
    assert len(handled) == 4_200, "nothing was in hand that had to come again"
    assert sum(topic.committed().values()) == 4_200


def test_a_slow_handler_pauses_its_partition_and_stays_a_member(topic: Topic) -> None:
    """It takes longer for one event than a member may be silent, and then goes on where it paused, in all partitions."""
    topic.send([event(number) for number in range(8_000)])
    go_on = threading.Event()
    silent_s = 2 * min(slowness(), 5)  # a thread of a busy machine may wait for so long to be given a turn
    options = {**QUICK, "max_poll_interval_ms": int(silent_s * 1_000)}
    slow = topic.consumer(kafka_options=options)
    handled: list[str] = []

    def handle(received: ReceivedEvent) -> None:
        if not handled:
            go_on.wait(60)
        handled.append(received.event_id)

    thread = threading.Thread(target=slow.run, args=[handle], daemon=True)
    thread.start()
    wait_until(lambda: slow.metrics()["waiting"] >= ENOUGH - 1, timeout_s=60, what="partitions that are paused")
    began, before = time.monotonic(), slow.metrics()["rebalances"]  # 2, if it joined before it knew all partitions
    wait_until(
        lambda: time.monotonic() - began > 2.5 * silent_s,
        timeout_s=60,
        what="more than twice what a member may be silent",
    )
    assert slow.metrics()["waiting"] < ENOUGH + AT_ONCE, "no more than is enough is in memory"
    assert slow.metrics()["rebalances"] == before, "it was not taken for dead"
    go_on.set()
    wait_until(lambda: len(handled) == 8_000, timeout_s=60, what="all of them")
    slow.stop()
    thread.join(60)
    assert len(set(handled)) == 8_000


KILLED = """
    import sys, time
    from otel_feedback import KafkaConfig
    from otel_feedback.downstream import OutcomeConsumer
    from tests.downstream.topics import QUICK
    servers, topic = sys.argv[1:]
    with OutcomeConsumer("group", kafka=KafkaConfig(bootstrap_servers=(servers,), topic=topic), kafka_options=QUICK,
                         commit_interval_s=0.05) as consumer:
        for event in consumer:
            print(event.event_id, flush=True)
            time.sleep(0.003)  # the others come meanwhile
"""


def test_a_member_that_is_killed_loses_nothing(topic: Topic) -> None:
    """One of three dies in the middle (SIGKILL): what it had not committed comes to the others."""
    sent = [event(number) for number in range(3_000)]
    topic.send(sent)
    wanted = {one.event_id for one in sent}
    victim = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), topic.broker.bootstrap_servers, topic.name],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert victim.stdout is not None
    said = [victim.stdout.readline().strip() for _ in range(300)]
    members = [Member(topic, lambda _: time.sleep(0.0005)) for _ in range(2)]
    wait_until(lambda: len(handled_by(members)) > 100, timeout_s=60, what="the others' first events")
    victim.kill()
    said += victim.communicate()[0].split()
    wait_until(lambda: sum(topic.committed().values()) == 3_000, timeout_s=60, what="all to be committed")
    for member in members:
        member.stop()
    assert handled_by(members) | set(said) == wanted
