"""One call that several spans recorded is one call, wherever they stand; and calls that only look alike are not."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, Status, StatusCode

from tests.unit.convert.stage import Stage, end_all, remote

GENAI = {
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18", "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20,
    "gen_ai.response.finish_reasons": ("stop",),
}  # fmt: skip
OPENINFERENCE = {
    "openinference.span.kind": "LLM", "llm.model_name": "openai/gpt-4o-mini", "llm.token_count.prompt": 100,
    "llm.token_count.completion": 20, "llm.token_count.prompt_details.cache_read": 40,
}  # fmt: skip
EMBEDDING = {
    "gen_ai.operation.name": "embeddings", "gen_ai.provider.name": "openai", "gen_ai.usage.input_tokens": 7,
    "gen_ai.request.model": "text-embedding-3-small",
}  # fmt: skip
OF_OPENINFERENCE = {
    "openinference.span.kind": "EMBEDDING", "embedding.model_name": "text-embedding-3-small", "llm.token_count.prompt": 7,
}  # fmt: skip
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}
AROUND: dict[str, dict[str, Any] | None] = {
    "nothing": None, "a plain span": {}, "a server": {"http.request.method": "POST"}, "a worker": {"messaging.system": "redis"},
    "an agent": AGENT,
}  # fmt: skip


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("is_other_trace", [False, True])
@pytest.mark.parametrize("order", ["".join(some) for some in itertools.permutations("abc")])
@pytest.mark.parametrize("has_ids", [False, True])
def test_three_instrumentors_of_a_call_are_one_call(
    stage: Stage, around: str, order: str, *, is_other_trace: bool, has_ids: bool
):
    """A framework that does not attach its context, a client below it or in a trace of its own, and one below that."""
    given = AROUND[around]
    above = None if given is None else stage.start("app", 0, given)
    told = {"gen_ai.response.id": "r1"} if has_ids else {}
    a = stage.start("framework", 1, {**OPENINFERENCE, **told}, above)
    b = stage.start("client", 2, {**GENAI, **told}, None if is_other_trace else above)
    c = stage.start("client.inner", 3, {**OPENINFERENCE, **told}, b)
    spans = {"a": a, "b": b, "c": c}
    end_all((spans[which], 10 + at) for at, which in enumerate(order))
    if above is not None:
        end_all([(above, 20)])
    assert stage.totals() == (120, 120, 1)
    roots = [event for event in stage.events() if event.parent_event_id is None]
    assert len(roots) == 1
    assert sum(event.own_cost or 0 for event in stage.events()) == pytest.approx(2.4e-05)


@pytest.mark.parametrize("around", AROUND)
def test_embeddings_are_counted_once_too(stage: Stage, around: str):
    given = AROUND[around]
    above = None if given is None else stage.start("app", 0, given)
    outer = stage.start("framework", 1, EMBEDDING, above)
    inner = stage.start("client", 2, OF_OPENINFERENCE, above)
    end_all([(inner, 3), (outer, 4), *([] if above is None else [(above, 5)])])
    assert stage.totals() == (7, 7, 0)


def test_the_same_scope_twice_is_one_call_by_its_id(stage: Stage):
    above = stage.start("app", 0)
    told = {**GENAI, "gen_ai.response.id": "r1"}
    outer, inner = stage.start("x", 1, told, above), stage.start("x", 2, told, above)
    end_all([(inner, 3), (outer, 4), (above, 5)])
    assert stage.totals() == (120, 120, 1)


def test_the_same_scope_twice_is_one_call_where_one_is_below_the_other(stage: Stage):
    outer = stage.start("x", 1, GENAI)
    inner = stage.start("x", 2, GENAI, outer)
    end_all([(inner, 3), (outer, 4)])
    assert stage.totals() == (120, 120, 1)


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("order", ["first first", "last first", "any"])
@pytest.mark.parametrize("has_ids", [False, True])
@pytest.mark.parametrize("instrumentors", [1, 2, 3])
@pytest.mark.parametrize("is_nested", [False, True])
def test_a_hundred_identical_calls_at_the_same_time_stay_a_hundred(
    stage: Stage, around: str, order: str, instrumentors: int, *, has_ids: bool, is_nested: bool
):
    rng = random.Random(3)
    given = AROUND[around]
    above = None if given is None else stage.start("app", 0, given)
    spans: list[list[Span]] = []
    for at in range(100):
        told = {"gen_ai.response.id": f"r{at}"} if has_ids else {}
        made: list[Span] = []
        for level in range(instrumentors):
            inside = made[-1] if made and is_nested else above
            attributes = {**(OPENINFERENCE if level == 1 else GENAI), **told}
            made.append(stage.start(f"scope {level}", 1 + at / 100 + level / 1_000, attributes, inside))
        spans.append(made)
    if order == "last first":
        spans.reverse()
    elif order == "any":
        rng.shuffle(spans)
    for at, made in enumerate(spans):
        end_all((span, 10 + at + level) for level, span in enumerate(reversed(made)))
    if above is not None:
        end_all([(above, 1_000)])
    assert stage.totals() == (12_000, 12_000, 100)


def test_calls_one_after_the_other_are_two(stage: Stage):
    """Also where a server gives all its answers the same id."""
    for at, scope in enumerate(("one", "another", "one")):
        span = stage.start(scope, at, {**GENAI, "gen_ai.response.id": "always"})
        end_all([(span, at + 0.9)])
    assert stage.totals() == (360, 360, 3)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1-mini"])
def test_calls_of_two_models_at_the_same_time_are_two(stage: Stage, model: str):
    outer = stage.start("one", 0, {**GENAI, "gen_ai.response.model": model})
    inner = stage.start("another", 1, GENAI)
    end_all([(inner, 2), (outer, 3)])
    assert stage.totals() == (240, 240, 2)


def test_what_holds_several_calls_together_is_none(stage: Stage):
    outer = stage.start("framework", 0, {**OPENINFERENCE, "llm.token_count.prompt": 200})
    for at in (1, 3):
        end_all([(stage.start("client", at, GENAI, outer), at + 1)])
    end_all([(outer, 6)])
    assert stage.totals() == (240, 240, 2)
    outer = stage.start("framework", 10, OPENINFERENCE)
    calls = [stage.start("client", at, GENAI, outer) for at in (11, 12)]
    end_all([(outer, 13), *((call, 14) for call in calls)])
    assert stage.totals() == (480, 480, 4)


def test_of_two_attempts_the_one_that_was_answered_is_the_call(stage: Stage):
    outer = stage.start("framework", 0, OPENINFERENCE)
    for at in (1, 3):
        inner = stage.start("client", at, GENAI if at == 3 else {"gen_ai.operation.name": "chat"})
        inner.set_status(FAILED if at == 1 else Status(StatusCode.OK))
        end_all([(inner, at + 1)])
    end_all([(outer, 6)])
    assert stage.totals()[:2] == (120, 120)


# -- which of the reports counts ---------------------------------------------------------------------------

CACHED = {"gen_ai.usage.cache_read.input_tokens": 40}


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        pytest.param({**GENAI, **CACHED}, GENAI, id="the outer knows of the cache"),
        pytest.param(GENAI, {**GENAI, **CACHED}, id="the inner knows of the cache"),
        pytest.param({**GENAI, **CACHED, "gen_ai.usage.output_tokens": 21}, {**GENAI, **CACHED}, id="one too many"),
        pytest.param(
            {**GENAI, **CACHED, "gen_ai.request.stream": True, "gen_ai.usage.input_tokens": 400,
             "gen_ai.usage.output_tokens": 46},
            {**GENAI, **CACHED}, id="what a stream repeats, added up",
        ),
        pytest.param(
            {**GENAI, **CACHED},
            {**GENAI, **CACHED, "gen_ai.request.stream": True, "gen_ai.usage.output_tokens": 1,
             "gen_ai.response.finish_reasons": ()},
            id="early usage inside",
        ),
        pytest.param(
            {**GENAI, **CACHED},
            {name: value for name, value in GENAI.items() if "usage" not in name}, id="no usage inside",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_below", [False, True])
def test_the_better_report_counts(stage: Stage, outer: dict[str, Any], inner: dict[str, Any], *, is_below: bool):
    around = stage.start("framework", 0, outer)
    within = stage.start("client", 1, inner, around if is_below else None)
    end_all([(within, 2), (around, 3)])
    assert stage.totals() == (120, 120, 1)
    [counted] = [event for event in stage.events() if event.own_tokens is not None]
    assert (counted.input_tokens, counted.output_tokens, counted.cached_input_tokens) == (100, 20, 40)
    assert sum(event.own_cost or 0 for event in stage.events()) == pytest.approx(2.4e-05)
    assert [event.status.value for event in stage.events()] == ["success", "success"]


def test_a_cost_that_only_the_worse_report_states_counts(stage: Stage):
    told = {**GENAI, "gen_ai.response.model": "of-our-own", "gen_ai.request.model": "of-our-own"}
    outer = stage.start("framework", 0, {**told, "gen_ai.cost.total_cost": 0.5})
    inner = stage.start("client", 1, {**told, **CACHED})
    end_all([(inner, 2), (outer, 3)])
    assert sum(event.own_cost or 0 for event in stage.events()) == 0.5


# -- a parent that came by headers -------------------------------------------------------------------------


def test_a_parent_marked_remote_that_is_open_here_is_the_parent(stage: Stage):
    agent = stage.start("framework", 0, AGENT)
    end_all([(stage.start("client", 1, GENAI, remote(agent)), 2), (agent, 3)])
    [call, agent_event] = stage.events()
    assert call.parent_event_id == agent_event.event_id
    assert stage.totals() == (120, 120, 1)


# -- tools -------------------------------------------------------------------------------------------------

TOOL = {"openinference.span.kind": "TOOL", "tool.name": "add"}
MCP = {"traceloop.span.kind": "tool", "traceloop.entity.name": "add"}
FAILED = Status(StatusCode.ERROR, "Error executing tool add")


@pytest.mark.parametrize("place", ["below", "beside", "in another trace"])
@pytest.mark.parametrize("failing", ["none", "outer", "inner"])
@pytest.mark.parametrize("is_inside_out", [False, True])
@pytest.mark.parametrize("is_late", [False, True])
def test_one_call_of_a_tool_is_one_event(stage: Stage, place: str, failing: str, *, is_inside_out: bool, is_late: bool):
    agent = stage.start("framework", 0, AGENT)
    outer = stage.start("framework", 1, {} if is_late else TOOL, agent, "execute_tool add")
    inner = stage.start("mcp", 2, MCP, {"below": outer, "beside": agent}.get(place), "add.tool")
    within = stage.start("client", 2.1, GENAI, outer)
    outer.set_attributes(TOOL)
    for which, span in (("outer", outer), ("inner", inner)):
        if which == failing:
            span.set_status(FAILED)
    end_all([(within, 2.5), *([(inner, 3), (outer, 4)] if is_inside_out else [(outer, 3), (inner, 4)]), (agent, 5)])
    [tool] = stage.events("tool")
    [agent_event] = stage.events("agent")
    [call] = stage.events("llm")
    assert (tool.tool_name, tool.agent_name) == ("add", "a")
    assert tool.status.value == ("success" if failing == "none" else "failure")
    assert tool.parent_event_id == agent_event.event_id
    assert call.parent_event_id in (tool.event_id, agent_event.event_id)
    assert stage.totals() == (120, 120, 1)
    assert agent_event.metadata.get("child_errors", 0) == (failing != "none")


def test_client_server_and_framework_of_a_tool_are_one_event(stage: Stage):
    told = {"mcp.method.name": "tools/call"}
    framework = stage.start("framework", 0, TOOL)
    client = stage.start("mcp", 1, told, framework, "MCP send tools/call add")
    server = stage.start("mcp", 2, {**told, "gen_ai.tool.name": "add"}, remote(client), "MCP handle tools/call add")
    end_all([(server, 3), (client, 4), (framework, 5)])
    assert [event.tool_name for event in stage.events()] == ["add"]


@pytest.mark.parametrize("attributes", [{"mcp.method.name": "tools/call", "gen_ai.tool.name": "add"}, MCP])
def test_a_server_leaves_the_event_of_a_tool_to_the_process_that_called_it(stage: Stage, attributes: dict[str, Any]):
    caller = NonRecordingSpan(SpanContext(7, 7, True))
    end_all([(stage.start("mcp.server", 0, attributes, caller, "add.tool"), 1)])
    assert stage.events() == []
    end_all([(stage.start("mcp.server", 0, attributes, None, "add.tool"), 1)])
    assert [event.tool_name for event in stage.events()] == ["add"]


def test_calls_of_a_tool_that_only_look_alike_stay_apart(stage: Stage):
    """At the same time; and where the tool asks an agent that has the same tool."""
    agent = stage.start("framework", 0, AGENT)
    tools = [stage.start("framework", 1 + at / 100, TOOL, agent) for at in range(50)]
    end_all((tool, 2 + at) for at, tool in enumerate(reversed(tools)))
    outer = stage.start("framework", 100, TOOL, agent)
    asked = stage.start("other", 101, {**AGENT, "gen_ai.agent.name": "b"}, outer)
    inner = stage.start("other", 102, {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "add"}, asked)
    end_all([(inner, 103), (asked, 104), (outer, 105), (agent, 106)])
    assert len(stage.events("tool")) == 52


def test_a_handler_beside_an_instrumentor_records_tools_in_parallel_once(stage: Stage):
    agent = stage.start("handler", 0, AGENT)
    same = stage.start("framework", 0.1, {**AGENT}, agent)
    tools: list[Span] = []
    for at in range(20):
        tools.append(stage.start("handler", 1 + at / 100, {"langfuse.observation.type": "tool"}, agent, "add"))
        tools.append(stage.start("framework", 1.001 + at / 100, TOOL, same, "add"))
    end_all((tool, 3 + at / 10) for at, tool in enumerate(tools))
    end_all([(same, 9), (agent, 10)])
    assert len(stage.events("tool")) == 20
