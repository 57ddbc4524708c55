"""The few things that tests ask of a broker, in typed form: kafka-python has no type information.

Each call makes its own client, so nothing here depends on what a test did to the broker before.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import time
import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.stack.errors import NotReadyError

with warnings.catch_warnings():
    # kafka-python reads its schemas by a function that Python 3.11 calls deprecated, and pytest
    # makes warnings errors.
    warnings.simplefilter("ignore", DeprecationWarning)
    import kafka
    import kafka.admin
    import kafka.errors

# The library is untyped; this is where that ends.
_kafka: Any = kafka
_admin_module: Any = kafka.admin
KafkaError: type[Exception] = kafka.errors.KafkaError

_PREFERRED = 0  # of the two kinds of election, the one that loses nothing

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


class Leadership(NamedTuple):
    """The node that leads a partition, -1 for none, and those whose replica is in sync."""

    leader: int
    in_sync: frozenset[int]


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


def create_topics(bootstrap_servers: str, names: Sequence[str]) -> None:
    """Create topics of one partition by one request, and return once all have a leader."""
    with _admin(bootstrap_servers, timeout_ms=30_000) as admin:
        options = {"num_partitions": 1, "replication_factor": 1}
        admin.create_topics(dict.fromkeys(names, options), wait_for_metadata=True)


def add_partitions(bootstrap_servers: str, topic: str, partitions: int) -> None:
    """Give a topic more partitions, so many in all, as an operator can."""
    with _admin(bootstrap_servers, timeout_ms=30_000) as admin:
        admin.create_partitions({topic: partitions})


def leadership(bootstrap_servers: str, topic: str) -> dict[int, Leadership]:
    """Return who leads each partition of a topic now; empty without an answer."""
    try:
        with _admin(bootstrap_servers, timeout_ms=30_000) as admin:
            [described] = admin.describe_topics([topic])
    except KafkaError:  # a broker that has just died is still asked for a while
        return {}
    return {
        p["partition_index"]: Leadership(p["leader_id"], frozenset(p["isr_nodes"])) for p in described["partitions"]
    }


def prefer_leader(bootstrap_servers: str, topic: str, replicas: Sequence[int]) -> None:
    """Make the first of these nodes the leader of every partition of a topic, as an operator does.

    Args:
        bootstrap_servers: of the cluster.
        topic: whose partitions are on these nodes.
        replicas: node ids; the first one leads, and is in sync already.
    """
    with _admin(bootstrap_servers, timeout_ms=30_000) as admin:
        [described] = admin.describe_topics([topic])
        partitions = [p["partition_index"] for p in described["partitions"]]
        order = {_kafka.TopicPartition(topic, p): list(replicas) for p in partitions}
        refused = {p: error for p, error in admin.alter_partition_reassignments(order).items() if error is not None}
        if refused:
            raise KafkaError(f"the order of replicas was refused: {refused}")
        admin.elect_leaders(_PREFERRED, {topic: partitions})


def allow(bootstrap_servers: str, user: str, operation: str, topic: str) -> None:
    """Grant a user an operation (`WRITE`, `DESCRIBE` …) on a topic."""
    with _admin(bootstrap_servers, timeout_ms=30_000) as admin:
        told = admin.create_acls([_rule(_admin_module.ACL, user, operation, topic)])
    if told["failed"]:
        raise KafkaError(f"the grant was refused: {told['failed']}")


def disallow(bootstrap_servers: str, user: str, operation: str, topic: str) -> None:
    """Take back what `allow` has granted."""
    with _admin(bootstrap_servers, timeout_ms=30_000) as admin:
        [(_, taken_back, _)] = admin.delete_acls([_rule(_admin_module.ACLFilter, user, operation, topic)])
    if not taken_back:
        raise KafkaError(f"{user} had no {operation} on {topic}")


def _rule(kind: Any, user: str, operation: str, topic: str) -> Any:
    return kind(
        principal=f"User:{user}",
        host="*",
        operation=_admin_module.ACLOperation[operation],
        permission_type=_admin_module.ACLPermissionType.ALLOW,
        resource_pattern=_admin_module.ResourcePattern(_admin_module.ResourceType.TOPIC, topic),
    )


def partition_count(bootstrap_servers: str, topic: str) -> int:
    """Return how many partitions a topic has; 0 when there is no such topic."""
    consumer = _kafka.KafkaConsumer(bootstrap_servers=bootstrap_servers, group_id=None)
    try:
        return len(consumer.partitions_for_topic(topic) or ())
    finally:
        consumer.close()


def producers_known(bootstrap_servers: str, topic: str) -> int:
    """Return how many producers the leader of a topic's first partition knows, so that it wants what is next of them."""
    partition = _kafka.TopicPartition(topic, 0)
    with _admin(bootstrap_servers, timeout_ms=30_000) as admin:
        return len(admin.describe_producers([partition])[partition].active_producers)


def topic_settings(bootstrap_servers: str, topic: str) -> str:
    """Return the settings of a topic, as kafka-python shows them."""
    with _admin(bootstrap_servers, timeout_ms=30_000) as admin:
        return str(admin.describe_configs([_kafka.admin.ConfigResource(_kafka.admin.ConfigResourceType.TOPIC, topic)]))


def set_topic_option(bootstrap_servers: str, topic: str, option: str, value: str) -> None:
    """Change one setting of a topic, as an operator can."""
    with _admin(bootstrap_servers, timeout_ms=30_000) as admin:
        resource = _admin_module.ConfigResource("TOPIC", topic, {option: value})
        admin.alter_configs([resource])


def set_scram_password(bootstrap_servers: str, user: str, mechanism: str, password: str) -> None:
    """Let a user log in by SCRAM-SHA-256 or SCRAM-SHA-512; the brokers know of it moments later.

    Raises:
        NotReadyError: the cluster refused it.
    """
    with _admin(bootstrap_servers, timeout_ms=30_000) as admin:
        change = _kafka.admin.UserScramCredentialUpsertion(user, mechanism, password)
        refused = admin.alter_user_scram_credentials([change])[user]
    if refused is not None:
        raise NotReadyError(f"{mechanism} password of {user}: {refused}")


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


def produce_keyed(
    bootstrap_servers: str, topic: str, records: Iterable[tuple[bytes, bytes | None]], *, compression: str
) -> None:
    """Send keys and values, compressed, and return once they are acknowledged."""
    producer = _kafka.KafkaProducer(
        bootstrap_servers=bootstrap_servers, acks="all", compression_type=compression, linger_ms=20, batch_size=200_000
    )
    try:
        for key, value in records:
            producer.send(topic, value, key=key)
        producer.flush()
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


def read_to_end(
    bootstrap_servers: str, topic: str, *, timeout_s: float = 30.0, since: dict[int, int] | None = None
) -> list[Record]:
    """Return all records of all partitions that are there now, repeats too.

    Args:
        bootstrap_servers: of the broker.
        topic: which is read.
        timeout_s: how long that may take.
        since: by partition where to begin; afterwards where this ended.

    Raises:
        NotReadyError: when the deadline has passed first.
    """
    consumer = _kafka.KafkaConsumer(bootstrap_servers=bootstrap_servers, group_id=None)
    records: list[Record] = []
    deadline = time.monotonic() + timeout_s
    try:
        partitions = [_kafka.TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
        ends = consumer.end_offsets(partitions)
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        for partition in partitions:
            if since is not None and partition.partition in since:
                consumer.seek(partition, since[partition.partition])
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            if time.monotonic() >= deadline:
                raise NotReadyError(f"{len(records)} of {sum(ends.values())} records in {topic} in {timeout_s:g} s")
            for batch in consumer.poll(timeout_ms=200).values():
                records.extend(map(_record, batch))
        if since is not None:
            since.update({partition.partition: consumer.position(partition) for partition in partitions})
    finally:
        consumer.close()
    return records


def committed(bootstrap_servers: str, group: str, topic: str) -> dict[int, int]:
    """Return how far a group has committed, by partition of a topic; without those where it has not."""
    consumer = _kafka.KafkaConsumer(bootstrap_servers=bootstrap_servers, group_id=group, enable_auto_commit=False)
    try:
        found = {
            p: consumer.committed(_kafka.TopicPartition(topic, p)) for p in consumer.partitions_for_topic(topic) or ()
        }
    finally:
        consumer.close()
    return {partition: offset for partition, offset in found.items() if offset is not None}


def delete_below(bootstrap_servers: str, topic: str, partition: int, offset: int) -> None:
    """Delete the records of a partition below an offset, as an operator can."""
    with _admin(bootstrap_servers, timeout_ms=30_000) as admin:
        admin.delete_records({_kafka.TopicPartition(topic, partition): offset})


def delete_topics(bootstrap_servers: str, pattern: str) -> None:
    """Delete the topics whose whole names a regular expression matches, and return once they are gone."""
    with _admin(bootstrap_servers, timeout_ms=30_000) as admin:
        is_wanted = re.compile(pattern).fullmatch
        wanted = [name for name in admin.list_topics() if is_wanted(name)]
        if wanted:
            admin.delete_topics(wanted)
        deadline_s = time.monotonic() + 30
        while set(wanted) & set(admin.list_topics()):
            if time.monotonic() > deadline_s:
                raise NotReadyError(f"waited 30 s for {wanted} to be gone")
            time.sleep(0.05)


def end_offset(bootstrap_servers: str, topic: str, partition: int) -> int:
    """Return where the next record of a partition will be."""
    consumer = _kafka.KafkaConsumer(bootstrap_servers=bootstrap_servers, group_id=None)
    try:
        [offset] = consumer.end_offsets([_kafka.TopicPartition(topic, partition)]).values()
    finally:
        consumer.close()
    return int(offset)


def read_all(bootstrap_servers: str, topic: str) -> list[Record]:
    """Return the records that a topic holds now."""
    consumer = _kafka.KafkaConsumer(bootstrap_servers=bootstrap_servers, group_id=None)
    try:
        partitions = [_kafka.TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        ends, beginnings = consumer.end_offsets(partitions), consumer.beginning_offsets(partitions)
    finally:
        consumer.close()
    return read_topic(bootstrap_servers, topic, sum(ends[each] - beginnings[each] for each in partitions))


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
