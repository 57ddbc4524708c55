"""A user's own convention, the content that is read when asked for, and two processors that see one span."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from otel_feedback.conventions import FinishedSpan, Reading, Table, Tokens
from tests.logs import lines_in
from tests.support import run_python

TABLE = Table(texts={"tool_name": ("acme.tool",), "model": ("acme.model",)}, tokens=(Tokens("acme.in", "acme.out"),))


class Acme:
    name = "acme"
    markers = frozenset({"acme.kind"})

    def matches(self, span: FinishedSpan) -> bool:
        return "acme.kind" in span.attributes

    def read(self, span: FinishedSpan) -> Reading:
        if span.attributes["acme.kind"] == "broken":
            raise ValueError("it cannot be read")
        return TABLE.read(span.attributes, kind=str(span.attributes["acme.kind"]))


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    return {"enable_outcome_logging": False, "tracer_provider": TracerProvider(shutdown_on_exit=False)}


def test_a_span_of_a_users_convention_becomes_an_event(settings: dict[str, Any]) -> None:
    pipeline = feedback.configure(conventions=[Acme()], **settings)
    tracer = settings["tracer_provider"].get_tracer("acme")
    tracer.start_span("call", attributes={"acme.kind": "llm", "acme.model": "m", "acme.in": 3, "acme.out": 4}).end()
    [event] = pipeline.get_recent_events()
    assert (event.action_type, event.model, event.own_tokens, event.tokens_used) == ("llm", "m", 7, 7)
    pipeline.shutdown()


def test_a_convention_that_raises_is_counted_and_leaves_nothing_open(settings: dict[str, Any]) -> None:
    pipeline = feedback.configure(conventions=[Acme()], **settings)
    tracer = settings["tracer_provider"].get_tracer("acme")
    with tracer.start_as_current_span("call", attributes={"acme.kind": "broken"}):
        tracer.start_span("below", attributes={"acme.kind": "tool", "acme.tool": "add"}).end()
    assert [event.tool_name for event in pipeline.get_recent_events()] == ["add"]
    assert pipeline.metrics()["not_recorded"] == {"unconvertible": 1}
    pipeline.shutdown()


@pytest.mark.parametrize("given", [object(), "acme", type("NoMarkers", (), {"matches": len, "read": len})()])
def test_what_is_no_convention_is_refused(given: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(feedback.ConfigError, match="conventions"):
        feedback.configure(conventions=[given], **settings)


SPANS: list[tuple[dict[str, Any], str]] = [
    ({"gen_ai.operation.name": "chat", "gen_ai.input.messages": "asked", "gen_ai.output.messages": "told"}, "llm"),
    ({"openinference.span.kind": "LLM", "input.value": "asked", "output.value": "told"}, "llm"),
    ({"traceloop.span.kind": "agent", "traceloop.entity.input": "asked", "traceloop.entity.output": "told"}, "agent"),
    ({"langfuse.observation.type": "generation", "langfuse.observation.input": "asked",
      "langfuse.observation.output": "told"}, "llm"),
    ({"mlflow.spanType": '"CHAT_MODEL"', "mlflow.spanInputs": "asked", "mlflow.spanOutputs": "told"}, "llm"),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "kind"), SPANS)
def test_content_is_read_where_it_is_asked_for_only(
    attributes: dict[str, Any], kind: str, settings: dict[str, Any]
) -> None:
    for wanted, expected in ((None, {}), ("output", {"content.output": "told"})):
        provider = settings["tracer_provider"] = TracerProvider(shutdown_on_exit=False)
        pipeline = feedback.configure(capture_content=wanted, **settings)
        provider.get_tracer("x").start_span("call", attributes=attributes).end()
        [event] = pipeline.get_recent_events()
        assert event.action_type == kind
        assert {key: value for key, value in event.metadata.items() if key.startswith("content.")} == expected
        assert "asked" not in event.to_json()
        pipeline.shutdown()


def test_arguments_of_tools_are_content_of_their_own(settings: dict[str, Any]) -> None:
    pipeline = feedback.configure(capture_content="input,tool_arguments", **settings)
    told = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "add",
        "gen_ai.tool.call.arguments": '{"a": 1}',
    }
    settings["tracer_provider"].get_tracer("x").start_span("call", attributes=told).end()
    [event] = pipeline.get_recent_events()
    assert event.metadata["content.tool_arguments"] == '{"a": 1}'
    assert "content.input" not in event.metadata
    pipeline.shutdown()


def test_steps_are_events_where_the_setting_says_so(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for wanted, expected in (("", []), ("step,agent_create", ["step", "agent_create"])):
        monkeypatch.setenv("OTEL_FEEDBACK_EMIT", wanted)
        provider = settings["tracer_provider"] = TracerProvider(shutdown_on_exit=False)
        pipeline = feedback.configure(**settings)
        for operation in ("execute_task", "create_agent"):
            provider.get_tracer("x").start_span("s", attributes={"gen_ai.operation.name": operation}).end()
        assert [event.action_type for event in pipeline.get_recent_events()] == expected
        pipeline.shutdown()


def test_two_processors_on_one_provider_record_a_span_once(settings: dict[str, Any]) -> None:
    pipeline = feedback.configure(**settings)
    provider = settings["tracer_provider"]
    provider.add_span_processor(feedback.OutcomeSpanProcessor())
    tracer = provider.get_tracer("x")
    with tracer.start_as_current_span("invoke_agent a", attributes={"gen_ai.operation.name": "invoke_agent"}):
        tracer.start_span("call", attributes={"gen_ai.operation.name": "execute_tool"}).end()
    with feedback.action("step"):
        pass
    assert pipeline.metrics()["recorded"] == 3
    pipeline.shutdown()


def test_processors_on_two_providers_share_what_they_know(settings: dict[str, Any]) -> None:
    pipeline = feedback.configure(**settings)
    other = TracerProvider(shutdown_on_exit=False)
    other.add_span_processor(feedback.OutcomeSpanProcessor())
    told = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 2, "gen_ai.usage.output_tokens": 1}
    with feedback.action("step") as act:
        other.get_tracer("x").start_span("chat", context=trace.set_span_in_context(trace.get_current_span()),
                                         attributes=told).end()  # fmt: skip
    chat, step = pipeline.get_recent_events()
    assert act.event is not None
    assert (step.tokens_used, step.own_tokens, step.llm_calls) == (3, None, 1)
    assert (chat.parent_event_id, chat.depth) == (step.event_id, 1)
    pipeline.shutdown()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_forked_child_does_not_give_up_what_its_parent_has_open(tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = run_python(
        """
        import os
        import otel_feedback as feedback
        from opentelemetry import trace
        pipeline = feedback.configure()
        tracer = trace.get_tracer("x")
        with tracer.start_as_current_span("a", attributes={"gen_ai.operation.name": "invoke_agent"}):
            child = os.fork()
            if child == 0:
                tracer.start_span("b", attributes={"gen_ai.operation.name": "execute_tool"}).end()
                os._exit(0 if pipeline.shutdown(10) else 1)
            assert os.waitpid(child, 0)[1] == 0
        assert pipeline.shutdown(10)
        """,
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_FEEDBACK_LOG_FILE": str(log)},
    )
    assert done.returncode == 0, done.stderr
    assert sorted((event["action_type"], event["status"]) for event in lines_in(log)) == [
        ("agent", "success"),
        ("tool", "success"),
    ]
