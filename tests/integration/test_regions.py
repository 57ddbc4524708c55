"""Two clusters, MirrorMaker 2 between them, and programs that go on at the other one when theirs is gone."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from otel_feedback.downstream import OutcomeConsumer
from tests.downstream.tables import made
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.kafka_properties import CLUSTER_ID
from tests.stack.mirror import Mirror
from tests.stack.waiting import wait_until
from tests.support import environment, run_cli

OTHER_CLUSTER = "YW5vdGhlci1jbHVzdGVyIQ"
SERVICE = "agents"
PATIENCE_S = 90
LAG_MAX = 100
"""`offset.lag.max` in the file."""
OF_MIRRORS = r"mm2-.*|.*[.]checkpoints[.]internal|heartbeats"
TURNED = {"primary->standby.enabled": "false", "standby->primary.enabled": "true"}

AGENT = """
    import sys, threading
    import otel_feedback as feedback

    pipeline = feedback.configure()
    goes_on = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), goes_on.set()), daemon=True).start()
    number = 0
    while not goes_on.wait(0.005):
        with feedback.action("step", run_id=f"run-{number % 7}", metadata={"n": number}) as act:
            pass
        print(act.event_id, flush=True)
        number += 1
"""


@pytest.fixture(scope="module")
def primary() -> Iterator[KafkaBroker]:
    with KafkaBroker.launch_own() as broker:
        yield broker


@pytest.fixture(scope="module")
def standby() -> Iterator[KafkaBroker]:
    with KafkaBroker.launch_own(cluster_id=OTHER_CLUSTER) as broker:
        yield broker


class Agent:
    """A program that records until its input ends."""

    def __init__(self, broker: KafkaBroker, topic: str, folder: Path, name: str) -> None:
        self.variables = {
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "KAFKA_OUTCOME_TOPIC": topic, "ENABLE_KAFKA": "true",
            "OTEL_SERVICE_NAME": SERVICE, "OTEL_FEEDBACK_JOURNAL_DIR": str(folder / "journals"),
            "ENABLE_OUTCOME_LOGGING": "false", "OTEL_TRACES_EXPORTER": "none", "OTEL_FEEDBACK_SHUTDOWN_TIMEOUT": "2",
        }  # fmt: skip
        self._said, self._complained = folder / f"{name}.out", folder / f"{name}.err"
        with self._said.open("w") as out, self._complained.open("w") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(AGENT)], env=environment(**self.variables),
                stdin=subprocess.PIPE, stdout=out, stderr=err,
            )  # fmt: skip

    @property
    def recorded(self) -> list[str]:
        """The ids of its events so far."""
        return self._said.read_text().split()

    def end(self) -> list[str]:
        """End it in an orderly way and return the ids of what it recorded."""
        self._process.communicate()
        assert self._process.returncode == 0, self._complained.read_text()
        return self.recorded


def ids(records: Sequence[kafka_clients.Record]) -> Counter[str]:
    return Counter(feedback.OutcomeEvent.from_json(record.value or b"").event_id for record in records)


def on(broker: KafkaBroker, topic: str) -> list[kafka_clients.Record]:
    if not kafka_clients.leadership(broker.bootstrap_servers, topic):
        return []
    return kafka_clients.read_to_end(broker.bootstrap_servers, topic)


def test_programs_go_on_at_the_other_cluster_where_theirs_is_gone(
    primary: KafkaBroker, standby: KafkaBroker, tmp_path: Path
) -> None:
    """What the first took is on it; what waited is sent to the other by its name; what comes after goes there."""
    topic = f"outcomes-{uuid.uuid4().hex[:8]}"
    primary.create_topic(topic, 3)
    standby.create_topic(topic, 3)
    before = Agent(primary, topic, tmp_path, "before")
    wait_until(lambda: len(on(primary, topic)) > 100, timeout_s=PATIENCE_S, what="events on the first cluster")
    primary.kill()
    known = len(before.recorded)
    wait_until(lambda: len(before.recorded) > known + 200, timeout_s=PATIENCE_S, what="it to go on all the same")
    recorded = before.end()

    after = Agent(standby, topic, tmp_path, "after")
    wait_until(lambda: len(on(standby, topic)) > 50, timeout_s=PATIENCE_S, what="events on the other cluster")
    done = run_cli("journal", "replay", "--take", f"{CLUSTER_ID}/{topic}", variables=after.variables)
    assert done.returncode == 0, done.stdout + done.stderr
    recorded += after.end()

    primary.start()  # only to see what it has
    arrived = ids(on(primary, topic)) + ids(on(standby, topic))
    assert set(arrived) == set(recorded), "nothing is lost"
    assert sum(arrived.values()) - len(arrived) <= 200, "what was on its way when it died, at most"


def test_what_a_mirror_keeps(primary: KafkaBroker, standby: KafkaBroker) -> None:
    """Everything, in order per run, in its partition with key, headers and date, also where the mirror is killed."""
    pipeline = feedback.configure(
        tracer_provider=TracerProvider(shutdown_on_exit=False), kafka_bootstrap_servers=primary.bootstrap_servers,
        kafka_outcome_topic="agent-outcomes.{tenant}", enable_kafka=True,
    )  # fmt: skip
    topics = ["agent-outcomes", "agent-outcomes.acme", "agent-outcomes.globex"]
    for topic in topics:
        primary.create_topic(topic, 3)

    def act(count: int) -> None:
        for number in range(count):
            tenant = (None, "acme", "globex")[number % 3]
            with feedback.action("step", run_id=f"run-{number % 20}", tenant_id=tenant):
                pass
        assert pipeline.force_flush(60), pipeline.metrics()

    mirror = Mirror(primary, standby, {})
    mirror.start()
    try:
        act(3_000)
        wait_until(lambda: bool(on(standby, topics[1])), timeout_s=PATIENCE_S, what="the mirror to begin")
        mirror.kill()
        act(3_000)
        mirror.start()
        for topic in topics:
            expected = set(ids(on(primary, topic)))
            wait_until(
                lambda topic=topic, expected=expected: set(ids(on(standby, topic))) == expected,
                timeout_s=PATIENCE_S, what=f"{topic} to be the same",
            )  # fmt: skip
        repeats = 0
        for topic in topics:
            here, there = on(primary, topic), on(standby, topic)
            repeats += len(there) - len(here)
            assert by_place(there) == by_place(here)

        began = time.monotonic()
        act(1)
        newest = set(ids(on(primary, topics[0])))
        wait_until(lambda: newest == set(ids(on(standby, topics[0]))), timeout_s=PATIENCE_S, what="the newest")
        print(f"repeats after a kill: {repeats} of 6000; behind: {time.monotonic() - began:.2f} s at most")

    finally:
        mirror.kill()


def by_place(records: Sequence[kafka_clients.Record]) -> dict[tuple[int, bytes | None], list[object]]:
    """Return the records of each run by partition and key, in order, each once."""
    found: dict[tuple[int, bytes | None], dict[object, None]] = {}
    for record in records:
        told = (record.value, tuple(record.headers), record.timestamp_ms)
        found.setdefault((record.partition, record.key), {}).setdefault(told)
    return {place: list(told) for place, told in found.items()}


@pytest.mark.timeout(400)
def test_groups_and_programs_go_over_and_come_back(primary: KafkaBroker, standby: KafkaBroker, tmp_path: Path) -> None:
    """As docs/regions.md says to: nothing is lost or skipped, and of a partition at most `offset.lag.max` come again."""
    topic = f"outcomes-{uuid.uuid4().hex[:8]}"
    group = Group(topic)
    primary.create_topic(topic, 3)
    send(primary, topic, 900)
    first = {each: kafka_clients.end_offset(primary.bootstrap_servers, topic, each) for each in range(3)}
    for partition, offset in first.items():  # so no place is what it is at the other one
        kafka_clients.delete_below(primary.bootstrap_servers, topic, partition, offset)
    there = Mirror(primary, standby, {"topics": topic})
    there.start()
    sent = group.keep_up(primary, 1_800)
    expected = {each: at - first[each] for each, at in group.places(primary).items()}
    assert min(expected.values()) > 3 * LAG_MAX, "or nothing would be seen"
    group.wait_for(standby, expected)

    sent |= send(primary, topic, 300)
    wait_until(lambda: set(ids(on(standby, topic))) == sent, timeout_s=PATIENCE_S, what="them to be copied", poll_s=1)
    there.pause()
    left = send(primary, topic, 60)  # which nobody copies
    primary.kill()
    there.resume()
    again = [group.read(standby, sent)]
    agent = Agent(standby, topic, tmp_path, "away")
    wait_until(lambda: len(agent.recorded) > 100, timeout_s=PATIENCE_S, what="events on the other cluster")
    everything = sent | left | set(agent.end())

    primary.start()
    wait_until(
        lambda: left <= set(ids(on(standby, topic))), timeout_s=PATIENCE_S, what="what was left on the first", poll_s=1
    )
    there.stop()
    for broker in (primary, standby):
        kafka_clients.delete_topics(broker.bootstrap_servers, OF_MIRRORS)
    kafka_clients.delete_topics(primary.bootstrap_servers, re.escape(topic))
    back = Mirror(primary, standby, {"topics": topic, **TURNED})
    back.start()
    again.append(group.read(standby, everything))
    wait_until(
        lambda: everything <= set(ids(on(primary, topic))), timeout_s=PATIENCE_S, what="all to be copied back", poll_s=1
    )
    group.wait_for(primary, group.places(standby))
    agent = Agent(primary, topic, tmp_path, "home")
    wait_until(lambda: len(agent.recorded) > 100, timeout_s=PATIENCE_S, what="events on the first cluster again")
    everything |= set(agent.end())
    back.stop()
    again.append(group.read(primary, everything))
    arrived = ids(on(primary, topic))
    assert set(arrived) == everything, "nothing is lost"
    assert set(group.handled) == everything, "nothing is skipped"
    print(f"handled again: {again}, of {len(everything)}; twice on the first: {sum(arrived.values()) - len(arrived)}")
    assert max(again) <= 3 * LAG_MAX

    for broker in (primary, standby):
        kafka_clients.delete_topics(broker.bootstrap_servers, OF_MIRRORS)
    kafka_clients.delete_topics(standby.bootstrap_servers, re.escape(topic))
    there.start()
    wait_until(lambda: ids(on(standby, topic)) == arrived, timeout_s=PATIENCE_S, what="a standby as before", poll_s=1)
    there.stop()


class Group:
    """A group that bills what it reads, on either cluster; it keeps `handled`, each as often as it was."""

    def __init__(self, topic: str) -> None:
        self.name = f"billing-{topic}"
        self.handled: list[str] = []
        self._topic = topic

    def keep_up(self, broker: KafkaBroker, count: int) -> set[str]:
        """Handle so many events, sent while it reads, and return their ids."""
        sent = send(broker, self._topic, 150)
        with self._consumer(broker) as consumer:
            for event in consumer:
                self.handled.append(event.event_id)
                if sent <= set(self.handled):
                    if len(sent) >= count:
                        consumer.stop()
                    else:
                        sent |= send(broker, self._topic, 150)
        return sent

    def read(self, broker: KafkaBroker, wanted: set[str]) -> int:
        """Read on until all that is wanted has been handled, and return how many were handled before."""
        before, again = set(self.handled), 0
        assert not wanted <= before, "there has to be something that comes after what comes again"
        with self._consumer(broker) as consumer:
            for event in consumer:
                again += event.event_id in before
                self.handled.append(event.event_id)
                if wanted <= set(self.handled):
                    consumer.stop()
        return again

    def places(self, broker: KafkaBroker) -> dict[int, int]:
        """Return where it is, by partition."""
        return kafka_clients.committed(broker.bootstrap_servers, self.name, self._topic)

    def wait_for(self, broker: KafkaBroker, expected: Mapping[int, int]) -> None:
        """Wait until it is known at a cluster where it is, which is less than `offset.lag.max` before, and never after."""

        def behind() -> list[int]:
            places = self.places(broker)
            return [at - places.get(partition, 0) for partition, at in expected.items()]

        wait_until(lambda: max(behind()) <= LAG_MAX, timeout_s=PATIENCE_S, what="the group to be known", poll_s=1)
        print(f"the group is behind by {behind()}, of {dict(expected)}")
        assert min(behind()) >= 0

    def _consumer(self, broker: KafkaBroker) -> OutcomeConsumer:
        config = feedback.KafkaConfig(bootstrap_servers=(broker.bootstrap_servers,), topic=self._topic)
        return OutcomeConsumer(self.name, kafka=config, stop_on_signals=False)


def send(broker: KafkaBroker, topic: str, count: int) -> set[str]:
    """Put so many events of 20 runs on a topic, and return their ids."""
    [event] = made.recent(made.events(1))
    events = [made.changed(event, event_id=uuid.uuid4().hex, run_id=f"run-{number % 20}") for number in range(count)]
    records = [((event.run_id or "").encode(), event.to_json().encode()) for event in events]
    kafka_clients.produce_keyed(broker.bootstrap_servers, topic, records, compression="zstd")
    return {event.event_id for event in events}
