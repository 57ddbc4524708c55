"""What the doctor finds out about TLS by itself: files that cannot be right, and whether a port speaks it at all."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from otel_feedback.cli.kafka.admin import check_tls_files, speaks_tls
from otel_feedback.cli.kafka.problem import KafkaSetupError
from otel_feedback.exporters.kafka.tls import with_context
from tests.stack.kafka_certificates import Authority
from tests.support import run_python


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a client with an encrypted key, one without, a server, and a file that is none of these."""
    made, authority = tmp_path_factory.mktemp("tls"), Authority("authority")
    authority.write(made, "authority")
    authority.issue("locked").write(made, "locked", "s3cret")
    authority.issue("open").write(made, "open")
    authority.issue("server", "localhost").write(made, "server")
    (made / "notes.txt").write_text("not PEM")
    return made


def tls(folder: Path, certificate: str = "", key: str = "", password: str = "", authority: str = "") -> dict[str, Any]:
    named = {"ssl_certfile": certificate, "ssl_keyfile": key, "ssl_cafile": authority}
    options = {option: str(folder / name) for option, name in named.items() if name}
    return {"security_protocol": "SSL", **options, **({"ssl_password": password} if password else {})}


def test_files_that_are_right(folder: Path) -> None:
    check_tls_files(tls(folder, "locked-cert.pem", "locked-key.pem", "s3cret", "authority.pem"))
    check_tls_files(tls(folder, "open-cert.pem", "open-key.pem"))
    check_tls_files(tls(folder))


@pytest.mark.parametrize(
    ("certificate", "key", "password", "authority", "found", "todo"),
    [
        ("locked-cert.pem", "locked-key.pem", "", "", "locked-key.pem is encrypted", "set KAFKA_SSL_PASSWORD"),
        ("locked-cert.pem", "locked-key.pem", "wr0ng", "", "does not open the key", "correct KAFKA_SSL_PASSWORD"),
        ("locked-cert.pem", "locked-key.pem", "x" * 2_000, "", "does not open the key", "correct KAFKA_SSL_PASSWORD"),
        ("locked-cert.pem", "open-key.pem", "", "", "not that of the certificate", "KAFKA_SSL_CERTFILE or KAFKA_SSL_KEYFILE"),
        ("locked-cert.pem", "", "", "", "can be read from FOLDER/locked-cert.pem", "KAFKA_SSL_KEYFILE"),
        ("notes.txt", "open-key.pem", "", "", "from FOLDER/notes.txt and FOLDER/open-key.pem", "KAFKA_SSL_CERTFILE"),
        ("", "", "", "notes.txt", "no certificates can be read from FOLDER/notes.txt", "correct KAFKA_SSL_CAFILE"),
        ("", "", "", "nowhere.pem", "No such file", "correct KAFKA_SSL_CAFILE"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_right(
    folder: Path, certificate: str, key: str, password: str, authority: str, found: str, todo: str
) -> None:
    with pytest.raises(KafkaSetupError) as raised:
        check_tls_files(tls(folder, certificate, key, password, authority))
    assert raised.value.step == "protocol"
    assert found.replace("FOLDER", str(folder)) in raised.value.found
    assert todo in raised.value.todo
    assert not password or password not in raised.value.found


@pytest.mark.parametrize(
    ("option", "value", "found", "todo"),
    [
        ("ssl_ciphers", "NO-SUCH-CIPHER", "knows no cipher of NO-SUCH-CIPHER", "correct KAFKA_SSL_CIPHERS"),
        (
            "ssl_crlfile",
            "FOLDER/notes.txt",
            "revoked certificates can be read from FOLDER/notes.txt",
            "KAFKA_SSL_CRLFILE",
        ),
    ],
)
def test_ciphers_and_lists_that_cannot_be_right(folder: Path, option: str, value: str, found: str, todo: str) -> None:
    with pytest.raises(KafkaSetupError) as raised:
        check_tls_files({**tls(folder), option: value.replace("FOLDER", str(folder))})
    assert found.replace("FOLDER", str(folder)) in raised.value.found
    assert todo in raised.value.todo


def test_only_the_ciphers_that_are_asked_for_are_offered_up_to_tls_1_2(folder: Path) -> None:
    context = with_context({**tls(folder), "ssl_ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"})["ssl_context"]
    older = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert older == ["ECDHE-ECDSA-AES256-GCM-SHA384"]


def test_nobody_is_asked_for_a_password(folder: Path) -> None:
    """Left alone, OpenSSL asks at the terminal, and waits."""
    done = run_python(f"""
        from otel_feedback.cli.kafka.admin import check_tls_files
        from otel_feedback.cli.kafka.problem import KafkaSetupError
        try:
            check_tls_files({tls(folder, "locked-cert.pem", "locked-key.pem")!r})
        except KafkaSetupError as problem:
            print(problem.todo)
    """)
    assert (done.stdout, done.stderr) == ("set KAFKA_SSL_PASSWORD\n", "")


def test_files_are_not_looked_at_where_they_are_not_used(folder: Path) -> None:
    options = tls(folder, "notes.txt", authority="notes.txt")
    check_tls_files({**options, "security_protocol": "SASL_PLAINTEXT"})
    check_tls_files({**options, "ssl_context": ssl.create_default_context()})


@contextmanager
def serving(context: ssl.SSLContext | None) -> Generator[str]:
    """A server of one connection: TLS, or one that reads a little and closes, as a plaintext broker does."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                try:
                    if context is not None:
                        with context.wrap_socket(connection, server_side=True) as encrypted:
                            encrypted.recv(1)
                    else:
                        connection.recv(10)
                except OSError:
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join(timeout=10)


def server_context(folder: Path, *, wants_certificate: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server-cert.pem", folder / "server-key.pem")
    if wants_certificate:
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # where the refusal comes during the handshake
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(folder / "authority.pem")
    return context


def test_whether_a_port_speaks_tls(folder: Path) -> None:
    with serving(server_context(folder)) as server:
        assert speaks_tls([server])
    with serving(server_context(folder, wants_certificate=True)) as server:
        assert speaks_tls([server]), "it does, and refuses us"
    with serving(None) as server:
        assert not speaks_tls([server])


def test_the_first_server_that_speaks_tls_will_do(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        closed = f"127.0.0.1:{unused.getsockname()[1]}"
    with serving(server_context(folder)) as server:
        assert speaks_tls([closed, server])
    assert not speaks_tls([closed])
