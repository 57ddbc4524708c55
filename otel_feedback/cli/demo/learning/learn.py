"""`otel-feedback demo --learn`: a selector finds the better agent, and another one when that gets worse; on the page.

    HelpDesk ──► dispatch(selector), variant(), give() ──► outcomes.jsonl ──► the page, and the commands of the summary
        └──────► decisions, with what is true ──► bars, the summary                         selector.json ──► selector show

The desk works on a thread of its own where the page has the main one. Its files stay, in a temporary folder: the commands that the
summary shows can be run on them. Ctrl-C ends it at any time, with the summary.
"""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import json
import shutil
import socket
import sys
import threading
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from rich.text import Text

import otel_feedback as feedback
from otel_feedback import FeedbackPipeline
from otel_feedback.cli.console import open_console, write, write_whole
from otel_feedback.cli.demo.demo import INTERRUPTED, configure
from otel_feedback.cli.demo.learning.feed import LiveShares, PlainShares
from otel_feedback.cli.demo.learning.help_desk import LENGTH_S, Decision, HelpDesk
from otel_feedback.cli.demo.learning.report import commands_on, write_report
from otel_feedback.cli.demo.learning.shares import told_of
from otel_feedback.cli.demo.showing import Feed, Silent
from otel_feedback.cli.reading.source import LOG, Source, answering
from otel_feedback.settings.ui import get_ui_settings

__all__ = ["run"]

REFRESH_S = 0.25
VIEWS = (
    ("choices", "the better agent's share rises; half way another one is better"),
    ("experiments", "short answers against long ones: when is it certain?"),
    ("gaps", "what fails more than elsewhere: a length, a topic"),
)
"""What to look at, in this order."""


def run(*, seconds: float | None, port: str | None, opens: bool, shows_page: bool, as_json: bool) -> int:
    """Let it learn, and return the exit code: 0, or 130 after Ctrl-C where there is no page to end by it.

    Args:
        seconds: How long the agents work; default: 120.
        port: Of the page.
        opens: Open a browser.
        shows_page: Serve the page, until Ctrl-C.
        as_json: Write one JSON object and nothing else; then there is no page.
    """
    is_served = shows_page and not as_json

    def work() -> int:
        if not as_json:
            import duckdb  # noqa: F401 # pyright: ignore[reportUnusedImport] # the summary needs it: better said now than then
        listening: socket.socket | None = None
        if is_served:
            from otel_feedback.cli.ui.ui import listen

            listening = listen(get_ui_settings({}, port=port))
            if listening is None:
                return 1
        folder = Path(mkdtemp(prefix="otel-feedback-learn-"))
        pipeline = configure(folder)
        try:
            day = _Day(pipeline, folder, (seconds or LENGTH_S) / LENGTH_S, as_json=as_json)
            if listening is None:
                return day.work()
            with listening:
                return day.show(listening, opens=opens)
        finally:
            pipeline.shutdown(timeout_s=1.0)
            is_empty = not (folder / "outcomes.jsonl").exists()
            shutil.rmtree(folder if is_empty else folder / "journal", ignore_errors=True)

    return answering(work)


class _Day:
    """One run of it: the agents at work, and what is said of it on stdout."""

    def __init__(self, pipeline: FeedbackPipeline, folder: Path, second_s: float, *, as_json: bool) -> None:
        self._pipeline = pipeline
        self._folder = folder
        self._second_s = second_s
        self._as_json = as_json
        self._console = open_console()
        self._desk = HelpDesk(second_s, folder / "selector.json")
        self._ended = threading.Event()
        self._is_over = threading.Event()
        self._is_told = False
        self._failed: BaseException | None = None

    def work(self) -> int:
        """Work on this thread."""
        interrupted = False
        with self._feed() as feed:
            try:
                asyncio.run(self._play(feed))
            except KeyboardInterrupt:
                interrupted = True
        self._summarize(interrupted=interrupted)
        return INTERRUPTED if interrupted else 0

    def show(self, listening: socket.socket, *, opens: bool) -> int:
        """Work on a thread of its own, while this one serves the page."""
        from otel_feedback.cli.ui.place import shown_of
        from otel_feedback.cli.ui.ui import show

        source = Source(LOG, "a selector learns whom to choose", (self._folder / "outcomes.jsonl",))
        desk = threading.Thread(target=self._work_beside, name="demo-desk", daemon=True)

        def begin(address: str) -> None:
            self._tell_views(address)
            desk.start()

        try:
            selectors = [self._folder / "selector.json"]
            with shown_of(source, None, None, journals=self._folder / "journal", selectors=selectors) as shown:
                show(listening, shown, opens=opens, then=begin)
        finally:
            self._ended.set()
            while desk.ident is not None and not self._is_over.is_set():
                with contextlib.suppress(KeyboardInterrupt):  # once more: it is over in a moment
                    self._is_over.wait()
        if self._failed is not None:
            raise self._failed
        if not self._is_told:
            self._summarize(interrupted=True)
        return 0

    def _feed(self) -> Feed[Decision]:
        if self._as_json:
            return Silent()
        title = Text("otel-feedback demo --learn", "bold").append("  a selector chooses the agent", "not bold dim")
        return LiveShares(self._console, title) if self._console.is_terminal else PlainShares(self._console, title)

    async def _play(self, feed: Feed[Decision]) -> None:
        desk = asyncio.create_task(self._desk.serve())
        try:
            while not desk.done() and not self._ended.is_set():
                feed.show(self._desk.decisions, self._desk.now_s)
                await asyncio.wait({desk}, timeout=REFRESH_S)
            feed.show(self._desk.decisions, self._desk.now_s)
            if desk.done():
                desk.result()
        finally:
            desk.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await desk

    def _work_beside(self) -> None:
        try:
            with self._feed() as feed:
                asyncio.run(self._play(feed))
            if not self._ended.is_set():
                self._summarize(interrupted=False)
            if not self._ended.is_set():
                write(self._console, Text("\nThe agents have ended; the page stays until Ctrl-C", "dim"))
                sys.stdout.flush()
        except BaseException as exc:  # such as a reader who has seen enough
            self._failed = exc
            _thread.interrupt_main()  # the page ends, too
        finally:
            self._is_over.set()

    def _tell_views(self, address: str) -> None:
        write(self._console, Text("\nLook at", "bold"))
        for number, (view, what) in enumerate(VIEWS, 1):
            link = f"{address}{view}?since=15m"
            write(self._console, Text(f"  {number}  {what}"))
            write_whole(self._console, Text("     ").append(link, f"cyan link {link}"))
        print(flush=True)

    def _summarize(self, *, interrupted: bool) -> None:
        self._is_told = True
        self._desk.selector.close()
        self._pipeline.force_flush(timeout_s=10.0)  # to a file of its own
        told = told_of(self._desk.decisions)
        if self._as_json:
            document: dict[str, Any] = {
                "version": feedback.__version__,
                "interrupted": interrupted,
                "summary": {**told._asdict(), "by_agent": [share._asdict() for share in told.by_agent]},
                "folder": str(self._folder),
                "commands": [["otel-feedback", *arguments] for _, arguments in commands_on(self._folder)],
                "account": self._pipeline.metrics(),
            }
            print(json.dumps(document, indent=2))
            return
        if interrupted:
            write(self._console, Text("\nstopped by Ctrl-C: what was learned until then", "yellow"))
        write_report(self._console, told, self._folder)
