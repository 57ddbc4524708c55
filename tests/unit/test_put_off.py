"""Spans of others are written down when they end, and converted later: by whoever reads, the journal's thread, or who adopts."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.trace import Span, StatusCode
from opentelemetry.util.types import Attributes

import otel_feedback as feedback
from otel_feedback import OutcomeSpanProcessor
from otel_feedback.convert import putting_off
from otel_feedback.events.started import StartedAction
from otel_feedback.journal.frames import Kind, scan
from otel_feedback.pipeline import keeper
from tests.logs import lines_in, newest
from tests.made_up_secrets import SECRETS
from tests.stack.waiting import wait_until
from tests.support import run_python

AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}
CALL = {
    "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini", "gen_ai.provider.name": "openai",
    "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 2, "gen_ai.response.finish_reasons": ["stop"],
}  # fmt: skip
_start = msgspec.msgpack.Decoder(StartedAction)


class Traced:
    """A provider whose events wait in a journal on disk, for a file that cannot be written to."""

    def __init__(self, tmp_path: Path, **settings: Any) -> None:
        self.folder = tmp_path / "journal"
        log = tmp_path / "outcomes.jsonl"
        log.mkdir(exist_ok=True)
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.pipeline = feedback.configure(
            tracer_provider=self.provider, log_file=log, journal_dir=self.folder, enable_otlp=False, **settings
        )
        self.start().end()  # the journal's thread begins with it
        self.events()

    def start(self, attributes: dict[str, Any] | None = None, above: Span | None = None) -> Span:
        context = Context() if above is None else trace.set_span_in_context(above, Context())
        return self.provider.get_tracer("someone").start_span("s", context, attributes=attributes or CALL)

    def run(self, calls: int = 3) -> Span:
        agent = self.start(AGENT)
        for _ in range(calls):
            self.start(above=agent).end()
        agent.end()
        return agent

    def events(self) -> list[feedback.OutcomeEvent]:
        return self.pipeline.get_recent_events(10_000)

    def written(self) -> bytes:
        return b"".join(file.read_bytes() for file in self.folder.rglob("*.seg"))

    def notes(self) -> int:
        """How many notes of spans that have ended are written."""
        found = [one for file in self.folder.rglob("*.seg") for one in scan(file.read_bytes(), is_last=True).frames]
        return sum(_start.decode(one.payload).ended is not None for one in found if one.kind == Kind.START)


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[Traced]:
    traced = Traced(tmp_path)
    yield traced
    traced.pipeline.shutdown(0)


def test_a_span_that_has_ended_is_there_for_who_reads(traced: Traced) -> None:
    for number in range(1, 201):
        agent = traced.run()
        found = traced.events()
        assert len(found) == 1 + 4 * number
        last = found[-1]
        assert (last.agent_name, last.llm_calls, last.tokens_used) == ("a", 3, 36)
        assert last.span_id == f"{agent.get_span_context().span_id:016x}"
    assert traced.notes()
    assert traced.pipeline.metrics()["recorded"] >= 801
    assert traced.pipeline.metrics()["journal"]["open_actions"] == 0


@pytest.mark.parametrize("rest_s", [0.0, 1.5], ids=["busy", "asleep"])
def test_nobody_has_to_ask(traced: Traced, rest_s: float) -> None:
    """The journal's thread converts what waits, and what is put off when it has nothing else to do."""
    time.sleep(rest_s)
    traced.run()
    wait_until(lambda: traced.written().count(b'"revision"') >= 5, timeout_s=20, what="the events of five spans")


def test_what_is_in_order_stays_so(traced: Traced) -> None:
    """An action of our own that ends after a span of others comes after it, and so does what is recorded by hand."""
    traced.run(1)
    with feedback.action("own"):
        pass
    traced.run(1)
    traced.pipeline.record_outcome(feedback.OutcomeEvent(action_type="by_hand", status=feedback.OutcomeStatus.SUCCESS))
    assert [event.action_type for event in traced.events()][1:] == ["llm", "agent", "own", "llm", "agent", "by_hand"]


def test_what_is_not_as_usual_comes_after_what_waits(traced: Traced) -> None:
    agent = traced.start(AGENT)
    traced.start(above=agent).end()
    failed = traced.start(above=agent)
    failed.set_status(StatusCode.ERROR, "it broke")
    failed.end()
    agent.end()
    _, first, second, whole = traced.events()
    assert [first.status, second.status, whole.tokens_used] == ["success", "failure", 24]
    assert whole.metadata["child_errors"] == 1


def test_many_threads_lose_nothing(traced: Traced) -> None:
    threads = [threading.Thread(target=lambda: [traced.run() for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = traced.events()
    assert len(found) == 1 + 4 * 4 * 50
    assert {event.tokens_used for event in found if event.action_type == "agent"} == {36}


def test_more_than_may_wait_is_converted_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By who ends them, where the journal's thread cannot: in order, and notes that nobody needs any more are forgotten."""
    traced = Traced(tmp_path)
    monkeypatch.setattr(keeper, "TICK_S", 600.0)
    time.sleep(0.3)  # it waits for so long now
    monkeypatch.setattr(putting_off, "MOST_PUT_OFF", 64)
    waiting: list[int] = []
    for _ in range(500):
        traced.run()
        waiting.append(traced.pipeline.journal.health().open_actions)
    assert 64 <= max(waiting) <= 4 * 64
    found = traced.events()
    assert [event.action_type for event in found] == ["llm", "llm", "llm", "agent"] * 250
    assert {event.tokens_used for event in found if event.action_type == "agent"} == {36}
    assert traced.pipeline.metrics()["recorded"] == 2_001
    traced.pipeline.shutdown(0)


@pytest.mark.parametrize("hook", ["event_filter", "redact"])
def test_hooks_are_called_on_the_thread_that_ended_the_span(tmp_path: Path, hook: str) -> None:
    seen: list[int] = []

    def note(event: feedback.OutcomeEvent) -> Any:
        seen.append(threading.get_ident())
        return event

    name = "filter" if hook == "event_filter" else hook
    traced = Traced(tmp_path, **{name: note})
    traced.run()
    assert len(seen) >= 5
    assert set(seen) == {threading.get_ident()}
    assert not traced.notes()
    traced.pipeline.shutdown(0)


def test_with_fsync_nothing_waits(tmp_path: Path) -> None:
    """Each span is on the platter when it has ended, as an event."""
    traced = Traced(tmp_path, durability="fsync")
    traced.run()
    assert not traced.notes()
    traced.pipeline.shutdown(0)


def test_no_secret_and_no_content_is_written_down(traced: Traced) -> None:
    content = "what people said is nobody's business"
    for secret in SECRETS:
        traced.start({
            **CALL, "gen_ai.conversation.id": secret.text, "gen_ai.agent.name": f"agent {secret.text}",
            "gen_ai.response.id": secret.text, "gen_ai.input.messages": content, "metadata": f'{{"key": "{content}"}}',
        }).end()  # fmt: skip
        traced.start({**CALL, "gen_ai.response.id": secret.text, "gen_ai.output.messages": content}).end()
    written = traced.written()
    assert traced.notes() >= len(SECRETS)
    assert content.encode() not in written.replace(b'"key":"' + content.encode(), b"")
    assert [secret.name for secret in SECRETS if any(part.encode() in written for part in secret.hidden)] == []
    assert len(traced.events()) == 1 + 2 * len(SECRETS)


def test_no_secret_that_json_hides_is_written_down(traced: Traced) -> None:
    """Of spans such as there were before, whose attributes are taken out and not read."""
    kind = {"openinference.span.kind": "TOOL", "session.id": "s", "tool.name": "t"}
    for number in range(3):
        traced.start({**kind, "metadata": json.dumps({"said": f"nothing {number}"})}).end()
    assert traced.notes() >= 3
    for secret in SECRETS:
        traced.start({**kind, "metadata": json.dumps({"said": secret.text})}).end()
        escaped = "".join(f"\\u{ord(letter):04x}" for letter in secret.text)
        traced.start({**kind, "metadata": f'{{"said": "{escaped}"}}'}).end()
        traced.start({**kind, "metadata": "{}", "session.id": secret.text}).end()
    traced.start({**kind, "metadata": json.dumps({"password": "swordfish"})}).end()
    assert len(traced.events()) == 1 + 3 + 3 * len(SECRETS) + 1
    written = traced.written()
    assert [secret.name for secret in SECRETS if any(part.encode() in written for part in secret.hidden)] == []
    assert b"swordfish" not in written
    assert b"\\u00" not in written


def test_spans_with_attributes_of_ours_are_put_off(traced: Traced) -> None:
    """Nothing of them is written down that is not theirs, no secret, and no metadata that nobody knows to be none."""
    content = "what people said is nobody's business"
    own = {"outcome.action_type": "agent", "gen_ai.agent.name": "a", "outcome.tags": ["t"]}
    for number in range(50):
        agent = traced.start({**own, "gen_ai.input.messages": content, "outcome.metadata.step": number})
        traced.start({"outcome.action_type": "llm", "gen_ai.usage.input_tokens": 10}, above=agent).end()
        agent.end()
    found = traced.events()[1:]
    assert [(event.action_type, event.depth) for event in found] == [("llm", 1), ("agent", 0)] * 50
    assert {event.tokens_used for event in found if event.depth} == {10}
    assert [event.metadata for event in found if event.depth == 0] == [{"step": number} for number in range(50)]
    written = traced.written()
    assert traced.notes() >= 100
    for secret in SECRETS:
        traced.start({**own, "user.id": secret.text}).end()
        traced.start({**own, "outcome.metadata.said": secret.text}).end()
        traced.start({**own, "outcome.tags": [secret.text]}).end()
        traced.start({**own, f"outcome.metadata.{secret.text}": 1}).end()
    traced.start({**own, "outcome.metadata.api_key": "swordfish"}).end()
    assert len(traced.events()) == 1 + 100 + 4 * len(SECRETS) + 1
    written = traced.written()
    assert [secret.name for secret in SECRETS if any(part.encode() in written for part in secret.hidden)] == []
    assert b"swordfish" not in written
    assert content.encode() not in written


def test_below_an_action_spans_with_attributes_of_ours_are_converted_at_once(traced: Traced) -> None:
    before = traced.notes()
    with feedback.action("own"):
        traced.provider.get_tracer("someone").start_span("s", attributes={"outcome.action_type": "tool"}).end()
    assert traced.notes() == before
    assert [(event.action_type, event.depth) for event in traced.events()[1:]] == [("tool", 1), ("own", 0)]


class Told(ReadableSpan):
    """A span that tells other things than it has, as those that other processors hand on."""

    @property
    def attributes(self) -> Attributes:
        return {**(super().attributes or {}), "gen_ai.agent.name": "told"}

    @property
    def events(self) -> tuple[Event, ...]:
        return (Event("exception", {"exception.type": "ToldError", "exception.message": "it broke"}, self.end_time),)


def test_what_a_span_tells_goes_before_what_it_has(traced: Traced) -> None:
    span = traced.start(AGENT)
    assert isinstance(span, ReadableSpan)
    context, scope, start_time = span.get_span_context(), span.instrumentation_scope, span.start_time
    assert start_time is not None
    OutcomeSpanProcessor(traced.pipeline).on_end(
        Told(
            "s", context, attributes=AGENT, resource=span.resource, instrumentation_scope=scope, start_time=start_time,
            end_time=start_time + 1,
        )
    )  # fmt: skip
    told = traced.events()[-1]
    assert (told.agent_name, told.status, told.error_type) == ("told", "failure", "ToldError")


@pytest.mark.parametrize("told", ["attributes", "events"])
def test_an_sdk_whose_spans_hold_others_than_they_tell_is_asked_by_public_names(tmp_path: Path, told: str) -> None:
    log = tmp_path / "outcomes.jsonl"
    program = f"""
        from opentelemetry import trace
        from opentelemetry.sdk import trace as sdk
        held, failed = sdk.ReadableSpan.attributes, {{"exception.type": "ToldError"}}
        if {told!r} == "attributes":
            sdk.ReadableSpan.attributes = property(lambda span: {{**held.fget(span), "gen_ai.agent.name": "told"}})
        else:
            sdk.ReadableSpan.events = property(lambda span: (sdk.Event("exception", failed, span.end_time or 1),))
        import otel_feedback as feedback
        pipeline = feedback.configure(service_name="agents")
        for _ in range(3):
            with trace.get_tracer("someone").start_as_current_span("agent", attributes={AGENT!r}):
                with trace.get_tracer("someone").start_as_current_span("call", attributes={CALL!r}): pass
        """
    ended = run_python(program, {"OTEL_TRACES_EXPORTER": "none", "OTEL_FEEDBACK_LOG_FILE": str(log)})
    assert ended.returncode == 0, ended.stderr
    events = newest(lines_in(log))
    assert len(events) == 6
    if told == "attributes":
        assert {event["agent_name"] for event in events} == {"told"}
    else:
        assert {event["error_type"] for event in events} == {"ToldError"}
    assert {event["tokens_used"] for event in events} == {12}
    assert sorted(event["depth"] for event in events) == [0, 0, 0, 1, 1, 1]


FOREIGN = """
    import os, signal
    from opentelemetry import trace
    import otel_feedback as feedback
    pipeline = feedback.configure(service_name="agents")
    tracer = trace.get_tracer("someone")
    call = {call!r}
    def run():
        with tracer.start_as_current_span("agent", attributes={agent!r}):
            for _ in range(3):
                with tracer.start_as_current_span("call", attributes=call): pass
    tracer.start_span("call", attributes=call).end()
    runs = 0
    while not (runs and pipeline.outcomes.is_behind):
        run()
        runs += 1
    {then}
"""


def run(then: str, log: Path) -> Any:
    program = FOREIGN.format(call=CALL, agent=AGENT, then=then)
    return run_python(program, {"OTEL_TRACES_EXPORTER": "none", "OTEL_FEEDBACK_LOG_FILE": str(log)})


NEXT = """
    import time
    from pathlib import Path
    import otel_feedback as feedback
    from otel_feedback.journal.folder import folders
    feedback.configure(service_name="agents", journal_rescan_s=0.1)
    root = Path(feedback.get_settings(service_name="agents").journal_dir)
    until = time.monotonic() + 20
    while folders(root) and time.monotonic() < until:
        time.sleep(0.02)
"""


FLOOD = (
    "import time; from otel_feedback.convert import putting_off; from otel_feedback.pipeline import keeper; "
    "keeper.TICK_S = 600.0; time.sleep(0.3); putting_off.MOST_PUT_OFF = 64; pipeline.metrics(); "
    "tracer.start_span('call', attributes=call).end(); runs += len([run() for _ in range(200)]); "
)
"""They are converted eight at a time, and one call goes before: so there is always an agent that waits while its calls do not."""


@pytest.mark.parametrize("before", ["", FLOOD], ids=["few", "more_than_may_wait"])
def test_what_waits_survives_kill_9(tmp_path: Path, before: str) -> None:
    log = tmp_path / "outcomes.jsonl"
    log.mkdir()
    killed = run(f"{before}print(runs, flush=True); os.kill(os.getpid(), signal.SIGKILL)", log)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    log.rmdir()
    following = run_python(NEXT, {"OTEL_TRACES_EXPORTER": "none", "OTEL_FEEDBACK_LOG_FILE": str(log)})
    assert following.returncode == 0, following.stderr
    events = newest(lines_in(log))
    runs = int(killed.stdout)
    agents = {event["event_id"]: event for event in events if event["action_type"] == "agent"}
    calls = [event for event in events if event["depth"] == 1]
    assert len(events) == 1 + bool(before) + 4 * runs
    assert len(agents) == runs
    assert {(event["status"], event["llm_calls"], event["tokens_used"]) for event in agents.values()} == {
        ("success", 3, 36)
    }
    assert len(calls) == 3 * runs
    assert all(event["parent_event_id"] in agents and event["agent_name"] == "a" for event in calls)
    assert {event["service_name"] for event in events} == {"agents"}


@pytest.mark.parametrize("end", ["", "pipeline.shutdown()", "os._exit(0) if pipeline.force_flush(20) else os._exit(1)"])
def test_an_orderly_end_leaves_nothing(tmp_path: Path, end: str) -> None:
    log = tmp_path / "outcomes.jsonl"
    ended = run(f"print(runs, flush=True); {end}", log)
    assert ended.returncode == 0, ended.stderr
    assert len(newest(lines_in(log))) == 1 + 4 * int(ended.stdout)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_what_waits_at_a_fork_is_the_parents(tmp_path: Path) -> None:
    log = tmp_path / "outcomes.jsonl"
    ended = run(
        "child = os.fork(); run(); pipeline.shutdown(); print(runs + 1, flush=True) if child else os._exit(0); os.waitpid(child, 0)",
        log,
    )
    assert ended.returncode == 0, ended.stderr
    events = lines_in(log)
    assert len(newest(events)) == 1 + 4 * (int(ended.stdout) + 1)
    assert len(events) == len({(event["event_id"], event["revision"]) for event in events}), "recorded twice"


def test_spans_that_end_in_a_handler_of_a_signal_are_there(tmp_path: Path) -> None:
    """Wherever it interrupts: reading, noting, or what converts them."""
    program = f"""
        import signal, sys
        from opentelemetry import trace
        from opentelemetry.context import Context
        import otel_feedback as feedback
        pipeline = feedback.configure(service_name="agents", ring_size=100_000)
        tracer = trace.get_tracer("someone")
        runs, handled, inside = [], 0, False
        def run():
            with tracer.start_as_current_span("agent", Context(), attributes={AGENT!r}):
                with tracer.start_as_current_span("call", attributes={CALL!r}): pass
            runs.append(None)
        def handle(signum, frame):
            global handled, inside
            if not inside:  # or they would pile up
                inside = True
                run()
                if handled % 3 == 0:
                    pipeline.get_recent_events()
                handled += 1
                inside = False
        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        while handled < 200:
            run()
            if len(runs) % 50 == 0:
                pipeline.get_recent_events()
        signal.setitimer(signal.ITIMER_REAL, 0)
        events = pipeline.get_recent_events(100_000)
        agents = [event for event in events if event.action_type == "agent"]
        wrong = [event for event in agents if event.llm_calls != 1]
        print(len(runs), len(events), len(agents), len(wrong), pipeline.metrics()["not_recorded"])
    """
    ended = run_python(program, {"OTEL_TRACES_EXPORTER": "none", "OTEL_FEEDBACK_LOG_FILE": str(tmp_path / "log")})
    assert ended.returncode == 0, ended.stderr
    runs, events, agents, wrong, rest = ended.stdout.split(maxsplit=4)
    assert int(agents) == int(runs), ended.stdout
    assert int(events) == 2 * int(runs)
    assert (int(wrong), rest.strip()) == (0, "{}")
