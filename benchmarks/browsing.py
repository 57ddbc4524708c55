"""How long the page's answers take over a large store, and what it costs while 2,000 events a second come.

Method: stores of made-up records, and `otel-feedback ui` on each, a process of its own. What a browser asks for its first
picture is asked over HTTP in turns with the plain query on the same files (`stats` of the last day), which is the baseline. Then a writer
of its own adds 2,000 events a second while one browser looks; both processes' CPU is what the kernel says.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx

from benchmarks.children import BenchmarkError, Child, environment, journal_directory
from benchmarks.progress import say
from benchmarks.report import Goal, Result, row
from benchmarks.subjects.stored import fill
from otel_feedback.downstream.store.folder import StoreFolder
from otel_feedback.downstream.tables.stored import open_store

__all__ = ["measure"]

FIRST = ("state", "now", "feed?limit=100", "alerts")
FILTERS: Mapping[str, str] = {
    "agent": "now?agent=agent-3", "tenant and status": "now?tenant=tenant-7&status=failure&status=timeout",
    "tag": "now?tag=eu", "text": "now?text=429",
}  # fmt: skip
PLAIN = "a query on the files"
RATE = 2_000
WAIT_S = 300.0


def measure(*, is_quick: bool) -> Result:
    """Ask a page on a store of two days, one on a store of a month, and one that is written to."""
    turns, day, month, live_s = (1, 5_000, 20_000, 2.0) if is_quick else (7, 500_000, 10_000_000, 20.0)
    rows, details = list[Any](), dict[str, Any]()
    with journal_directory() as place:
        two, many = StoreFolder(Path(place) / "two"), StoreFolder(Path(place) / "many")
        say(f"browsing: {2 * day:,} records of two days")
        fill(two, 2 * day, timedelta(days=2))
        with _page(two, 2 * day) as page:
            asked: dict[str, Sequence[str]] = {
                "first picture": FIRST,
                **{f"filter: {name}": [path] for name, path in FILTERS.items()},
            }
            plain = [_timed(lambda: _plain(two, 1)) for _ in range(turns)]
            for name, paths in asked.items():
                took = [_timed(lambda paths=paths: page.ask(paths)) for _ in range(turns)]
                goal = Goal("ours", 1_000.0 if name == "first picture" else 500.0)
                rows.append(row("browsing", f"{day:,} a day: {name}", PLAIN, "ms", took, plain, goal))
            say(f"browsing: {RATE:,} events/s for {live_s:g} s")
            ours, writer = _live(page, two, live_s)
            rows.append(
                row(
                    "browsing",
                    f"{RATE:,} events/s live: CPU",
                    "the store's writer",
                    "%",
                    [ours],
                    [writer],
                    Goal("ours", 15.0),
                )
            )
        say(f"browsing: {month:,} records of 20 days")
        fill(many, month, timedelta(days=20))
        with _page(many, month) as page:
            plain = [_timed(lambda: _plain(many, 40)) for _ in range(turns)]
            for name, path in {"all": "now?since=30d", "all, one agent": "now?since=30d&agent=agent-3"}.items():
                took = [_timed(lambda path=path: page.ask([path])) for _ in range(turns)]
                rows.append(
                    row("browsing", f"{month:,} records: {name}", PLAIN, "ms", took, plain, Goal("ours", 3_000.0))
                )
            details["ready_s"] = page.ready_s
    return Result(rows, details)


class _Page:
    def __init__(self, process: subprocess.Popen[str], ready_s: float, address: str) -> None:
        self.process = process
        self.ready_s = ready_s
        self.address = address
        self._client = httpx.Client(base_url=f"{address}api/", timeout=WAIT_S)

    def ask(self, paths: Sequence[str]) -> None:
        for path in paths:
            answer = self._client.get(path)
            if answer.status_code != 200:
                raise BenchmarkError(f"{path}: {answer.text[:300]}")

    def state(self) -> Any:
        return self._client.get("state").json()

    def close(self) -> None:
        self._client.close()


@contextlib.contextmanager
def _page(folder: StoreFolder, rows: int) -> Generator[_Page, None, None]:
    began_s = time.monotonic()
    with journal_directory() as place:
        process = subprocess.Popen(
            [sys.executable, "-m", "otel_feedback", "ui", "--from", str(folder.path), "--port", "0", "--state", str(place)],
            stdout=subprocess.PIPE, text=True, env=environment(Path(place), PYTHONUNBUFFERED="1"),
        )  # fmt: skip
        try:
            assert process.stdout is not None
            page = _Page(process, 0.0, process.stdout.readline().split()[0])
            while (state := page.state())["rows"] < rows or state["problem"] is not None:
                if time.monotonic() - began_s > WAIT_S:
                    raise BenchmarkError(f"the page is not ready after {WAIT_S:g} s: {state}")
                time.sleep(0.1)
            page.ready_s = time.monotonic() - began_s
            yield page
            page.close()
        finally:
            process.terminate()
            process.communicate()


def _timed(work: Callable[[], None]) -> float:
    began_ns = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - began_ns) / 1e6


def _plain(folder: StoreFolder, days: int) -> None:
    since = datetime.now(timezone.utc) - timedelta(days=days)
    with open_store(folder.path, since) as tables:
        tables.choose("true", ("status", "latency_ms", "duration_ms", "own_tokens", "own_cost", "agent_name"))
        tables.query(
            "SELECT agent_name, count(*), sum(own_tokens), sum(own_cost), quantile_cont(latency_ms, [0.5, 0.95])"
            " FROM outcomes GROUP BY agent_name"
        )


def _live(page: _Page, folder: StoreFolder, seconds: float) -> tuple[float, float]:
    """Return the shares of a core that the page and the writer take, in percent, while somebody looks."""
    ended = threading.Event()

    def look() -> None:
        with httpx.stream("GET", f"{page.address}api/live", timeout=WAIT_S) as stream:
            for _ in stream.iter_lines():
                if ended.is_set():
                    return

    with Child("benchmarks.subjects.adding", {"store": str(folder.path), "rate": RATE, "seconds": seconds}) as writer:
        browser = threading.Thread(target=look)
        browser.start()
        before_s, began_s = _cpu_s(page.process.pid), time.monotonic()
        told = writer.ask()
        ours = 100 * (_cpu_s(page.process.pid) - before_s) / (time.monotonic() - began_s)
        ended.set()
        browser.join()
    return ours, told["cpu"]


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
