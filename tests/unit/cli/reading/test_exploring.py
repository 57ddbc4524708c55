"""A demo run's log explored as by somebody who sees it for the first time: a shell, every command, and what its screen shows."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.terminal import Shell, needs_pty

pytestmark = needs_pty


@pytest.fixture
def shell(demo_log: Path, tmp_path: Path) -> Iterator[Shell]:
    """In a folder with the log, which the settings name, and nothing else to read."""
    shutil.copy(demo_log, tmp_path / "outcomes.jsonl")
    variables = {"OTEL_FEEDBACK_LOG_FILE": "outcomes.jsonl", "XDG_DATA_HOME": str(tmp_path / "data")}
    shell = Shell(tmp_path, variables, f'otel-feedback() {{ {sys.executable} -m otel_feedback "$@"; }}')
    yield shell
    shell.close()


def test_every_command_on_a_demos_log(shell: Shell, tmp_path: Path) -> None:
    assert "did you mean stats?" in " ".join(shell.run("otel-feedback stat").split())
    assert shell.run("echo $?") == "2"

    stats = shell.run("otel-feedback stats")
    assert stats.startswith("outcomes.jsonl\n46 actions, 73.9 % success, p95 ")
    assert re.search(r"^researcher +19 +68\.4 % +21\.1 %", stats, re.MULTILINE)

    # failures name the run to look at, and the tree of that run says where it began
    failures = shell.run("otel-feedback failures")
    assert failures.splitlines()[1] == "8 actions went wrong, in 7 ways"
    next_command = next(line.strip() for line in failures.splitlines() if "otel-feedback trace" in line)
    tree = shell.run(next_command)
    assert tree.startswith("run run-3\nstatus    ✗ failure\nworkflow  delivery-status\n")
    assert re.search(r"^     └─ ✗ researcher order_lookup +[0-9.]+ m?s +-  CrmError: HTTP 503", tree, re.MULTILINE)

    answer = shell.run("otel-feedback sql 'SELECT status, count(*) AS n FROM outcomes GROUP BY 1 ORDER BY 2 DESC, 1'")
    assert answer.splitlines()[1].split() == ["success", "34"]
    assert [line.split()[0] for line in answer.splitlines()] == [
        "status", "success", "failure", "cancelled", "partial", "timeout", "5"
    ]  # fmt: skip
    assert "window_start" in shell.run("otel-feedback sql")

    # the topic is looked through by `verify`: without one it says what to do
    verified = shell.run("KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:1 otel-feedback verify")
    assert verified.startswith("error: Kafka: 127.0.0.1:1: connection refused\n  -> ")

    # a store has the same, and is found without being named
    assert "46 rows written; 46 rows in 1 file" in shell.run("otel-feedback store --once --from outcomes.jsonl")
    of_store = shell.run("otel-feedback stats")
    told = stats.partition("\n")[2]
    assert of_store.endswith(told)
    source = of_store.removesuffix(told)  # a long path is wrapped
    assert source.replace("\n", "") == f"{tmp_path}/data/otel-feedback/store"
    assert shell.run("otel-feedback erase --user nobody").startswith("0 rows erased from ")
    assert shell.run("otel-feedback stats").endswith(told)


def test_tail_follows_on_the_screen_until_ctrl_c(shell: Shell, tmp_path: Path) -> None:
    shell.type("otel-feedback tail -n 3 --from outcomes.jsonl\n")
    shell.wait_for("Ctrl-C ends")
    shown = shell.screen.splitlines()
    titles = next(place for place, line in enumerate(shown) if line.startswith("  Time      Agent"))
    assert len([line for line in shown[titles + 1 :] if re.match(r"  \d\d:\d\d:\d\d  ", line)]) == 3
    event = json.loads((tmp_path / "outcomes.jsonl").read_text().splitlines()[0])
    with (tmp_path / "outcomes.jsonl").open("a") as log:
        log.write(json.dumps({**event, "event_id": "new", "agent_name": "newcomer", "status": "success"}) + "\n")
    shell.wait_for("newcomer")
    assert shell.screen.index("newcomer") < shell.screen.index("Ctrl-C ends")
    shell.type("\x03")
    assert "Ctrl-C ends" not in shell.ended(), "the foot is gone"
    assert shell.run("echo $?") == "130"


def test_the_shell_completes_commands_and_options(shell: Shell) -> None:
    shell.run("source <(otel-feedback completion bash)")
    shell.type("otel-feedback fai\t")
    shell.wait_for("otel-feedback failures")
    shell.type("--sin\t")
    shell.wait_for("otel-feedback failures --since")
