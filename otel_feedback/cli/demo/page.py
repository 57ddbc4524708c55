"""`otel-feedback demo --ui`: the team at work, again and again, on the page; until Ctrl-C. Nothing of it stays."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

from otel_feedback.cli.demo.demo import configure
from otel_feedback.cli.demo.workflow import NOMINAL_S, SupportTeam
from otel_feedback.cli.reading.source import LOG, Source, answering
from otel_feedback.cli.ui.place import shown_of
from otel_feedback.cli.ui.ui import listen, show
from otel_feedback.settings.ui import get_ui_settings

__all__ = ["run"]

CUSTOMERS = 6
TENANTS = ("acme", "globex", "initech")
APART_S = 0.6
"""How much of a round is over when the next one begins."""


def run(*, seconds: float | None, port: str | None, opens: bool) -> int:
    """Serve the page while the team works, and return the exit code.

    Args:
        seconds: How long a round of six customers takes; default: 8.
        port: Of the page.
        opens: Open a browser.
    """

    def work() -> int:
        listening = listen(get_ui_settings({}, port=port))
        if listening is None:
            return 1
        with listening, TemporaryDirectory(prefix="otel-feedback-demo-") as directory:
            pipeline = configure(Path(directory), emit_pending=True)
            source = Source(LOG, "a team of agents at work", (Path(directory) / "outcomes.jsonl",))
            ended = threading.Event()
            team = threading.Thread(
                target=_work, args=(ended, (seconds or NOMINAL_S) / NOMINAL_S), name="demo-team", daemon=True
            )
            try:
                with shown_of(source, None, None, journals=Path(directory) / "journal") as shown:
                    team.start()
                    show(listening, shown, opens=opens)
            finally:
                ended.set()
                team.join()
                pipeline.shutdown(timeout_s=1.0)
        return 0

    return answering(work)


def _work(ended: threading.Event, second_s: float) -> None:
    asyncio.run(_rounds(ended, second_s))


async def _rounds(ended: threading.Event, second_s: float) -> None:
    team, rounds, number = SupportTeam(second_s, TENANTS), list[asyncio.Task[None]](), 0
    while not ended.is_set():
        rounds = [each for each in rounds if not each.done()]
        rounds.append(asyncio.create_task(team.serve_customers(CUSTOMERS * number)))
        number += 1
        for _ in range(20):
            await asyncio.sleep(APART_S * NOMINAL_S * second_s / 20)
            if ended.is_set():
                break
    for each in rounds:
        each.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await each
