"""What each convention reads, as a table: attributes of one span to fields of its event."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from otel_feedback.convert.conventions.genai import TABLE
from otel_feedback.convert.reading import MOST_PLANS, Reading
from otel_feedback.convert.rules import Rules
from otel_feedback.convert.usage import TokenUsage
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.journal.memory import MemoryJournal
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.pipeline.processor import OutcomeSpanProcessor

ALL = Rules(kinds=frozenset({*Rules().kinds, "step", "agent_create", "memory", "evaluation", "fetch"}))


def event_of(attributes: dict[str, Any], name: str = "span", scope: str = "someone") -> OutcomeEvent:
    pipeline = FeedbackPipeline(new_journal=lambda: MemoryJournal(1 << 20), rules=ALL)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(OutcomeSpanProcessor(pipeline))
    provider.get_tracer(scope).start_span(name, attributes=attributes).end()
    (event,) = pipeline.get_recent_events()
    return event


def check(attributes: dict[str, Any], want: dict[str, Any], **around: str) -> None:
    event = event_of(attributes, **around)
    assert {field: getattr(event, field) for field in want} == want


CHAT = {"gen_ai.operation.name": "chat"}
OI = {"openinference.span.kind": "LLM"}

MODELS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("genai, newest", {**CHAT, "gen_ai.provider.name": "openai", "gen_ai.request.model": "a", "gen_ai.response.model": "b"}, {"action_type": "llm", "model": "b", "provider": "openai"}),
    ("genai, 1.36", {**CHAT, "gen_ai.system": "vertex_ai", "gen_ai.request.model": "a"}, {"model": "a", "provider": "gcp.vertex_ai"}),
    ("genai, without an operation", {"gen_ai.system": "openai", "gen_ai.request.model": "a"}, {"action_type": "llm", "model": "a"}),
    ("a framework is no provider", {**CHAT, "gen_ai.provider.name": "LangChain"}, {"provider": None}),
    ("placeholders say nothing", {**CHAT, "gen_ai.response.model": "unknown", "gen_ai.request.model": "a", "user.id": "None"}, {"model": "a", "user_id": None}),
    ("openinference", {**OI, "llm.model_name": "a", "llm.system": "OpenAI"}, {"action_type": "llm", "model": "a", "provider": "openai"}),
    ("openllmetry, old", {"llm.request.type": "chat", "gen_ai.system": "OpenAI", "gen_ai.request.model": "a"}, {"action_type": "llm", "model": "a", "provider": "openai"}),
    ("langfuse", {"langfuse.observation.type": "generation", "langfuse.observation.model.name": "a"}, {"action_type": "llm", "model": "a"}),
    ("mlflow", {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.llm.model": '"a"', "mlflow.llm.provider": '"openai"'}, {"action_type": "llm", "model": "a", "provider": "openai"}),
]  # fmt: skip

INPUT, OUTPUT = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
TOKENS: list[tuple[str, dict[str, Any], tuple[int | None, int | None, int | None, int | None]]] = [
    ("nothing", CHAT, (None, None, None, None)),
    ("zero is known", {**CHAT, INPUT: 0, OUTPUT: 0}, (0, 0, None, 0)),
    ("genai", {**CHAT, INPUT: 10, OUTPUT: 2}, (10, 2, None, 12)),
    ("old names", {**CHAT, "gen_ai.usage.prompt_tokens": 10, "gen_ai.usage.completion_tokens": 2}, (10, 2, None, 12)),
    ("old and new names are one", {**CHAT, INPUT: 10, OUTPUT: 2, "gen_ai.usage.prompt_tokens": 10, "gen_ai.usage.completion_tokens": 2}, (10, 2, None, 12)),
    ("two conventions are one", {**CHAT, **OI, INPUT: 10, OUTPUT: 2, "llm.token_count.prompt": 10, "llm.token_count.completion": 2}, (10, 2, None, 12)),
    ("families are not mixed", {**CHAT, INPUT: 10, "gen_ai.usage.completion_tokens": 2}, (10, None, None, 10)),
    ("a total alone", {**CHAT, "gen_ai.usage.total_tokens": 12}, (None, None, None, 12)),
    ("numbers in texts", {**CHAT, INPUT: "10", OUTPUT: 2.0}, (10, 2, None, 12)),
    ("no numbers", {**CHAT, INPUT: True, OUTPUT: -1}, (None, None, None, None)),
    ("cached inside", {**CHAT, INPUT: 10, OUTPUT: 2, "gen_ai.usage.cache_read.input_tokens": 4}, (10, 2, 4, 12)),
    ("cached inside, by the total", {**CHAT, INPUT: 10, OUTPUT: 2, "gen_ai.usage.cache_read_input_tokens": 4, "gen_ai.usage.total_tokens": 12}, (10, 2, 4, 12)),
    ("cached beside, by the total", {**CHAT, INPUT: 10, OUTPUT: 2, "gen_ai.usage.cache_read.input_tokens": 4, "gen_ai.usage.total_tokens": 16}, (14, 2, 4, 16)),
    ("cached beside, since it is more", {**CHAT, INPUT: 10, OUTPUT: 2, "gen_ai.usage.cache_read.input_tokens": 40}, (50, 2, 40, 52)),
    ("written to the cache, beside", {**CHAT, INPUT: 10, OUTPUT: 2, "gen_ai.usage.cache_creation.input_tokens": 40}, (50, 2, None, 52)),
    ("openinference", {**OI, "llm.token_count.prompt": 10, "llm.token_count.completion": 2, "llm.token_count.prompt_details.cache_read": 4}, (10, 2, 4, 12)),
    ("openllmetry, old", {"llm.request.type": "chat", "gen_ai.usage.prompt_tokens": 10, "gen_ai.usage.completion_tokens": 2, "llm.usage.total_tokens": 12}, (10, 2, None, 12)),
    ("langfuse, in buckets", {"langfuse.observation.type": "generation", "langfuse.observation.usage_details": '{"input": 6, "input_cached_tokens": 4, "output": 1, "output_reasoning_tokens": 1, "total": 12}'}, (10, 2, 4, 12)),
    ("mlflow", {"mlflow.spanType": '"LLM"', "mlflow.chat.tokenUsage": '{"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}'}, (10, 2, None, 12)),
    ("mlflow, broken", {"mlflow.spanType": '"LLM"', "mlflow.chat.tokenUsage": '{"input_tokens": 10'}, (None, None, None, None)),
    ("pydantic-ai, an agent's own calls", {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.call.id": "r", "gen_ai.aggregated_usage.input_tokens": 10, "gen_ai.aggregated_usage.output_tokens": 2}, (10, 2, None, 12)),
]  # fmt: skip

KINDS: list[tuple[dict[str, Any], str, str]] = [
    *(({"gen_ai.operation.name": operation}, "x", kind) for operation, kind in (
        ("invoke_agent", "agent"), ("create_agent", "agent_create"), ("invoke_workflow", "workflow"), ("execute_tool", "tool"),
        ("embeddings", "embedding"), ("retrieval", "retrieval"), ("plan", "plan"), ("generate_content", "llm"), ("anything", "step"),
    )),
    *(({"openinference.span.kind": word}, "x", kind) for word, kind in (
        ("AGENT", "agent"), ("CHAIN", "workflow"), ("TOOL", "tool"), ("RERANKER", "retrieval"), ("GUARDRAIL", "guardrail"), ("?", "step"),
    )),
    ({"openinference.span.kind": "TOOL"}, "handoff to b", "handoff"),
    ({"gen_ai.operation.name": "chat", "openinference.span.kind": "TOOL"}, "x", "tool"),
    *(({"traceloop.span.kind": word}, "x", kind) for word, kind in (
        ("agent", "agent"), ("workflow", "workflow"), ("task", "step"), ("tool", "tool"),
    )),
    *(({"langfuse.observation.type": word}, "x", kind) for word, kind in (
        ("span", "workflow"), ("retriever", "retrieval"), ("event", "step"), ("generation", "llm"),
    )),
    *(({"mlflow.spanType": json.dumps(word)}, "x", kind) for word, kind in (
        ("CHAIN", "workflow"), ("PARSER", "step"), ("TOOL", "tool"), ("AGENT", "agent"),
    )),
]  # fmt: skip


@pytest.mark.parametrize(("attributes", "want"), [row[1:] for row in MODELS], ids=[row[0] for row in MODELS])
def test_a_model_call(attributes: dict[str, Any], want: dict[str, Any]):
    check(attributes, want)


@pytest.mark.parametrize(("attributes", "want"), [row[1:] for row in TOKENS], ids=[row[0] for row in TOKENS])
def test_tokens_are_counted_once_and_in_one_way(attributes: dict[str, Any], want: tuple[int | None, ...]):
    event = event_of(attributes)
    assert (event.input_tokens, event.output_tokens, event.cached_input_tokens, event.own_tokens) == want
    assert event.tokens_used == want[3]


@pytest.mark.parametrize(("attributes", "name", "kind"), KINDS)
def test_the_kind_of_a_span(attributes: dict[str, Any], name: str, kind: str):
    assert event_of(attributes, name).action_type == kind


@pytest.mark.parametrize(
    ("attributes", "name", "want"),
    [
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}, "x", "a"),
        ({"gen_ai.operation.name": "invoke_agent"}, "invoke_agent a", "a"),
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "agent"}, "x", None),
        ({"openinference.span.kind": "AGENT", "graph.node.id": "a"}, "x", "a"),
        ({"openinference.span.kind": "AGENT"}, "a.run", "a"),
        ({"openinference.span.kind": "AGENT", "metadata": '{"lc_agent_name": "a"}'}, "LangGraph", "a"),
        ({"traceloop.span.kind": "agent", "traceloop.entity.name": "a"}, "a.agent", "a"),
        ({"langfuse.observation.type": "agent"}, "a", "a"),
        ({"mlflow.spanType": '"AGENT"'}, "a", "a"),
    ],
)
def test_the_name_of_an_agent(attributes: dict[str, Any], name: str, want: str | None):
    assert event_of(attributes, name).agent_name == want


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "t"}, "x"),
        ({"gen_ai.operation.name": "execute_tool"}, "execute_tool t"),
        ({"openinference.span.kind": "TOOL", "tool.name": "t"}, "x"),
        ({"traceloop.span.kind": "tool", "traceloop.entity.name": "t"}, "t.tool"),
        ({"langfuse.observation.type": "tool"}, "t"),
        ({"mlflow.spanType": '"TOOL"'}, "t"),
    ],
)
def test_the_name_of_a_tool(attributes: dict[str, Any], name: str):
    assert event_of(attributes, name).tool_name == "t"


@pytest.mark.parametrize(
    "attributes",
    [
        {**CHAT, "gen_ai.conversation.id": "s", "user.id": "u", "metadata": '{"tenant": "t"}'},
        {**OI, "session.id": "s", "metadata": '{"user_id": "u", "org_id": "t"}'},
        {"traceloop.span.kind": "tool", **{f"traceloop.association.properties.{name}": name[0] for name in ("session_id", "user_id", "tenant")}},
        {"langfuse.observation.type": "tool", "session.id": "s", "user.id": "u", "langfuse.trace.metadata.tenant": '"t"'},
    ],
)  # fmt: skip
def test_who_it_was_for(attributes: dict[str, Any]):
    check(attributes, {"session_id": "s", "user_id": "u", "tenant_id": "t"})


@pytest.mark.parametrize(
    "attributes",
    [
        {**CHAT, "gen_ai.usage.cost": 0.5},
        {**OI, "llm.cost.total": 0.5},
        {**OI, "llm.cost.prompt": 0.25, "llm.cost.completion": 0.25},
        {"langfuse.observation.type": "generation", "langfuse.observation.cost_details": '{"input": 0.2, "output": 0.3}'},
        {"mlflow.spanType": '"LLM"', "mlflow.llm.cost": '{"total_cost": 0.5}'},
    ],
)  # fmt: skip
def test_what_it_says_that_it_cost(attributes: dict[str, Any]):
    check(attributes, {"own_cost": 0.5, "cost_estimate": 0.5})


def test_what_a_trace_and_its_observation_both_say():
    """Whom it was for is what the trace says, everything else what the observation does."""
    trace, own = "langfuse.trace.metadata.", "langfuse.observation.metadata."
    event = event_of(
        {
            "langfuse.observation.type": "tool",
            f"{own}tenant": '"b"',
            f"{own}step": "2",
            f"{trace}tenant": '"a"',
            f"{trace}step": "1",
            f"{trace}plan": '"x"',
        }
    )
    assert (event.tenant_id, event.metadata) == ("a", {"step": 2, "plan": "x", "instrumentation": "someone"})


def test_attributes_are_read_the_same_whatever_stands_beside_and_before_them():
    """What is to be read is remembered by the names of a span's attributes, which may be any, and new each time."""
    said = {
        **CHAT,
        "gen_ai.response.model": "b",
        "gen_ai.request.model": "a",
        "gen_ai.usage.input_tokens": 3,
        "tags": ["t"],
    }
    readings = [TABLE.read({f"beside.{number}": number, **said}, "llm") for number in range(2 * MOST_PLANS)]
    readings += [TABLE.read(dict(reversed(said.items())), "llm"), TABLE.read(said, "llm")]
    assert readings == [Reading(kind="llm", model="b", usage=TokenUsage(3), tags=("t",))] * len(readings)
    assert TABLE.read(dict.fromkeys((f"other.{number}" for number in range(len(said))), "x"), "llm") == Reading(
        kind="llm"
    )
