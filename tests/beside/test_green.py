"""gevent and eventlet: events arrive as without them, also where the process is patched after `configure()`."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from tests.beside.running import PROGRAMS, run, surroundings
from tests.logs import lines_in
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.processes import free_port
from tests.stack.waiting import wait_until

LIBRARIES = ("gevent", "eventlet")
PATCHED_LATE = "Patch first: monkey.patch_all() or eventlet.monkey_patch()"


@pytest.mark.parametrize("order", ["first", pytest.param("last", marks=pytest.mark.brief)])
@pytest.mark.parametrize("library", LIBRARIES)
def test_events_arrive_whether_it_is_patched_before_configure_or_after(
    library: str, order: str, processes: Path, log: Path, kafka_broker: KafkaBroker
) -> None:
    topic = f"green-{library}-{order}"
    kafka_broker.create_topic(topic)
    ran = run(
        processes, ["-W", "ignore", str(PROGRAMS / "green.py"), library, order], log, hook=False,
        KAFKA_BOOTSTRAP_SERVERS=kafka_broker.bootstrap_servers, KAFKA_OUTCOME_TOPIC=topic, ENABLE_OUTCOME_LOGGING="true",
    )  # fmt: skip
    assert (ran.code, ran.out) == (0, "pending 0\n"), ran.err
    assert PATCHED_LATE not in ran.err
    assert Counter(event["metadata"]["number"] for event in lines_in(log)) == Counter(range(100))
    records = kafka_clients.read_to_end(kafka_broker.bootstrap_servers, topic, timeout_s=60)
    assert {json.loads(record.value or b"")["metadata"]["number"] for record in records} == set(range(100))


@pytest.mark.parametrize("library", LIBRARIES)
def test_patching_after_the_first_action_is_said_once_and_hangs_nothing(
    library: str, processes: Path, log: Path
) -> None:
    ran = run(processes, ["-W", "ignore", str(PROGRAMS / "green.py"), library, "late"], log, hook=False)
    assert ran.code == 0, ran.err
    assert ran.err.count(PATCHED_LATE) == 1, ran.err
    assert len(lines_in(log)) == 101


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("kafka_client='confluent'", "KAFKA_CLIENT='confluent': expected kafka-python"),
        ("kafka_sender='process'", "KAFKA_SENDER='process': expected thread"),
    ],
)
def test_what_would_hold_up_all_greenlets_is_refused(
    library: str, setting: str, said: str, processes: Path, log: Path
) -> None:
    patch = {
        "gevent": "from gevent import monkey; monkey.patch_all()",
        "eventlet": "import eventlet; eventlet.monkey_patch()",
    }
    program = f"{patch[library]}\nimport otel_feedback as feedback\nfeedback.configure({setting})"
    ran = run(
        processes, ["-W", "ignore", "-c", program], log, hook=False, KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}"
    )
    assert ran.code == 1
    assert f"{said}, since gevent or eventlet has patched" in ran.err


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_a_dead_process_left_is_taken_over_when_the_process_is_patched(
    library: str, processes: Path, log: Path
) -> None:
    """`configure()` finds it, and does not begin at once with threads that the patch would come too late for."""
    leaves = (
        "import os, otel_feedback as feedback\nfeedback.configure()\nwith feedback.action('left'): pass\nos._exit(0)"
    )
    log.mkdir()
    subprocess.run([processes / "python", "-c", leaves], env=surroundings(log), stderr=subprocess.DEVNULL, check=True)
    log.rmdir()
    ran = run(processes, ["-W", "ignore", str(PROGRAMS / "green.py"), library, "last"], log, hook=False)
    assert (ran.code, ran.out) == (0, "pending 0\n"), ran.err
    assert PATCHED_LATE not in ran.err
    assert len(lines_in(log)) == 101
    assert len(ran.of_type("left")) == 1


@pytest.mark.parametrize("at_load", ["", "yes"], ids=["", "acts-at-load"])
def test_gunicorn_with_preload_patches_its_workers_after_the_fork(at_load: str, processes: Path, log: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    command = [
        processes / "python", "-m", "gunicorn", "-k", "gevent", "--preload", "--workers", "2", "--bind", address,
        "--chdir", PROGRAMS, "green_app:application",
    ]  # fmt: skip
    asked = 0

    def ask() -> bool:
        nonlocal asked
        try:
            with urllib.request.urlopen(f"http://{address}/", timeout=30):
                asked += 1
        except OSError:
            return False
        return True

    variables = surroundings(log, ACTS_AT_LOAD=at_load, PYTHONDONTWRITEBYTECODE="1")
    with subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(ask, timeout_s=60, what="gunicorn to answer")
            assert all(ask() for _ in range(60))
            expected = {"request": asked, **({"load": 1} if at_load else {})}
            wait_until(
                lambda: Counter(event["action_type"] for event in lines_in(log)) == expected, timeout_s=60,
                what="all events, gunicorn being up",
            )  # fmt: skip
            process.terminate()
            _, said = process.communicate()
        finally:
            process.kill()
    assert process.returncode == 0
    assert PATCHED_LATE not in said
    assert "Traceback" not in said
