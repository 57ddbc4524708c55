"""What is launched ends with the one that started it; signals, exit codes and files go through."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from otel_feedback.downstream.streaming.launching import launched
from tests.stack.waiting import wait_until

PROGRAM = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print(os.getpid(), *{os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")}, flush=True)
signal.pause()
"""
STARTER = """
import signal, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, start_new_session=True)
signal.pause()
"""


def is_running(pid: int) -> bool:
    """Tell whether a process is there, and more than a name that its parent has not taken."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc to see who is there")
def test_it_ends_with_who_started_it_by_whatever_signal(tmp_path: Path) -> None:
    """Also by one that nobody can catch; the script, in which a password may be, is gone."""
    for number in (signal.SIGKILL, signal.SIGTERM):
        script = tmp_path / "run.sql"
        script.touch()
        command = launched([sys.executable, "-c", PROGRAM], script)
        with subprocess.Popen(
            [sys.executable, "-c", STARTER, *command], stdout=subprocess.PIPE, text=True
        ) as starter:  # fmt: skip
            assert starter.stdout is not None
            pid = int(starter.stdout.readline().split()[0])
            assert is_running(pid)
            starter.send_signal(number)
            starter.wait()
            wait_until(lambda: not is_running(pid), timeout_s=20, what="the end of what was launched")  # noqa: B023
            assert not script.exists()


def test_signals_and_exit_codes_go_through(tmp_path: Path) -> None:
    """SIGTERM is the program's own to handle; what nobody can handle is said as shells say it."""
    (script := tmp_path / "run.sql").touch()
    for number, code in ((signal.SIGTERM, 7), (signal.SIGKILL, 128 + signal.SIGKILL)):
        with subprocess.Popen(
            launched([sys.executable, "-c", PROGRAM], script), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:  # fmt: skip
            assert process.stdout is not None
            pid = int(process.stdout.readline().split()[0])
            os.kill(process.pid if number == signal.SIGTERM else pid, number)
            assert process.wait() == code
    assert script.exists(), "it is who started it that removes it while that one lives"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to see what is open")
def test_a_file_that_is_passed_on_stays_open(tmp_path: Path) -> None:
    """So a lock holds until the program is really gone."""
    with (tmp_path / "lock").open("w") as lock:
        command = launched([sys.executable, "-c", PROGRAM], tmp_path / "run.sql")
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=(lock.fileno(),)
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert str((tmp_path / "lock").resolve()) in process.stdout.readline().split()
            process.terminate()
