"""Run a service as a child process: its log in a file, its readiness asked for, its end certain.

A child has a process group of its own, so a signal reaches whatever it starts as well, and Ctrl-C
in the terminal does not reach it behind our back. `reaper` ends it when this process dies.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tests.pace import Patience
from tests.stack import reaper
from tests.stack.errors import NotReadyError, StackError

LOOPBACK = "127.0.0.1"
LOG_TAIL_LINES = 40
_PAUSE_TIMEOUT_S = 2.0

# Below the ranges from which kernels pick the ports of outgoing connections (32768 and up on Linux,
# 49152 and up on macOS). A broker must find its port free again after a restart, while clients
# hammer at it: from the ephemeral range one of their sockets may take that port, even by
# connecting to itself.
_PORTS = range(15_000, 30_000)
_given_ports: set[int] = set()

# What a developer has set for a program under test must not configure the services too.
_FOREIGN_PREFIXES = ("OTEL_", "KAFKA_", "JAEGER_", "COLLECTOR_")


class Runnable(Protocol):
    """A service that can be broken on purpose: a child process or a container."""

    @property
    def name(self) -> str: ...
    def start(self) -> None: ...
    def is_running(self) -> bool: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def kill(self) -> None: ...
    def stop(self) -> None: ...
    def output(self) -> str: ...


def free_port() -> int:
    """Return a loopback TCP port that nothing uses and that this process was not given before."""
    picker = random.SystemRandom()
    for _ in range(1_000):
        port = picker.choice(_PORTS)
        if port in _given_ports:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            _given_ports.add(port)
            return port
    raise StackError(f"no free port between {_PORTS.start} and {_PORTS.stop}")


def temporary_directory(name: str) -> Path:
    """Make a directory that goes when this process ends, however it ends."""
    path = Path(tempfile.mkdtemp(prefix=f"otel-feedback-{name}-"))
    reaper.watch_directory(path)
    return path


class ChildProcess:
    """A service as a child process; it can be started again after `kill` or `stop`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        directory: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Describe the process; nothing runs yet.

        Args:
            name: for messages and for the name of the log file.
            command: program and arguments.
            directory: working directory, and where the log is kept.
            environment: added to this process's environment, less its OTEL_, KAFKA_ and the like.
        """
        self.name = name
        self._command = list(command)
        self._directory = directory
        self._environment = dict(environment or {})
        self._log_path = directory / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        state = "running" if self.is_running() else "not running"
        return f"<ChildProcess {self.name} {state}>"

    def start(self) -> None:
        """Start the process; the log of an earlier run is continued."""
        if self.is_running():
            raise StackError(f"{self.name} is running already")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(_FOREIGN_PREFIXES)}
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                env={**inherited, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        reaper.watch_group(self._process.pid)

    @property
    def pid(self) -> int | None:
        """The id of the running process."""
        return self._process.pid if self._process is not None and self.is_running() else None

    @property
    def returncode(self) -> int | None:
        """The exit code, once the process has ended."""
        return self._process.poll() if self._process is not None else None

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def pause(self) -> None:
        """Make the process hang: it keeps its connections and answers nothing."""
        self._signal(signal.SIGSTOP)
        # The signal is on its way only: on a busy machine some threads go on for a while, and
        # answer half of what a test asks. After a deadline the process counts as paused: one that
        # waits for a child of its own, stopped in the middle of vfork, hangs without being stopped.
        deadline = time.monotonic() + _PAUSE_TIMEOUT_S
        while self.is_running() and not self._is_stopped() and time.monotonic() < deadline:
            time.sleep(0.001)

    def resume(self) -> None:
        """Let a paused process go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the process at once, as a crash does, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        self._wait_for_end(10.0)

    def stop(self, timeout_s: float = 15.0) -> None:
        """End the process in good order, or by force after `timeout_s` seconds."""
        if self._process is None:
            return
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a paused process could not act on the first one
        if not self._wait_for_end(timeout_s):
            self.kill()

    def output(self) -> str:
        """Return what the process has written to stdout and stderr so far."""
        return self._log_path.read_text("utf-8", "replace") if self._log_path.exists() else ""

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.is_running():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _is_stopped(self) -> bool:
        # macOS has no waitid before Python 3.13; there the signal has to do.
        if self._process is None or not hasattr(os, "waitid"):
            return True
        options = os.WSTOPPED | os.WNOWAIT | os.WNOHANG
        try:
            return os.waitid(os.P_PID, self._process.pid, options) is not None
        except ChildProcessError:  # it has ended instead
            return True

    def _wait_for_end(self, timeout_s: float) -> bool:
        if self._process is None:
            return True
        try:
            self._process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return False
        reaper.forget_group(self._process.pid)
        return True


def tail(text: str, lines: int = LOG_TAIL_LINES) -> str:
    """Return the last lines of a log."""
    return "\n".join(text.splitlines()[-lines:])


def wait_ready(service: Runnable, is_ready: Callable[[], bool], *, timeout_s: float, poll_s: float = 0.05) -> None:
    """Return once `is_ready()` is true.

    Raises:
        NotReadyError: when the service has ended or the deadline has passed; the last lines of its log
            are in the message.
    """
    patience = Patience(timeout_s)
    while not is_ready():
        if not service.is_running():
            what = "ended instead of getting ready"
        elif patience.is_over:
            what = f"was not ready after {timeout_s:g} s"
        else:
            time.sleep(poll_s)
            continue
        raise NotReadyError(f"{service.name} {what}; its last lines:\n{tail(service.output())}")
