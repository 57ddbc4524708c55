"""Reaching a host, with an end to the waiting and with words for people about what went wrong."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TypeVar

__all__ = ["CONNECT_S", "LIMIT_S", "REQUEST_S", "UnreachableError", "reach", "within"]

LIMIT_S = 5.0
"""How long one check may take, in seconds."""
CONNECT_S = 2.0
REQUEST_S = 3.0
"""The two parts of a check that connects and then asks."""

T = TypeVar("T")


class UnreachableError(Exception):
    """A host cannot be reached; the message says why, in one line."""


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return what `work()` returns, or raise what it raises, within a time.

    Libraries resolve names without a timeout, so the work is left to a daemon thread when time is up.

    Raises:
        TimeoutError: It took longer than `seconds`.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as exc:
            result.set_exception(exc)

    threading.Thread(target=run, name="otel-feedback-check", daemon=True).start()
    try:
        return result.result(timeout=seconds)
    except FutureTimeoutError:
        if result.done():  # it was the work that raised it
            raise
        raise TimeoutError(f"no answer within {seconds:g} s") from None


def reach(host: str, port: int, seconds: float = LIMIT_S) -> None:
    """Connect to a TCP port and close again.

    Raises:
        UnreachableError: The name does not resolve, nothing listens, or nothing answers in time.
    """
    deadline = time.monotonic() + seconds
    try:
        addresses = within(seconds, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except socket.gaierror:
        raise UnreachableError(f"the name {host} does not resolve") from None
    except UnicodeError:
        raise UnreachableError(f"{host} is not a host name") from None
    except TimeoutError:
        raise UnreachableError(f"the name {host} was not resolved within {seconds:g} s") from None
    reason = "it has no address"
    for family, kind, protocol, _name, address in addresses:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            break
        try:
            with socket.socket(family, kind, protocol) as connection:
                connection.settimeout(left_s)
                connection.connect(address)
                return
        except ConnectionRefusedError:
            reason = "connection refused"
        except TimeoutError:
            reason = f"no answer within {seconds:g} s"
        except OSError as exc:
            reason = exc.strerror or type(exc).__name__
    raise UnreachableError(f"{host}:{port}: {reason}")
