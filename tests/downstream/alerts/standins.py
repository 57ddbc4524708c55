"""Local stand-ins for those who are notified: Slack, PagerDuty, Opsgenie, Teams and any other over HTTPS, and a mail server.

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
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from tests.stack.kafka_certificates import Authority
from tests.stack.processes import free_port

PAGERDUTY = "events.pagerduty.com"
OPSGENIE = "api.opsgenie.com"


class Request(NamedTuple):
    """What somebody was sent."""

    host: str
    path: str
    body: Any
    headers: Mapping[str, str] = {}

    @property
    def is_too_long(self) -> bool:
        """Whether the service itself would refuse it for that."""
        if self.host == PAGERDUTY and "payload" in self.body:
            return len(self.body["payload"]["summary"]) > 1_024
        if self.host == OPSGENIE:
            return len(self.body.get("message", "")) > 130 or len(self.body.get("description", "")) > 15_000
        return self.host == "discord.com" and len(str(self.body.get("content", ""))) > 2_000


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

    def incidents(self, host: str) -> dict[str, bool]:
        """Return the incidents of PagerDuty or Opsgenie by their keys, and whether each is open, as the service has it."""
        found: dict[str, bool] = {}
        for request in self.to(host):
            if host == PAGERDUTY:
                found[request.body["dedup_key"]] = request.body["event_action"] == "trigger"
                continue
            parts = urlsplit(request.path)
            words = parts.path.split("/")[3:]
            if not words:
                found[request.body["alias"]] = True
            elif dict(parse_qsl(parts.query)).get("identifierType") == "alias" and words[1:] == ["close"]:
                found[unquote(words[0])] = False  # by any other it says "will be processed", and does nothing
        return found

    def take(self, request: Request) -> int:
        """Take a request, and return the status of the answer."""
        with self._lock:
            refusal = 503 if request.host in self.down else 400 if request.is_too_long else None
            (self.received if refusal is None else self.refused).append(request)
        if refusal is not None:
            return refusal
        self.answered(request)
        return 202 if request.host in (PAGERDUTY, OPSGENIE) else 200

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
        status = self._everybody.take(Request(self._host, self.path, json.loads(raw), dict(self.headers)))
        answer = b'{"requestId": "43a29c5c-3dbf-4fa4-9c26-f4f71023e120"}' if self._host == OPSGENIE else b"ok"
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
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


class Mails:
    """A mail server that wants STARTTLS and a password, and the mails it got."""

    USER = "alerts"
    PASSWORD = "a/b@c:d hunter2"

    def __init__(self, folder: Path) -> None:
        self.got: list[EmailMessage] = []
        self.port = free_port()
        authority = Authority("mail")
        self.bundle = authority.write(folder, "mail-authority")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue("localhost", "localhost", "127.0.0.1").write(folder, "mail"))
        self._controller = Controller(
            self, hostname="127.0.0.1", port=self.port, tls_context=context, require_starttls=True, auth_required=True,
            authenticator=self._is_known,
        )  # fmt: skip
        self._controller.start()

    def _is_known(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, told: Any) -> AuthResult:
        is_known = (told.login, told.password) == (self.USER.encode(), self.PASSWORD.encode())
        return AuthResult(success=is_known, handled=is_known)  # who is not gets its answer from the server

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail."""
        self.got.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 ok"

    def close(self) -> None:
        """End the server."""
        self._controller.stop()


@contextmanager
def mail_server(folder: Path) -> Generator[Mails, None, None]:
    """Run a mail server."""
    mails = Mails(folder)
    try:
        yield mails
    finally:
        mails.close()
