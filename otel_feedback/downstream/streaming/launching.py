"""A program that ends with the one that started it, however that ends: it does not outlive a SIGKILL.

    ours ──a pipe, its stdin──► this file, run as a script ──► the program
                                [SCRIPT, PROGRAM, ARGUMENTS…]

At the end of the pipe it removes the script, which may hold a password, and kills the program. Signals go on to the program,
whose exit code is this one's; files that were passed on stay open for it. A thread reads the pipe, the main one waits.

Why not PR_SET_PDEATHSIG: it is Linux's alone, needs code between fork and exec, and goes by the thread that forked.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["launched"]

_FORWARDED = (signal.SIGINT, signal.SIGTERM)


def launched(command: Sequence[str], script: Path) -> list[str]:
    """Return the command that runs another one in this way: its stdin is to be a pipe, which nobody writes to.

    Args:
        command: The program and its arguments.
        script: Removed where the one that started it is gone.
    """
    return [sys.executable, "-I", "-S", __file__, str(script), *command]


def _main(script: Path, command: Sequence[str]) -> int:
    early: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def forward(number: int, _frame: Any) -> None:
        if child is None:
            early.append(number)
        else:
            child.send_signal(number)

    for number in _FORWARDED:  # handlers, and not SIG_IGN, which the program would have, too
        signal.signal(number, forward)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)  # noqa: S603 - as it was given
    for number in early:
        child.send_signal(number)
    threading.Thread(target=_watch, args=(child, script), daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code  # as shells say it


def _watch(child: subprocess.Popen[bytes], script: Path) -> None:
    while os.read(0, 1):
        pass
    with contextlib.suppress(OSError):
        script.unlink()
    child.kill()


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), sys.argv[2:]))
