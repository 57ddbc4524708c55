"""`otel-feedback demo`: a small team of agents at work, its outcomes as they arrive, and what they come to.

Needs nothing but this process: no service, no setting, no file that stays. Uses the public API only. Ctrl-C cancels
the agents, whose actions then end as cancelled, and the summary still comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from rich.console import Console
from rich.text import Text

import otel_feedback as feedback
from otel_feedback import FeedbackPipeline, OutcomeEvent
from otel_feedback.cli.console import open_console, write
from otel_feedback.cli.demo.feed import LiveFeed, PlainFeed
from otel_feedback.cli.demo.report import Report
from otel_feedback.cli.demo.showing import Feed, Silent
from otel_feedback.cli.demo.summary import origins, summarize
from otel_feedback.cli.demo.workflow import NOMINAL_S, TREE_RUN, SupportTeam

__all__ = ["configure", "run"]

WATCHED_S = NOMINAL_S
"""How long it takes where somebody watches, in seconds."""
UNWATCHED_S = 1.0
REFRESH_S = 0.08
ALL = 1_000
INTERRUPTED = 130

NEXT = """\
otel-feedback demo --ui     live, in the browser
docker compose up -d        Kafka, collector, Jaeger
export KAFKA_BOOTSTRAP_SERVERS=localhost:9092
otel-feedback doctor        is all of it there?

import otel_feedback as feedback
feedback.configure(service_name="my-agents")
with feedback.action("plan", agent="planner") as act:
    act.add_usage(model="gpt-4o", input_tokens=900)
"""


def run(*, seconds: float | None, as_json: bool) -> int:
    """Run the demo and return the exit code: 0, or 130 after Ctrl-C.

    Args:
        seconds: How long the agents work; default: 8 on a terminal, else 1.
        as_json: Write one JSON object (events, summary, account) and nothing else.
    """
    console = open_console()
    watched = sys.stdout.isatty() and not as_json
    if seconds is None:
        seconds = WATCHED_S if watched else UNWATCHED_S
    with TemporaryDirectory(prefix="otel-feedback-demo-") as directory:
        pipeline = configure(Path(directory))
        try:
            return _run(pipeline, console, seconds, as_json=as_json)
        finally:
            pipeline.shutdown(timeout_s=1.0)


def configure(directory: Path, **more: Any) -> FeedbackPipeline:
    """Return a pipeline that writes to `outcomes.jsonl` in a folder, and nowhere else."""
    # an empty environment, a provider without exporters, a journal of its own: the demo is the same on every machine,
    # and after a demo that was killed
    settings = feedback.get_settings(
        environ={},
        service_name="support-team",
        enable_kafka=False,
        enable_otlp=False,
        enable_outcome_logging=True,
        log_file=str(directory / "outcomes.jsonl"),
        journal_dir=str(directory / "journal"),
        **more,
    )
    return feedback.configure(tracer_provider=TracerProvider(sampler=ALWAYS_ON), settings=settings)


def _run(pipeline: FeedbackPipeline, console: Console, seconds: float, *, as_json: bool) -> int:
    began = time.monotonic()
    interrupted = False
    with _feed(console, as_json=as_json) as feed:
        try:
            asyncio.run(_play(pipeline, feed, seconds / NOMINAL_S))
        except KeyboardInterrupt:
            interrupted = True
        elapsed_s = time.monotonic() - began
        # what the cancelled actions came to is recorded by now
        feed.show(pipeline.get_recent_events(count=ALL), elapsed_s)
    pipeline.force_flush(timeout_s=10.0)  # to a file of its own: that takes milliseconds, or a very busy machine
    if as_json:
        _write_json(pipeline, elapsed_s, interrupted=interrupted)
    else:
        _write_summary(pipeline, console, elapsed_s, interrupted=interrupted)
    return INTERRUPTED if interrupted else 0


def _feed(console: Console, *, as_json: bool) -> Feed[OutcomeEvent]:
    if as_json:
        return Silent()
    title = Text("otel-feedback demo", "bold").append(
        "  a team of agents answers six customers; no service runs", "not bold dim"
    )
    return LiveFeed(console, title) if console.is_terminal else PlainFeed(console, title)


async def _play(pipeline: FeedbackPipeline, feed: Feed[OutcomeEvent], second_s: float) -> None:
    team = asyncio.create_task(SupportTeam(second_s).serve_customers())
    began = time.monotonic()
    try:
        while not team.done():
            feed.show(pipeline.get_recent_events(count=ALL), time.monotonic() - began)
            await asyncio.wait({team}, timeout=REFRESH_S)
        team.result()
    finally:
        team.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await team


def _write_json(pipeline: FeedbackPipeline, elapsed_s: float, *, interrupted: bool) -> None:
    import json

    events = pipeline.get_recent_events(count=ALL)
    first, followed = origins(events)
    summary = summarize(events)
    document: dict[str, Any] = {
        "version": feedback.__version__,
        "interrupted": interrupted,
        "elapsed_s": round(elapsed_s, 3),
        "summary": {**summary._asdict(), "by_agent": [line._asdict() for line in summary.by_agent]},
        "went_wrong": {"first": [event.event_id for event in first], "followed": followed},
        "account": pipeline.metrics(),
        "events": [event.to_dict() for event in events],
    }
    print(json.dumps(document, indent=2))


def _write_summary(pipeline: FeedbackPipeline, console: Console, elapsed_s: float, *, interrupted: bool) -> None:
    if interrupted:
        write(console, Text("\n  stopped by Ctrl-C: what ran until then", "yellow"))
    events = pipeline.get_recent_events(count=ALL)
    Report(console).write(events, summarize(events), pipeline.metrics(), elapsed_s, TREE_RUN)
    steps = [Text(f"  {line}", no_wrap=True, overflow="ellipsis") for line in NEXT.splitlines()]
    write(console, Text("\nNext", "bold"), *steps)
