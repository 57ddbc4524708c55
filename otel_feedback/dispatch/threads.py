"""Daemon threads for calls that may block: as many as are needed at a time, used again while they are warm.

    run_in_thread(job) ──► an idle thread, else a new one ──► job() ──► idle again ──► tell()

No pool of a fixed size: an agent that hangs keeps its own thread and no other's, and a daemon does not keep the program
from ending. A new thread for each call would cost 100 µs, an idle one costs 20. A forked child begins with none.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import ClassVar

from otel_feedback.sdk.forks import call_in_child

__all__ = ["IDLE_S", "THREAD_NAME", "Idle", "run_in_thread"]

THREAD_NAME = "otel-feedback-agent"

IDLE_S = 10.0
"""How long a thread waits for something to do before it ends."""

Job = Callable[[], Callable[[], None]]
"""Does the work and returns what tells of it, which must not block; neither may raise."""


class Idle:
    """The threads that wait for something to do."""

    # what goes into one is its thread's next job. Changed by single operations of the list, which nothing interrupts:
    # a lock would be one that a signal handler waits for in vain
    threads: ClassVar[list[queue.SimpleQueue[Job]]] = []


def _begin_anew() -> None:
    Idle.threads = []


call_in_child(_begin_anew)


def run_in_thread(job: Job) -> None:
    """Run a job beside the caller; return at once.

    Raises:
        RuntimeError: The system gives no more threads.
    """
    try:
        jobs = Idle.threads.pop()  # the one that was busy last has the warmest caches
    except IndexError:
        jobs = queue.SimpleQueue()
        threading.Thread(target=_work, args=(jobs,), name=THREAD_NAME, daemon=True).start()
    jobs.put(job)


def _work(jobs: queue.SimpleQueue[Job]) -> None:
    while True:
        try:
            job = jobs.get(timeout=IDLE_S)
        except queue.Empty:
            try:
                Idle.threads.remove(jobs)
            except ValueError:
                continue  # somebody took it just now: a job is on its way
            return
        tell = job()
        del job
        Idle.threads.append(jobs)  # first, so that who is told finds a thread for the next job
        tell()
        del tell
