"""Everything public, with recording and switched off: the same results, no error, no log line, no event."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider

import otel_feedback as feedback
from tests.support import ROOT, environment, run_python

SWITCHES = ("OTEL_FEEDBACK_DISABLED", "OTEL_SDK_DISABLED")

PROGRAM = """
import asyncio, threading
from types import SimpleNamespace
import otel_feedback as feedback
from opentelemetry.sdk.trace import TracerProvider
from otel_feedback.testing import captured_events

settings = feedback.get_settings(shutdown_timeout_s=1)
assert isinstance(settings, feedback.Settings) and isinstance(settings.kafka, feedback.KafkaConfig)
pipeline = feedback.configure(settings=settings, redact=lambda event: event, filter=lambda event: True)
assert isinstance(pipeline, feedback.FeedbackPipeline) and feedback.get_feedback_pipeline() is pipeline
print(feedback.__version__)

with feedback.action("outer", agent="a", run_id="r", tags=["t"], metadata={"k": 1}, timeout_s=9, emit_pending=True,
                     tool_name="t") as outer:
    assert isinstance(outer, feedback.Action) and feedback.current_action() is outer
    feedback.current_action().add_usage(model="gpt-4o", input_tokens=1, output_tokens=2)
    feedback.current_action().score(quality=0.5)
    feedback.current_action().tag("more")
    feedback.current_action().set_metadata("k", 2)
    print(len(outer.event_id), len(outer.root_event_id), outer.depth)
    with feedback.action("inner") as inner:
        assert feedback.current_action() is inner
        inner.partial("half")
        print(feedback.variant("prompt-7", {"a": 0.5, "b": 0.5}, unit="u-1"), feedback.variant("e", {"a": 1}))
        with captured_events() as events, feedback.action("caught") as caught:
            assert feedback.current_action() is caught
        print([event.action_type for event in events])
        with feedback.extract(feedback.inject({})):
            feedback.inject_kafka()
            with feedback.action("below"):
                pass
    assert feedback.current_action() is outer
    outer.cancel("enough"); outer.fail(ValueError("no"))
    given = feedback.give(outer, score=0.5), feedback.give("run-1", label="good", by="ann")
    assert all(one is None or isinstance(one, feedback.Feedback) for one in given)
assert feedback.current_action() is None

again = feedback.action("again")
with again:
    first = feedback.current_action()
    with again as second:
        assert feedback.current_action() is second is not first
    assert feedback.current_action() is first

@feedback.action
def plain():
    return feedback.current_action() is not None

@feedback.action("gives")
def gives():
    feedback.current_action().score(confidence=0.5)
    yield 1
    yield feedback.current_action() is not None

@feedback.action("waits")
async def waits():
    await asyncio.sleep(0)
    feedback.current_action().add_usage(input_tokens=1)
    return 3

@feedback.action("streams")
async def streams():
    feedback.current_action().tag("x")
    yield 4

@feedback.action("fails")
def fails():
    feedback.current_action().set_metadata(k=1)
    raise KeyError("k")

async def many():
    print(await asyncio.gather(*(waits() for _ in range(3))), [item async for item in streams()])

print(plain(), list(gives()))
asyncio.run(many())
stream = gives()
print(next(stream), feedback.current_action())
stream.close()
try:
    fails()
except KeyError as error:
    print(repr(error))
thread = threading.Thread(target=plain)
thread.start()
thread.join()

class Agent:
    name = "agent"
    async def execute(self, input_data, context):
        act = feedback.current_action()
        act.add_usage(total_tokens=5)
        if input_data == "half":
            act.partial("half")
        if input_data == "no":
            act.fail("no")
        return {"answer": input_data, "tokens_used": 5}

seen = []
def note(*arguments):
    seen.append(len(arguments))

dispatcher = feedback.create_dispatcher(retries=1, backoff_s=0.001)
assert isinstance(dispatcher, feedback.ActionDispatcher)
remove = dispatcher.add_pre_hook(note)
dispatcher.add_post_hook(note)
for task in ("whole", "half", "no"):
    result = dispatcher.dispatch_sync(Agent(), "reasoning", task)
    print(result["status"], result["output"], result["error"], result["error_type"], result["attempts"])
remove()
dispatcher.remove_hook(note)
print(asyncio.run(dispatcher.dispatch(Agent(), input_data="whole"))["status"], seen, dispatcher.hook_failures)
selector = feedback.AgentSelector([Agent()], feedback.Reward(cost_weight=0.1), refresh_s=None)
print(dispatcher.dispatch_sync(selector, "reasoning", "whole")["status"], dispatcher.dispatch_sync(selector)["status"])
choice = selector.choose()
assert isinstance(choice, feedback.Choice)
with choice.action("reasoning") as act:
    act.partial("half")
choice.learn(act.event)
selector.refresh()
print(selector.probabilities)
workflow = feedback.OrchestrationDispatcher(dispatcher)
result = asyncio.run(workflow.execute_workflow([Agent(), Agent()], "half"))
print(result["status"], [one["status"] for one in result["outputs"]])

processor = feedback.OutcomeSpanProcessor()
provider = TracerProvider()
provider.add_span_processor(processor)
with provider.get_tracer("x").start_as_current_span("call", attributes={"outcome.action_type": "tool"}) as span:
    span.set_attribute("gen_ai.agent.name", "x")
feedback.OutcomeLogRecordProcessor(processor).on_emit(SimpleNamespace(log_record=SimpleNamespace(event_name=None)))
print(feedback.OutcomeLogRecordProcessor(processor).force_flush(100), provider.force_flush(100))

event = feedback.OutcomeEvent(action_type="by hand", status=feedback.OutcomeStatus.SUCCESS, severity=feedback.Severity.INFO)
assert feedback.OutcomeEvent.from_json(event.to_json()) == event and event.to_dict()["status"] == "success"
taken = pipeline.record_outcome(event)
for error in (feedback.ConfigError, feedback.ExportError, feedback.SchemaError):
    assert issubclass(error, feedback.FeedbackError)
recorded = len(pipeline.get_recent_events(1000, "success"))
metrics = pipeline.metrics()
assert len(metrics["producer_id"]) == len(pipeline.producer_id) == 32
print(pipeline.force_flush(5), pipeline.shutdown(5))
with feedback.action("late"):
    assert feedback.current_action() is not None
print("recorded", taken, recorded > 0, metrics["recorded"] > 0, outer.event is not None, sum(metrics["not_recorded"].values()))
"""


def run_it(**variables: str) -> tuple[list[str], str]:
    given = {"OTEL_TRACES_EXPORTER": "none", "OTEL_FEEDBACK_LOG_FILE": "/dev/null", **variables}
    done = run_python(PROGRAM, given)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr


def test_all_that_is_public_is_called() -> None:
    assert [name for name in feedback.__all__ if f"feedback.{name}" not in PROGRAM] == []
    for kind, rest in (
        (feedback.Action, "add_usage cancel fail partial score set_metadata tag"),
        (feedback.FeedbackPipeline, "force_flush get_recent_events metrics record_outcome shutdown"),
        (feedback.ActionDispatcher, "add_post_hook add_pre_hook dispatch dispatch_sync remove_hook"),
    ):
        for name in rest.split():
            assert callable(getattr(kind, name))
            assert f".{name}(" in PROGRAM, name


@pytest.mark.parametrize("switch", SWITCHES)
def test_switched_off_everything_public_does_what_it_does_otherwise_but_record(switch: str) -> None:
    *recording, told = run_it()[0]
    assert told == "recorded True True True True 0"
    (*off, told), said = run_it(**{switch: "true", "ENABLE_KAFKA": "true"})
    assert off == recording
    assert told == "recorded False False False False 0"
    assert said == ""


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("program", sorted(path.name for path in (ROOT / "examples").glob("*.py")))
def test_the_examples_run_switched_off(program: str, switch: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / program)],
        env=environment(PYTHONPATH=str(ROOT), PYTHONWARNINGS="error", **{switch: "true"}),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_an_action_that_could_not_be_started_is_found_all_the_same(
    pipeline: feedback.FeedbackPipeline, provider: TracerProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """A sampler or processor of somebody else may fail; then current_action() must not be None, nor anybody else's."""

    class Failing(SpanProcessor):
        def on_start(self, span: Span, parent_context: Context | None = None) -> None:
            raise OSError("no start")

    provider.add_span_processor(Failing())
    with feedback.action("lost") as act:
        assert feedback.current_action() is act
        act.add_usage(input_tokens=1)
    assert feedback.current_action() is None
    assert [record.levelname for record in caplog.records] == ["ERROR"]
