"""Programs in processes of their own, for what one process can only do once: providers, exits, signals.

None has a limit here: the test has one, which knows how busy the machine is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The folder of the project."""


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without any setting of ours, and with these, and with who sends, if that is asked for."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "KAFKA_", "ENABLE_", "SCHEMA_REGISTRY_", "PYTEST_"))
    }
    if sender := os.environ.get("TESTS_KAFKA_SENDER"):
        kept["KAFKA_SENDER"] = sender
    return {**kept, **variables}


def run_cli(
    *arguments: str, variables: Mapping[str, str] | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `otel-feedback …` in a process of its own, with these settings only, and return what came of it."""
    return subprocess.run(
        [sys.executable, "-m", "otel_feedback", *arguments],
        cwd=folder, env=environment(**{"PYTHONIOENCODING": "utf-8", **(variables or {})}),
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip


def run_python(program: str, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh interpreter and return what came of it; nothing that it forked outlives the test's limit."""
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(
        command,
        env=environment(**(variables or {})),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)
