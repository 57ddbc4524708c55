"""The few things that tests ask of a broker, in typed form: kafka-python has no type information.

Each call makes its own client, so nothing here depends on what a test did to the broker before.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.stack.errors import NotReadyError

with warnings.catch_warnings():
    # kafka-python reads its schemas by a function that Python 3.11 calls deprecated, and pytest
    # makes warnings errors.
    warnings.simplefilter("ignore", DeprecationWarning)
    import kafka
    import kafka.errors

# The library is untyped; this is where that ends.
_kafka: Any = kafka
KafkaError: type[Exception] = kafka.errors.KafkaError

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Record:
    """One record as read from a topic."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def working_brokers(bootstrap_servers: str) -> set[str]:
    """Return `host:port` of each broker that the cluster counts on now; empty without an answer."""
    # An empty port is told apart quickly and without kafka-python's log lines about it.
    if not any(_is_listening(address) for address in bootstrap_servers.split(",")):
        return set()
    try:
        with _admin(bootstrap_servers, timeout_ms=2_000) as admin:
            brokers = admin.describe_cluster()["brokers"]
    except KafkaError:
        return set()
    # Fenced ones have started, but nobody may use them yet.
    return {f"{b['host']}:{b['port']}" for b in brokers if not b.get("is_fenced", False)}


def create_topic(
    bootstrap_servers: str,
    name: str,
    partitions: int,
    config: Mapping[str, str],
    replication_factor: int,
) -> None:
    """Create a topic and return once every partition has a leader."""
    options = {
        "num_partitions": partitions,
        "replication_factor": replication_factor,
        "configs": dict(config),
    }
    with _admin(bootstrap_servers, timeout_ms=30_000) as admin:
        admin.create_topics({name: options}, wait_for_metadata=True)


def partition_count(bootstrap_servers: str, topic: str) -> int:
    """Return how many partitions a topic has; 0 when there is no such topic."""
    consumer = _kafka.KafkaConsumer(bootstrap_servers=bootstrap_servers, group_id=None)
    try:
        return len(consumer.partitions_for_topic(topic) or ())
    finally:
        consumer.close()


def produce(
    bootstrap_servers: str,
    topic: str,
    values: Iterable[bytes],
    *,
    key: bytes | None = None,
    headers: Headers = (),
    timeout_s: float = 30.0,
) -> None:
    """Send records and return once all replicas have acknowledged every one of them.

    Raises:
        KafkaError: for the first record that was not acknowledged.
    """
    producer = _kafka.KafkaProducer(bootstrap_servers=bootstrap_servers, acks="all")
    try:
        futures = [producer.send(topic, value, key=key, headers=list(headers)) for value in values]
        for future in futures:
            future.get(timeout=timeout_s)
    finally:
        producer.close(timeout=5)


def read_topic(bootstrap_servers: str, topic: str, count: int, *, timeout_s: float = 30.0) -> list[Record]:
    """Return the records of all partitions from their beginning, once there are `count` or more.

    Raises:
        NotReadyError: when the deadline has passed with fewer.
    """
    consumer = _kafka.KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        group_id=None,
        auto_offset_reset="earliest",
    )
    records: list[Record] = []
    deadline = time.monotonic() + timeout_s
    try:
        while len(records) < count:
            if time.monotonic() >= deadline:
                raise NotReadyError(f"{len(records)} of {count} records in {topic} in {timeout_s:g} s")
            for batch in consumer.poll(timeout_ms=200).values():
                records.extend(map(_record, batch))
    finally:
        consumer.close()
    return records


def _record(raw: Any) -> Record:
    return Record(
        topic=raw.topic,
        partition=raw.partition,
        offset=raw.offset,
        timestamp_ms=raw.timestamp,
        key=raw.key,
        value=raw.value,
        headers=tuple((str(name), bytes(value)) for name, value in raw.headers),
    )


def _is_listening(address: str) -> bool:
    # Without a port there is nothing to look at here; the client knows its default.
    host, _, port = address.strip().rpartition(":")
    if not host or not port.isdigit():
        return True
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _admin(bootstrap_servers: str, *, timeout_ms: int) -> Generator[Any, None, None]:
    # A broker that is just starting refuses a few times: expected here, alarming in a log.
    with _quiet(logging.getLogger("kafka")):
        admin = _kafka.KafkaAdminClient(bootstrap_servers=bootstrap_servers, bootstrap_timeout_ms=timeout_ms)
        try:
            yield admin
        finally:
            admin.close()


@contextlib.contextmanager
def _quiet(logger: logging.Logger) -> Generator[None, None, None]:
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
