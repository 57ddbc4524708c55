# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""Runs the scenarios of one program, and writes down what came out of each: `python PROGRAM.py INSTRUMENTOR+… OUT`.

A scenario is what somebody would write who uses the framework; it knows nothing of telemetry.
"""

import asyncio
import contextlib
import gc
import json
import logging
import os
import sys
import time
from pathlib import Path

import instruments
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

import otel_feedback as feedback

URL = f"{os.environ['MODEL_SERVER']}/v1"
MODEL = "gpt-4o"
KEY, WRONG_KEY = "none", "wrong"

PACE = float(os.environ.get("PACE", "1"))
SHORT_S, LONG_S = 0.4 * PACE, 5 * PACE
"""A time limit, in which a framework must have come as far as asking the model; and how long that takes where it is too long."""

scenarios = {}


def scenario(function):
    """Keep an async function as one of the scenarios, by its name."""
    scenarios[function.__name__] = function
    return function


async def cancelled(work):
    """Run something, and cancel it while it waits for the model."""
    task = asyncio.ensure_future(work)
    await asyncio.sleep(SHORT_S)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@contextlib.contextmanager
def raises(*kinds):
    """Tell whether the framework raised what it should."""
    try:
        yield
    except kinds:
        return
    raise AssertionError(f"none of {kinds} was raised")


class _Spans(SpanProcessor):
    """Keeps what each span said at its end, to look at when an event is wrong."""

    def __init__(self):
        self.ended = []

    def on_end(self, span):
        parent = span.parent
        self.ended.append({
            "name": span.name,
            "start_ns": span.start_time,
            "scope": span.instrumentation_scope.name,
            "trace_id": f"{span.context.trace_id:032x}",
            "span_id": f"{span.context.span_id:016x}",
            "parent": None if parent is None else f"{parent.span_id:016x}",
            "status": span.status.status_code.name,
            "description": span.status.description,
            "attributes": dict(span.attributes or {}),
            "events": [{"name": event.name, "attributes": dict(event.attributes or {})} for event in span.events],
        })  # fmt: skip


def main():
    logging.disable(logging.CRITICAL)  # what instrumentors have to say about errors that are meant
    instrumentors, out = sys.argv[1].split("+"), Path(sys.argv[2])
    spans = _Spans()
    provider = TracerProvider()
    provider.add_span_processor(spans)
    trace.set_tracer_provider(provider)
    log = out.with_suffix(".events")
    pipeline = feedback.configure(tracer_provider=provider, service_name="live", log_file=str(log), durability="memory")
    for name in instrumentors:
        getattr(instruments, name)(provider)

    begun, failures = {}, {}

    async def run():  # in one loop, since clients are kept from one to the next
        for name, function in scenarios.items():
            begun[name] = time.time_ns()
            try:
                await function()
            except Exception as exc:
                failures[name] = f"{type(exc).__name__}: {exc}"
            gc.collect()  # what is left behind ends now
            await asyncio.sleep(0.05)
            pipeline.force_flush(10)

    asyncio.run(run())
    pipeline.shutdown(60)
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    report = {"begun": begun, "failures": failures, "events": [*map(json.loads, lines)], "spans": spans.ended}
    out.write_text(json.dumps(report, default=str), "utf-8")
