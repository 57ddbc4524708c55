"""uWSGI, whose master loads the application and forks in C, without a word to Python: each worker has all of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from otel_feedback.journal.folder import folders
from tests.beside.running import PROGRAMS, run, surroundings
from tests.integration.test_kafka import new_topic
from tests.logs import lines_in
from tests.senders import is_sending, senders
from tests.stack.kafka import KafkaBroker
from tests.stack.kafka_clients import read_to_end
from tests.stack.processes import free_port
from tests.stack.waiting import wait_until

REQUESTS = 200


class Server:
    """uWSGI with two workers. `who` has what each worker answered: its producer, and the kind of its journal."""

    def __init__(self, address: str, process: subprocess.Popen[bytes]) -> None:
        self.address = address
        self.process = process
        self.who: dict[int, set[tuple[str, str]]] = {}

    def ask(self, _number: int = 0) -> None:
        with urllib.request.urlopen(f"http://{self.address}/", timeout=60) as answer:
            pid, producer, kind = answer.read().decode().split()
        self.who.setdefault(int(pid), set()).add((producer, kind))

    def answers(self) -> bool:
        try:
            self.ask()
        except OSError:
            return False
        return True

    def ask_all(self) -> None:
        """Ask until both workers have answered, and at least so many times in all."""
        with ThreadPoolExecutor(4) as threads:
            wait_until(
                lambda: bool(list(threads.map(self.ask, range(REQUESTS)))) and len(self.who) == 2,
                timeout_s=100, what="both workers to answer",
            )  # fmt: skip


@contextmanager
def uwsgi(processes: Path, log: Path, *options: str, **more: str) -> Generator[Server]:
    address = f"127.0.0.1:{free_port()}"
    command = [
        processes / "uwsgi", "--http", address, "--master", "--processes", "2", "--enable-threads", "--die-on-term",
        "--virtualenv", processes.parent, "--pythonpath", PROGRAMS, "--module", "uwsgi_app:application", *options,
    ]  # fmt: skip
    variables = surroundings(log, OTEL_SERVICE_NAME="agents", PYTHONDONTWRITEBYTECODE="1", **more)
    with subprocess.Popen(command, env=variables, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        server = Server(address, process)
        try:
            wait_until(server.answers, timeout_s=60, what="uWSGI to answer")
            yield server
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def count(log: Path, action_type: str) -> int:
    """Count the events of a type, each of which must be there once."""
    ids = [event["event_id"] for event in lines_in(log) if event["action_type"] == action_type]
    assert len(ids) == len(set(ids))
    return len(ids)


@pytest.mark.parametrize(
    "options", [(), ("--py-call-osafterfork",), ("--py-call-uwsgi-fork-hooks",), ("--lazy-apps",)], ids=" ".join
)
@pytest.mark.parametrize("at_load", [0, 3])
def test_workers_have_journals_of_their_own_and_deliver(
    at_load: int, options: tuple[str, ...], processes: Path, log: Path, tmp_path: Path
) -> None:
    """Also where the master has acted before: its events go out with a worker."""
    with uwsgi(processes, log, *options, ACTIONS_AT_LOAD=str(at_load)) as server:
        server.ask_all()
        answers = [answer for of_worker in server.who.values() for answer in of_worker]
        assert len(answers) == 2, "two workers, two producers"
        assert {kind for _, kind in answers} == {"disk"}
        loads = at_load * (2 if "--lazy-apps" in options else 1)
        wait_until(
            lambda: count(log, "request") >= REQUESTS and count(log, "load") == loads,
            timeout_s=60, what="all events, uWSGI being up",
        )  # fmt: skip
        server.process.terminate()
        assert server.process.wait() == 0
    assert folders(tmp_path / "state" / "otel-feedback" / "agents") == []


def test_a_mule_delivers_while_it_lives(processes: Path, log: Path) -> None:
    """It is forked as a worker is, and has no number of a worker's, as the master."""
    with uwsgi(processes, log, f"--mule={PROGRAMS / 'uwsgi_mule.py'}", ACTIONS_AT_LOAD="3"):
        wait_until(
            lambda: count(log, "mule") == 1 and count(log, "load") == 3, timeout_s=60, what="all events, uWSGI being up"
        )


@pytest.mark.brief
def test_of_workers_that_are_killed_nothing_is_lost(processes: Path, log: Path) -> None:
    """Their destination is away, so all is in their journals, whose owners' locks end with them."""
    log.mkdir()
    with uwsgi(processes, log, ACTIONS_AT_LOAD="3") as server:
        server.ask_all()
    log.rmdir()
    program = "import otel_feedback, time; p = otel_feedback.configure(); time.sleep(2); p.shutdown(30)"
    ran = run(processes, ["-c", program], log, hook=False, OTEL_SERVICE_NAME="agents")
    assert ran.code == 0, ran.err
    assert count(log, "load") == 3
    assert count(log, "request") >= REQUESTS
    assert {event["metadata"]["pid"] for event in ran.of_type("request")} == set(server.who)
    assert {event["status"] for event in ran.events} == {"success"}


def test_each_worker_has_a_process_that_sends(
    processes: Path, log: Path, tmp_path: Path, kafka_broker: KafkaBroker
) -> None:
    """It is a Python, not uWSGI once more; it ends with its worker, also with one that is killed and forked anew."""
    topic = new_topic(kafka_broker, partitions=3)
    kafka = {
        "KAFKA_SENDER": "process", "KAFKA_BOOTSTRAP_SERVERS": kafka_broker.bootstrap_servers, "KAFKA_OUTCOME_TOPIC": topic,
    }  # fmt: skip
    with uwsgi(processes, log, ACTIONS_AT_LOAD="3", **kafka) as server:
        server.ask_all()
        first = {worker: the_sender_of(worker) for worker in server.who}
        killed, kept = sorted(first)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: not is_sending(first[killed]), timeout_s=20, what="its sender to end, too")
        server.who.clear()
        server.ask_all()
        assert kept in server.who
        assert the_sender_of(kept) == first[kept]
        second = [the_sender_of(worker) for worker in server.who]
        server.process.terminate()
        assert server.process.wait() == 0
        wait_until(lambda: not any(map(is_sending, second)), timeout_s=20, what="the senders to end")
    expected = {(event["event_id"], event["action_type"]) for event in lines_in(log)}
    assert len(expected) >= 2 * REQUESTS
    arrived = [json.loads(one.value or b"") for one in read_to_end(kafka_broker.bootstrap_servers, topic)]
    assert expected <= {(event["event_id"], event["action_type"]) for event in arrived}
    assert folders(tmp_path / "state" / "otel-feedback" / "agents") == []


def the_sender_of(worker: int) -> int:
    (found,) = senders(worker)
    return found
