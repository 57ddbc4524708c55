"""Run one step of a build, a download or an installation, for as long as it does something.

How long that takes says nothing: the machine or the network may be slow. What has stood still for minutes is stuck: no
process of its group has used a second of CPU, and no file where it writes has grown.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.pace import Patience
from tests.stack.errors import ServiceUnavailable
from tests.stack.processes import ChildProcess, tail

STANDSTILL_S = 300.0
"""Seconds of a free machine in which something must have come on."""

_LOOK_S = 5.0


def run_step(
    command: Sequence[str],
    directory: Path,
    environment: Mapping[str, str] | None = None,
    *,
    standstill_s: float = STANDSTILL_S,
) -> str:
    """Run a command to its end and return what it wrote; the reaper ends it if we are killed meanwhile.

    Args:
        command: program and arguments.
        directory: where it runs, and writes.
        environment: added to this process's.
        standstill_s: how long nothing may come on, in seconds of a free machine.

    Raises:
        ServiceUnavailable: it failed, or stands still; the last lines of what it wrote are in the message.
    """
    process = ChildProcess("build", command, directory=directory, environment=environment)
    before = len(process.output())
    process.start()
    patience, seen, looked_s = Patience(standstill_s), -1, time.monotonic()
    stuck = False
    try:
        while process.is_running() and not stuck:
            time.sleep(0.1)
            if time.monotonic() - looked_s < min(_LOOK_S, standstill_s):
                continue
            looked_s = time.monotonic()
            done = _work_done(process.pid, directory)
            if done != seen:
                patience, seen = Patience(standstill_s), done
            stuck = patience.is_over
    finally:
        process.kill()  # does nothing to one that has ended
    output = process.output()[before:]
    if stuck:
        raise ServiceUnavailable(f"`{' '.join(command)}` has stood still for {standstill_s:g} s:\n{tail(output, 15)}")
    if process.returncode != 0:
        raise ServiceUnavailable(f"`{' '.join(command)}` failed:\n{tail(output, 15)}")
    return output


def _work_done(group: int | None, directory: Path) -> int:
    """Return a number that changes while a group of processes works: by its seconds of CPU, and the bytes that it has written."""
    listing = subprocess.run(["ps", "-A", "-o", "pgid=,time="], capture_output=True, text=True, check=False).stdout
    members = [time for pgid, time in map(str.split, listing.splitlines()) if pgid == str(group)]
    written = sum(_size(path) for path in directory.rglob("*"))
    return sum(map(_seconds, members)) + written


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # it was there a moment ago
        return 0


def _seconds(clock: str) -> int:
    """Read how `ps` writes time: [days-][hours:]minutes:seconds."""
    days, _, rest = clock.rpartition("-")
    total = 0
    for part in rest.split(":"):
        total = total * 60 + int(float(part))
    return total + int(days or 0) * 86_400
