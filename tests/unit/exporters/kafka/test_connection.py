"""A broker that cannot be reached, tried again and again: descriptors do not grow, and the log is not flooded."""

from __future__ import annotations

import gc
import logging
import os
import socket
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import otel_feedback as feedback
from otel_feedback.errors import ExportError
from otel_feedback.exporters.kafka import quiet
from otel_feedback.exporters.kafka.connection import KafkaConnection
from tests.stack.processes import free_port

TRIES = 12


@contextmanager
def listening(*, answer: bytes | None) -> Generator[int, None, None]:
    """Take connections, say something or hang up, and never speak Kafka."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    if answer:
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture(params=["nothing listens", "hangs up", "TLS is answered with nonsense", "TLS, and it hangs up"])
def unreachable(request: pytest.FixtureRequest) -> Iterator[tuple[int, dict[str, Any]]]:
    options: dict[str, Any] = {"security_protocol": "SSL"} if "TLS" in request.param else {}
    if request.param == "nothing listens":
        yield free_port(), options
    else:
        with listening(answer=b"nonsense\n" if "nonsense" in request.param else None) as port:
            yield port, options


def try_often(port: int, options: dict[str, Any], client_id: str = "otel-feedback") -> None:
    config = feedback.KafkaConfig(bootstrap_servers=(f"127.0.0.1:{port}",), client_options=options, client_id=client_id)
    connection = KafkaConnection(config, lambda: None, {"bootstrap_timeout_ms": 300, "reconnect_backoff_max_ms": 60})
    for _ in range(TRIES):
        with pytest.raises(ExportError):
            connection.producer()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="it looks into /proc")  # noqa: PTH112
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_descriptors_do_not_grow(unreachable: tuple[int, dict[str, Any]]) -> None:
    """Also not until the garbage collector comes by, which in a quiet process is late."""
    port, options = unreachable
    try_often(port, options)
    gc.collect()
    gc.disable()
    try:
        before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208
        try_often(port, options)
        left = set(os.listdir("/proc/self/fd")) - before  # noqa: PTH208
    finally:
        gc.enable()
    assert len(left) <= 2, f"{len(left)} after {TRIES} tries"


def from_kafka(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        f"{one.name} {one.getMessage()}"
        for one in caplog.records
        if one.name.startswith("kafka") and one.levelno >= logging.WARNING
    ]


def in_thread(name: str, port: int, client_id: str = "otel-feedback") -> None:
    thread = threading.Thread(target=try_often, args=(port, {}, client_id), name=name)
    thread.start()
    thread.join()


def test_what_kafka_python_repeats_is_said_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    in_thread("somebody else", port)
    flood = from_kafka(caplog)
    assert len(flood) > 2 * TRIES, "what others do with kafka-python is theirs"
    caplog.clear()
    monkeypatch.setattr(quiet._filter, "_due_s", {})  # pyright: ignore[reportPrivateUsage] # other tests have just heard it
    in_thread("otel-feedback-kafka", port)
    said = from_kafka(caplog)
    assert 0 < len(said) < TRIES
    assert any("ECONNREFUSED" in line for line in said)

    monkeypatch.setattr(quiet, "INTERVAL_S", 0.0)
    monkeypatch.setattr(quiet._filter, "_due_s", {})  # pyright: ignore[reportPrivateUsage]
    caplog.clear()
    in_thread("otel-feedback-kafka", port)
    assert any("more like it)" in line for line in from_kafka(caplog)), "how many there were is said in the end"


def test_who_looks_at_debug_sees_everything(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    in_thread("otel-feedback-kafka", port)
    with caplog.at_level(logging.DEBUG, "kafka"):
        caplog.clear()
        in_thread("otel-feedback-kafka", port)
    assert len(from_kafka(caplog)) > 2 * TRIES


def test_the_reason_is_known_also_when_it_is_not_said() -> None:
    port = free_port()
    errors: list[str] = []

    def work() -> None:
        config = feedback.KafkaConfig(bootstrap_servers=(f"127.0.0.1:{port}",))
        connection = KafkaConnection(config, lambda: None, {"bootstrap_timeout_ms": 200})
        for _ in range(4):
            with pytest.raises(ExportError) as caught:
                connection.producer()
            errors.append(caught.value.detail)

    thread = threading.Thread(target=work, name="otel-feedback-kafka")
    thread.start()
    thread.join()
    assert len(errors) == 4
    assert all("ECONNREFUSED" in error for error in errors)
