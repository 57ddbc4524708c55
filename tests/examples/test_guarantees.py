"""What README says of a process that is killed or stopped, tried on one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.blocks import blocks
from tests.stack.waiting import wait_until
from tests.support import ROOT, environment

PROGRAM = """
import sys
import otel_feedback as feedback

{before}
feedback.configure(service_name="stopped")
with feedback.action("tool", agent="researcher"):
    pass
print("recorded", flush=True)
sys.stdin.read()
"""


def start(before: str, log: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(before=before)],
        env=environment(PYTHONPATH=str(ROOT), OTEL_TRACES_EXPORTER="none", OTEL_FEEDBACK_LOG_FILE=str(log)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "recorded\n"
    return process


def end(process: subprocess.Popen[str], number: signal.Signals) -> int:
    process.send_signal(number)
    process.communicate()
    return process.returncode


def is_complete(log: Path) -> bool:
    return log.exists() and [json.loads(line)["agent_name"] for line in log.read_text("utf-8").splitlines()] == [
        "researcher"
    ]


def test_a_killed_process_leaves_its_log_file(tmp_path: Path) -> None:
    log = tmp_path / "outcomes.jsonl"
    process = start("", log)
    wait_until(lambda: is_complete(log), timeout_s=10, what="the event to be in the file")
    assert end(process, signal.SIGKILL) == -signal.SIGKILL
    assert is_complete(log)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM to handle")
def test_the_handler_of_the_page_makes_sigterm_an_ordinary_end(tmp_path: Path) -> None:
    """At once, so that what is delivered was delivered at the end."""
    log = tmp_path / "outcomes.jsonl"
    handler = next(b.text for b in blocks(ROOT / "docs" / "deployment.md", "python") if "signal.SIGTERM" in b.text)
    assert end(start(handler, log), signal.SIGTERM) == 128 + signal.SIGTERM
    assert is_complete(log)
