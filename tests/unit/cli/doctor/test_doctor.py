"""`otel-feedback doctor` without services: what is off, what is wrong, what to do, how long it takes."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from otel_feedback.cli.doctor.findings import Finding, State, without_secrets
from tests.pace import slowness
from tests.support import run_cli

CLOSED = "http://127.0.0.1:1"


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return run_cli("doctor", *arguments, variables=variables, folder=folder)


def findings(folder: Path, *arguments: str, **variables: str) -> tuple[int, dict[str, dict[str, Any]]]:
    done = run(folder, "--json", *arguments, **variables)
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert document["ok"] == (done.returncode == 0)
    checks: list[dict[str, Any]] = document["checks"]
    assert all(check["todo"] for check in checks if check["state"] in ("failed", "warning", "off"))
    return done.returncode, {check["check"]: check for check in checks}


def states(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: check["state"] for name, check in found.items()}


def test_where_nothing_is_set_nothing_has_failed(tmp_path: Path) -> None:
    code, found = findings(tmp_path, OTEL_TRACES_EXPORTER="none")
    assert code == 0
    assert {name: state for name, state in states(found).items() if name != "Jaeger"} == {
        "settings": "ok", "log tier": "ok", "journal": "off", "Kafka": "off", "OTLP logs": "off",
        "OTLP traces": "off",
    }  # fmt: skip
    # somebody's Jaeger may run on this machine; one that was not asked for never fails
    assert states(found)["Jaeger"] != "failed"
    assert "KAFKA_BOOTSTRAP_SERVERS=" in found["Kafka"]["todo"]
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=" in found["OTLP logs"]["todo"]


def test_the_text_says_the_same_and_has_no_control_codes(tmp_path: Path) -> None:
    done = run(tmp_path, COLUMNS="80", OTEL_TRACES_EXPORTER="none", FORCE_COLOR="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert re.search(r"^  off +Kafka +events are not sent to Kafka$", done.stdout, flags=re.MULTILINE)
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_spans_that_nobody_takes_at_the_default_address_are_a_warning(tmp_path: Path) -> None:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 4318)) == 0:
            pytest.skip("somebody listens on 4318 here")
    code, found = findings(tmp_path)
    assert (code, found["OTLP traces"]["state"]) == (0, "warning")
    assert "OTEL_TRACES_EXPORTER=none" in found["OTLP traces"]["todo"]


@pytest.mark.parametrize(
    ("server", "found_text"),
    [
        ("127.0.0.1:1", "127.0.0.1:1: connection refused"),
        ("kafka.invalid:9092", "the name kafka.invalid does not resolve"),
        ("kafka.invalid:9092,127.0.0.1:1", "kafka.invalid does not resolve; 127.0.0.1:1: connection refused"),
    ],
)
def test_kafka_that_cannot_be_reached(tmp_path: Path, server: str, found_text: str) -> None:
    code, found = findings(tmp_path, KAFKA_BOOTSTRAP_SERVERS=server, OTEL_TRACES_EXPORTER="none")
    assert code == 1
    assert found["Kafka network"]["state"] == "failed"
    assert found_text in found["Kafka network"]["found"]
    assert "KAFKA_BOOTSTRAP_SERVERS" in found["Kafka network"]["todo"]
    after = ["Kafka protocol", "Kafka login", "Kafka brokers", "Kafka topics", "Kafka write"]
    assert [states(found)[name] for name in after] == ["skipped"] * 5
    assert states(found)["Kafka codec"] == "ok"


def test_a_collector_that_cannot_be_reached(tmp_path: Path) -> None:
    code, found = findings(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=CLOSED)
    assert code == 1
    for name in ("OTLP logs", "OTLP traces"):
        assert (states(found)[name], found[name]["found"]) == ("failed", "127.0.0.1:1: connection refused")
        assert "OTEL_EXPORTER_OTLP_ENDPOINT" in found[name]["todo"]


def test_a_jaeger_that_was_asked_for_and_is_not_there(tmp_path: Path) -> None:
    code, found = findings(tmp_path, "--jaeger", CLOSED, OTEL_TRACES_EXPORTER="none")
    assert (code, states(found)["Jaeger"]) == (1, "failed")
    code, found = findings(tmp_path, "--jaeger", "localhost", OTEL_TRACES_EXPORTER="none")
    assert (code, states(found)["Jaeger"]) == (1, "failed")
    assert "no URL" in found["Jaeger"]["found"]


def test_a_setting_that_cannot_be_used(tmp_path: Path) -> None:
    code, found = findings(tmp_path, KAFKA_COMPRESSION="zip")
    assert code == 1
    assert found["settings"]["state"] == "failed"
    assert found["settings"]["found"] == "KAFKA_COMPRESSION='zip': expected one of gzip, zstd, lz4, snappy, none"
    assert found["settings"]["todo"] == "correct KAFKA_COMPRESSION in the environment"
    assert (states(found)["Kafka"], states(found)["journal"]) == ("skipped", "skipped")
    (tmp_path / ".env").write_text("KAFKA_COMPRESSION=zip\n")
    _, found = findings(tmp_path)
    assert found["settings"]["todo"] == "correct KAFKA_COMPRESSION in the file .env"
    _, found = findings(tmp_path, "--bootstrap-servers", "here", KAFKA_COMPRESSION="gzip")
    assert found["settings"]["todo"] == "correct --bootstrap-servers"


@pytest.mark.parametrize(
    ("variables", "variable"),
    [
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}, "OTEL_EXPORTER_OTLP_TIMEOUT"),
        ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "smoke"}, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"),
    ],
)
def test_otlp_variables_that_cannot_be_used_are_named(tmp_path: Path, variables: dict[str, str], variable: str) -> None:
    code, found = findings(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=CLOSED, **variables)
    assert code == 1
    assert found["OTLP traces"]["todo"] == f"correct {variable}"


def test_switches(tmp_path: Path) -> None:
    code, found = findings(tmp_path, OTEL_FEEDBACK_DISABLED="true", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert code == 0
    assert states(found)["settings"] == "warning"
    of_ours = ("log tier", "journal", "Kafka", "OTLP logs", "OTLP traces")
    assert [states(found)[name] for name in of_ours] == ["off"] * 5
    code, found = findings(
        tmp_path, ENABLE_KAFKA="no", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", OTEL_TRACES_EXPORTER="none"
    )
    assert (code, found["Kafka"]["todo"]) == (0, "to switch on: ENABLE_KAFKA=true")
    code, found = findings(tmp_path, ENABLE_OUTCOME_LOGGING="no", OTEL_TRACES_EXPORTER="none")
    assert (code, states(found)["settings"]) == (0, "warning")
    assert "no exporter is on" in found["settings"]["found"]


def test_a_misspelled_setting_is_noticed(tmp_path: Path) -> None:
    done = run(tmp_path, OTEL_FEEDBACK_LOGFILE="x.log", OTEL_TRACES_EXPORTER="none")
    assert done.returncode == 0
    assert "did you mean OTEL_FEEDBACK_LOG_FILE?" in done.stdout


def test_a_log_file_that_cannot_be(tmp_path: Path) -> None:
    code, found = findings(tmp_path, OTEL_FEEDBACK_LOG_FILE=str(tmp_path), OTEL_TRACES_EXPORTER="none")
    assert (code, found["log tier"]["found"]) == (1, f"{tmp_path} is a folder")
    (tmp_path / "file").write_text("")
    below = str(tmp_path / "file" / "x.log")
    assert findings(tmp_path, OTEL_FEEDBACK_LOG_FILE=below, OTEL_TRACES_EXPORTER="none")[0] == 1
    new = tmp_path / "new" / "folder" / "x.log"
    assert findings(tmp_path, OTEL_FEEDBACK_LOG_FILE=str(new), OTEL_TRACES_EXPORTER="none")[0] == 0
    assert not new.parent.exists()


def test_everything_hangs_and_it_still_ends(tmp_path: Path) -> None:
    """Ports that take connections and never answer: no check may take longer than 5 s, and they run side by side."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        port = silent.getsockname()[1]
        began = time.monotonic()
        code, found = findings(
            tmp_path, "--jaeger", f"http://127.0.0.1:{port}", KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{port}",
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}",
        )  # fmt: skip
        elapsed_s = time.monotonic() - began
    assert code == 1
    wrong = {name for name, state in states(found).items() if state == "failed"}
    assert wrong == {"Kafka protocol", "OTLP logs", "OTLP traces", "Jaeger"}
    assert elapsed_s < 8 * slowness()


@pytest.fixture
def web_server() -> Iterator[str]:
    """A web server that is neither a collector nor Jaeger."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>It works!</html>")

        def do_POST(self) -> None:
            self.send_response(401 if self.path == "/v1/logs" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base class
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_somebody_else_answers(tmp_path: Path, web_server: str) -> None:
    code, found = findings(tmp_path, "--jaeger", web_server, OTEL_EXPORTER_OTLP_ENDPOINT=web_server)
    assert code == 1
    assert "not Jaeger" in found["Jaeger"]["found"]
    assert "401" in found["OTLP logs"]["found"]
    assert found["OTLP logs"]["todo"] == "correct OTEL_EXPORTER_OTLP_HEADERS"
    assert "404" in found["OTLP traces"]["found"]
    assert found["OTLP traces"]["todo"].startswith("give the collector a pipeline for traces with the otlp receiver")
    assert "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" in found["OTLP traces"]["todo"]


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    secrets = {
        "KAFKA_SASL_PLAIN_PASSWORD": "kafka-hunter2",
        "KAFKA_SSL_PASSWORD": "key-hunter2",
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=otlp%20hunter2",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:url-hunter2@127.0.0.1:1",
    }
    variables = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "KAFKA_SECURITY_PROTOCOL": "SASL_SSL", **secrets}
    for arguments in ([], ["--json"]):
        done = run(tmp_path, *arguments, "--jaeger", "http://user:jaeger-hunter2@127.0.0.1:1", **variables)
        assert done.returncode == 1
        assert "hunter2" not in done.stdout + done.stderr


def test_masking_is_the_last_line_of_defence() -> None:
    environ = {
        "KAFKA_SASL_PLAIN_PASSWORD": "s3cret",
        "KAFKA_SSL_PASSWORD": "x",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "authorization=Bearer%20abc,tenant=acme",
    }
    finding = Finding("a", State.FAILED, "s3cret Bearer abc at https://me:pw@host/x", "use Bearer%20abc of acme in box")
    (masked,) = without_secrets([finding], environ)
    assert masked.found == "*** *** at https://me:***@host/x"
    assert masked.todo == "use *** of *** in box"
