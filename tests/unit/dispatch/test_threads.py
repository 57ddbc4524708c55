"""The threads of agents that are not async: one to each call, used again, and none left for long."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import pytest

from otel_feedback.dispatch import threads
from otel_feedback.dispatch.threads import THREAD_NAME, run_in_thread
from tests.stack.waiting import wait_until
from tests.support import run_python


@pytest.fixture(autouse=True)
def none_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of other tests end by themselves."""
    monkeypatch.setattr("otel_feedback.dispatch.threads.Idle.threads", [])


class Jobs:
    """Jobs that note in which thread they ran, and wait to be let go."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.told = 0

    def start(self, go: threading.Event | None = None) -> None:
        def tell() -> None:
            self.told += 1

        def job() -> Callable[[], None]:
            self.threads.append(threading.current_thread())
            if go is not None:
                go.wait(30)
            return tell

        run_in_thread(job)

    def wait_for(self, count: int) -> None:
        wait_until(lambda: self.told == count, timeout_s=10, what=f"{count} jobs to be done")


def test_a_thread_is_used_again() -> None:
    jobs, before = Jobs(), set(threading.enumerate())  # one that another test left behind may become idle meanwhile
    for count in range(1, 6):
        jobs.start()
        jobs.wait_for(count)
    assert len(set(jobs.threads) - before) <= 1
    assert len(set(jobs.threads)) < 5
    assert (jobs.threads[0].name, jobs.threads[0].daemon) == (THREAD_NAME, True)


def test_one_that_hangs_keeps_its_own_and_no_others() -> None:
    jobs, go = Jobs(), threading.Event()
    for _ in range(40):  # more than any pool by default
        jobs.start(go)
    jobs.start()
    jobs.wait_for(1)
    go.set()
    jobs.wait_for(41)
    assert len(set(jobs.threads)) == 41


def test_who_is_told_finds_an_idle_thread() -> None:
    """Else one call after the other would need two threads."""
    seen: list[int] = []

    def tell() -> None:
        seen.append(len(threads.Idle.threads))

    run_in_thread(lambda: tell)
    wait_until(lambda: bool(seen), timeout_s=10, what="the end of the job")
    assert seen == [1]


def test_an_idle_thread_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "IDLE_S", 0.01)
    jobs = Jobs()
    jobs.start()
    jobs.wait_for(1)
    wait_until(lambda: not jobs.threads[0].is_alive(), timeout_s=10, what="the idle thread to end")
    assert threads.Idle.threads == []
    jobs.start()
    jobs.wait_for(2)
    assert len(set(jobs.threads)) == 2


def test_no_job_is_lost_to_a_thread_that_is_about_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "IDLE_S", 0.001)
    jobs = Jobs()
    for count in range(300):
        jobs.start()
        time.sleep(0.0008 + 0.0004 * (count % 2))
    jobs.wait_for(300)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_forked_child_begins_with_none() -> None:
    done = run_python(
        """
        import os, threading, time, warnings
        from otel_feedback.dispatch.threads import Idle, run_in_thread
        warnings.simplefilter("ignore", DeprecationWarning)
        done = threading.Event()
        run_in_thread(lambda: done.set)
        done.wait()
        pid = os.fork()
        if pid == 0:
            again = threading.Event()
            run_in_thread(lambda: again.set)
            os._exit(0 if again.wait(10) else 9)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """
    )
    assert done.stdout.strip() == "0", done.stderr
