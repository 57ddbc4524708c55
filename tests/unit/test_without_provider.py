"""Actions where there is no SDK, no configuration, a foreign sampler, or a switch that turns everything off."""

from __future__ import annotations

import json
import logging

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import otel_feedback as feedback
from tests.support import run_python


def test_without_an_sdk_events_flow_with_random_ids() -> None:
    pipeline = feedback.configure(tracer_provider=trace.NoOpTracerProvider(), service_name="svc")
    with feedback.action("outer", agent="a") as outer:
        outer.add_usage(input_tokens=3)
        with pytest.raises(ValueError, match="x"), feedback.action("inner"):
            raise ValueError("x")
    inner, event = pipeline.get_recent_events()
    assert event.event_id == outer.event_id
    assert len(event.event_id) == 49
    assert (event.trace_id, event.span_id) == (None, None)
    assert (event.own_tokens, event.service_name) == (3, "svc")
    assert (inner.error_type, inner.error_message) == ("ValueError", "x")
    assert inner.stack_trace is not None
    assert inner.parent_event_id == event.event_id
    assert inner.event_id != event.event_id


def test_a_foreign_sampler_that_drops_costs_no_event_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    with caplog.at_level(logging.WARNING):
        pipeline = feedback.configure(tracer_provider=provider)
        for _ in range(2):
            with feedback.action("dropped"):
                pass
        with feedback.action("dropped") as act:
            pass
    assert act.event is not None
    assert act.event.trace_id is not None
    assert act.event.event_id == f"{act.event.trace_id}-{act.event.span_id}"
    assert pipeline.metrics()["sampled_out"] == 3
    assert pipeline.metrics()["recorded"] == 3
    assert caplog.text.count("sampler drops spans") == 1


def test_before_configure_it_warns_once_and_goes_on() -> None:
    done = run_python(
        """
        import otel_feedback as feedback
        for _ in range(3):
            with feedback.action("early", agent="a") as act:
                act.add_usage(input_tokens=1)
        print(act.event, feedback.current_action())
        feedback.configure()
        with feedback.action("later") as act: pass
        print(act.event.action_type, feedback.get_feedback_pipeline().metrics()["not_recorded"])
        """,
        {"OTEL_TRACES_EXPORTER": "none", "ENABLE_OUTCOME_LOGGING": "false"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["None None", "later {'before_configure': 3}"]
    assert done.stderr.count("call otel_feedback.configure() before") == 1


@pytest.mark.parametrize("switch", ["OTEL_SDK_DISABLED", "OTEL_FEEDBACK_DISABLED"])
def test_switched_off_everything_is_a_no_op(switch: str) -> None:
    done = run_python(
        """
        import threading
        import otel_feedback as feedback
        pipeline = feedback.configure()
        with feedback.action("a") as act:
            act.add_usage(input_tokens=1); act.partial("x"); act.tag("y")
            assert feedback.current_action() is act
        assert feedback.current_action() is None
        @feedback.action("b")
        def f(): return 7
        print(f(), act.event, pipeline.get_recent_events(), pipeline.metrics()["exporters"], threading.active_count())
        print(pipeline.force_flush(1), pipeline.shutdown())
        """,
        {switch: "true", "ENABLE_KAFKA": "true"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["7", "None", "[]", "{}", "1", "True", "True"]


def test_get_feedback_pipeline_reads_the_environment_and_records_without_an_sdk() -> None:
    done = run_python(
        """
        import otel_feedback as feedback
        pipeline = feedback.get_feedback_pipeline()
        assert feedback.get_feedback_pipeline() is pipeline
        with feedback.action("a"): pass
        """,
        {"OTEL_SERVICE_NAME": "svc"},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr)["service_name"] == "svc"


def test_the_processor_works_alone_on_a_provider_of_somebody_else() -> None:
    done = run_python(
        """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.resources import Resource
        import otel_feedback as feedback
        provider = TracerProvider(resource=Resource({"service.name": "theirs"}))
        provider.add_span_processor(feedback.OutcomeSpanProcessor())
        trace.set_tracer_provider(provider)
        with feedback.action("ours", run_id="r") as act: pass
        with provider.get_tracer("t").start_as_current_span("by hand") as span:
            span.set_attribute("outcome.action_type", "hand")
            span.set_attribute("outcome.status", "partial")
        with provider.get_tracer("t").start_as_current_span("GET /", attributes={"http.method": "GET"}): pass
        events = feedback.get_feedback_pipeline().get_recent_events()
        print([(e.action_type, e.status.value, e.service_name, e.run_id) for e in events], act.event is events[0])
        provider.shutdown()
        """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith("[('ours', 'success', 'theirs', 'r'), ('hand', 'partial', 'theirs', '")
    assert done.stdout.strip().endswith("] True".replace("] ", "] ")), done.stdout
    assert len(done.stderr.splitlines()) == 2, "both events are in the log tier"


def test_limits_on_spans_do_not_cut_events() -> None:
    """The SDK may cut or drop attributes of the span; the outcome must still be right and whole."""
    done = run_python(
        """
        import json
        import otel_feedback as feedback
        pipeline = feedback.configure(enable_outcome_logging=False)
        try:
            with feedback.action("reasoning", agent="a-long-name", run_id="a-long-run-id", metadata={"k": "v" * 40}):
                with feedback.action("tool") as act:
                    act.add_usage(input_tokens=3)
                    raise TimeoutError("it took too long")
        except TimeoutError:
            pass
        print(json.dumps([event.to_dict() for event in pipeline.get_recent_events()]))
        """,
        {
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "6",
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "3",
        },
    )
    assert done.returncode == 0, done.stderr
    tool, outer = json.loads(done.stdout)
    assert (tool["status"], tool["severity"], tool["error_type"]) == ("timeout", "error", "TimeoutError")
    assert (tool["parent_event_id"], tool["input_tokens"]) == (outer["event_id"], 3)
    assert (outer["agent_name"], outer["run_id"], outer["metadata"]) == (
        "a-long-name",
        "a-long-run-id",
        {"k": "v" * 40},
    )
    assert (outer["error_message"], outer["tokens_used"]) == ("it took too long", 3)
