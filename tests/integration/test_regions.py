"""Two clusters, MirrorMaker 2 between them, and programs that go on at the other one when theirs is gone."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from otel_feedback.downstream import OutcomeConsumer
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.kafka_properties import CLUSTER_ID
from tests.stack.mirror import Mirror
from tests.stack.waiting import wait_for, wait_until
from tests.support import environment, run_cli

OTHER_CLUSTER = "YW5vdGhlci1jbHVzdGVyIQ"
SERVICE = "agents"
PATIENCE_S = 90

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
    """Everything, in order per run, in its partition with key, headers and date, also where the mirror is killed; and groups."""
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
        newest = ids(on(primary, topics[0]))
        wait_until(lambda: set(newest) == set(ids(on(standby, topics[0]))), timeout_s=PATIENCE_S, what="the newest")
        print(f"repeats after a kill: {repeats} of 6000; behind: {time.monotonic() - began:.2f} s at most")

        handled: set[str] = set()
        config = feedback.KafkaConfig(bootstrap_servers=(primary.bootstrap_servers,), topic=topics[1])
        with OutcomeConsumer("billing", kafka=config, stop_on_signals=False) as consumer:
            for event in consumer:
                handled.add(event.event_id)
                if len(handled) == 1_500:
                    consumer.stop()
        own = kafka_clients.committed(primary.bootstrap_servers, "billing", topics[1])
        there = wait_for(
            lambda: kafka_clients.committed(standby.bootstrap_servers, "billing", topics[1]),
            timeout_s=PATIENCE_S, what="the group to be known at the standby",
        )  # fmt: skip
        skipped = [record for record in on(standby, topics[1]) if record.offset < there.get(record.partition, 0)]
        print(f"group: {sum(own.values())} committed, {sum(there.values())} at the standby")
        assert set(ids(skipped)) <= handled, "nothing is skipped that was not handled"
    finally:
        mirror.kill()


def by_place(records: Sequence[kafka_clients.Record]) -> dict[tuple[int, bytes | None], list[object]]:
    """Return the records of each run by partition and key, in order, each once."""
    found: dict[tuple[int, bytes | None], dict[object, None]] = {}
    for record in records:
        told = (record.value, tuple(record.headers), record.timestamp_ms)
        found.setdefault((record.partition, record.key), {}).setdefault(told)
    return {place: list(told) for place, told in found.items()}
