"""An admin client of Kafka: connected within seconds, or one line about why not, and nothing else on the terminal."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, NamedTuple

from otel_feedback.cli.kafka_problem import KafkaSetupError, judge
from otel_feedback.cli.listening import listening
from otel_feedback.cli.network import LIMIT_S, UnreachableError, reach, within
from otel_feedback.config import KafkaConfig

__all__ = ["Admin", "check_network", "open_admin"]

BOOTSTRAP_S = 4.0
"""Shorter than a check may take, so that the reason still comes."""


class Admin(NamedTuple):
    """A connected admin client, and what the cluster says of itself."""

    client: Any
    brokers: tuple[str, ...]
    version: str


def check_network(config: KafkaConfig) -> list[str]:
    """Connect to each bootstrap server by TCP and return what is wrong with those that did not take it.

    Raises:
        KafkaSetupError: None of them did.
    """
    wrong: list[str] = []
    for server in config.bootstrap_servers:
        try:
            _reach(server, LIMIT_S / len(config.bootstrap_servers))
        except UnreachableError as exc:
            wrong.append(str(exc))
    if len(wrong) == len(config.bootstrap_servers):
        todo = "start it (docker compose up -d), or correct KAFKA_BOOTSTRAP_SERVERS"
        raise KafkaSetupError("network", "; ".join(wrong), todo)
    return wrong


@contextmanager
def open_admin(config: KafkaConfig) -> Generator[Admin, None, None]:
    """Connect, speak Kafka, log in, and see that the brokers can be reached where the cluster says they are.

    Raises:
        KafkaSetupError: One of these could not be done.
    """
    with listening("kafka") as logged:
        made: list[Any] = []
        try:
            client = within(LIMIT_S, lambda: _connect(config, made))
        except Exception as exc:
            spoke = any(_has_spoken(connection) for connection in made)
            for connection in made:  # the constructor leaves them open
                connection.close()
            raise judge(config, exc, logged, spoke=spoke) from exc
        try:
            yield Admin(client, _reachable_brokers(made[0]), ".".join(map(str, made[0].get_broker_version())))
        finally:
            client.close()


def _connect(config: KafkaConfig, made: list[Any]) -> Any:
    with warnings.catch_warnings():
        # kafka-python reads its schemas by a function that newer Pythons call deprecated
        warnings.simplefilter("ignore", DeprecationWarning)
        import kafka
        from kafka.net.compat import KafkaNetClient

    def make_client(**settings: Any) -> Any:
        made.append(KafkaNetClient(**settings))
        return made[-1]

    library: Any = kafka  # the stubs that pyright brings are those of another version
    return library.KafkaAdminClient(
        bootstrap_servers=list(config.bootstrap_servers),
        client_id=f"{config.client_id}-cli",
        bootstrap_timeout_ms=int(BOOTSTRAP_S * 1e3),
        request_timeout_ms=int(BOOTSTRAP_S * 1e3),
        kafka_client=make_client,
        **config.client_options,
    )


def _has_spoken(connection: Any) -> bool:
    """Tell whether a broker has said its version, without asking again."""
    try:
        return connection.get_broker_version(timeout_ms=1) is not None
    except Exception:  # no version is known, and a millisecond is not enough to learn one
        return False


def _reachable_brokers(connection: Any) -> tuple[str, ...]:
    """Return the addresses that the cluster gives to its clients: the commonest thing that is wrong with a new one."""
    brokers = tuple(f"{broker.host}:{broker.port}" for broker in connection.cluster.brokers())
    for broker in brokers:
        try:
            _reach(broker, LIMIT_S / len(brokers))
        except UnreachableError as exc:
            found = f"the cluster sends its clients on to {', '.join(brokers)}, but {exc}"
            raise KafkaSetupError("brokers", found, "correct advertised.listeners of the brokers") from exc
    return brokers


def _reach(server: str, seconds: float) -> None:
    host, _, port = server.rpartition(":")
    reach(host.strip("[]"), int(port), seconds)
