"""How an action can end, as a table: what was raised or said, and the status, severity and error type of it."""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import Any, NamedTuple

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import otel_feedback as feedback
from otel_feedback.capture.handle import Action
from otel_feedback.pipeline.pipeline import FeedbackPipeline

S, V = feedback.OutcomeStatus, feedback.Severity


class ReadTimeout(OSError):
    """As httpx and requests name theirs."""


class QuotaError(Exception):
    pass


class Case(NamedTuple):
    raised: BaseException | None
    status: feedback.OutcomeStatus
    severity: feedback.Severity
    error_type: str | None
    span: StatusCode


CASES = {
    "success": Case(None, S.SUCCESS, V.INFO, None, StatusCode.UNSET),
    "exception": Case(ValueError("no"), S.FAILURE, V.ERROR, "ValueError", StatusCode.ERROR),
    "own exception": Case(QuotaError("no"), S.FAILURE, V.ERROR, "QuotaError", StatusCode.ERROR),
    "TimeoutError": Case(TimeoutError("late"), S.TIMEOUT, V.ERROR, "TimeoutError", StatusCode.ERROR),
    "asyncio timeout": Case(asyncio.TimeoutError(), S.TIMEOUT, V.ERROR, "TimeoutError", StatusCode.ERROR),
    "futures timeout": Case(concurrent.futures.TimeoutError(), S.TIMEOUT, V.ERROR, "TimeoutError", StatusCode.ERROR),
    "client timeout": Case(ReadTimeout("late"), S.TIMEOUT, V.ERROR, "ReadTimeout", StatusCode.ERROR),
    "cancelled": Case(asyncio.CancelledError(), S.CANCELLED, V.WARNING, "CancelledError", StatusCode.ERROR),
    "Ctrl-C": Case(KeyboardInterrupt(), S.CANCELLED, V.WARNING, "KeyboardInterrupt", StatusCode.ERROR),
    "out of memory": Case(MemoryError(), S.FAILURE, V.CRITICAL, "MemoryError", StatusCode.ERROR),
    "exit 0": Case(SystemExit(0), S.SUCCESS, V.INFO, None, StatusCode.UNSET),
    "exit 3": Case(SystemExit(3), S.FAILURE, V.CRITICAL, "SystemExit", StatusCode.ERROR),
}


def _with(case: Case, seen: list[Action]) -> None:
    with feedback.action("work", agent="worker") as act:
        seen.append(act)
        if case.raised is not None:
            raise case.raised


def _async_with(case: Case, seen: list[Action]) -> None:
    async def body() -> None:
        async with feedback.action("work", agent="worker") as act:
            seen.append(act)
            if case.raised is not None:
                raise case.raised

    _drive(body())


def _decorated(case: Case, seen: list[Action]) -> None:
    @feedback.action("work", agent="worker")
    def body() -> None:
        seen.append(current())
        if case.raised is not None:
            raise case.raised

    body()


def _async_decorated(case: Case, seen: list[Action]) -> None:
    @feedback.action("work", agent="worker")
    async def body() -> None:
        await asyncio.sleep(0)
        seen.append(current())
        if case.raised is not None:
            raise case.raised

    asyncio.run(body()) if case.raised is None else _drive(body())


def _drive(coroutine: Any) -> None:
    """Run a coroutine by hand: a loop would treat KeyboardInterrupt and CancelledError in ways of its own."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration:
        pass


def current() -> Action:
    act = feedback.current_action()
    assert act is not None
    return act


@pytest.mark.parametrize("run", [_with, _async_with, _decorated, _async_decorated])
@pytest.mark.parametrize("name", CASES)
def test_ending(name: str, run: Any, pipeline: FeedbackPipeline, spans: InMemorySpanExporter) -> None:
    case = CASES[name]
    seen: list[Action] = []
    if case.raised is None:
        run(case, seen)
    else:
        with pytest.raises(type(case.raised)) as caught:
            run(case, seen)
        assert caught.value is case.raised, "the user's exception must come out unchanged"
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None

    [event] = pipeline.get_recent_events()
    assert (event.status, event.severity, event.error_type) == (case.status, case.severity, case.error_type)
    assert event.agent_name == "worker"
    assert seen[0].event is event
    assert feedback.current_action() is None

    [span] = spans.get_finished_spans()
    assert span.status.status_code is case.span
    assert span.attributes is not None
    assert span.attributes["outcome.status"] == case.status.value
    assert span.attributes["outcome.severity"] == case.severity.value
    exceptions = [e for e in span.events if e.name == "exception"]
    assert len(exceptions) == (0 if case.error_type is None else 1)
    if exceptions:
        assert event.stack_trace is not None
        assert type(case.raised).__name__ in event.stack_trace
        assert exceptions[0].attributes is not None
        assert exceptions[0].attributes["exception.stacktrace"] == event.stack_trace


def test_what_is_said_by_hand_wins(pipeline: FeedbackPipeline) -> None:
    with feedback.action("a") as act:
        act.partial("half of the pages")
    with feedback.action("b") as act:
        act.fail("no answer")
    with feedback.action("c") as act:
        act.fail(ValueError("bad"))
    with feedback.action("d") as act:
        act.cancel("user left")
    with pytest.raises(ValueError, match="x"), feedback.action("e") as act:
        act.partial()
        raise ValueError("x")
    a, b, c, d, e = pipeline.get_recent_events()
    assert (a.status, a.severity, a.metadata["status_reason"]) == (S.PARTIAL, V.WARNING, "half of the pages")
    assert (b.status, b.error_type, b.error_message) == (S.FAILURE, "_OTHER", "no answer")
    assert (c.status, c.error_type, c.error_message) == (S.FAILURE, "ValueError", "bad")
    assert (d.status, d.severity, d.error_type) == (S.CANCELLED, V.WARNING, None)
    assert (e.status, e.error_type) == (S.PARTIAL, "ValueError")


def test_a_deadline_that_passed_is_a_timeout(pipeline: FeedbackPipeline) -> None:
    """Success too late and cancellation by an outer deadline are TIMEOUT; a failure stays a failure."""
    with feedback.action("late", timeout_s=0):
        pass
    with pytest.raises(asyncio.CancelledError), feedback.action("cut", timeout_s=0):
        raise asyncio.CancelledError
    with pytest.raises(KeyError), feedback.action("broken", timeout_s=0):
        raise KeyError("k")
    with pytest.raises(KeyboardInterrupt), feedback.action("stopped", timeout_s=0):
        raise KeyboardInterrupt
    with feedback.action("in time", timeout_s=3600):
        pass
    statuses = [event.status for event in pipeline.get_recent_events()]
    assert statuses == [S.TIMEOUT, S.TIMEOUT, S.FAILURE, S.CANCELLED, S.SUCCESS]
    assert pipeline.get_recent_events()[0].error_type == "TimeoutError"


def test_wait_for_around_an_agent_that_knows_its_deadline(pipeline: FeedbackPipeline) -> None:
    @feedback.action("slow", timeout_s=0.02)
    async def slow() -> None:
        await asyncio.sleep(30)

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(slow(), 0.05)
        task = asyncio.ensure_future(feedback.action("user")(slow.__wrapped__)())  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert [event.status for event in pipeline.get_recent_events()] == [S.TIMEOUT, S.CANCELLED]
