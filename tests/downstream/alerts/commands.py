"""`otel-feedback alerts …` as somebody types it: commands that end, and one that runs."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

from otel_feedback.downstream.alerts.state import Folder, State
from tests.stack.waiting import wait_until
from tests.support import environment, run_cli


def alerts(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, with state and data in it."""
    return run_cli("alerts", *arguments, variables={**_places(folder), **variables}, folder=folder)


class Running(AbstractContextManager["Running"]):
    """`alerts run` in a folder, which has the rules; ended when the block is over, if it was not before.

    Args:
        folder: Where it is started.
        arguments: After `run`.
        variables: In its environment.
    """

    def __init__(self, folder: Path, *arguments: str, **variables: str) -> None:
        self.lines: list[str] = []
        self._folder = Folder(folder / "state" / "otel-feedback-alerts")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "otel_feedback", "alerts", "run", *arguments],
            cwd=folder, env=environment(**{"PYTHONIOENCODING": "utf-8", **_places(folder), **variables}),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGTERM)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def end(self, signal_number: int) -> int:
        """End it by a signal, and return its exit code."""
        assert self.process.poll() is None, self.lines
        self.process.send_signal(signal_number)
        code = self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def wait_for(self, text: str) -> None:
        """Return when it has said something; it has not ended by then."""

        def is_said() -> bool:
            assert self.process.poll() is None, self.lines
            return any(text in line for line in self.lines)

        wait_until(is_said, timeout_s=60, what=f"{text!r} in {self.lines}")

    @property
    def state(self) -> State:
        """What it keeps."""
        return self._folder.state()

    def looked_at(self) -> datetime:
        """Return when it looked last."""
        at = self.state.looked_at
        assert at is not None
        return at


def _places(folder: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(folder / "state"), "XDG_DATA_HOME": str(folder / "data"), "COLUMNS": "200"}
