"""An admin client of Kafka: connected within seconds, or one line about why not, and nothing else on the terminal."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from otel_feedback.cli.kafka.problem import KafkaSetupError, judge
from otel_feedback.cli.listening import listening
from otel_feedback.cli.network import LIMIT_S, UnreachableError, reach, within
from otel_feedback.exporters.kafka.library import import_kafka
from otel_feedback.exporters.kafka.security import secured
from otel_feedback.exporters.kafka.tls import make_context
from otel_feedback.settings.kafka import KafkaConfig

__all__ = ["Admin", "check_network", "check_tls_files", "open_admin", "speaks_tls"]

BOOTSTRAP_S = 4.0
"""Shorter than a check may take, so that the reason still comes."""
PROBE_S = 1.0


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
    check_tls_files(config.client_options)
    with listening("kafka") as logged:
        made: list[Any] = []
        try:
            client = within(LIMIT_S, lambda: _connect(config, made))
        except Exception as exc:
            spoke = any(_has_spoken(connection) for connection in made)
            for connection in made:  # the constructor leaves them open
                connection.close()
            tls = not spoke and not _with_tls(config.client_options) and speaks_tls(config.bootstrap_servers)
            raise judge(config, exc, logged, spoke=spoke, tls=tls) from exc
        try:
            yield Admin(client, _reachable_brokers(made[0]), ".".join(map(str, made[0].get_broker_version())))
        finally:
            client.close()


def _with_tls(options: Mapping[str, Any]) -> bool:
    return str(options.get("security_protocol", "")).endswith("SSL")


def check_tls_files(options: Mapping[str, Any]) -> None:
    """Load certificates and key as kafka-python would, but without OpenSSL asking for a password at the terminal.

    Raises:
        KafkaSetupError: A file is not what it should be, or the key's password is missing or wrong.
    """
    if not _with_tls(options) or options.get("ssl_context") is not None:
        return
    for option, check in (("ssl_cafile", "certificates"), ("ssl_crlfile", "revoked certificates")):
        path = options.get(option)
        if path:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
            except OSError as exc:
                found = f"no {check} can be read from {path}: {exc.strerror or exc}"
                raise KafkaSetupError("protocol", found, f"correct KAFKA_{option.upper()}") from exc
    asked: list[bool] = []
    password = options.get("ssl_password")

    def answer() -> str:
        asked.append(True)
        return password or ""

    try:
        make_context(options, answer)
    except (OSError, ValueError) as exc:  # ValueError: no password can be that long
        raise KafkaSetupError("protocol", *_wrong_context(options, exc, is_encrypted=bool(asked))) from exc


def _wrong_context(options: Mapping[str, Any], exc: Exception, *, is_encrypted: bool) -> tuple[str, str]:
    certfile, ciphers = options.get("ssl_certfile"), options.get("ssl_ciphers")
    if "cipher" in str(exc):
        return f"OpenSSL knows no cipher of {ciphers}", "correct KAFKA_SSL_CIPHERS; `openssl ciphers` lists them"
    keyfile = options.get("ssl_keyfile") or certfile
    if is_encrypted and not options.get("ssl_password"):
        return f"the key in {keyfile} is encrypted", "set KAFKA_SSL_PASSWORD"
    if is_encrypted:
        return f"the password does not open the key in {keyfile}", "correct KAFKA_SSL_PASSWORD"
    if "KEY_VALUES_MISMATCH" in str(exc):
        found = f"the key in {keyfile} is not that of the certificate in {certfile}"
        return found, "correct KAFKA_SSL_CERTFILE or KAFKA_SSL_KEYFILE"
    files = " and ".join(dict.fromkeys((str(certfile), str(keyfile))))
    found = f"no certificate with its key can be read from {files}"
    return found, "correct KAFKA_SSL_CERTFILE and KAFKA_SSL_KEYFILE; both are to be PEM"


def _connect(config: KafkaConfig, made: list[Any]) -> Any:
    import_kafka()
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
        **secured(config.client_options),
    )


def _has_spoken(connection: Any) -> bool:
    """Tell whether a broker has said its version, without asking again."""
    try:
        return connection.get_broker_version(timeout_ms=1) is not None
    except Exception:  # no version is known, and a millisecond is not enough to learn one
        return False


def speaks_tls(servers: Sequence[str]) -> bool:
    """Tell whether one of the servers answers to TLS, whoever it is.

    kafka-python often loses the alert by which a TLS port answers to anything else: it drops what it has read when the
    end of the connection comes with it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for server in servers:
        address = _host_and_port(server)
        try:
            with socket.create_connection(address, PROBE_S / len(servers)) as plain, context.wrap_socket(plain):
                return True
        except OSError as exc:
            if "_ALERT_" in str(exc):  # in TLS it says that it wants something else
                return True
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
    host, port = _host_and_port(server)
    reach(host, port, seconds)


def _host_and_port(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)
