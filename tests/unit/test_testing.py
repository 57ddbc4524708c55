"""`otel_feedback.testing`: events captured in users' own tests, and everything as before afterwards."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_feedback as feedback
from otel_feedback.capture.runtime import runtime
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.testing import CapturedEvents, captured_events
from tests.agents import Doing, run
from tests.support import environment, run_python


def act(action_type: str, agent: str | None = None) -> None:
    with feedback.action(action_type, agent=agent):
        pass


# -- the list ----------------------------------------------------------------------------------------------


def test_the_events_of_the_block_as_a_list() -> None:
    with captured_events() as events:
        assert (len(events), bool(events), events) == (0, False, [])
        with pytest.raises(ValueError, match="no"), feedback.action("plan", agent="a") as outer:
            act("search", agent="b")
            raise ValueError("no")
        act("search")
    assert [event.action_type for event in events] == ["search", "plan", "search"]
    assert events[1] is outer.event
    assert [event.agent_name for event in events[:2]] == ["b", "a"]
    assert events == list(events)
    assert events != []
    assert events[0] in events
    assert repr(events) == "[b search success, a plan failure, - search success]"


def test_of_asks_for_some() -> None:
    with captured_events() as events:
        act("search", agent="a")
        act("search", agent="b")
        with feedback.action("plan", agent="a", workflow_id="wf") as handle:
            handle.fail("no")
    assert [event.agent_name for event in events.of(action_type="search")] == ["a", "b"]
    assert [event.action_type for event in events.of(agent_name="a")] == ["search", "plan"]
    assert events.of(action_type="search", agent_name="b") == [events[1]]
    assert events.of(status="failure") == events.of(status=feedback.OutcomeStatus.FAILURE) == [events[2]]
    assert events.of(workflow_id="wf") == [events[2]]
    assert events.of(agent_name="nobody") == []


def test_events_are_whole() -> None:
    with captured_events(service_name="svc") as events, feedback.action("outer", run_id="r", tags=["t"]) as outer:
        outer.add_usage(input_tokens=3)
        act("inner")
    inner, event = events
    assert (event.service_name, event.run_id, event.tags, event.tokens_used) == ("svc", "r", ("t",), 3)
    assert event.trace_id is not None
    assert event.event_id == f"{event.trace_id}-{event.span_id}"
    assert (inner.parent_event_id, inner.trace_id) == (event.event_id, event.trace_id)


def test_dispatchers_workflows_streams_and_threads_are_captured() -> None:
    @feedback.action("stream", agent="s")
    def stream() -> object:
        yield 1

    with captured_events() as events:
        run(lambda: feedback.OrchestrationDispatcher().execute_workflow([Doing("w", str)], "t"))
        list(stream())  # type: ignore[call-overload]
        thread = threading.Thread(target=act, args=("thread",))
        thread.start()
        thread.join()
        asyncio.run(asyncio.to_thread(act, "to_thread"))
    assert [event.action_type for event in events] == ["execute", "workflow", "stream", "thread", "to_thread"]


def test_of_a_pending_action_there_is_one_event() -> None:
    with captured_events() as events, feedback.action("long", emit_pending=True):
        assert [event.status for event in events] == ["pending"]
    assert [event.status for event in events] == ["success"]


def test_hundreds_are_kept_in_order() -> None:
    with captured_events() as events:
        for number in range(1_500):
            act(str(number))
    assert [event.action_type for event in events] == [str(number) for number in range(1_500)]


# -- around it ---------------------------------------------------------------------------------------------


def test_a_configured_program_sees_nothing_of_it_and_goes_on_afterwards(
    pipeline: FeedbackPipeline, spans: InMemorySpanExporter
) -> None:
    before = runtime()
    act("before")
    with captured_events() as events:
        act("captured")
        assert feedback.get_feedback_pipeline().get_recent_events() == events
    act("after")
    assert [event.action_type for event in events] == ["captured"]
    assert [event.action_type for event in pipeline.get_recent_events()] == ["before", "after"]
    assert [span.name for span in spans.get_finished_spans()] == ["before", "after"]
    assert feedback.get_feedback_pipeline() is pipeline
    assert runtime() is before
    assert pipeline.metrics()["recorded"] == 2


def test_a_program_that_configures_itself_inside(caplog: pytest.LogCaptureFixture) -> None:
    before = runtime()
    with captured_events() as events:
        configured = feedback.configure(kafka_bootstrap_servers="localhost:1", service_name="theirs")
        feedback.create_dispatcher("localhost:1")
        act("captured")
        assert configured.get_recent_events() == events
        assert configured.metrics()["exporters"] == {}
        configured.shutdown()
        assert feedback.configure() is configured, "no real one instead"
    assert len(events) == 1
    assert runtime() is before
    assert caplog.records == []


def test_an_exception_restores_everything_and_goes_on(pipeline: FeedbackPipeline) -> None:
    error = ValueError("no")
    with pytest.raises(ValueError, match="no") as caught, captured_events():
        raise error
    assert caught.value is error
    act("after")
    assert len(pipeline.get_recent_events()) == 1


def test_of_blocks_in_each_other_the_innermost_captures() -> None:
    with captured_events() as outer:
        act("first")
        with captured_events() as inner:
            act("second")
        act("third")
    assert [event.action_type for event in outer] == ["first", "third"]
    assert [event.action_type for event in inner] == ["second"]


def test_an_action_that_began_before_and_ends_inside_is_the_programs(pipeline: FeedbackPipeline) -> None:
    outer = feedback.action("outer")
    outer.__enter__()
    with captured_events() as events:
        act("inner")
        outer.__exit__(None, None, None)
    assert [event.action_type for event in events] == ["inner"]
    assert [event.action_type for event in pipeline.get_recent_events()] == ["outer"]


def test_identifiers_that_may_travel_still_do(provider: trace.TracerProvider) -> None:
    feedback.configure(tracer_provider=provider, baggage_fields=["tenant_id"])
    with captured_events(), feedback.action("call", tenant_id="acme"):
        assert feedback.inject().keys() == {"traceparent", "baggage"}


@pytest.mark.parametrize(
    "variables", [{}, {"OTEL_FEEDBACK_DISABLED": "true"}, {"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_SAMPLER": "always_off"}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("before", ["", "feedback.configure()"])
def test_nothing_is_sent_written_logged_or_left_running(before: str, variables: dict[str, str], tmp_path: Path) -> None:
    done = run_python(
        f"""
        import threading
        import otel_feedback as feedback
        from otel_feedback.testing import captured_events
        import sys
        assert not {{"pytest", "grpc", "kafka", "asyncio"}} & sys.modules.keys() or {before!r}
        {before}
        with captured_events() as events:
            with feedback.action("a"):
                pass
        print(len(events), threading.active_count())
        """,
        {"XDG_STATE_HOME": str(tmp_path), "OTEL_TRACES_EXPORTER": "none", "ENABLE_KAFKA": "true", **variables},
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["1", "1"], "")
    assert list(tmp_path.rglob("*.seg")) == []


# -- the pytest plugin -------------------------------------------------------------------------------------

USERS_TEST = """
import otel_feedback as feedback

def test_first(outcome_events):
    with feedback.action("a"):
        pass
    assert [event.action_type for event in outcome_events] == ["a"]

def test_second(outcome_events):
    assert outcome_events == []

def test_failing(outcome_events):
    with feedback.action("a", agent="react"):
        pass
    assert outcome_events == []
"""


@pytest.mark.parametrize(
    ("conftest", "options"),
    [
        ('pytest_plugins = ["otel_feedback.testing"]', []),
        ('from otel_feedback.testing import captured_events\npytest_plugins = ["otel_feedback.testing"]', []),
        ("", ["-p", "otel_feedback.testing"]),
    ],
    ids=["plugin", "imported before", "option"],
)
def test_the_fixture_in_a_project_of_its_own(conftest: str, options: list[str], tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_theirs.py").write_text(textwrap.dedent(USERS_TEST))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *options, str(tmp_path)],
        cwd=tmp_path, env=environment(PYTHONPATH=str(Path(feedback.__file__).parents[1])), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert "1 failed, 2 passed" in done.stdout, done.stdout + done.stderr
    assert "assert [react a success] == []" in done.stdout
    assert "warning" not in done.stdout


def test_a_list_cannot_be_hashed() -> None:
    with captured_events() as events, pytest.raises(TypeError):
        hash(events)
    assert isinstance(events, CapturedEvents)
