"""A registry behind TLS and a password: what stands before it asks for both, and hands on to a real one."""

from __future__ import annotations

import base64
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from otel_feedback.errors import ExportError
from otel_feedback.exporters.kafka.avro.writing import AvroValues
from otel_feedback.settings.registry import RegistryConfig
from tests.stack.kafka_certificates import Authority
from tests.stack.registry import Registry

USER_INFO = "agent:pass:word-1"


def _gate(registry: Registry) -> type[BaseHTTPRequestHandler]:
    expected = f"Basic {base64.b64encode(USER_INFO.encode()).decode()}"

    class Gate(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Authorization"] != expected:
                self._answer(401, b"<html>who are you?</html>")
                return
            request = urllib.request.Request(
                f"{registry.url}{self.path}", body, {"Content-Type": self.headers["Content-Type"]}
            )
            try:
                with urllib.request.urlopen(request) as answer:
                    self._answer(answer.status, answer.read())
            except urllib.error.HTTPError as exc:
                with exc:
                    self._answer(exc.code, exc.read())

        def _answer(self, status: int, text: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # its name there
            pass

    return Gate


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that go away at the handshake."""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    authority = Authority("registry")
    certfile, keyfile = authority.issue("registry", "127.0.0.1").write(tmp_path, "server")
    mine, my_key = authority.issue("agent").write(tmp_path, "agent")
    return {
        "ca": str(authority.write(tmp_path, "ca")), "certfile": str(certfile), "keyfile": str(keyfile),
        "mine": str(mine), "my_key": str(my_key),
    }  # fmt: skip


@pytest.fixture
def url(registry: Registry, files: dict[str, str]) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["certfile"], files["keyfile"])
    context.load_verify_locations(files["ca"])
    context.verify_mode = ssl.CERT_REQUIRED
    with _Server(("127.0.0.1", 0), _gate(registry)) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def config(url: str, files: dict[str, str], **more: str | None) -> RegistryConfig:
    given: dict[str, Any] = {
        "user_info": USER_INFO, "ssl_cafile": files["ca"], "ssl_certfile": files["mine"], "ssl_keyfile": files["my_key"],
    }  # fmt: skip
    return RegistryConfig(urls=(url,), **{**given, **more})


def test_who_has_both_gets_in(url: str, files: dict[str, str], registry: Registry) -> None:
    AvroValues(config(url, files), "login").prepare()
    assert "login-value" in registry.subjects()
    assert "word-1" not in repr(config(url, files))


@pytest.mark.parametrize(
    ("less", "said"),
    [
        ({"user_info": "agent:wrong-1"}, "SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO"),
        ({"user_info": None}, "SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO"),
        ({"ssl_cafile": None}, "CERTIFICATE_VERIFY_FAILED"),
        ({"ssl_certfile": None, "ssl_keyfile": None}, "no schema registry answers"),
    ],
)
def test_who_lacks_one_is_told(url: str, files: dict[str, str], less: dict[str, str | None], said: str) -> None:
    with pytest.raises(ExportError, match=said) as caught:
        AvroValues(config(url, files, **less), "login").prepare()
    assert "wrong-1" not in str(caught.value)
