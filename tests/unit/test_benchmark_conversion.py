"""The benchmark of the conversion runs, and its spans are what they stand for; how fast anything is, is not asserted."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from benchmarks import conversion
from benchmarks.subjects.conventions import CONVENTIONS, VARIANTS, Written


def test_every_way_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    result = conversion.measure(is_quick=True)
    named = [(row.name, row.against) for row in result.rows]
    assert len(set(named)) == len(named) == 4 * len(CONVENTIONS) + 3 + 5
    assert ("Langfuse: conversion", "the span itself") in named
    assert ("Langfuse: conversion, JSON, journal", "bare span, set_attribute") in named
    goals = [25.0, 2.0] * len(CONVENTIONS) + [1.2] * 3 + [1.05] * 2
    assert [row.goal.limit for row in result.rows if row.goal is not None] == goals
    for row in result.rows:
        assert row.ours > 0
        assert row.baseline > 0
        assert row.baseline >= 200 or "200 µs" not in row.name, "the service did work"
    told = capsys.readouterr().err
    assert "[benchmarks] conversion: launch 1 of 1, 3 ways in turns" in told
    assert "[benchmarks] conversion: launch 1 of 1, services" in told


@pytest.mark.parametrize("written", CONVENTIONS.values(), ids=CONVENTIONS.keys())
def test_the_spans_of_each_convention_are_read_as_what_they_are(written: Written) -> None:
    """Else the cheap way of a span that nobody knows would be measured."""
    provider = TracerProvider()
    pipeline = feedback.configure(tracer_provider=provider)
    tracer = provider.get_tracer(written.scope)
    for shape in (written.agent, written.tool, written.llm_calls()[3]):
        with tracer.start_as_current_span(shape.name, attributes=shape.at_start) as span:
            span.set_attributes({written.session: "session 1", **(shape.then or {}), **shape.at_end})
    agent, tool, llm = pipeline.get_recent_events()
    assert [event.action_type for event in (agent, tool, llm)] == ["agent", "tool", "llm"]
    assert {event.session_id for event in (agent, tool, llm)} == {"session 1"}
    assert agent.agent_name == "sales_agent"
    assert tool.tool_name == "find_customers"
    assert llm.model in ("gpt-4o-mini", "gpt-4o-mini-2024-07-18")
    assert llm.input_tokens is not None
    assert llm.input_tokens % 512 == (912 + 3) % 512, "Langfuse's cached ones are beside these"
    assert llm.own_cost is not None
    provider.shutdown()


@pytest.mark.parametrize("written", CONVENTIONS.values(), ids=CONVENTIONS.keys())
def test_no_two_model_calls_are_alike(written: Written) -> None:
    """Else each would have to be told from hundreds of others that could be the same call, recorded twice."""
    assert len({str(shape.at_end) for shape in written.llm_calls()}) == VARIANTS
    assert 10 <= len({**written.llm.at_start, **(written.llm.then or {}), **written.llm.at_end}) <= 27
