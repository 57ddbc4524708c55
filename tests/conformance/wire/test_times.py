"""When a span begins and ends: as its action does, by the clock on the wall, and as long as it took."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import otel_feedback as feedback
from tests.conformance.wire.making import Setting, Stage, make
from tests.conformance.wire.ways import WAYS, Way


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_span_begins_and_ends_when_its_action_does(way: Way, tmp_path: Path) -> None:
    moments: list[int] = []
    took_ns: list[int] = []

    def program(stage: Stage) -> None:
        moments.append(time.time_ns())
        with feedback.action("tool"):
            moments.append(time.time_ns())
            began_ns = time.perf_counter_ns()
            while time.perf_counter_ns() - began_ns < 1_000_000:
                pass
            took_ns.append(time.perf_counter_ns() - began_ns)
        moments.append(time.time_ns())

    made = make(program, Setting(), way, tmp_path)
    [span], [event], (before, inside, after) = made.raw, made.outcomes, moments
    assert span.start_time is not None
    assert span.end_time is not None
    assert before <= span.start_time <= inside
    assert span.end_time <= after
    assert span.end_time - span.start_time >= took_ns[0]
    assert event.duration_ms == (span.end_time - span.start_time) / 1e6
