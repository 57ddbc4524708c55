"""Leadership moves in a cluster of two, on request and by a crash: everything arrives, in order per run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.fault.stream import Stream, account, assert_everything_arrived, configure
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.processes import LOOPBACK
from tests.stack.waiting import wait_until

pytestmark = pytest.mark.usefixtures("client")
PARTITIONS = 3
RUNS = 8  # enough that every partition has some


class Cluster(NamedTuple):
    """Broker 1, which is the controller too, and broker 2, which may go."""

    first: KafkaBroker
    second: KafkaBroker

    @property
    def bootstrap_servers(self) -> str:
        return f"{self.first.bootstrap_servers},{self.second.bootstrap_servers}"

    def create_topic(self, name: str) -> None:
        self.first.create_topic(name, PARTITIONS, {"min.insync.replicas": "1"}, replication_factor=2)

    def wait_for_leader(self, topic: str, node: int) -> None:
        wait_until(
            lambda: {p.leader for p in self._leadership(topic)} == {node},
            timeout_s=30,
            what=f"node {node} to lead {topic}",
        )

    def wait_in_sync(self, topic: str) -> None:
        wait_until(
            lambda: {p.in_sync for p in self._leadership(topic)} == {frozenset({1, 2})},
            timeout_s=30,
            what=f"both replicas of {topic} to be in sync",
        )

    def prefer_leader(self, topic: str, node: int) -> None:
        self.wait_in_sync(topic)
        kafka_clients.prefer_leader(self.bootstrap_servers, topic, [node, 3 - node])
        self.wait_for_leader(topic, node)

    def _leadership(self, topic: str) -> list[kafka_clients.Leadership]:
        return list(kafka_clients.leadership(self.first.bootstrap_servers, topic).values())


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with KafkaBroker.launch_own() as first:
        joins = {
            "process.roles": "broker",
            "node.id": "2",
            "controller.quorum.voters": first.properties["controller.quorum.voters"],
            "listeners": f"PLAINTEXT://{LOOPBACK}:{{broker_port}}",
        }
        with KafkaBroker.launch_own(joins) as second:
            yield Cluster(first, second)


def test_leaders_that_are_elected_to_and_fro(cluster: Cluster, client: str) -> None:
    topic = f"elected-{client}"
    cluster.create_topic(topic)
    pipeline = configure(cluster.bootstrap_servers, topic)
    with Stream(runs=RUNS) as stream:
        for node in (1, 2, 1, 2, 1):
            cluster.prefer_leader(topic, node)
            stream.wait_for_steps(30)
            account(pipeline)
    assert_everything_arrived(pipeline, stream, cluster.bootstrap_servers, topic)
    assert pipeline.shutdown(10) is True


def test_a_leader_that_dies_and_comes_back(cluster: Cluster, client: str) -> None:
    topic = f"inherited-{client}"
    cluster.create_topic(topic)
    cluster.prefer_leader(topic, 2)
    pipeline = configure(cluster.bootstrap_servers, topic)
    with Stream(runs=RUNS) as stream:
        stream.wait_for_steps(50)
        cluster.second.kill()
        cluster.wait_for_leader(topic, 1)
        stream.wait_for_steps(50)
        cluster.second.start()
        cluster.prefer_leader(topic, 2)
        stream.wait_for_steps(50)
    assert_everything_arrived(pipeline, stream, cluster.bootstrap_servers, topic)
    assert pipeline.shutdown(10) is True
