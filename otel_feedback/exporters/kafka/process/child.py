"""The sender's process as its parent has it: started, spoken to, and ended. Used on the worker's thread.

It is a new interpreter, not a fork, and ends with its parent: by the end of their socket. It has a session of its own and
ignores what a terminal or a service manager tells all processes, so that the parent can still deliver what is pending.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from otel_feedback.errors import ConfigError, ExportError
from otel_feedback.exporters.kafka.process.messages import (
    Begin,
    Channel,
    Close,
    Closed,
    FromSender,
    Message,
    encode,
)

__all__ = ["HUNG_S", "SenderProcess", "interpreter"]

HUNG_S = 10.0
"""How long a sender may say nothing when it is spoken to, before it is taken to hang, in seconds."""

END_S = 1.0
"""How long one that was killed may take to be gone."""

_CODE = (
    "import sys; sys.path[:] = sys.argv[3:]; "
    "from otel_feedback.exporters.kafka.process.sender import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)
"""With `-I`: what the environment has a Python do at its start, as `opentelemetry-instrument` has, is not for this one."""


def interpreter() -> str:
    """Return the Python to run.

    Raises:
        ConfigError: There is none: this process is another program that runs Python.
    """
    here = sys.executable or ""
    if Path(here).name.lower().startswith(("python", "pypy")):
        return here
    found = Path(sys.prefix) / "bin" / "python3"  # uWSGI says that it is the interpreter itself
    if not found.is_file():
        raise ConfigError("KAFKA_SENDER", "process", f"thread, since there is no Python to start at {found}")
    return str(found)


class SenderProcess:
    """A sender that was started.

    Args:
        begin: What it is told first.
        hung_s: How long it may say nothing.

    Raises:
        ExportError: It cannot be started now; retryable.
    """

    def __init__(self, begin: Begin, hung_s: float) -> None:
        self._hung_s = hung_s
        self._pid = os.getpid()
        self.heard_s = time.monotonic()
        """When it said something last, by the monotonic clock."""
        try:
            ours, theirs = socket.socketpair()
        except OSError as exc:
            raise _cannot_start(exc) from exc
        try:
            with theirs:
                self._channel = Channel(ours, FromSender)
                command = [interpreter(), "-I", "-c", _CODE, str(theirs.fileno()), str(self._pid), *sys.path]
                self._process = subprocess.Popen(  # noqa: S603 # this interpreter, and nothing of anybody's
                    command,
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                )
        except (OSError, ConfigError) as exc:
            ours.close()
            raise _cannot_start(exc) from exc
        atexit.register(self.kill)
        try:
            self.send(encode(begin))
        except ExportError:
            self.kill()
            raise

    def send(self, data: bytearray) -> None:
        """Send messages.

        Raises:
            ExportError: It is gone, or does not listen; retryable.
        """
        end = self._channel.socket
        try:
            end.settimeout(self._hung_s)
            end.sendall(data)
        except TimeoutError as exc:
            raise self._hangs() from exc
        except OSError as exc:
            raise self._is_gone() from exc

    def receive(self, wait_s: float = 0.0) -> list[Message]:
        """Return what it has said, and wait for it so long if that is nothing.

        Raises:
            ExportError: It is gone; retryable.
        """
        end = self._channel.socket
        try:
            end.settimeout(wait_s)
            messages = self._channel.receive()
        except (BlockingIOError, TimeoutError):
            return []
        except (OSError, EOFError) as exc:
            raise self._is_gone() from exc
        self.heard_s = time.monotonic()
        return messages

    def require_life(self, since_s: float) -> None:
        """Raise ExportError where it was spoken to then, by the monotonic clock, and has said nothing for too long."""
        if time.monotonic() - max(since_s, self.heard_s) > self._hung_s:
            raise self._hangs()

    def close(self, timeout_s: float) -> None:
        """Let it close its connection and end, within so many seconds; else kill it."""
        until_s = time.monotonic() + timeout_s
        with contextlib.suppress(ExportError):
            if timeout_s > 0:
                self.send(encode(Close(timeout_s)))
            while (left_s := until_s - time.monotonic()) > 0:
                if any(isinstance(message, Closed) for message in self.receive(left_s)):
                    break
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, until_s - time.monotonic()))
        self.kill()

    def kill(self) -> None:
        """End it at once; not where this is a fork of its parent."""
        if os.getpid() != self._pid:
            return
        atexit.unregister(self.kill)
        with contextlib.suppress(OSError):
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        self._channel.socket.close()

    def interrupt(self) -> None:
        """Have it end at once, from any thread: who waits for what it says hears that it is gone."""
        if os.getpid() == self._pid:
            with contextlib.suppress(OSError):
                self._process.kill()

    def leave(self) -> None:
        """In a forked child: let go of it, so that it sees its parent's end."""
        atexit.unregister(self.kill)
        self._channel.socket.close()

    def _hangs(self) -> ExportError:
        detail = f"the process that sends ({self._process.pid}) has not answered for {self._hung_s:g} s"
        return ExportError("unavailable", detail, retryable=True)

    def _is_gone(self) -> ExportError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)
        code = self._process.returncode
        how = "closed its socket" if code is None else f"ended with code {code}"
        return ExportError("unavailable", f"the process that sends ({self._process.pid}) {how}", retryable=True)


def _cannot_start(exc: Exception) -> ExportError:
    return ExportError("unavailable", f"the process that sends cannot be started: {exc}", retryable=True)
