"""Processes that are measured, and how one talks to them: one JSON object a line, each way.

    Child(module, arguments) ──► python -m module '{…}' ──► serve(answer)
         send() / receive()       stdin  ──► request           one answer for each request;
                                  stdout ◄── answer            stderr is the terminal's

The parent is idle while a child is measured. A child ends when its stdin does, and is killed when it hangs. Its journal
is in a temporary directory, by the environment, so that no subject can forget it and meet the journals of the user.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from typing_extensions import Self

from tests.stack.processes import temporary_directory

__all__ = [
    "BenchmarkError",
    "Child",
    "Measured",
    "arguments",
    "environment",
    "journal_directory",
    "serve",
    "serve_subject",
]

ANSWER_TIMEOUT_S = 600.0
"""A million events take a minute, and on a busy machine more."""


class BenchmarkError(Exception):
    """A measurement could not be made, or what it measured was not what it was to measure."""


@contextlib.contextmanager
def journal_directory() -> Generator[Path, None, None]:
    """Make a directory for journals; it goes at the end, or with this process, however that ends."""
    made = temporary_directory("benchmark-journal")
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def environment(journal_dir: Path, **variables: str) -> dict[str, str]:
    """Return this process's environment without any setting of what is measured, and with these variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "KAFKA_", "ENABLE_"))}
    return {**kept, "OTEL_FEEDBACK_JOURNAL_DIR": str(journal_dir), **variables}


class Child:
    """A subject in a process of its own; a context manager that ends it."""

    def __init__(
        self,
        module: str,
        given: Mapping[str, Any],
        journal_dir: Path | None = None,
        *,
        python: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Start it.

        Args:
            module: What `python -m` runs; it calls `serve`.
            given: What it finds in `arguments()`.
            journal_dir: Where its journal is; default: a directory of its own, which goes when it ends.
            python: The interpreter; default: this one.
            variables: Of the environment, over what it has.
        """
        self._name = f"{module} {given.get('subject', '')}".strip()
        self._cleanup = contextlib.ExitStack()
        self._process = subprocess.Popen(
            [str(python or sys.executable), "-m", module, json.dumps(given)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(journal_dir or self._cleanup.enter_context(journal_directory()), **(variables or {})),
            text=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and return its answer."""
        self.send(**request)
        return self.receive()

    def send(self, **request: Any) -> None:
        """Send a request; `receive` waits for the answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError as exc:
            raise BenchmarkError(self._obituary()) from exc

    def receive(self) -> dict[str, Any]:
        """Return the next answer.

        Raises:
            BenchmarkError: The child has ended, or does not answer.
        """
        assert self._process.stdout is not None
        watchdog = threading.Timer(ANSWER_TIMEOUT_S, self._process.kill)
        watchdog.start()
        try:
            line = self._process.stdout.readline()
        finally:
            watchdog.cancel()
        if not line:
            raise BenchmarkError(self._obituary())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def kill(self) -> None:
        """End it at once, as a crash does (SIGKILL)."""
        self._process.kill()
        self._process.communicate()

    def _obituary(self) -> str:
        code = self._process.wait(10)  # its pipes are closed, so it is about to end
        return f"{self._name} ended with code {code} (negative: killed, after {ANSWER_TIMEOUT_S:g} s at the latest)"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._cleanup:
            try:
                self._process.communicate(timeout=0 if kind else 30)
            except subprocess.TimeoutExpired:
                self.kill()


def arguments() -> dict[str, Any]:
    """In a child: what it was given."""
    given: dict[str, Any] = json.loads(sys.argv[1])
    return given


def serve(answer: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """In a child: answer requests until there are no more."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()


class Measured(Protocol):
    """A subject whose one answer is a figure."""

    def measure(self, *arguments: Any, **request: Any) -> float:
        """Do what is asked for and return the figure."""
        ...

    def close(self) -> None:
        """Give up what is pending."""
        ...


def serve_subject(subject: Measured, figure: str) -> None:
    """In a child: let a subject answer, under this name, until there are no more requests."""
    with contextlib.closing(subject):
        serve(lambda request: {figure: subject.measure(**request)})
