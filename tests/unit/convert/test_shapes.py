"""What is taken out of a span, to be read later, says what the whole span says; and every text in it is looked at."""

from __future__ import annotations

import collections
import json
from typing import Any

import msgspec
import pytest

from otel_feedback.convert.conventions.builtin import CONVENTIONS
from otel_feedback.convert.doubles import id_of
from otel_feedback.convert.reader import Reader
from otel_feedback.convert.reading import Reading
from otel_feedback.convert.rules import Rules
from otel_feedback.convert.shapes import Left, attributes_of
from otel_feedback.convert.span import FinishedSpan
from tests.replay.captures import FILES, load_runs

LANGFUSE = {"langfuse.observation.type": "generation"}
OPENINFERENCE = {"openinference.span.kind": "AGENT"}
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}


def read(reader: Reader, attributes: dict[str, Any], name: str, scope: str) -> Reading | None:
    return reader.read(FinishedSpan("", None, None, 1, 2, attributes, None, None, name, scope))


def left(attributes: dict[str, Any]) -> Left | None:
    """Return what is taken out of a span such as there was one before."""
    reader = Reader(CONVENTIONS, Rules())
    shape, known = reader.shape_of(attributes), read(reader, attributes, "s", "someone")
    assert shape.is_own or shape.left(attributes, "s", "someone") is None
    if known is not None:
        shape.remember(attributes, "s", "someone", known.kind)
    return shape.left(attributes, "s", "someone")


def test_what_is_taken_out_says_what_the_whole_span_says() -> None:
    """Of all recorded spans, also when it went through the journal."""
    reader, taken = Reader(CONVENTIONS, Rules()), collections.Counter[str]()
    for row in (row for file in FILES for run in load_runs(file) for row in run.rows):
        attributes = {
            name: tuple(value) if isinstance(value, list) else value for name, value in row.attributes.items()
        }
        shape, whole = reader.shape_of(attributes), read(reader, attributes, row.name, row.scope.name)
        if whole is None or shape.is_own:
            continue
        shape.remember(attributes, row.name, row.scope.name, whole.kind)
        found = shape.left(attributes, row.name, row.scope.name)
        if found is not None:
            values = msgspec.msgpack.decode(msgspec.msgpack.encode(found.values))
            noted = attributes_of(shape.names, values, id_of(attributes))
            assert read(reader, noted, row.name, row.scope.name) == whole, row.name
            assert found.kind == whole.kind
            assert whole.kind != "llm" or shape.has_end(attributes)
            taken[whole.kind] += 1
    assert taken.total() > 1_000
    assert min(taken[kind] for kind in ("llm", "tool", "agent")) > 100


@pytest.mark.parametrize(
    "attributes",
    [
        {**OPENINFERENCE, "metadata": json.dumps({"said": 'hidden \u00e4 " text'})},
        {**OPENINFERENCE, "tag.tags": ('hidden \u00e4 " text',)},
        {**LANGFUSE, "langfuse.trace.metadata.said": json.dumps('hidden \u00e4 " text')},
        {**AGENT, "user.id": 'hidden \u00e4 " text'},
        {**AGENT, "traceloop.association.properties.said": 'hidden \u00e4 " text'},
        {"outcome.action_type": "agent", "outcome.metadata.said": 'hidden \u00e4 " text'},
        {"outcome.action_type": "agent", "outcome.metadata.said": ('hidden \u00e4 " text',)},
    ],
    ids=lambda attributes: next(reversed(attributes)),
)  # fmt: skip
def test_every_text_is_looked_at_as_it_is(attributes: dict[str, Any]) -> None:
    """What JSON escapes included."""
    found = left(attributes)
    assert found is not None
    said = found.metadata.get("said")
    assert 'hidden ä " text' in (*found.texts, *(said if isinstance(said, list) else (said,)))


@pytest.mark.parametrize(
    "attributes",
    [
        {**OPENINFERENCE, "metadata": json.dumps({"deep": {"said": "content"}})},
        {**OPENINFERENCE, "metadata": json.dumps({"said": "x" * 5_000})},
        {**OPENINFERENCE, "tag.tags": json.dumps(['an "escaped" one'])},
        {**LANGFUSE, "langfuse.trace.metadata.a": '"one"', "langfuse.observation.metadata.a": '"another"'},
        {**LANGFUSE, "langfuse.trace.metadata.a": '{"deep": "content"}'},
        {**AGENT, "user.id": b"bytes"},
        {**AGENT, "gen_ai.usage.cost": float("nan")},
        {"outcome.action_type": "agent", "outcome.metadata.a": float("inf")},
    ],
    ids=lambda attributes: next(reversed(attributes)),
)  # fmt: skip
def test_what_is_not_usual_is_not_taken_out(attributes: dict[str, Any]) -> None:
    assert left(attributes) is None


def test_a_model_call_whose_content_says_how_it_ended_is_read_at_once() -> None:
    """Else its content would have to be written down."""
    reader = Reader(CONVENTIONS, Rules())
    call = {
        "openinference.span.kind": "LLM",
        "output.value": '{"stop_reason": "end"}',
        "output.mime_type": "application/json",
    }
    assert not reader.shape_of(call).has_end(call)
    told = {**call, "llm.finish_reason": "stop"}
    read(reader, told, "call", "someone")
    assert reader.shape_of(told).has_end(told)
    assert not reader.shape_of(told).has_end({**told, "llm.finish_reason": "unknown"})


def test_messages_in_attributes_of_their_own_make_no_new_shapes() -> None:
    reader = Reader(CONVENTIONS, Rules())
    kinds = {"openinference.span.kind": "LLM", "llm.finish_reason": "stop"}
    shapes = {
        id(reader.shape_of({**kinds, **{f"llm.input_messages.{at}.message.role": "user" for at in range(number)}}))
        for number in range(100)
    }
    assert len(shapes) == 1
