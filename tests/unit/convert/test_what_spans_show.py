"""What one span of one convention shows: tokens, cost, how it ended, what it is called."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.trace import Status, StatusCode

from tests.unit.convert.stage import Stage, end_all, remote

CLAUDE = {
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5",
    "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20,
}  # fmt: skip
BEDROCK = {
    **CLAUDE, "gen_ai.provider.name": "aws.bedrock", "gen_ai.usage.cache_read.input_tokens": 30,
    "gen_ai.request.model": "anthropic.claude-sonnet-4-5-20250929-v1:0", "gen_ai.usage.cache_creation.input_tokens": 10,
    "gen_ai.response.finish_reasons": ("end_turn",),
}  # fmt: skip
GEMINI = {
    "gen_ai.operation.name": "generate_content", "gen_ai.provider.name": "gcp.gen_ai", "gen_ai.usage.input_tokens": 100,
    "gen_ai.request.model": "gemini-2.5-flash", "gen_ai.usage.output_tokens": 12,
}  # fmt: skip


@pytest.fixture
def stage() -> Stage:
    return Stage()


def langfuse(model: str, **usage: Any) -> dict[str, Any]:
    return {
        "langfuse.observation.type": "generation", "langfuse.observation.model.name": model,
        "langfuse.observation.usage_details": json.dumps(usage), "langfuse.observation.output": "x",
    }  # fmt: skip


USAGE = {
    "Bedrock, cache beside, little input": ("x.bedrock", {**BEDROCK, "gen_ai.usage.input_tokens": 30}, (70, 20), None),
    "Bedrock, cache beside, more input": ("x.bedrock", {**BEDROCK, "gen_ai.usage.input_tokens": 60}, (100, 20), 0.00057915),
    "Bedrock, a total that leaves the cache out": (
        "x.bedrock", {**BEDROCK, "gen_ai.usage.input_tokens": 60, "gen_ai.usage.total_tokens": 80}, (100, 20), 0.00057915,
    ),
    "Bedrock by a framework": ("framework", BEDROCK, (100, 20), 0.00057915),
    "Gemini, thoughts beside, by the total": ("x", {**GEMINI, "gen_ai.usage.total_tokens": 120}, (100, 20), 8e-05),
    "Gemini, thoughts and a total": (
        "x", {**GEMINI, "gen_ai.usage.total_tokens": 120, "gen_ai.usage.reasoning.output_tokens": 8}, (100, 20), 8e-05,
    ),
    "more reasoning than output": ("x", {**GEMINI, "gen_ai.usage.reasoning.output_tokens": 50}, (100, 62), None),
    "a cache beside, by the total": (
        "x", {**CLAUDE, "gen_ai.usage.input_tokens": 60, "gen_ai.usage.cache_read.input_tokens": 30,
              "gen_ai.usage.cache_creation.input_tokens": 10, "gen_ai.usage.total_tokens": 120}, (100, 20), 0.0005265,
    ),
    "a cache inside, by the total": (
        "x", {**CLAUDE, "gen_ai.usage.cache_read.input_tokens": 40, "gen_ai.usage.total_tokens": 120}, (100, 20), None,
    ),
    "a total without the answer's part": (
        "x", {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.total_tokens": 120},
        (100, 20), None,
    ),
    "buckets that are disjoint": (
        "langfuse-sdk",
        langfuse("claude-sonnet-4-5", input=60, output=20, cache_read_input_tokens=30, cache_creation_input_tokens=10),
        (100, 20), 0.0005265,
    ),
    "buckets that the total shows to be inside": (
        "langfuse-sdk", langfuse("gpt-4o-mini", input=100, output=20, total=120, input_cached_tokens=40), (100, 20), 2.4e-05,
    ),
    "as the client library says it": (
        "langfuse-sdk",
        langfuse("gpt-4o-mini", prompt_tokens=100, completion_tokens=20, total_tokens=120,
                 prompt_tokens_details={"cached_tokens": 40}, completion_tokens_details={"reasoning_tokens": 8}),
        (100, 20), 2.4e-05,
    ),
    "as the responses API says it": (
        "langfuse-sdk",
        langfuse("gpt-4o-mini", input_tokens=100, output_tokens=20, total_tokens=120,
                 input_tokens_details={"cached_tokens": 40}, output_tokens_details={"reasoning_tokens": 8}),
        (100, 20), 2.4e-05,
    ),
    "a cost that is stated": ("x", {**CLAUDE, "gen_ai.cost.total_cost": 0.25}, (100, 20), 0.25),
}  # fmt: skip


@pytest.mark.parametrize("case", USAGE)
def test_tokens_and_cost(stage: Stage, case: str):
    scope, attributes, (given, gotten), cost = USAGE[case]
    end_all([(stage.start(scope, 0, attributes), 1)])
    [event] = stage.events()
    assert (event.input_tokens, event.output_tokens, event.own_tokens) == (given, gotten, given + gotten)
    if cost is not None:
        assert event.own_cost == pytest.approx(cost)


@pytest.mark.parametrize(
    ("operation", "kind"),
    [("acompletion", "llm"), ("aembedding", "embedding"), ("aresponses", "llm"), ("anthropic_messages", "llm"),
     ("agenerate_content_stream", "llm"), ("converse", "llm"), ("arerank", "retrieval")],
)  # fmt: skip
def test_what_names_a_model_and_shows_usage_is_a_call_of_it(stage: Stage, operation: str, kind: str):
    end_all([(stage.start("x", 0, {**CLAUDE, "gen_ai.operation.name": operation}), 1)])
    assert [event.action_type for event in stage.events()] == [kind]


def test_a_call_that_failed_is_one_too(stage: Stage):
    told = {name: value for name, value in CLAUDE.items() if "usage" not in name}
    span = stage.start("x", 0, {**told, "gen_ai.operation.name": "acompletion"})
    span.set_status(Status(StatusCode.ERROR, "InternalServerError: no"))
    end_all([(span, 1)])
    assert [(event.action_type, event.status.value) for event in stage.events()] == [("llm", "failure")]


STREAM = {"gen_ai.request.stream": True}
OPENINFERENCE = {"openinference.span.kind": "LLM", "llm.token_count.prompt": 100, "llm.token_count.completion": 1}
ENDINGS: dict[str, tuple[dict[str, Any], StatusCode, str]] = {
    "a stream with early usage and no end": ({**CLAUDE, **STREAM}, StatusCode.UNSET, "partial"),
    "a stream with its end": ({**CLAUDE, **STREAM, "gen_ai.response.finish_reasons": ("stop",)}, StatusCode.UNSET, "success"),
    "a stream that ended well by its status": ({**CLAUDE, **STREAM}, StatusCode.OK, "success"),
    "a stream by the request alone": (
        {**OPENINFERENCE, "llm.invocation_parameters": '{"stream": true}'}, StatusCode.UNSET, "partial",
    ),
    "no stream": ({**OPENINFERENCE, "llm.invocation_parameters": "{}"}, StatusCode.UNSET, "success"),
    "cut, by the client's own name": ({**CLAUDE, "anthropic.message.stop_reason": "max_tokens"}, StatusCode.OK, "partial"),
    "refused": ({**CLAUDE, "anthropic.message.stop_reason": "refusal"}, StatusCode.OK, "partial"),
    "cut, in the answer's JSON": (
        {**OPENINFERENCE, "output.mime_type": "application/json", "output.value": '{"stop_reason": "max_tokens"}'},
        StatusCode.OK, "partial",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ENDINGS)
def test_endings(stage: Stage, case: str):
    attributes, code, status = ENDINGS[case]
    span = stage.start("x", 0, attributes)
    if code is not StatusCode.UNSET:
        span.set_status(Status(code))
    end_all([(span, 1)])
    assert [event.status.value for event in stage.events()] == [status]


LOG = {"logfire.span_type": "log", "gen_ai.response.id": "r"}


@pytest.mark.parametrize("is_below", [True, False])
@pytest.mark.parametrize("is_read", [True, False])
def test_a_log_of_what_a_stream_was_in_the_end_is_its_answer(stage: Stage, *, is_below: bool, is_read: bool):
    """One of twenty at the same time; only the time says which where the log has no place."""
    asked = {name: value for name, value in CLAUDE.items() if "usage" not in name} | {"logfire.span_type": "span"}
    agent = stage.start("app", 0, {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"})
    for at in range(20):
        call = stage.start("logfire.x", at, asked, agent)
        end_all([(call, at + 0.5)])
        told = {**CLAUDE, "gen_ai.response.finish_reasons": ("stop",)} if is_read else asked
        above = remote(call) if is_below else None
        log = stage.start("logfire.x", at + 50, {**told, **LOG, "duration": 0.0494}, above)
        end_all([(log, at + 50)])
    end_all([(agent, 100)])
    calls = stage.events("llm")
    assert [call.status.value for call in calls] == ["success" if is_read else "partial"] * 20
    assert [call.duration_ms for call in calls] == [50] * 20
    assert stage.totals() == ((2_400, 2_400, 20) if is_read else (0, 0, 20))


def test_a_crew_tells_its_tokens_in_a_text(stage: Stage):
    told = "total_tokens=240 prompt_tokens=200 cached_prompt_tokens=60 completion_tokens=40 successful_requests=2"
    crew = stage.start("x.crewai", 0, {"gen_ai.system": "crewai"}, name="crewai.workflow")
    agent = stage.start("x.crewai", 1, {"traceloop.span.kind": "agent"}, crew, "writer.agent")
    crew.set_attribute("crewai.crew.token_usage", told)
    end_all([(agent, 2), (crew, 3)])
    assert stage.totals()[:2] == (240, 240)
    [root] = [event for event in stage.events() if event.parent_event_id is None]
    assert (root.action_type, root.input_tokens, root.output_tokens, root.cached_input_tokens) == (
        "workflow",
        200,
        40,
        60,
    )


def test_the_name_of_a_tool_is_not_that_of_its_method(stage: Stage):
    end_all(
        [(stage.start("x", 0, {"openinference.span.kind": "TOOL"}, name=name), 1) for name in ("a.__call__", "b.acall")]
    )
    assert [event.tool_name for event in stage.events()] == ["a", "b"]


@pytest.mark.parametrize("is_open_step", [True, False])
@pytest.mark.parametrize("is_in_job", [True, False])
def test_an_agent_that_never_ends_after_an_error_of_its_model_has_failed(
    stage: Stage, *, is_open_step: bool, is_in_job: bool
):
    job = stage.start("app", 0) if is_in_job else None
    agent = stage.start("x", 1, {"openinference.span.kind": "AGENT", "agent.name": "a"}, job)
    step = stage.start("x", 2, {"openinference.span.kind": "CHAIN"}, agent)
    call = stage.start("x", 3, {"openinference.span.kind": "LLM"}, step)
    call.record_exception(ValueError("no"))
    call.set_status(Status(StatusCode.ERROR, "ValueError: no"))
    call.end()
    if not is_open_step:
        step.set_status(Status(StatusCode.ERROR, "ValueError: no"))
        step.end()
    if job is not None:
        job.end()
    else:
        stage.pipeline.shutdown()
    [event] = stage.events("agent")
    assert (event.agent_name, event.status.value, event.error_type) == ("a", "failure", "ValueError")


def test_steps_whose_attributes_come_late_stay_steps_in_a_plain_span(stage: Stage):
    job = stage.start("app", 0)
    root = stage.start("x", 1, {}, job, "graph")
    for at in range(10):
        step = stage.start("x", 2 + at, {}, root, "step")
        step.set_attribute("openinference.span.kind", "CHAIN")
        end_all([(step, 2.5 + at)])
    root.set_attribute("openinference.span.kind", "CHAIN")
    end_all([(root, 20), (job, 21)])
    assert [event.action_type for event in stage.events()] == ["workflow"]
