"""`.env`: argument > environment > `.env` > default, for the command line only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import otel_feedback as feedback
from otel_feedback.cli import env_file
from tests.support import environment, run_cli


def load(tmp_path: Path, content: str | bytes, **before: str) -> tuple[dict[str, str], env_file.EnvFile]:
    path = tmp_path / ".env"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    environ = dict(before)
    return environ, env_file.load(path, environ)


def test_the_usual_notation(tmp_path: Path) -> None:
    environ, read = load(
        tmp_path,
        "# a comment\n"
        "\n"
        "KAFKA_OUTCOME_TOPIC=plain # and why\n"
        'export KAFKA_CLIENT_ID="with spaces # and no comment"\n'
        "KAFKA_SASL_PLAIN_PASSWORD='p$a\"s#s ${HOME}'\n"
        "  OTEL_SERVICE_NAME = bot  \r\n"
        "KAFKA_LINGER_MS=1\n"
        "KAFKA_LINGER_MS=2\n",
    )
    assert environ == {
        "KAFKA_OUTCOME_TOPIC": "plain",
        "KAFKA_CLIENT_ID": "with spaces # and no comment",
        "KAFKA_SASL_PLAIN_PASSWORD": 'p$a"s#s ${HOME}',
        "OTEL_SERVICE_NAME": "bot",
        "KAFKA_LINGER_MS": "2",
    }
    assert set(read.used) == set(environ)
    assert read.problems == ()


def test_the_environment_goes_first_even_where_it_is_empty(tmp_path: Path) -> None:
    environ, read = load(tmp_path, "KAFKA_LINGER_MS=7\nKAFKA_BATCH_SIZE=8\n", KAFKA_LINGER_MS="", KAFKA_BATCH_SIZE="9")
    assert environ == {"KAFKA_LINGER_MS": "", "KAFKA_BATCH_SIZE": "9"}
    assert read.used == ()


def test_an_argument_goes_before_both(tmp_path: Path) -> None:
    environ, _ = load(tmp_path, "KAFKA_OUTCOME_TOPIC=file\nKAFKA_CLIENT_ID=file\n", KAFKA_CLIENT_ID="environment")
    settings = feedback.get_settings(environ=environ, kafka_outcome_topic="argument")
    assert (settings.kafka.topic, settings.kafka.client_id) == ("argument", "environment")
    assert feedback.get_settings(environ=environ).kafka.topic == "file"


def test_variables_of_other_programs_are_left_alone(tmp_path: Path) -> None:
    environ, read = load(tmp_path, "PATH=/nowhere\nLD_PRELOAD=x\nPYTHONPATH=y\nKAFKA_HEAP_OPTS=-Xmx1m\n")
    assert environ == {}
    assert read.used == ()


def test_a_line_that_is_nothing_is_told_by_its_number_only(tmp_path: Path) -> None:
    environ, read = load(tmp_path, "KAFKA_LINGER_MS=3\nmy secret password\n")
    assert environ == {"KAFKA_LINGER_MS": "3"}
    assert read.problems == (f"{tmp_path / '.env'} line 2 is not NAME=value",)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00K", b"\x80\x81"])
def test_a_file_that_is_no_text(tmp_path: Path, content: bytes) -> None:
    environ, read = load(tmp_path, content)
    assert environ == {}
    assert len(read.problems) == 1
    assert "cannot be read" in read.problems[0]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    assert load(tmp_path, b"\xef\xbb\xbfKAFKA_LINGER_MS=4\n")[0] == {"KAFKA_LINGER_MS": "4"}


def test_no_file_is_no_problem(tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    assert env_file.load(tmp_path / ".env", environ) == (tmp_path / ".env", (), ())
    assert environ == {}


def doctor(folder: Path, *arguments: str, **variables: str) -> dict[str, tuple[str, str]]:
    done = run_cli(
        "doctor", "--json", *arguments, variables={"OTEL_TRACES_EXPORTER": "none", **variables}, folder=folder
    )
    return {check["check"]: (check["state"], check["found"]) for check in json.loads(done.stdout)["checks"]}


def test_the_whole_order_in_the_command(tmp_path: Path) -> None:
    """Port 1 from the file, 2 from the environment, 3 from the argument: each goes before those before it."""
    (tmp_path / ".env").write_text("KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:1\n")
    assert doctor(tmp_path)["Kafka network"] == ("failed", "127.0.0.1:1: connection refused")
    from_environment = doctor(tmp_path, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:2")
    assert from_environment["Kafka network"] == ("failed", "127.0.0.1:2: connection refused")
    argument = ["--bootstrap-servers", "127.0.0.1:3"]
    from_argument = doctor(tmp_path, *argument, KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:2")
    assert from_argument["Kafka network"] == ("failed", "127.0.0.1:3: connection refused")


def test_the_doctor_says_what_came_from_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OTEL_SERVICE_NAME=bot\nnonsense here\n")
    found = doctor(tmp_path, KAFKA_LINGER_MS="5")
    assert found["settings"] == ("ok", "given: OTEL_SERVICE_NAME (.env), KAFKA_LINGER_MS")
    assert found[".env"] == ("warning", ".env line 2 is not NAME=value")


def test_the_library_does_not_read_it(tmp_path: Path) -> None:
    """A program that imports us must not change with the directory it was started in."""
    (tmp_path / ".env").write_text("KAFKA_BATCH_SIZE=1\n")
    program = "import otel_feedback as f; print(f.get_settings().kafka.batch_size)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "100\n"
