"""The server: a socket that is there before anything is promised, uvicorn on it, and an end that leaves no stream open."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import Callable, Generator

import uvicorn
from starlette.types import ASGIApp

from otel_feedback.downstream.ui.live import Hub
from otel_feedback.errors import FeedbackError

__all__ = ["PageServer", "address_of", "bind"]

BACKLOG = 128
GRACE_S = 2
"""How long answers that are under way have at the end."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the command: uvicorn would raise them again at the end, and an end is no failure."""
        yield


class PageServer:
    """Serves the app until it is stopped.

    Args:
        app: What is served.
        hub: Its streams, which end first.
        interrupt: Ends what is being answered.
    """

    def __init__(self, app: ASGIApp, hub: Hub, interrupt: Callable[[], None]) -> None:
        self._hub = hub
        self._interrupt = interrupt
        self._server = _Server(
            uvicorn.Config(
                app, loop="asyncio", http="h11", ws="none", lifespan="off", log_config=None, access_log=False,
                server_header=False, timeout_graceful_shutdown=GRACE_S,
            )
        )  # fmt: skip

    def run(self, listening: socket.socket) -> None:
        """Serve on a socket; on the thread that calls it, until `stop()`."""
        asyncio.run(self._server.serve(sockets=[listening]))

    def stop(self) -> None:
        """Have it end; from any thread, or a signal's handler."""
        self._server.should_exit = True
        self._hub.end()
        self._interrupt()


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        FeedbackError: The port is taken, or the address is none of this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(address)
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise
    except socket.gaierror:
        raise FeedbackError(f"the name {host} does not resolve") from None
    except OSError as exc:
        taken = "something listens there already"
        why = taken if exc.errno == errno.EADDRINUSE else exc.strerror or str(exc)
        raise FeedbackError(f"cannot listen on {host}:{port}: {why}") from exc
    return listening


def address_of(listening: socket.socket) -> str:
    """Return the address that people open."""
    host, port = listening.getsockname()[:2]
    told = ipaddress.ip_address(host)
    if told.is_unspecified:
        host = socket.gethostname()
    return f"http://[{host}]:{port}/" if told.version == 6 and not told.is_unspecified else f"http://{host}:{port}/"
