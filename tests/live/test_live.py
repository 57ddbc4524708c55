"""Agents of real frameworks, with what people instrument them with, end in the events of what really happened."""

from __future__ import annotations

import pytest

from tests.live.check import Event, problems
from tests.live.expected import EXPECTED
from tests.live.known import KNOWN
from tests.live.run import Result, cases, run

# 17 programs and 180 scenarios; without its environment that is built first, in half a minute
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    """Of the programs that the chosen tests are about."""
    names = {item.name for item in request.session.items}
    needs_all = test_every_known_limit_is_one.__name__ in names
    chosen = [
        case for case in cases() if needs_all or f"{test_events_say_what_happened.__name__}[{'-'.join(case)}]" in names
    ]
    return list(run(chosen, tmp_path_factory.mktemp("live")))


BRIEF = cases()[0]


@pytest.mark.parametrize(
    ("program", "instrumentor"),
    [pytest.param(*case, marks=[pytest.mark.brief] if case == BRIEF else []) for case in cases()],
)
def test_events_say_what_happened(program: str, instrumentor: str, results: list[Result]) -> None:
    mine = [one for one in results if (one.program, one.instrumentor) == (program, instrumentor)]
    assert [one.scenario for one in mine] == list(EXPECTED[program])
    assert {one.scenario: one.wrong for one in mine if one.wrong} == {}


def test_every_known_limit_is_one(results: list[Result]) -> None:
    """One that a newer instrumentor has put right goes from the list, too."""
    told = [(f"{one.program} {one.instrumentor} {one.scenario}", one.known) for one in results]
    assert [limit for limit in KNOWN if not any(limit.explains(*one) for one in told)] == []


def test_the_comparison_sees_what_is_wrong() -> None:
    call: Event = {
        "event_id": "1", "parent_event_id": None, "action_type": "llm", "status": "success", "model": "gpt-4o",
        "provider": "openai", "input_tokens": 100, "output_tokens": 20, "cached_input_tokens": 40,
        "reasoning_tokens": 10, "own_tokens": 120, "tokens_used": 120, "own_cost": 0.0004, "llm_calls": 1,
    }  # fmt: skip
    rows = EXPECTED["openai_sdk"]["stream_read"]
    assert problems([call], rows) == []
    assert problems([], rows)[0] == "missing: llm"
    assert problems([{**call, "status": "failure"}], rows) == ["llm: status 'failure', should be 'success'"]
    assert problems([{**call, "cached_input_tokens": None}], rows) == ["llm: cached_input_tokens None, should be '40'"]
    assert "too many: llm of nobody, success" in problems([call, {**call, "event_id": "2"}], rows)
    assert "llm: its parent is no event" in problems([{**call, "parent_event_id": "9"}], rows)
