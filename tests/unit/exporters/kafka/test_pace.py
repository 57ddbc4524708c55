"""How many events may be in flight."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from otel_feedback.exporters.kafka.pace import Pace


def in_flight(pace: Pace) -> int:
    return pace.lease_events * pace.max_leases


def test_all_goes_well() -> None:
    pace = Pace(100, 40)
    pace.acknowledge(100_000)
    assert (pace.lease_events, pace.max_leases) == (100, 40)


def test_fewer_after_each_time_that_it_took_too_long_down_to_one_by_one() -> None:
    pace = Pace(100, 40)
    seen: list[int] = []
    for _ in range(8):
        pace.slow_down()
        seen.append(in_flight(pace))
    assert seen == [1_000, 200, 62, 15, 3, 1, 1, 1]


def test_more_again_quickly_up_to_half_of_what_took_too_long_and_slowly_beyond() -> None:
    pace = Pace(100, 40)
    pace.slow_down()
    pace.acknowledge(1_000)
    assert in_flight(pace) == 2_000
    for _ in range(20):
        pace.acknowledge(100)
    assert in_flight(pace) == 2_000, "a lease more after all of them"
    for _ in range(20):
        pace.acknowledge(100)
    assert in_flight(pace) == 2_100
    for _ in range(2_000):
        pace.acknowledge(100)
    assert in_flight(pace) == 4_000


@given(st.lists(st.none() | st.integers(0, 5_000), max_size=60), st.integers(1, 500), st.integers(1, 100))
def test_it_stays_within_its_bounds(steps: list[int | None], lease_events: int, max_leases: int) -> None:
    pace = Pace(lease_events, max_leases)
    for step in steps:
        pace.slow_down() if step is None else pace.acknowledge(step)
        assert 1 <= pace.lease_events <= lease_events
        assert 1 <= pace.max_leases <= max_leases * lease_events
        assert 1 <= in_flight(pace) <= lease_events * max_leases
