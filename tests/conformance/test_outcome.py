"""The specification of an action's outcome, executable: for every way of ending, in every way of running, what is told.

    pytest tests/conformance -v

reads it out. The tables say it; `ways.py` has the ways of running and `check`, which holds each of them to the same:
status, severity and error type, exactly one final event, the user's exception as the same object with its links and its
traceback, a duration that is no shorter than what happened and no longer than what passed, the parent, the children,
and what is current afterwards and between two items. And nobody logs anything.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import gc
import json
import logging
import os
import socket
import subprocess
import sys
import urllib.error
from collections.abc import Callable, Iterable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import kafka.errors
import pytest
import trio
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_feedback as feedback
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.conformance import cuts, ways
from tests.conformance import endings as the
from tests.conformance.endings import Net, calling, calling_one, grouped, raising, raising_async
from tests.conformance.streams import CONSUMERS, FLAVOURS, async_stream
from tests.conformance.ways import LIMIT_S, WAYS, Ending, S, Seen, V, async_ways, check, on, work
from tests.support import run_python


def says(status: Any, severity: Any) -> Callable[..., Ending]:
    """Return a maker of endings; where it was a group, it is given the names of the members, too."""
    return lambda kind, *group: Ending(status, severity, kind, {"exception_group": [*group]} if group else {})


SUCCESS = Ending(S.SUCCESS, V.INFO)
ABANDONED = Ending(S.PARTIAL, V.WARNING, None, {"abandoned": True})
failed = says(S.FAILURE, V.ERROR)
critical = says(S.FAILURE, V.CRITICAL)
timed_out = says(S.TIMEOUT, V.ERROR)
cancelled = says(S.CANCELLED, V.WARNING)
partial = says(S.PARTIAL, V.WARNING)


# -- 1. what leaves the code decides ---------------------------------------------------------------------------

# fmt: off
ENDINGS: dict[str, tuple[Any, Ending]] = {
    "nothing":                       (lambda: "done", SUCCESS),
    "ValueError":                    (raising(ValueError, "no"), failed("ValueError")),
    "ValueError from KeyError":      (the.from_another, failed("ValueError")),
    "ValueError while handling":     (the.while_handling, failed("ValueError")),
    "an own exception":              (raising(the.OwnError), failed("OwnError")),
    "an own BaseException":          (raising(the.OwnBase), failed("OwnBase")),
    "one that raises if looked at":  (raising(the.Awkward), failed("Awkward")),
    "RateLimitError":                (raising(the.RateLimitError, "rate_limit", 429), failed("RateLimitError")),
    "MemoryError":                   (raising(MemoryError), critical("MemoryError")),
    "SystemExit":                    (raising(SystemExit), SUCCESS),
    "sys.exit(0)":                   (lambda: sys.exit(0), SUCCESS),
    "sys.exit(3)":                   (lambda: sys.exit(3), critical("SystemExit")),
    "sys.exit('text')":              (lambda: sys.exit("text"), critical("SystemExit")),
    "sys.exit() with an odd object": (raising(SystemExit, the.Odd()), critical("SystemExit")),
    "KeyboardInterrupt":             (raising(KeyboardInterrupt), cancelled("KeyboardInterrupt")),
    "asyncio.CancelledError":        (raising(asyncio.CancelledError), cancelled("CancelledError")),
    "futures.CancelledError":        (raising(concurrent.futures.CancelledError), cancelled("CancelledError")),
    "GeneratorExit":                 (raising(GeneratorExit), ABANDONED),
    "TimeoutError":                  (raising(TimeoutError, "late"), timed_out("TimeoutError")),
    "asyncio.TimeoutError":          (raising(asyncio.TimeoutError), timed_out("TimeoutError")),
    "Future.result(timeout)":        (lambda: concurrent.futures.Future[Any]().result(0), timed_out("TimeoutError")),
    "a socket's timeout":            (the.reading_socket, timed_out("TimeoutError")),
    "a subprocess's timeout":        (raising(subprocess.TimeoutExpired, "ls", 1), timed_out("TimeoutExpired")),
    "urllib's timeout":              (raising(urllib.error.URLError, TimeoutError("late")), timed_out("URLError")),
    "kafka-python's timeout":        (raising(kafka.errors.KafkaTimeoutError), timed_out("KafkaTimeoutError")),
    "trio.TooSlowError":             (raising(trio.TooSlowError), timed_out("TooSlowError")),
    "openai's, anthropic's timeout": (raising(the.APITimeoutError), timed_out("APITimeoutError")),
    "httpx's timeout":               (the.getting_with_httpx, timed_out("ReadTimeout")),
    "requests's timeout":            (the.getting_with_requests, timed_out("ReadTimeout")),
    "gRPC deadline exceeded":        (calling_one(lambda call: call(b"", timeout=LIMIT_S)),
                                      timed_out("_InactiveRpcError")),
    "gRPC future too slow":          (calling_one(lambda call: call.future(b"").result(LIMIT_S)),
                                      timed_out("FutureTimeoutError")),
    "gRPC call cancelled":           (calling(the.cancelled_future), cancelled("FutureCancelledError")),
    "gRPC stream cancelled":         (calling(the.cancelled_stream), cancelled("_MultiThreadedRendezvous")),
    "a group":                       (grouped(TimeoutError(), ValueError()),
                                      failed("ValueError", "TimeoutError", "ValueError")),
    "a group of one":                (grouped(the.OwnError()), failed("OwnError", "OwnError")),
    "a group of milder ones":        (grouped(asyncio.CancelledError(), TimeoutError()),
                                      timed_out("TimeoutError", "CancelledError", "TimeoutError")),
    "a nested group":                (grouped(TimeoutError(), ways.ExceptionGroup("h", [KeyError("k"), MemoryError()])),
                                      critical("MemoryError", "TimeoutError", "KeyError", "MemoryError")),
    "a very deep group":             (the.deep_group, failed("ValueError", "ValueError")),
    "a group with Ctrl-C in it":     (grouped(KeyboardInterrupt()),
                                      cancelled("KeyboardInterrupt", "KeyboardInterrupt")),
    "a group that was closed":       (grouped(GeneratorExit()), ABANDONED._replace(
                                      metadata={"abandoned": True, "exception_group": ["GeneratorExit"]})),
}

END_OF_ITERATOR: dict[str, Any] = {
    "StopIteration":               raising(StopIteration, "value"),
    "StopAsyncIteration":          raising(StopAsyncIteration),
    "next() of an empty iterator": lambda: next(iter(())),
}

NO_ACCESS: dict[str, tuple[Any, str]] = {
    "AuthenticationError":     (raising(the.AuthenticationError), "AuthenticationError"),
    "PermissionDeniedError":   (raising(the.PermissionDeniedError), "PermissionDeniedError"),
    "code insufficient_quota": (raising(the.RateLimitError, "insufficient_quota", 429), "RateLimitError"),
    "status_code 401":         (raising(the.APIError, None, 401), "APIError"),
    "401, the rest raises":    (raising(the.AwkwardRefusal), "AwkwardRefusal"),
    "httpx, HTTP 402":         (the.refused(402), "HTTPStatusError"),
    "requests, HTTP 403":      (the.refused_to_requests, "HTTPError"),
    "urllib, HTTP 401":        (raising(urllib.error.HTTPError, "http://api.test", 401, "no", Message(), None),
                                "HTTPError"),
    "gRPC UNAUTHENTICATED":    (calling_one(lambda call: call(b"", timeout=30), "refusing"),
                                "_InactiveRpcError"),
    "a group with one in it":  (grouped(the.OwnError(), the.AuthenticationError()),
                                "AuthenticationError"),
}
# fmt: on


def grid(which: Iterable[str], endings: Iterable[str]) -> pytest.MarkDecorator:
    cells = [pytest.param(way, ending, id=f"{way}: {ending}") for way in which for ending in endings]
    return pytest.mark.parametrize(("way", "ending"), cells)


@pytest.fixture(scope="module", autouse=True)
def net() -> Iterator[None]:
    """Start the servers."""

    class Refusing(grpc.GenericRpcHandler):
        def service(self, handler_call_details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(
                lambda _, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
            )

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1), [Refusing()])
    Net.refusing = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    with socket.create_server(("127.0.0.1", 0), backlog=1_000) as silent:
        Net.silent = f"127.0.0.1:{silent.getsockname()[1]}"
        gc.collect()
        gc.freeze()  # what is alive already needs no second look, or the look after each test would take long
        yield
        gc.unfreeze()
    server.stop(None).wait()


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nobody warns: not of a context that is another's, nor of an exception that nobody retrieved."""
    yield
    gc.collect()
    gc.freeze()
    said = [record for phase in ("setup", "call", "teardown") for record in caplog.get_records(phase)]
    assert [record.getMessage() for record in said if record.levelno >= logging.WARNING] == []


@grid(WAYS, ENDINGS)
def test_what_leaves_the_code_decides(
    way: str, ending: str, pipeline: FeedbackPipeline, spans: InMemorySpanExporter
) -> None:
    (body, expected), seen = ENDINGS[ending], Seen()
    with feedback.action("outer") as outer:
        WAYS[way](seen, body)
    assert seen.outer is (None if way in ways.WITHOUT_PARENT else outer)
    ways.check_span(check(seen, expected, pipeline.get_recent_events(), body.__code__), spans)


@grid(ways.PLAIN_WAYS, END_OF_ITERATOR)
def test_the_end_of_an_iterator_is_a_success(way: str, ending: str, pipeline: FeedbackPipeline) -> None:
    seen = Seen()
    WAYS[way](seen, END_OF_ITERATOR[ending])
    check(seen, SUCCESS, pipeline.get_recent_events())


@grid([way for way in WAYS if way not in ways.PLAIN_WAYS], ["StopIteration", "next() of an empty iterator"])
def test_where_python_makes_an_error_of_it_it_is_a_failure(way: str, ending: str, pipeline: FeedbackPipeline) -> None:
    """A coroutine or generator that StopIteration leaves has raised RuntimeError (PEP 479)."""
    seen = Seen()
    WAYS[way](seen, END_OF_ITERATOR[ending])
    assert isinstance(seen.caught, RuntimeError)
    assert isinstance(seen.caught.__cause__, StopIteration)
    seen.note_raised(seen.caught)
    check(seen, failed("RuntimeError"), pipeline.get_recent_events())


@pytest.mark.parametrize("place", ["in a root action", "in an inner action"])
@grid(["with", "decorated coroutine", "decorated generator", "anyio on trio"], NO_ACCESS)
def test_no_access_is_critical_where_nobody_is_left_to_handle_it(
    way: str, ending: str, place: str, pipeline: FeedbackPipeline
) -> None:
    body, error_type = NO_ACCESS[ending]
    group = ["OwnError", "AuthenticationError"] if ending.startswith("a group") else []
    seen = Seen()
    if place == "in a root action":
        WAYS[way](seen, body)
        check(seen, critical(error_type, *group), pipeline.get_recent_events(), body.__code__)
    else:
        with feedback.action("outer"):
            WAYS[way](seen, body)
        # of two that weigh the same the first decides
        check(seen, failed(group[0] if group else error_type, *group), pipeline.get_recent_events(), body.__code__)


# -- 2. what is cut short from outside, or has a deadline ------------------------------------------------------


class Cut(NamedTuple):
    """What the code does inside of its action, who does what to it, and what comes of it."""

    loops: str
    body: Any
    outside: Any
    ending: Ending
    timeout_s: float | None = None


# fmt: off
CUTS = {
    "task.cancel()":                Cut("asyncio", cuts.forever, cuts.task_cancel, cancelled("CancelledError")),
    "cancel() before timeout_s":    Cut("asyncio", cuts.forever, cuts.task_cancel, cancelled("CancelledError"), 30),
    "wait_for around":              Cut("asyncio", cuts.forever, cuts.wait_for, cancelled("CancelledError")),
    "wait_for and timeout_s":       Cut("asyncio", cuts.forever, cuts.wait_for, timed_out("TimeoutError"), LIMIT_S),
    "wait_for inside":              Cut("asyncio", cuts.wait_for_inside, cuts.nobody, timed_out("TimeoutError")),
    "gather inside":                Cut("asyncio", cuts.gather_inside, cuts.nobody, failed("OwnError")),
    "gather, a sibling fails":      Cut("asyncio", cuts.succeeding, cuts.gathered_sibling_fails, SUCCESS),
    "the loop ends":                Cut("asyncio", cuts.forever, cuts.end_of_the_loop, cancelled("CancelledError")),
    "the coroutine is closed":      Cut("asyncio", cuts.forever, cuts.closing_the_coroutine, ABANDONED),
    "httpx.AsyncClient's timeout":  Cut("asyncio", the.getting_async, cuts.nobody, timed_out("ReadTimeout")),
    "grpc.aio deadline exceeded":   Cut("asyncio", the.calling_grpc_aio, cuts.nobody, timed_out("AioRpcError")),
    "fail_after around":            Cut("anyio", cuts.forever, cuts.fail_after, cancelled("CancelledError")),
    "fail_after and timeout_s":     Cut("anyio", cuts.forever, cuts.fail_after, timed_out("TimeoutError"), LIMIT_S),
    "fail_after inside":            Cut("anyio", cuts.fail_after_inside, cuts.nobody, timed_out("TimeoutError")),
    "move_on_after inside":         Cut("anyio", cuts.move_on_after_inside, cuts.nobody, SUCCESS),
    "a cancel scope around":        Cut("anyio", cuts.forever, cuts.cancel_scope, cancelled("CancelledError")),
    "anyio group, a sibling fails": Cut("anyio", cuts.forever, cuts.group_sibling_fails, cancelled("CancelledError")),
    "anyio group inside":           Cut("anyio", cuts.group_inside, cuts.nobody, failed("OwnError", "OwnError")),
    "trio.fail_after inside":       Cut("trio", cuts.trio_fail_after_inside, cuts.nobody, timed_out("TooSlowError")),
    # a deadline tells, it does not enforce
    "success in time":              Cut("anyio", cuts.succeeding, cuts.nobody, SUCCESS, 30),
    "success too late":             Cut("anyio", cuts.succeeding, cuts.nobody, timed_out("TimeoutError"), LIMIT_S),
    "failure too late":             Cut("anyio", raising_async(KeyError, "k"), cuts.nobody, failed("KeyError"), 0),
    "cancelled too late":           Cut("asyncio", raising_async(asyncio.CancelledError), cuts.nobody,
                                        timed_out("TimeoutError"), 0),
    "Ctrl-C too late":              Cut("asyncio", raising_async(KeyboardInterrupt), cuts.nobody,
                                        cancelled("KeyboardInterrupt"), 0),
    "a group with Ctrl-C too late": Cut("asyncio", raising_async(ways.BaseExceptionGroup, "g", [KeyboardInterrupt()]),
                                        cuts.nobody, cancelled("KeyboardInterrupt", "KeyboardInterrupt"), 0),
    "sys.exit(0) too late":         Cut("anyio", raising_async(SystemExit, 0), cuts.nobody,
                                        timed_out("TimeoutError"), 0),
}
if hasattr(asyncio, "timeout"):  # Python 3.11
    CUTS.update({
        "timeout() around":           Cut("asyncio", cuts.forever, cuts.timeout, cancelled("CancelledError")),
        "timeout() and timeout_s":    Cut("asyncio", cuts.forever, cuts.timeout, timed_out("TimeoutError"), LIMIT_S),
        "timeout() inside":           Cut("asyncio", cuts.timeout_inside, cuts.nobody, timed_out("TimeoutError")),
        "TaskGroup, a sibling fails": Cut("asyncio", cuts.forever, cuts.sibling_fails, cancelled("CancelledError")),
        "TaskGroup inside":           Cut("asyncio", cuts.task_group_inside, cuts.nobody,
                                          failed("OwnError", "OwnError")),
    })
LOOPS = {"asyncio": ["asyncio"], "anyio": ["anyio on asyncio", "anyio on trio"], "trio": ["anyio on trio"]}
# fmt: on


CUT_WAYS = [
    pytest.param(loop, way, name, id=f"{loop}, {way}: {name}")
    for name, cut in CUTS.items() for loop in LOOPS[cut.loops] for way in async_ways(Seen(), cuts.forever)
    # Python up to 3.13 cannot close a coroutine that waits for an async generator: "is already running"
    if (way, name) != ("decorated async generator", "the coroutine is closed")
]  # fmt: skip


@pytest.mark.parametrize(("loop", "way", "name"), CUT_WAYS)
def test_what_is_cut_short_says_by_whom(
    loop: str, way: str, name: str, pipeline: FeedbackPipeline, spans: InMemorySpanExporter
) -> None:
    cut, seen, code = CUTS[name], Seen(), ways.inside_async.__code__
    if cut.body is cuts.forever:
        seen.least_ms = LIMIT_S * 1e3
    declared = {} if cut.timeout_s is None else {"timeout_s": cut.timeout_s}
    with feedback.action("outer"):
        on(loop, cut.outside, async_ways(seen, cut.body, **declared)[way])
    expected = cut.ending
    if loop.endswith("trio") and expected.error_type == "CancelledError":
        expected = expected._replace(error_type="Cancelled")
    if cut.outside is cuts.closing_the_coroutine and isinstance(seen.caught, GeneratorExit):
        seen.note_raised(seen.caught)  # Python closes from the inside out, each coroutine with an exception of its own
        code = None
    ways.check_span(check(seen, expected, pipeline.get_recent_events(), code), spans)


# -- 3. streams: what the consumer does ------------------------------------------------------------------------

# fmt: off
STREAMS: dict[str, tuple[str, str, Ending | None]] = {
    "exhausted":                              ("counts", "next next next next", SUCCESS),
    "sent to":                                ("echoes", "next send next next", SUCCESS),
    "raises":                                 ("breaks", "next next", failed("KeyError")),
    "raises what ends an iterator":           ("stops", "next next", failed("RuntimeError")),
    "thrown into, and does not catch it":     ("counts", "next throw next", failed("ValueError")),
    "thrown into, and goes on":               ("catches", "next throw next", SUCCESS),
    "GeneratorExit is thrown into it":        ("counts", "next exit", ABANDONED),
    "closed early":                           ("counts", "next close next", ABANDONED),
    "closed early, and returns":              ("returns", "next close next", ABANDONED),
    "closed early, and its cleanup fails":    ("fails", "next close next", failed("OSError")),
    "closed early, and gives one more item":  ("ignores", "next close next", failed("RuntimeError")),
    "closed after its end":                   ("counts", "next next next close", SUCCESS),
    "an action stays open between its items": ("nests", "next next next next", SUCCESS),
    "closed with an action open in it":       ("nests", "next next close", ABANDONED),
    "garbage-collected":                      ("counts", "next", ABANDONED),
    "never started":                          ("counts", "", None),
    "closed before its start":                ("counts", "close next", None),
}
# fmt: on


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_stream_says_what_became_of_it(flavour: str, name: str, pipeline: FeedbackPipeline) -> None:
    """And its consumer is given the same as by the plain generator."""
    (function, drive), (kind, script, expected) = FLAVOURS[flavour], STREAMS[name]
    if flavour.endswith("trio") and name == "garbage-collected":
        script += " close"  # trio itself warns of a generator that is left to the garbage collector
    plain = contextvars.copy_context().run(drive, function, Seen(), kind, script)
    plain_events = len(pipeline.get_recent_events())
    seen = Seen()
    with feedback.action("outer") as outer:
        assert drive(work()(function), seen, kind, script) == plain
    events = pipeline.get_recent_events(count=100)[plain_events:]
    if expected is None and flavour.startswith("function"):  # which has run, though what it gave has not
        assert [(event.status, event.metadata) for event in events if event != outer.event] == [
            (ABANDONED.status, ABANDONED.metadata)
        ]
        return
    if expected is None:
        assert [event.event_id for event in events] == [outer.event_id]
        return
    event = check(seen, expected, events)
    inner = [one for one in events if one.action_type in ("nested", "cleanup")]
    if kind != "ignores":  # that goes on after its action has ended
        assert {one.parent_event_id for one in inner} == {event.event_id}


@pytest.mark.parametrize("name", CONSUMERS)
def test_a_consumer_that_goes_away_leaves_an_abandoned_stream(name: str, pipeline: FeedbackPipeline) -> None:
    seen = Seen()
    with ways.Outside(seen):
        on("asyncio", CONSUMERS[name], lambda: work()(async_stream)(seen, "counts"))
    event = check(seen, ABANDONED, pipeline.get_recent_events())
    cleanups = [one.parent_event_id for one in pipeline.get_recent_events() if one.action_type == "cleanup"]
    assert cleanups == [event.event_id]


# -- 4. what is said by hand wins ------------------------------------------------------------------------------

# fmt: off
REASON = {"status_reason": "half"}
HALF = Ending(S.PARTIAL, V.WARNING, None, REASON)
BY_HAND: dict[str, tuple[Callable[[feedback.Action], None], Any, Ending]] = {
    "partial(reason)":              (lambda act: act.partial("half"), int, HALF),
    "partial(), then ValueError":   (lambda act: act.partial(), raising(ValueError), partial("ValueError")),
    "partial(reason), then closed": (lambda act: act.partial("half"), raising(GeneratorExit),
                                     Ending(S.PARTIAL, V.WARNING, None, {"abandoned": True, **REASON})),
    "partial(reason), then exit 0": (lambda act: act.partial("half"), sys.exit, HALF),
    "fail(text)":                   (lambda act: act.fail("no answer"), int, failed("_OTHER")),
    "fail(error)":                  (lambda act: act.fail(KeyError("k")), int, failed("KeyError")),
    "fail(error), then another":    (lambda act: act.fail(KeyError("k")), raising(ValueError), failed("KeyError")),
    "fail(text), then cancelled":   (lambda act: act.fail("no"), raising(asyncio.CancelledError), failed("_OTHER")),
    "cancel(reason)":               (lambda act: act.cancel("half"), int, Ending(S.CANCELLED, V.WARNING, None, REASON)),
    "cancel(), then ValueError":    (lambda act: act.cancel(), raising(ValueError), cancelled("ValueError")),
    "cancel(), then fail(text)":    (lambda act: (act.cancel(), act.fail("no"))[1], int, failed("_OTHER")),
}
# fmt: on


@grid(["with", "async with", "decorated coroutine", "decorated generator", "anyio on trio"], BY_HAND)
def test_what_is_said_by_hand_wins(
    way: str, ending: str, pipeline: FeedbackPipeline, spans: InMemorySpanExporter
) -> None:
    say, then, expected = BY_HAND[ending]

    def body() -> None:
        act = feedback.current_action()
        assert act is not None
        say(act)
        then()

    seen = Seen()
    WAYS[way](seen, body)
    ways.check_span(check(seen, expected, pipeline.get_recent_events()), spans)


# -- 5. what is under way, what is forked, and what others say -------------------------------------------------


@pytest.mark.parametrize("way", ["with", "decorated coroutine", "decorated generator", "decorated async generator"])
@pytest.mark.parametrize("said_by", ["the action", "the setting", "the setting, not the action"])
def test_a_pending_event_precedes_the_final_one(said_by: str, way: str, provider: TracerProvider) -> None:
    pipeline = feedback.configure(tracer_provider=provider, emit_pending=said_by != "the action")
    declared = {"the action": {"emit_pending": True}, "the setting, not the action": {"emit_pending": False}}
    first = [] if said_by == "the setting, not the action" else [(0, "pending", "warning")]
    seen = Seen()
    under_way: list[feedback.OutcomeEvent] = []

    def body() -> None:
        under_way.extend(event for event in pipeline.get_recent_events() if event.action_type == "work")

    WAYS[way](seen, body, **declared.get(said_by, {}))
    event = check(seen, SUCCESS, pipeline.get_recent_events())  # of an event it sees the highest revision only
    assert [(one.event_id, one.revision, one.status) for one in under_way] == [(event.event_id, 0, S.PENDING)] * len(
        first
    )
    assert all(one.end_time is one.duration_ms is None for one in under_way)
    assert pipeline.force_flush(10)
    lines = [json.loads(line) for line in Path(os.environ["OTEL_FEEDBACK_LOG_FILE"]).read_text("utf-8").splitlines()]
    told = [(one["revision"], one["status"], one["severity"]) for one in lines if one["event_id"] == event.event_id]
    assert told == [*first, (1, "success", "info")]


FORKED = """
    import json, multiprocessing, sys, traceback
    import otel_feedback as feedback
    from tests.conformance.test_outcome import ENDINGS, check
    from tests.conformance.ways import WAYS, Seen

    def child(ending, pipeline, outer, answers):
        try:
            seen = Seen()
            WAYS["with"](seen, ENDINGS[ending][0])
            assert check(seen, ENDINGS[ending][1], pipeline.get_recent_events()).parent_event_id == outer.event_id
            answers.send("")
        except BaseException:
            answers.send(traceback.format_exc())

    pipeline = feedback.configure()
    context = multiprocessing.get_context("fork")
    told = {{}}
    with feedback.action("outer") as outer:
        for ending in {endings!r}:
            mine, answers = context.Pipe()
            process = context.Process(target=child, args=(ending, pipeline, outer, answers))
            process.start()
            told[ending] = mine.recv()
            process.join()
            assert not [event for event in pipeline.get_recent_events() if event.action_type == "work"]
    pipeline.shutdown(10)
    print(json.dumps(told))
"""
IN_A_CHILD = [name for name in ENDINGS if not name.startswith(("a socket", "httpx", "requests", "gRPC"))]


@pytest.fixture(scope="module")
def forked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the children say: nothing where all is well, else a traceback."""
    folder = str(tmp_path_factory.mktemp("forked"))
    paths = {"OTEL_FEEDBACK_LOG_FILE": f"{folder}/log", "XDG_STATE_HOME": folder}
    paths["PYTHONPATH"] = str(Path(__file__).parents[2])
    variables = {**paths, "OTEL_TRACES_EXPORTER": "none", "PYTHONWARNINGS": "ignore"}
    done = run_python(FORKED.format(endings=IN_A_CHILD), variables)
    assert done.returncode == 0, done.stderr
    told: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.parametrize("ending", IN_A_CHILD)
def test_a_forked_child_says_the_same(ending: str, forked: dict[str, str]) -> None:
    assert forked[ending] == ""


PEERS = {  # versions of 2026, run side by side; logfire's row is also that of util-genai's context manager
    "plain OpenTelemetry": ("UNSET", "UNSET", "UNSET"),
    "traceloop": ("UNSET", "UNSET", "UNSET"),
    "openlit": ("OK", "OK", "OK"),
    "openinference": ("UNSET", "UNSET", "OK"),
    "langfuse": ("ERROR", "ERROR", "UNSET"),
    "logfire": ("ERROR", "ERROR", "ERROR"),
}


def test_what_peers_cannot_tell_apart_is_told_apart(pipeline: FeedbackPipeline) -> None:
    """Their three probes. An outer `wait_for` looks like a cancellation, unless its deadline is told as `timeout_s`."""
    seen = Seen()
    on("asyncio", cuts.task_cancel, async_ways(seen, cuts.forever)["decorated coroutine"])
    on("asyncio", cuts.wait_for, async_ways(seen, cuts.forever, timeout_s=LIMIT_S)["decorated coroutine"])
    on("asyncio", CONSUMERS["breaks off"], lambda: work()(async_stream)(seen, "counts"))
    events = [event for event in pipeline.get_recent_events() if event.action_type == "work"]
    ours = tuple(event.status.value for event in events)
    for name, row in {"": ("task.cancel()", "wait_for", "closed early"), **PEERS, "otel_feedback": ours}.items():
        print(f"{name:20}", *(f"{cell:14}" for cell in row))
    assert ours == ("cancelled", "timeout", "partial")
    assert all(len(set(row)) < len(set(ours)) for row in PEERS.values())
    assert all((event.duration_ms or 0) >= ways.SLEEP_S * 900 for event in events), "none of them took no time"
