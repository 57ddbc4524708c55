"""End everything that this process started, however it ends itself.

A small second process (this file, run as a script) holds the reading end of a pipe and a list of
what to clean up. When the pipe closes or its parent is gone, whether by a normal exit or by
SIGKILL, it kills the listed process groups, removes the listed containers and then the listed
directories.

    pytest ──pipe──► reaper           ["group", 4242]      watch a process group
                                      ["forget", 4242]     it was stopped in good order
                                      ["directory", "/…"]  remove at the end

Why not PR_SET_PDEATHSIG: it fires when the *thread* that started the child ends, it needs code
between fork and exec, it exists on Linux only, and it knows neither containers nor directories.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

_PARENT_CHECK_S = 1.0
_REMOVAL_ATTEMPTS = 50


class _Reaper:
    """The client side; one process has one, made on first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None  # guarded by self._lock
        self._owner_pid = 0  # guarded by self._lock

    def tell(self, verb: str, argument: int | str) -> None:
        line = json.dumps([verb, argument]) + "\n"
        with self._lock:
            # A forked child shares the parent's pipe and must not write into it.
            if self._process is None or self._owner_pid != os.getpid():
                self._process = self._launch()
                self._owner_pid = os.getpid()
            pipe = self._process.stdin
            assert pipe is not None
            pipe.write(line.encode())
            pipe.flush()

    def _launch(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-I", __file__, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            # A session of its own: a signal to the whole group of pytest must not reach it.
            start_new_session=True,
        )
        atexit.register(self._close, process, os.getpid())
        return process

    def _close(self, process: subprocess.Popen[bytes], owner_pid: int) -> None:
        if os.getpid() != owner_pid or process.stdin is None:
            return
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=15)


_REAPER = _Reaper()


def watch_group(group_id: int) -> None:
    """Kill this process group when this process ends."""
    _REAPER.tell("group", group_id)


def forget_group(group_id: int) -> None:
    """Leave this process group alone from now on: it has ended and its id may be used again."""
    _REAPER.tell("forget", group_id)


def watch_container(name: str) -> None:
    """Remove this container when this process ends."""
    _REAPER.tell("container", name)


def watch_directory(path: Path) -> None:
    """Remove this directory when this process ends, after everything else."""
    _REAPER.tell("directory", str(path))


def _main(parent_pid: int) -> None:
    # A terminal or a CI runner that ends the session would otherwise take the reaper along.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: set[int] = set()
    containers: list[str] = []
    directories: list[str] = []
    for verb, argument in _messages(parent_pid):
        if verb == "group":
            groups.add(int(argument))
        elif verb == "forget":
            groups.discard(int(argument))
        elif verb == "container":
            containers.append(str(argument))
        elif verb == "directory":
            directories.append(str(argument))
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    if containers:
        quiet = subprocess.DEVNULL
        subprocess.run(["docker", "rm", "-f", *containers], stdout=quiet, stderr=quiet, check=False)
    for directory in directories:
        _remove(directory)


def _messages(parent_pid: int) -> list[tuple[str, int | str]]:
    """Return every message, once the parent has ended."""
    received = b""
    # The end of the pipe alone is not enough: a process that the parent forked may hold it open.
    # And the parent may be gone before we have read the first byte, so what is in the pipe is read
    # to the end either way.
    while True:
        is_orphan = os.getppid() != parent_pid
        is_readable = bool(select.select([0], [], [], 0 if is_orphan else _PARENT_CHECK_S)[0])
        chunk = os.read(0, 65536) if is_readable else b""
        if not chunk and (is_readable or is_orphan):
            break
        received += chunk
    messages: list[tuple[str, int | str]] = []
    for line in received.splitlines(keepends=True):
        if line.endswith(b"\n"):  # the last one may be cut off
            verb, argument = json.loads(line)
            messages.append((verb, argument))
    return messages


def _remove(directory: str) -> None:
    """Remove a tree into which a process that is just dying may still write."""
    for _ in range(_REMOVAL_ATTEMPTS):
        shutil.rmtree(directory, ignore_errors=True)
        if not Path(directory).exists():
            return
        time.sleep(0.1)


if __name__ == "__main__":
    _main(int(sys.argv[1]))
