"""The set of sequence numbers against a plain set that does the same the slow, obvious way."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from otel_feedback.journal.sequences import SequenceSet

TOP = 30
"""Small numbers, so that runs overlap, touch and enclose each other all the time."""

runs = st.tuples(st.integers(0, TOP), st.integers(0, TOP))


def plain(added: list[tuple[int, int]]) -> set[int]:
    return {number for first, end in added for number in range(first, end)}


def runs_of(numbers: set[int]) -> list[tuple[int, int]]:
    """The longest runs of these numbers, lowest first."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return found


@settings(max_examples=300, deadline=None)
@given(added=st.lists(runs, max_size=12), asked=runs)
def test_it_holds_what_a_plain_set_holds_in_as_few_runs_as_there_are(
    added: list[tuple[int, int]], asked: tuple[int, int]
) -> None:
    numbers, expected = SequenceSet(added), plain(added)
    assert numbers.runs == runs_of(expected)
    assert bool(numbers) is bool(expected)
    assert [n in numbers for n in range(-1, TOP + 2)] == [n in expected for n in range(-1, TOP + 2)]
    assert numbers.count(*asked) == len(expected & set(range(*asked)))
    assert SequenceSet(numbers.runs).runs == numbers.runs, "written down and read back"


@settings(max_examples=300, deadline=None)
@given(added=st.lists(runs, max_size=12), low=st.integers(0, TOP))
def test_a_low_mark_swallows_what_is_below_and_what_follows_without_a_gap(
    added: list[tuple[int, int]], low: int
) -> None:
    numbers, expected = SequenceSet(added), plain(added)
    mark = low
    while mark in expected:
        mark += 1
    assert numbers.first_missing(low) == mark
    assert numbers.runs == runs_of(expected), "asking changes nothing"
    assert numbers.pop_from(low) == mark
    assert numbers.runs == runs_of({n for n in expected if n > mark})


def test_a_gap_of_a_million_records_is_one_run() -> None:
    numbers = SequenceSet()
    for first in range(0, 1_000_000, 1_000):
        numbers.add(first, first + 1_000)
    assert numbers.runs == [(0, 1_000_000)]
    assert numbers.count(10, 2_000_000) == 999_990
    assert numbers.pop_from(5) == 1_000_000
    assert not numbers
