"""The recipes of docs/deployment.md on the real servers: SIGTERM lets what is under way end, and its events are delivered."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path

import pytest

import otel_feedback as feedback
from tests.beside.running import surroundings
from tests.beside.serving import ENDS_WITHIN_S, serving
from tests.examples.blocks import blocks
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.waiting import wait_until
from tests.support import ROOT, run_cli

LONG_MS = "60000"
"""How long events wait for company: who dies before has not delivered them."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the programs of the page."""
    for block in blocks(ROOT / "docs" / "deployment.md", "python"):
        if block.mark.startswith("servers: "):
            (tmp_path / block.mark.removeprefix("servers: ")).write_text(block.text, "utf-8")
    return tmp_path


@pytest.fixture
def variables(kafka_broker: KafkaBroker, folder: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    topic = f"sigterm-{abs(hash(request.node.nodeid))}"
    kafka_broker.create_topic(topic, partitions=1)
    return surroundings(
        folder / "outcomes.jsonl",
        ENABLE_OUTCOME_LOGGING="false",
        KAFKA_BOOTSTRAP_SERVERS=kafka_broker.bootstrap_servers,
        KAFKA_OUTCOME_TOPIC=topic,
        KAFKA_LINGER_MS=LONG_MS,
        OTEL_FEEDBACK_SHUTDOWN_TIMEOUT="30",
        OTEL_FEEDBACK_JOURNAL_DIR=str(folder / "journal"),
        BROKER_URL=f"sqla+sqlite:///{folder / 'broker.db'}",
    )


def delivered(variables: dict[str, str], count: int) -> list[str]:
    records = kafka_clients.read_topic(variables["KAFKA_BOOTSTRAP_SERVERS"], variables["KAFKA_OUTCOME_TOPIC"], count)
    return [feedback.OutcomeEvent.from_json(record.value or b"").status.value for record in records]


def journals(folder: Path) -> list[str]:
    """Return the journals that are left: a process that has delivered everything removes its own."""
    return [path.name for path in (folder / "journal").glob("*") if (path / "lock").exists()]


def open_actions(folder: Path) -> int:
    """Return how many actions are noted in the journals to have begun and not to have ended."""
    if not journals(folder):
        return 0
    told = run_cli("journal", "inspect", str(folder / "journal"), "--json")
    found = json.loads(told.stdout)
    return sum(one["open_actions"] for service in found.get("services", ()) for one in service["journals"])


SERVERS = {
    "uvicorn": "-m uvicorn --port PORT app:app",
    "uvicorn with workers": "-m uvicorn --port PORT --workers 2 app:app",
    "gunicorn sync": "-m gunicorn --bind 127.0.0.1:PORT --workers 2 wsgi:app",
    "gunicorn threads": "-m gunicorn --bind 127.0.0.1:PORT --workers 2 --threads 2 wsgi:app",
    "gunicorn preload": "-m gunicorn --bind 127.0.0.1:PORT --workers 2 --preload wsgi:app",
    "gunicorn with uvicorn's workers": "-m gunicorn --bind 127.0.0.1:PORT --workers 2 -k uvicorn_worker.UvicornWorker app:app",
}


@pytest.mark.parametrize("command", SERVERS.values(), ids=SERVERS)
def test_a_request_under_way_ends_and_all_is_delivered(
    command: str, servers: Path, folder: Path, variables: dict[str, str]
) -> None:
    answers: list[tuple[int, str]] = []
    with serving([str(servers / "python"), *command.split()], variables, folder) as server:
        asking = threading.Thread(target=lambda: answers.append(server.ask("/?seconds=1.5")))
        asking.start()
        wait_until(lambda: open_actions(folder) == 1, timeout_s=ENDS_WITHIN_S, what="the request to be under way")
        server.end()
        asking.join()
    assert answers == [(200, "done")]
    assert journals(folder) == []
    assert set(delivered(variables, 2)) == {"success"}


@pytest.mark.parametrize("pool", ["prefork", pytest.param("threads", marks=pytest.mark.brief)])
def test_a_task_under_way_ends_and_all_is_delivered(
    pool: str, servers: Path, folder: Path, variables: dict[str, str]
) -> None:
    python = [str(servers / "python"), "-m", "celery", "-A", "tasks"]
    send = [*python, "call", "tasks.work", "--args", "[1.5]"]
    # `call` wants no answer, but configures the process as every user of the module does
    subprocess.run(send, env=variables, cwd=folder, check=True, capture_output=True)
    with (
        (folder / "celery.txt").open("wb") as output,
        subprocess.Popen(
            [*python, "worker", "--pool", pool, "--concurrency", "2"],
            env=variables,
            cwd=folder,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            wait_until(lambda: open_actions(folder) == 1, timeout_s=ENDS_WITHIN_S, what="the task to be under way")
            process.terminate()
            process.wait(ENDS_WITHIN_S)
        finally:
            process.kill()
    assert journals(folder) == []
    assert delivered(variables, 1) == ["success"]
