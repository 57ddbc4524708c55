"""Every case by the SDK's tracer and behind one that is not the SDK's: on the wire, to processors and in the event."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.wire import (
    hidden_cases,
    limit_cases,
    others_cases,
    processor_cases,
    said_cases,
    sampling_cases,
    tree_cases,
)
from tests.conformance.wire.cases import Case
from tests.conformance.wire.making import Made, make
from tests.conformance.wire.times import check_times
from tests.conformance.wire.ways import FALLBACKS, SDK

ROOMS = {
    "tree": tree_cases.CASES,
    "sampling": sampling_cases.CASES,
    "said": said_cases.CASES,
    "others": others_cases.CASES,
    "processors": processor_cases.CASES,
    "hidden": hidden_cases.CASES,
    "limits": limit_cases.CASES,
}
CASES = {f"{room}: {case.name}": case for room, cases in ROOMS.items() for case in cases}
READS = {"read late": False, "read at once": True}


def assert_same(case: Case, made: Made, expected: Made) -> None:
    """Compare what came of two runs, part by part."""
    ours, theirs = made.compared(), expected.compared()
    for part, value in theirs.items():
        if part == "logs" and not case.counts_warnings:
            assert {tuple(line) for line in ours[part]} == {tuple(line) for line in value}
        else:
            assert ours[part] == value, part


@pytest.mark.parametrize("reads", READS.values(), ids=READS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_both_ways(case: Case, reads: bool, tmp_path: Path) -> None:
    made = make(case.program, case.setting, SDK, tmp_path, reads=reads)
    expected = make(case.program, case.setting, FALLBACKS["wrapper"], tmp_path, reads=reads)
    assert case.actions is None or len(expected.started) == case.actions
    for one in (made, expected):
        check_times(one.raw, one.outcomes if case.shares_times else (), one.window_ns)
    assert_same(case, made, expected)
