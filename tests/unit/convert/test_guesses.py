"""What an open span seems to be is decided by the values that conventions name, and by which other attributes there are."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from otel_feedback.convert.conventions.builtin import CONVENTIONS
from otel_feedback.convert.guesses import Guesses
from otel_feedback.convert.node import Guess
from otel_feedback.convert.reader import Reader
from otel_feedback.convert.rules import Rules
from otel_feedback.convert.span import Convention, FinishedSpan
from tests.replay.captures import FILES, Row, load_runs

AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}


class Open(NamedTuple):
    """A span that is open."""

    name: str
    attributes: dict[str, Any]


class Strange:
    """A convention of a user's, which says nothing of what tells."""

    name = "strange"
    markers = frozenset({"strange.kind"})

    def matches(self, span: FinishedSpan) -> bool:
        return False

    def read(self, span: FinishedSpan) -> Any:
        raise NotImplementedError


def look(row: Row, attributes: dict[str, Any], reader: Reader | None = None) -> Guess | None:
    return (reader or Reader(CONVENTIONS, Rules())).look(Open(row.name, attributes), row.scope.name)


def _other(value: Any) -> Any:
    """Return another value of the same type."""
    if isinstance(value, str):
        return f"other {value}"
    return value if isinstance(value, bool) or not isinstance(value, (int, float)) else value + 1


def test_nothing_else_decides() -> None:
    """Of all recorded spans: with other values of all attributes by which nothing is told, they seem to be the same."""
    guesses, looked = Guesses(CONVENTIONS), 0
    for row in (row for file in FILES for run in load_runs(file) for row in run.rows):
        key = guesses.key_of(row.attributes, row.name, row.scope.name)
        if key is None:
            continue
        others = {name: _other(value) for name, value in row.attributes.items()}
        telling = {name: value for name, value in row.attributes.items() if value in key[3:]}
        changed = others | telling
        if guesses.key_of(changed, row.name, row.scope.name) == key:
            looked += 1
            assert look(row, changed) == look(row, row.attributes), (row.name, row.attributes)
    assert looked > 1_000


def test_what_is_remembered_is_what_is_seen() -> None:
    """One reader that has seen all recorded spans says of each what another one says that has seen none."""
    reader = Reader(CONVENTIONS, Rules())
    for file in FILES:
        for run in load_runs(file):
            for row in run.rows:
                assert look(row, row.attributes, reader) == look(row, row.attributes), row.name


@pytest.mark.parametrize(
    ("attributes", "name"),
    [({**AGENT, "metadata": "{}"}, "s"), ({**AGENT, "gen_ai.agent.name": "a" * 300}, "s"), (AGENT, "s" * 300)],
)
def test_what_is_long_or_new_each_time_is_not_remembered(attributes: dict[str, Any], name: str) -> None:
    assert Guesses(CONVENTIONS).key_of(attributes, name, "scope") is None


def test_beside_a_users_convention_nothing_is_remembered() -> None:
    strange: Convention = Strange()
    assert Guesses((strange, *CONVENTIONS)).key_of(AGENT, "s", "scope") is None


def test_memory_is_bounded() -> None:
    guesses = Guesses(CONVENTIONS)
    for number in range(2_000):
        key = guesses.key_of({**AGENT, f"x{number}": 1}, "s", "scope")
        assert key is not None
        guesses.put(key, Guess(True, True, "a"))
    assert len(guesses) <= 512
