"""A real server in a process of its own: started, asked, and ended by the signal that a container gets."""

from __future__ import annotations

import http.client
import signal
import subprocess
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.beside.running import PROGRAMS
from tests.stack.processes import LOOPBACK, free_port
from tests.stack.waiting import wait_until
from tests.support import ROOT

__all__ = ["ENDS_WITHIN_S", "Server", "serving"]

ENDS_WITHIN_S = 60.0
"""How long anything may take on a busy machine."""


class Server:
    """A server that answers."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self._port = port

    def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Return status and body."""
        with self.answer(path, method) as answer:
            return answer.status, answer.read().decode()

    @contextmanager
    def answer(self, path: str, method: str = "GET") -> Generator[http.client.HTTPResponse]:
        """Give the answer, whose body is not read yet; who leaves without reading it leaves the server."""
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=ENDS_WITHIN_S)
        try:
            connection.request(method, path)
            yield connection.getresponse()
        finally:
            connection.close()

    def lines(self, answer: http.client.HTTPResponse) -> Iterator[str]:
        """Yield the lines of the body as they come."""
        while line := answer.readline():
            yield line.decode().rstrip("\n")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal, wait for the end, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(ENDS_WITHIN_S)


@contextmanager
def serving(command: list[str], variables: Mapping[str, str], folder: Path, *, alive: str = "/") -> Generator[Server]:
    """Run a command in which `PORT` stands for a free port, and give the server once it answers.

    Args:
        alive: What is asked for until it answers.
    """
    port = free_port()
    environment = {**variables, "PYTHONPATH": f"{PROGRAMS}:{ROOT}"}
    words = [word.replace("PORT", str(port)) for word in command]
    with (
        (folder / "server.txt").open("wb") as output,
        subprocess.Popen(words, env=environment, cwd=folder, stdout=output, stderr=output) as process,
    ):
        server = Server(process, port)

        def answers() -> bool:
            assert process.poll() is None, (folder / "server.txt").read_text("utf-8")
            try:
                return server.ask(alive)[0] < 500
            except (OSError, http.client.HTTPException):
                return False

        try:
            wait_until(answers, timeout_s=ENDS_WITHIN_S, what="the server to answer")
            yield server
        finally:
            if process.poll() is None:
                process.kill()
