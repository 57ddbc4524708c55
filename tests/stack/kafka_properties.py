"""The settings of a test broker: one KRaft node that is quick, small and forgets nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tests.stack.processes import LOOPBACK

# Any 16 bytes in URL-safe base64; brokers of one cluster share it.
CLUSTER_ID = "b3RlbC1mZWVkYmFjay10cw"

_SINGLE_NODE = {
    "process.roles": "broker,controller",
    "node.id": "1",
    # Static voters and not a dynamic quorum: the Docker image formats its storage for these.
    "controller.quorum.voters": f"1@{LOOPBACK}:{{controller_port}}",
    "listeners": f"PLAINTEXT://{LOOPBACK}:{{broker_port}},CONTROLLER://{LOOPBACK}:{{controller_port}}",
    "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{{broker_port}}",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": (
        "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"
    ),
    "log.dirs": "{directory}/data",
}
_REPLICATION = {
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
}
_TOPICS = {
    "auto.create.topics.enable": "true",
    "num.partitions": "6",
    # Kafka deletes by record timestamp: records that a test dates years back would vanish.
    "log.retention.ms": "-1",
    "log.retention.bytes": "-1",
}
_SPEED = {
    # A group's first member would wait 3 s for others.
    "group.initial.rebalance.delay.ms": "0",
    # Lets a test's consumer ask for a short session, so that its death shows quickly.
    "group.min.session.timeout.ms": "500",
    # Internal topics have 50 partitions by default; making them costs seconds.
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    # After SIGKILL the broker may register again only when its last session is over: 9 s by
    # default. Shorter than 2 s, and a busy machine loses its broker now and then.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
}


class BrokerProperties(NamedTuple):
    """What a broker is started with, and where it can be reached."""

    bootstrap_servers: str
    properties: dict[str, str]


def broker_properties(
    broker_port: int, controller_port: int, directory: str, overrides: Mapping[str, str]
) -> BrokerProperties:
    """Return the defaults with `overrides` over them and with every placeholder filled in."""
    values = {
        "{broker_port}": str(broker_port),
        "{controller_port}": str(controller_port),
        "{directory}": directory,
    }
    properties = {**_SINGLE_NODE, **_REPLICATION, **_TOPICS, **_SPEED, **overrides}
    for placeholder, actual in values.items():
        # No str.format: a JAAS setting may hold braces of its own.
        properties = {key: value.replace(placeholder, actual) for key, value in properties.items()}
    return BrokerProperties(f"{LOOPBACK}:{broker_port}", properties)


def as_environment(properties: Mapping[str, str]) -> dict[str, str]:
    """Return the properties as the variables from which the apache/kafka image makes them again."""
    return {
        "KAFKA_" + key.replace("_", "__").replace("-", "___").replace(".", "_").upper(): value
        for key, value in properties.items()
    }
