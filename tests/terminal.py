"""A program on a pseudo-terminal, for tests that look at what somebody sees."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.pace import Patience
from tests.support import environment

__all__ = ["Terminal", "needs_pty"]

needs_pty = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are a thing of POSIX")


class Terminal:
    """A program on a terminal of 24 lines: what it wrote, and how it ended.

    Args:
        arguments: The program and what follows its name.
        columns: How wide the terminal is.
        folder: Where it runs.
        variables: Of its environment, beside those of this process that are no settings of ours.
    """

    def __init__(
        self,
        arguments: list[str],
        columns: int = 80,
        folder: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        import fcntl
        import pty
        import struct
        import termios

        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        kept = {name: value for name, value in environment().items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            arguments, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, cwd=folder,
            env={**kept, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **(variables or {})},
        )  # fmt: skip
        os.close(theirs)
        self.output = ""

    def read_until(self, wanted: str, timeout_s: float = 30.0) -> None:
        """Read until the text has come; fail when it does not."""
        patience = Patience(timeout_s)
        while wanted not in self.output:
            assert not patience.is_over, f"{wanted!r} did not come: {self.output[-2000:]!r}"
            assert self._read(), f"it ended before {wanted!r} came: {self.output[-2000:]!r}"

    def read_to_end(self) -> int:
        """Read until the program has ended; return its exit code."""
        while self._read():
            pass
        os.close(self._ours)
        return self.process.wait()

    def _read(self) -> bool:
        try:
            data = os.read(self._ours, 65_536)
        except OSError:  # Linux says so when the other side is closed
            return False
        self.output += data.decode(errors="replace")
        return bool(data)

    @property
    def screen(self) -> str:
        """What it wrote, as one reads it: without colours, and without what was drawn over."""
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-JL-Z]", "", self.output).replace("\r\n", "\n")
        drawn = (line.rpartition("\r")[2].rpartition("\x1b[2K")[2] for line in plain.split("\n"))
        return "\n".join(line.rpartition("\x1b[K")[2] for line in drawn)
