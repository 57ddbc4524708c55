"""Recorded runs of real frameworks become the events that they should."""

from __future__ import annotations

import pytest

from tests.replay.captures import FILES, load_runs
from tests.replay.replaying import VARIANTS, events_of
from tests.replay.scoring import Miss, Table, misses_of

# the consumer leaves the stream: the workflow's own span is as it is after a stream that was read to its end
KNOWN = {("langchain-traceloop-stream_break", "status")}

KNOWN_WHERE_PARENTS_END_FIRST = {
    # the parts whose end says it for the whole have not ended when the whole ends
    ("langchain-openinference-stream_break", "status"),
    ("langchain-otelgenai-stream_break", "status"),
    ("langgraph-openinference-interrupt", "status"),
    ("langgraph-traceloop-interrupt", "status"),
    # a call without an answer that ends after its agent looks like a stream that nobody read on
    ("openaiagents-traceloop-tool_ok_chat", "status"),
    # Logfire's log of what a stream was in the end comes before the call's own span has ended
    ("logfire-sdk+oi-anthropic_stream", "status"),
    ("logfire-sdk-anthropic_stream_helper", "status"),
    ("logfire-sdk-openai_stream", "status"),
    ("logfire-sdkN-anthropic_stream", "status"),
    ("logfire-sdkN-openai_stream", "status"),
    ("logfire-sdkN-openai_stream_break", "status"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_events_say_what_really_happened(name: str):
    """At least 99 % of what spans show for certain is right, and what is not is known."""
    table = Table()
    missed: list[Miss] = []
    for run in (run for file in FILES for run in load_runs(file)):
        misses = misses_of(run, events_of(run, VARIANTS[name]))
        if run.is_certain:
            table.add(run, misses)
        missed += misses
    print(table)
    assert table.seen > 4_000
    assert table.right >= 0.99 * table.seen, missed
    known = KNOWN if name != "parents end first" else KNOWN_WHERE_PARENTS_END_FIRST
    assert {(miss.run, miss.fact) for miss in missed} == known, missed
