"""A Kafka broker for tests: real, one node, KRaft, and easy to break on purpose.

Everything that a test may want different is a broker property, for example a tiny
`message.max.bytes`, further listeners (TLS, SASL), or a second broker of the same cluster. In a
property's value `{broker_port}`, `{controller_port}` and `{directory}` stand for this broker's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.stack import builds, docker, kafka_clients, versions
from tests.stack.docker import Container
from tests.stack.environment import KAFKA, given
from tests.stack.errors import first_possible
from tests.stack.kafka_properties import CLUSTER_ID, as_environment, broker_properties
from tests.stack.processes import ChildProcess, Runnable, free_port, temporary_directory, wait_ready
from tests.stack.service import Service
from tests.stack.waiting import wait_until

_HEAP = "-Xmx512m"


class KafkaBroker(Service):
    """A broker that has started and answers; a context manager that stops it at the end."""

    kind = "broker"

    def __init__(
        self,
        runnable: Runnable | None,
        bootstrap_servers: str,
        properties: Mapping[str, str],
    ) -> None:
        """Wrap a broker; use `launch` or `launch_own`."""
        super().__init__(runnable)
        self.bootstrap_servers = bootstrap_servers
        self.properties = dict(properties)

    def __repr__(self) -> str:
        return f"<KafkaBroker {self.bootstrap_servers} own={self.is_own}>"

    @classmethod
    def launch(cls, properties: Mapping[str, str] | None = None) -> KafkaBroker:
        """Return the broker that KAFKA_BOOTSTRAP_SERVERS names, else one of our own.

        Args:
            properties: over the defaults; a broker from the environment cannot follow them, so
                with any of them the broker is always our own.

        Raises:
            NotReadyError: when the broker from the environment, or our own, does not answer.
            ServiceUnavailable: when no broker can be had on this machine.
        """
        bootstrap_servers = given(KAFKA)
        if bootstrap_servers is None or properties:
            return cls.launch_own(properties)
        broker = cls(None, bootstrap_servers, {})
        wait_until(broker.is_ready, timeout_s=30, what=f"{KAFKA}={bootstrap_servers} to answer")
        return broker

    @classmethod
    def launch_own(
        cls,
        properties: Mapping[str, str] | None = None,
        *,
        cluster_id: str = CLUSTER_ID,
        port: int | None = None,
        java_options: Sequence[str] = (),
    ) -> KafkaBroker:
        """Return a new, empty broker that nobody else uses; see `launch`.

        Args:
            cluster_id: brokers of one cluster share it.
            port: where it listens; default: a free one.
            java_options: of the virtual machine, such as `-Dname=value`.
        """
        place = _Place(cluster_id, port or free_port(), tuple(java_options))
        overrides = dict(properties or {})
        return first_possible(
            "Kafka broker",
            [
                ("Docker", lambda: cls._launch_container(place, overrides)),
                ("Maven", lambda: cls._launch_process(place, overrides)),
            ],
        )

    def is_ready(self) -> bool:
        brokers = kafka_clients.working_brokers(self.bootstrap_servers)
        # Another broker of the same cluster may answer in our place; somebody else's broker may
        # be known by another name than the one that we were given.
        return self.bootstrap_servers in brokers if self.is_own else bool(brokers)

    def create_topic(
        self,
        name: str,
        partitions: int = 1,
        config: Mapping[str, str] | None = None,
        replication_factor: int = 1,
    ) -> None:
        """Create a topic and return once every partition has a leader.

        Args:
            name: of the topic.
            partitions: how many, at least 1.
            config: topic settings, such as `max.message.bytes`.
            replication_factor: at most the number of brokers.
        """
        kafka_clients.create_topic(self.bootstrap_servers, name, partitions, config or {}, replication_factor)

    def pause(self) -> None:
        """Make the broker hang (SIGSTOP): connections stay open, nothing is answered."""
        self._own().pause()

    def resume(self) -> None:
        """Let a paused broker go on (SIGCONT) and wait until it answers."""
        self._own().resume()
        self.wait_ready()

    def kill(self) -> None:
        """End the broker as a crash does (SIGKILL); `start` brings it back with its data."""
        self._own().kill()

    @classmethod
    def _launch_container(cls, place: _Place, overrides: Mapping[str, str]) -> KafkaBroker:
        docker.require_engine()
        # Inside the container: kept by kill and start, gone with it, owned by the image's user.
        resolved = broker_properties(place.port, free_port(), "/tmp/broker", overrides)
        environment = {
            "CLUSTER_ID": place.cluster_id,
            "KAFKA_HEAP_OPTS": _HEAP,
            "KAFKA_OPTS": " ".join(place.java_options),
        }
        container = Container(
            "kafka",
            versions.KAFKA_IMAGE,
            environment={**environment, **as_environment(resolved.properties)},
        )
        broker = cls(container, resolved.bootstrap_servers, resolved.properties)
        broker.start_container()
        return broker

    @classmethod
    def _launch_process(cls, place: _Place, overrides: Mapping[str, str]) -> KafkaBroker:
        class_path = f"{builds.kafka_libraries()}/*"
        directory = temporary_directory("kafka")
        resolved = broker_properties(place.port, free_port(), str(directory), overrides)
        lines = [f"{key}={value}\n" for key, value in resolved.properties.items()]
        config = directory / "server.properties"
        config.write_text("".join(lines))
        _format_storage(class_path, config, directory, place.cluster_id)
        log4j = builds.RECIPES / "kafka-log4j2.yaml"
        command = ["java", _HEAP, *place.java_options, f"-Dlog4j2.configurationFile={log4j}", "-cp", class_path]
        process = ChildProcess("kafka", [*command, "kafka.Kafka", str(config)], directory=directory)
        broker = cls(process, resolved.bootstrap_servers, resolved.properties)
        broker.start_process()
        return broker


class _Place(NamedTuple):
    """Which cluster a broker is of, and where it listens."""

    cluster_id: str
    port: int
    java_options: tuple[str, ...]


def _format_storage(class_path: str, config: Path, directory: Path, cluster_id: str) -> None:
    tool = ["java", "-cp", class_path, "kafka.tools.StorageTool", "format"]
    process = ChildProcess("kafka-format", [*tool, "-t", cluster_id, "-c", str(config)], directory=directory)
    process.start()
    wait_ready(process, lambda: process.returncode == 0, timeout_s=60)
