"""Fifty killed agents, half of them inside the journal's own steps; `kill_harness.py` says what must be true."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.fault.kill_child import POINTS
from tests.fault.kill_harness import Result, run


@pytest.mark.timeout(600)
def test_what_returned_survives_kill_9() -> None:
    points = Counter[str]()
    total = Result()
    for _, result in run(50, seed=17, points=points):
        total = total.plus(result)
    print(f"\n{total}\n{dict(points)}")
    assert total.is_right, total
    assert total.returned > 1_000
    assert set(points) == set(POINTS), "a fault point was never hit"
