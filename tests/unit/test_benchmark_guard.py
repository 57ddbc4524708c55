"""No feature makes an action, a span of others, a dispatch or a choice dearer unnoticed: each is compared, never with a clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.guard import (
    LIMIT,
    LIMIT_OF_CHOICE,
    LIMIT_OF_DISPATCH,
    LIMIT_OF_OTHERS,
    best_of,
    measuring,
    measuring_choice,
    measuring_dispatch,
    measuring_others,
)
from benchmarks.subjects.names import AT_START, AWAY, SET_ATTRIBUTE_FAILING


@pytest.fixture(autouse=True)
def at_the_top(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processes that are measured find `benchmarks` there."""
    monkeypatch.chdir(Path(__file__).parents[2])


def test_an_action_is_not_dear() -> None:
    """With its event, the journal on disk and the note of its start."""
    with measuring(AWAY) as measure:
        found = best_of(measure)
    assert found <= LIMIT, (
        f"an action costs {found:.2f} bare spans: `python -m benchmarks --only action,pieces` says more"
    )


def test_a_span_of_others_is_not_dear() -> None:
    """Converted, with the journal on disk, on top of its own price; and it is seen to cost something."""
    with measuring_others() as measure:
        found = best_of(measure, LIMIT_OF_OTHERS)
    assert 0.5 < found <= LIMIT_OF_OTHERS, (
        f"a span of others costs {found:.2f} bare spans on top: `python -m benchmarks --only conversion` says more"
    )


def test_a_dispatch_is_not_dear() -> None:
    """Of an async agent that does nothing, with its result, and all that an action has."""
    with measuring_dispatch() as measure:
        found = best_of(measure, LIMIT_OF_DISPATCH)
    assert found <= LIMIT_OF_DISPATCH, (
        f"a dispatch costs {found:.2f} actions: `python -m benchmarks --only dispatch` says more"
    )


def test_a_choice_is_not_dear() -> None:
    """Of five agents, with its outcome, while a thread weighs what was learned; a span costs more than that."""
    with measuring_choice() as measure:
        found = best_of(measure, LIMIT_OF_CHOICE)
    assert found <= LIMIT_OF_CHOICE, (
        f"a choice costs {found:.2f} bare spans: `python -m benchmarks --only choosing` says more"
    )


def test_a_dear_call_is_told_from_a_cheap_one() -> None:
    """Real ones: a span with all its attributes at its start, and one on which the SDK records an exception."""
    with measuring(AT_START) as measure:
        assert best_of(measure) <= LIMIT
    with measuring(SET_ATTRIBUTE_FAILING) as measure:
        assert max(measure(), measure()) > LIMIT


@pytest.mark.parametrize(
    ("figures", "best", "asked"),
    [([1.2], 1.2, 1), ([2.4, 1.3], 1.3, 2), ([2.6, 2.4, 2.5], 2.4, 3), ([1.3], 1.3, 1)],
)
def test_the_best_of_three_measurements_counts(figures: list[float], best: float, asked: int) -> None:
    left = iter([*figures, 99.0])
    answers: list[float] = []

    def measure() -> float:
        answers.append(next(left))
        return answers[-1]

    assert best_of(measure) == best
    assert len(answers) == asked
