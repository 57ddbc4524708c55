"""Trimming an event: whatever is in it, the result fits, is the same event with less text, and says what was cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import otel_feedback as feedback
from otel_feedback.events import codec
from otel_feedback.events.trim import smaller_forms, trimmed

FLAGS = "otel_feedback.truncated"
CUTTABLE = {"stack_trace", "error_message", "tags", "metadata"}

characters = st.sampled_from(
    ['"', "\\", "/", "\n", "\x00", "\x1f", "\x7f", "a", "é", "中", "😀", "👩‍👩‍👧", "e\u0301", "\u2028"]
)
texts = st.lists(characters, max_size=40).map("".join) | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
long_texts = st.tuples(texts, st.integers(1, 60)).map(lambda pair: pair[0] * pair[1])
values = st.one_of(
    long_texts,
    st.lists(texts, max_size=8),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.lists(st.integers(-9, 9), max_size=8),
    st.lists(texts | st.integers(-9, 9), max_size=4),
)
flagged = st.lists(st.sampled_from(["stack_trace", "tags", "metadata.a", "agent_name"]), unique=True, max_size=3)


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    metadata = draw(st.dictionaries(st.sampled_from(["a", "b", 'q"\n', "é"]) | texts, values, max_size=6))
    if draw(st.booleans()):
        metadata[FLAGS] = draw(flagged)  # as capture leaves it
    return codec.encode(
        feedback.OutcomeEvent(
            action_type=draw(texts),
            status=feedback.OutcomeStatus.FAILURE,
            agent_name=draw(st.none() | texts),
            run_id="run-1",
            error_type=draw(texts),
            error_message=draw(st.none() | long_texts),
            stack_trace=draw(st.none() | long_texts),
            duration_ms=draw(st.none() | st.floats(0, 1e9)),
            tokens_used=draw(st.none() | st.integers(0, 2**53)),
            tags=tuple(draw(st.lists(texts, max_size=6, unique=True))),
            metadata=metadata,
        )
    )


def is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return what differs, by the name under which it is to be flagged; the flags themselves are not among it."""
    sides: list[dict[str, Any]] = []
    for wire in (before, after):
        flat = {name: value for name, value in wire.items() if name != "metadata"}
        flat |= {f"metadata.{key}": value for key, value in wire.get("metadata", {}).items() if key != FLAGS}
        sides.append(flat)
    one, other = sides
    assert one.keys() == other.keys()
    return {name: (one[name], other[name]) for name in one if repr(one[name]) != repr(other[name])}


def assert_is_a_part(name: str, old: Any, new: Any) -> None:
    assert is_text(old)
    assert is_text(new)
    assert len(json.dumps(new, ensure_ascii=False)) < len(json.dumps(old, ensure_ascii=False))
    if isinstance(old, str):
        assert old.endswith(new) if name == "stack_trace" else old.startswith(new)
    elif name == "tags" or not new:
        assert new == old[: len(new)], "no tag is cut within"
    else:
        assert new[:-1] == old[: len(new) - 1]
        assert old[len(new) - 1].startswith(new[-1])


def assert_trimmed(payload: bytes, form: bytes) -> None:
    codec.decode(form)
    before, after = json.loads(payload), json.loads(form.decode("utf-8", "strict"))
    flagged_before = before.get("metadata", {}).get(FLAGS, [])
    differing = changed(before, after)
    for name, (old, new) in differing.items():
        assert name.partition(".")[0] in CUTTABLE
        assert_is_a_part(name, old, new)
    flags = after.get("metadata", {}).get(FLAGS, [])
    assert flags[: len(flagged_before)] == flagged_before, "what was flagged stays so"
    assert set(flags) == {*flagged_before, *differing}, "each is flagged, and no other"
    assert len(set(flags)) == len(flags)
    assert [name for name in after if name in before] == list(before)


@settings(max_examples=400, deadline=None)
@given(payload=payloads(), share=st.floats(0, 1.1), data=st.data())
def test_what_is_trimmed_fits_and_is_the_same_event_with_less_text(payload: bytes, share: float, data: Any) -> None:
    most = int(len(payload) * share)
    form = trimmed(payload, most)
    smallest = min((len(payload), *map(len, smaller_forms(payload))))
    assert (form is not None) == (smallest <= most), "it fits whenever it can"
    if form is not None:
        assert len(form) <= most
        assert_trimmed(payload, form)
        assert trimmed(form, most) is form, "what fits is not touched"
        if len(payload) <= most:
            assert form is payload


@settings(max_examples=200, deadline=None)
@given(payload=payloads())
def test_smaller_forms_halve_down_to_the_smallest(payload: bytes) -> None:
    forms = list(smaller_forms(payload))
    sizes = [len(payload), *map(len, forms)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)
    assert all(size <= len(payload) // 2**step for step, size in enumerate(sizes[:-1])), "few tries are enough"
    for form in forms:
        assert_trimmed(payload, form)
    if forms:
        assert trimmed(payload, len(forms[-1])) is not None
        assert trimmed(payload, len(forms[-1]) - 1) is None


@settings(max_examples=200, deadline=None)
@given(
    lengths=st.dictionaries(st.sampled_from(["error_message", "stack_trace", "a", "b", "c"]), st.integers(0, 900)),
    cut=st.integers(1, 3_000),
)
def test_the_longest_are_cut_to_one_length_and_the_others_stay(lengths: dict[str, int], cut: int) -> None:
    given_texts = {name: "x" * length for name, length in lengths.items()}
    event = feedback.OutcomeEvent(
        action_type="a",
        status=feedback.OutcomeStatus.FAILURE,
        error_message=given_texts.pop("error_message", None),
        stack_trace=given_texts.pop("stack_trace", None),
        tags=("customer", "beta"),
        metadata={**given_texts, FLAGS: ["error_message", "stack_trace", "metadata.a", "metadata.b", "metadata.c"]},
    )
    payload = codec.encode(event)
    form = trimmed(payload, len(payload) - cut)
    if form is None:
        return
    cut_texts = {name: len(new) for name, (_, new) in changed(json.loads(payload), json.loads(form)).items()}
    if cut_texts.pop("tags", None) is not None:
        assert set(cut_texts.values()) <= {0}, "tags go last"
        return
    assert len(form) > len(payload) - cut - 5, "no more is cut than has to be"
    [level] = set(cut_texts.values())
    kept = codec.decode(form)
    assert all(len(text) <= level for text in (kept.error_message or "", kept.stack_trace or ""))
    assert all(len(text) <= level for key, text in kept.metadata.items() if key != FLAGS and isinstance(text, str))


def event_with(**fields: Any) -> bytes:
    return codec.encode(
        feedback.OutcomeEvent(action_type="tool", status=feedback.OutcomeStatus.FAILURE, run_id="run-1", **fields)
    )


def test_the_end_of_a_stack_trace_stays_and_the_beginning_of_other_texts() -> None:
    payload = event_with(
        stack_trace="first\n" + "x" * 2_000 + "\nlast",
        error_message="first" + "y" * 2_000 + "last",
        metadata={"plan": ["first", "z" * 2_000, "last"]},
    )
    event = codec.decode(trimmed(payload, 1_000) or b"")
    assert str(event.stack_trace).endswith("xxx\nlast")
    assert str(event.error_message).startswith("firstyyy")
    plan: Any = event.metadata["plan"]
    assert (plan[0], set(plan[1]), len(plan)) == ("first", {"z"}, 2)


def test_numbers_names_and_ids_are_never_cut() -> None:
    """What is large by those only is left as it is, and said to be too large."""
    payload = event_with(agent_name="n" * 300, metadata={f"key-{i}": list(range(60)) for i in range(20)})
    assert trimmed(payload, len(payload) - 1) is None
    assert list(smaller_forms(payload)) == []


def test_the_smallest_form_comes_once() -> None:
    payload = event_with(tags=("x" * 500,))
    [form] = smaller_forms(payload)
    assert codec.decode(form).tags == ()
    assert len(form) < len(payload) // 2


def test_a_text_that_is_shorter_than_its_flag_stays() -> None:
    payload = event_with(metadata={"a-name-that-is-long": "short", "b": "x" * 100})
    [*_, smallest] = smaller_forms(payload)
    assert codec.decode(smallest).metadata == {"a-name-that-is-long": "short", "b": "", FLAGS: ["metadata.b"]}


@pytest.mark.parametrize("payload", [b"", b"no json", b"[]", b"{", b'{"metadata": 3}', b"\xff" * 9, b'"text"'])
def test_what_is_no_event_cannot_be_trimmed(payload: bytes) -> None:
    assert trimmed(payload, len(payload)) is payload
    assert trimmed(payload, len(payload) - 1) is None
    assert list(smaller_forms(payload)) == []


def test_fields_of_a_newer_version_stay_as_they_are() -> None:
    newer = event_with(stack_trace="x" * 500)[:-1] + b', "a_field_of_tomorrow" : {"deep": [1e2, {}]}}'
    form = trimmed(newer, 400) or b""
    assert b'"a_field_of_tomorrow":{"deep": [1e2, {}]}' in form
    assert codec.decode(form).metadata == {FLAGS: ["stack_trace"]}


def test_a_flag_of_somebody_else_under_our_name_is_kept() -> None:
    payload = event_with(stack_trace="x" * 500, metadata={FLAGS: "mine"})
    assert codec.decode(trimmed(payload, 400) or b"").metadata == {FLAGS: ["mine", "stack_trace"]}
