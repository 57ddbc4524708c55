"""What README and documentation show is what happens: Python blocks run, shell commands exist, examples are events."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import otel_feedback as feedback
from otel_feedback.events.feedback import decode_feedback
from tests.examples.blocks import PAGES, Block, blocks, commands, is_printed
from tests.stack.kafka import KafkaBroker
from tests.support import ROOT, environment

NEEDS_KAFKA = "needs: kafka"
SERVERS = "servers: "
"""A program for a server; tests/beside runs it there."""
TOPIC = "outcomes-of-the-documentation"

PYTHON = [block for page in PAGES for block in blocks(page, "python")]
COMMANDS = [command for page in PAGES for command in commands(page)]


def run(program: str, directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    (directory / "agents.py").write_text(program, "utf-8")
    return subprocess.run(
        [sys.executable, "agents.py"],
        cwd=directory,
        env=environment(**{"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **variables}),
        capture_output=True,
        text=True,
        check=False,
    )


def assert_ran(block: Block, done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, f"{block.where}\n{done.stderr}"
    # nothing but events in the log tier: no warning, no complaint of a library
    complaints = [line for line in done.stderr.splitlines() if not line.startswith('{"schema_version"')]
    assert complaints == [], block.where
    assert block.prints is not None or not done.stdout, f"{block.where} does not show what it prints:\n{done.stdout}"
    assert is_printed(block.prints or "", done.stdout), f"{block.where} prints:\n{done.stdout}"


def test_every_page_is_looked_at() -> None:
    names = {page.relative_to(ROOT).as_posix() for page in PAGES}
    assert {"README.md", "docs/quickstart.md", "docs/configuration.md", "docs/events.md"} <= names
    assert {block.page for block in PYTHON} >= {"README.md", "docs/quickstart.md", "docs/configuration.md"}


@pytest.mark.parametrize(
    "block",
    [b for b in PYTHON if b.mark != NEEDS_KAFKA and not b.mark.startswith(SERVERS)],
    ids=lambda block: block.where,
)
def test_python_block_runs_without_services(block: Block, tmp_path: Path) -> None:
    assert_ran(block, run(block.text, tmp_path, OTEL_TRACES_EXPORTER="none"))


def test_quickstart_with_kafka(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    """The program of the page without services, then the reader of the page with services, on a real broker."""
    kafka_broker.create_topic(TOPIC, partitions=6)
    page = blocks(ROOT / "docs" / "quickstart.md", "python")
    reader = next(block for block in page if block.mark == NEEDS_KAFKA)
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_broker.bootstrap_servers,
        "KAFKA_OUTCOME_TOPIC": TOPIC,
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_FEEDBACK_SHUTDOWN_TIMEOUT": "30",
        "PYTHONWARNINGS": "",  # kafka-python reads its protocol files by a deprecated function
    }
    assert_ran(page[0], run(page[0].text, tmp_path, **variables))
    done = run(reader.text, tmp_path, **variables)
    assert done.returncode == 0, done.stderr
    assert is_printed(reader.prints or "", done.stdout), done.stdout


@pytest.mark.parametrize("page", ["consuming", "feedback/reading"])
def test_consuming_with_kafka(page: str, kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    """Its programs, one after the other, on topics of their own."""
    topic = f"{TOPIC}-{page.replace('/', '-')}"
    kafka_broker.create_topic(topic, partitions=6)
    for kind in ("dlq", "feedback"):
        kafka_broker.create_topic(f"{topic}-{kind}")
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_broker.bootstrap_servers,
        "KAFKA_OUTCOME_TOPIC": topic,
        "KAFKA_FEEDBACK_TOPIC": f"{topic}-feedback",
        "ENABLE_OUTCOME_LOGGING": "false",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_FEEDBACK_SHUTDOWN_TIMEOUT": "30",
        "PYTHONWARNINGS": "",
    }
    programs = [block for block in blocks(ROOT / "docs" / f"{page}.md", "python") if block.mark == NEEDS_KAFKA]
    assert programs
    for block in programs:
        done = run(block.text, tmp_path, **variables)
        assert done.returncode == 0, done.stderr
        assert is_printed(block.prints or "", done.stdout), done.stdout


def test_blocks_that_need_kafka_are_all_run() -> None:
    pages = {block.page for block in PYTHON if block.mark == NEEDS_KAFKA}
    assert pages == {"docs/consuming.md", "docs/feedback/reading.md", "docs/quickstart.md"}


@pytest.mark.parametrize("block", [b for page in PAGES for b in blocks(page, "json")], ids=lambda block: block.where)
def test_json_block_is_an_event_of_the_schema(block: Block) -> None:
    shown: dict[str, Any] = json.loads(block.text)
    if "feedback_id" in shown:
        jsonschema.validate(shown, json.loads((ROOT / "docs" / "schemas" / "feedback.schema.json").read_text("utf-8")))
        assert decode_feedback(block.text).to_dict() == shown
        return
    schema = json.loads((ROOT / "docs" / "schemas" / "outcome-event.schema.json").read_text("utf-8"))
    jsonschema.validate(shown, schema)
    assert feedback.OutcomeEvent.from_json(block.text).to_dict() == shown


def test_the_event_in_the_readme_is_what_its_snippet_makes(tmp_path: Path) -> None:
    """Field for field, but for times, ids and measurements."""
    readme = ROOT / "README.md"
    shown: dict[str, Any] = json.loads(blocks(readme, "json")[0].text)
    log = tmp_path / "outcomes.jsonl"
    program = blocks(readme, "python")[0].text
    run(program, tmp_path, OTEL_TRACES_EXPORTER="none", OTEL_FEEDBACK_LOG_FILE=str(log))
    made: dict[str, Any] = json.loads(log.read_text("utf-8").splitlines()[0])
    assert made.keys() == shown.keys()
    differs = {name for name in shown if made[name] != shown[name]}
    assert differs <= {
        "event_id", "root_event_id", "trace_id", "span_id", "run_id", "timestamp", "start_time", "end_time",
        "duration_ms", "latency_ms", "memory_used_mb", "cpu_time_ms",
    }  # fmt: skip


# -- shell -------------------------------------------------------------------------------------------------


@cache
def help_of(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command, "--help"],
        cwd=ROOT, env={**os.environ, "COLUMNS": "200"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def words_of(command: str) -> list[str]:
    """Return the program's name and its arguments: without variables before it, a pipe after it, and its folder."""
    words = shlex.split(command.partition("|")[0])
    while words and re.fullmatch(r"\w+=.*", words[0]):
        words.pop(0)
    return [words[0].removeprefix(".venv/bin/"), *words[1:]] if words else []


def inline_commands() -> list[tuple[str, str]]:
    """Return what stands as `otel-feedback …` within a sentence."""
    found: list[tuple[str, str]] = []
    for page in PAGES:
        for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
            found += [(f"{page.name}:{number}", text) for text in re.findall(r"`(otel-feedback [^`…]+)`", line)]
    return found


def assert_options_exist(words: list[str], known: str) -> None:
    for word in words:
        if word.startswith("-"):
            assert re.search(rf"(?<!\S){re.escape(word.partition('=')[0])}\b", known), f"{word} is not in\n{known}"


@pytest.mark.parametrize(("where", "command"), [*COMMANDS, *inline_commands()])
def test_command_exists(where: str, command: str) -> None:
    match words_of(command):
        case ["otel-feedback", *words] if words and not words[0].startswith("-"):
            actions = words[:2] if words[0] in ("alerts", "journal", "selector", "stream") else words[:1]
            assert_options_exist(words[1:], help_of("otel_feedback", *actions))
        case ["otel-feedback", *words]:
            assert_options_exist(words, help_of("otel_feedback"))
        case ["python" | "python3", "-m", "pytest", *words]:
            for word in words:
                assert not word.startswith("tests/") or (ROOT / word).exists(), f"{where}: {word}"
        case ["python" | "python3", "-m", module, *words] if (ROOT / module.replace(".", "/")).with_suffix(
            ".py"
        ).exists() or (ROOT / module.replace(".", "/")).is_dir():
            assert_options_exist(words, help_of(module))
        case ["python", str() as script, *_] if script.startswith("examples/"):
            assert (ROOT / script).is_file(), where
        case ["docker", "compose", *_]:
            assert (ROOT / "docker-compose.yml").is_file()
        case [name, *_]:
            known = {
                "python",
                "python3",
                "pip",
                "export",
                "cp",
                ".",
                ".ci/run",
                ".ci/full",
                "ruff",
                "pyright",
                "lint-imports",
                "kafka-acls.sh",
                "connect-mirror-maker.sh",
            }
            assert name in {*known, "pre-commit", "git", "curl", "opentelemetry-instrument"}, (
                f"{where}: what is {name!r}?"
            )
        case _:
            pass  # an assignment of its own


def test_settings_in_shell_blocks_exist() -> None:
    """Every variable that is set or exported is one of ours or of OpenTelemetry's, spelled right, or a page's own `${NAME}`."""
    from otel_feedback.settings.store import ALL_SETTINGS
    from tools.docs_tables import OTEL

    known = {row.variable for row in ALL_SETTINGS} | {one.name for _, rows in OTEL.values() for one in rows} | {"CI"}
    for where, command in COMMANDS:
        for name in re.findall(r"(?:^|\s)([A-Z][A-Z0-9_]+)=", command):
            own = f"${{{name}}}" in (ROOT / where.partition(":")[0]).read_text("utf-8")
            assert name in known or own, f"{where}: {name}"


# -- the two commands --------------------------------------------------------------------------------------


def readme_command(name: str) -> str:
    (block,) = [b for b in blocks(ROOT / "README.md", "sh") if b.mark == f"command: {name}"]
    return block.text.strip()


@pytest.mark.parametrize("name", ["demo", "tests"])
def test_the_readmes_commands_are_one_line_and_what_ci_runs(name: str) -> None:
    command = readme_command(name)
    assert "\n" not in command
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install "), (
        "nothing but Python and pip is assumed"
    )
    done = subprocess.run([str(ROOT / ".ci" / "run"), "--show", name], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == command
