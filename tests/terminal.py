"""A program on a pseudo-terminal, for tests that look at what somebody sees."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyte
import pytest

from tests.pace import Patience
from tests.support import environment

__all__ = ["Shell", "Terminal", "needs_pty"]

_pyte: Any = pyte  # has no types

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


class Shell:
    """A shell on a terminal that is emulated: lines are typed, and what then stands on its screen is read.

    Args:
        folder: Where it is.
        variables: Of its environment, beside those of this process that are no settings of ours.
        setup: What it does first, unseen.
        columns, lines: The size of the terminal.
    """

    def __init__(
        self, folder: Path, variables: Mapping[str, str], setup: str = "", columns: int = 100, lines: int = 50
    ) -> None:
        import fcntl
        import pty
        import struct
        import termios

        self._screen = _pyte.Screen(columns, lines)
        self._stream = _pyte.ByteStream(self._screen)
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        start = folder / "bashrc"
        start.write_text(f"PS1='READY \\#> '\n{setup}\n")
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--rcfile", str(start), "-i"], stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True, cwd=folder,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 # else Ctrl-C reaches nobody
            env={**environment(), "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **variables},
        )  # fmt: skip
        os.close(theirs)
        self._lines = 0
        self._wait_for_prompt()

    @property
    def screen(self) -> str:
        """What stands on the screen now."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def run(self, line: str) -> str:
        """Type a line on an empty screen, wait for the prompt, and return what stands between."""
        self._screen.reset()
        self.type(f"{line}\n")
        return self.ended()

    def ended(self) -> str:
        """Wait for the prompt, and return what stands between the line that was typed and it."""
        self._wait_for_prompt()
        return self.screen.partition("\n")[2].rpartition("\n")[0].rstrip()

    def type(self, keys: str) -> None:
        """Type, without waiting."""
        os.write(self._ours, keys.encode())

    def wait_for(self, text: str) -> None:
        """Wait until a text stands on the screen."""
        self.wait_until(lambda: text in self.screen, repr(text))

    def wait_until(self, is_so: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
        """Read until the screen is as it is to be."""
        patience = Patience(timeout_s)
        while not is_so():
            assert not patience.is_over, f"{what} did not come:\n{self.screen}"
            if select.select([self._ours], [], [], 0.1)[0]:
                self._stream.feed(os.read(self._ours, 65_536))

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def _wait_for_prompt(self) -> None:
        self._lines += 1
        prompt = f"READY {self._lines}>"
        self.wait_until(lambda: self.screen.rpartition("\n")[2] == prompt, f"prompt {self._lines}")
