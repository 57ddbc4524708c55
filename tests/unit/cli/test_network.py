"""Reaching hosts: every way in which that fails ends in time and in one line of words."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from otel_feedback.cli.network import UnreachableError, reach, within
from tests.pace import slowness


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_a_port_that_listens(listener: socket.socket) -> None:
    reach("127.0.0.1", listener.getsockname()[1])


def test_a_port_at_which_nothing_listens(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    with pytest.raises(UnreachableError, match=f"^127.0.0.1:{port}: connection refused$"):
        reach("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 300])
def test_a_name_that_means_nothing(host: str) -> None:
    with pytest.raises(UnreachableError, match=r"does not resolve|not a host name"):
        reach(host, 80)


def test_a_resolver_that_hangs_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: released.wait(30))
    began = time.monotonic()
    with pytest.raises(UnreachableError, match=r"the name db\.example was not resolved within 0\.2 s"):
        reach("db.example", 80, 0.2)
    assert time.monotonic() - began < 2 * slowness()
    released.set()


def test_a_host_that_answers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(self: socket.socket, address: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:80: no answer within 0\.5 s"):
        reach("127.0.0.1", 80, 0.5)


def test_within_returns_and_raises_what_the_work_does() -> None:
    assert within(5, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 // 0)


def test_a_timeout_of_the_work_itself_keeps_its_words() -> None:
    def work() -> None:
        raise TimeoutError("the broker took too long")

    with pytest.raises(TimeoutError, match="the broker took too long"):
        within(5, work)


def test_work_that_takes_too_long_is_left_behind() -> None:
    released = threading.Event()
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.1 s"):
        within(0.1, lambda: released.wait(30))
    assert time.monotonic() - began < 2 * slowness()
    released.set()
