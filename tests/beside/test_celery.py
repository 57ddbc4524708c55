"""Celery's workers: children that end after each task, and a warm shutdown, lose nothing and send nothing twice."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_feedback.journal.folder import folders
from tests.beside.running import PROGRAMS, surroundings
from tests.logs import lines_in
from tests.stack.waiting import wait_until

SEND = """
from celery_app import work
for number in range({count}): work.delay(number)
"""


@contextmanager
def worker(processes: Path, log: Path, tasks_per_child: int) -> Generator[subprocess.Popen[str]]:
    """Run a worker with two children until the block is left, which takes its children with it."""
    with subprocess.Popen(
        [processes / "python", "-m", "celery", "-A", "celery_app", "worker", "-c", "2", "-l", "WARNING"],
        env=variables(log, tasks_per_child), cwd=PROGRAMS, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def variables(log: Path, tasks_per_child: int) -> dict[str, str]:
    return surroundings(
        log, TASKS_PER_CHILD=str(tasks_per_child), OTEL_SERVICE_NAME="agents",
        OTEL_FEEDBACK_JOURNAL_RESCAN_INTERVAL="3600", PYTHONDONTWRITEBYTECODE="1",
    )  # fmt: skip


def send(processes: Path, log: Path, count: int) -> None:
    subprocess.run(
        [processes / "python", "-c", SEND.format(count=count)], env=variables(log, 1), cwd=PROGRAMS, check=True
    )


def assert_each_once(log: Path, count: int, said: str) -> None:
    assert sorted(event["metadata"]["number"] for event in lines_in(log)) == list(range(count))
    assert "undelivered" not in said
    assert "not delivered" not in said


def test_children_that_end_after_each_task_deliver_while_the_load_lasts(
    processes: Path, log: Path, tmp_path: Path
) -> None:
    """What one leaves goes out with another that has its turn; none says so, and no event goes twice."""
    count = 24
    send(processes, log, count)
    with worker(processes, log, tasks_per_child=1) as process:
        wait_until(lambda: not list((tmp_path / "broker").glob("*.msg")), timeout_s=100, what="all tasks to be taken")
        assert len(lines_in(log)) >= count / 2, "they arrive while others begin"
        wait_until(lambda: len(lines_in(log)) >= count, timeout_s=60, what="all to arrive, the worker being idle")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate()
    assert_each_once(log, count, said)


@pytest.mark.parametrize("tasks_per_child", [pytest.param(1, marks=pytest.mark.brief), 1_000])
def test_a_warm_shutdown_sends_nothing_twice(tasks_per_child: int, processes: Path, log: Path, tmp_path: Path) -> None:
    """The children end without exit handlers, right after their last tasks."""
    count = 8
    send(processes, log, count)
    with worker(processes, log, tasks_per_child) as process:
        wait_until(lambda: not list((tmp_path / "broker").glob("*.msg")), timeout_s=100, what="all tasks to be taken")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate()
    assert process.returncode == 0
    assert_each_once(log, count, said)
    assert folders(tmp_path / "state" / "otel-feedback" / "agents") == []
