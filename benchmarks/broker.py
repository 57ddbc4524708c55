"""The broker that a run sends to: the one that KAFKA_BOOTSTRAP_SERVERS names, else one of the run's own.

Each round gets a topic of its own, deleted afterwards, so that rounds do not share segments and a broker that belongs
to somebody else is left as it was.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Generator
from typing import Any

from benchmarks.children import BenchmarkError
from benchmarks.progress import say
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker

__all__ = ["PARTITIONS", "Broker"]

PARTITIONS = 6


class Broker:
    """A running broker. Made by `Broker.launch()`."""

    def __init__(self, running: KafkaBroker) -> None:
        self._running = running
        self.bootstrap_servers = running.bootstrap_servers

    @classmethod
    @contextlib.contextmanager
    def launch(cls) -> Generator[Broker, None, None]:
        """Start a broker, or use the one from the environment.

        Raises:
            ServiceUnavailable: None can be had on this machine.
        """
        with KafkaBroker.launch() as running:
            yield cls(running)

    def version(self) -> str:
        """Return what the broker says of itself, and whose it is."""
        with _closing(_kafka().KafkaAdminClient(bootstrap_servers=self.bootstrap_servers)) as admin:
            first = admin.describe_cluster()["brokers"][0]["broker_id"]
            number = ".".join(map(str, admin.get_broker_version_data(first).broker_version))
        return f"{number} ({'own, one node' if self._running.is_own else self.bootstrap_servers})"

    @contextlib.contextmanager
    def topic(self) -> Generator[str, None, None]:
        """Make a topic, and delete it at the end."""
        name = f"benchmark-{secrets.token_hex(6)}"
        self._running.create_topic(name, partitions=PARTITIONS)
        try:
            yield name
        finally:
            try:
                with _closing(_kafka().KafkaAdminClient(bootstrap_servers=self.bootstrap_servers)) as admin:
                    admin.delete_topics([name])
            except kafka_clients.KafkaError as exc:
                say(f"the topic {name} could not be deleted: {exc}")

    @contextlib.contextmanager
    def paused(self) -> Generator[None, None, None]:
        """Let the broker hang: connections stay open, nothing is answered.

        Raises:
            ServiceUnavailable: It is somebody else's.
        """
        self._running.pause()
        try:
            yield
        finally:
            self._running.resume()

    def require_count(self, topic: str, count: int) -> None:
        """Check by its end offsets that a topic holds exactly this many records.

        Raises:
            BenchmarkError: It does not.
        """
        kafka = _kafka()
        with _closing(kafka.KafkaConsumer(bootstrap_servers=self.bootstrap_servers, group_id=None)) as consumer:
            partitions = [kafka.TopicPartition(topic, number) for number in range(PARTITIONS)]
            found = sum(consumer.end_offsets(partitions).values())
        if found != count:
            raise BenchmarkError(f"the topic holds {found} records, and {count} were acknowledged")


def _kafka() -> Any:
    import kafka  # 100 ms, and only some measurements need it

    return kafka


@contextlib.contextmanager
def _closing(client: Any) -> Generator[Any, None, None]:
    try:
        yield client
    finally:
        client.close()
