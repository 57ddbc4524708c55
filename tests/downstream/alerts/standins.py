"""Local stand-ins for those who are notified: Slack, PagerDuty and any other over HTTPS, and a mail server.

HTTPS goes through a proxy that answers for everybody, with certificates of an authority that only the test trusts: so the
real client speaks to the real address, and nothing leaves the machine.
"""

from __future__ import annotations

import email
import email.policy
import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple, cast

from tests.stack.kafka_certificates import Authority


class Request(NamedTuple):
    """What somebody was sent."""

    host: str
    path: str
    body: Any


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that was killed


class Everybody:
    """Answers for every HTTPS address. `down` has the hosts that answer 503."""

    def __init__(self, folder: Path) -> None:
        self.received: list[Request] = []
        self.refused: list[Request] = []
        self.down: set[str] = set()
        self.answered: Callable[[Request], None] = lambda _: None
        self._folder = folder
        self._authority = Authority("everybody")
        self._lock = threading.Lock()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self.bundle = folder / "authority.pem"
        self.bundle.write_text(self._authority.pem)
        everybody = self

        class Handler(BaseHTTPRequestHandler):
            def do_CONNECT(self) -> None:
                host = self.path.partition(":")[0]
                self.send_response(200)
                self.end_headers()
                with everybody.context(host).wrap_socket(self.connection, server_side=True) as secured:
                    _Answer(host, everybody, secured, self.client_address, cast("Any", self.server))
                self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def variables(self) -> dict[str, str]:
        """What a client needs to be answered here."""
        address = f"http://127.0.0.1:{self._server.server_address[1]}"
        return {
            "HTTPS_PROXY": address, "https_proxy": address, "NO_PROXY": "", "no_proxy": "",
            "REQUESTS_CA_BUNDLE": str(self.bundle),
        }  # fmt: skip

    def to(self, host: str) -> list[Request]:
        """Return what a host was sent and took."""
        with self._lock:
            return [request for request in self.received if request.host == host]

    def take(self, request: Request) -> int:
        """Take a request, and return the status of the answer."""
        with self._lock:
            is_down = request.host in self.down
            (self.refused if is_down else self.received).append(request)
        if is_down:
            return 503
        self.answered(request)
        return 202 if "pagerduty" in request.host else 200

    def context(self, host: str) -> ssl.SSLContext:
        """Return how to be a host."""
        with self._lock:
            if host not in self._contexts:
                certfile, keyfile = self._authority.issue(host, host).write(self._folder, host)
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(certfile, keyfile)
                self._contexts[host] = context
            return self._contexts[host]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Answer(BaseHTTPRequestHandler):
    """One request within a connection to a host."""

    def __init__(self, host: str, everybody: Everybody, secured: Any, client: Any, server: Any) -> None:
        self._host = host
        self._everybody = everybody
        super().__init__(secured, client, server)

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        status = self._everybody.take(Request(self._host, self.path, json.loads(raw)))
        self.send_response(status)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def everybody(folder: Path) -> Generator[Everybody, None, None]:
    """Run the stand-in."""
    made = Everybody(folder)
    try:
        yield made
    finally:
        made.close()


class _Mail(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"220 mail.example\r\n")
        while line := self.rfile.readline():
            word = line[:4].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines: list[bytes] = []
                while (each := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(each.removeprefix(b"."))
                cast("Any", self.server).mails.append(
                    email.message_from_bytes(b"".join(lines), policy=email.policy.default)
                )
            elif word == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            self.wfile.write(b"250 ok\r\n")


@contextmanager
def mail_server() -> Generator[tuple[int, list[EmailMessage]], None, None]:
    """Run a mail server; yield its port and the mails it got."""
    server = _Server(("127.0.0.1", 0), _Mail)
    mails: list[EmailMessage] = []
    cast("Any", server).mails = mails
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], mails
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
