"""What the SDK counts of itself: spans that were started, and those that are open."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, Sampler

import otel_feedback as feedback
from tests.conformance.wire.making import Setting, Stage, make
from tests.conformance.wire.sampling_cases import Deciding
from tests.conformance.wire.tree_cases import Within, remote
from tests.conformance.wire.ways import WAYS, Way

pytestmark = pytest.mark.skipif(
    "meter_provider" not in inspect.signature(TracerProvider).parameters, reason="this SDK does not count"
)

ON = {"OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "true"}
_SPANS = "otel.sdk.span."
KEPT, RECORDED, DROPPED = "RECORD_AND_SAMPLE", "RECORD_ONLY", "DROP"

SAMPLERS: dict[str, Sampler] = {
    KEPT: ALWAYS_ON,
    RECORDED: Deciding(Decision.RECORD_ONLY),
    DROPPED: ALWAYS_OFF,
}


def counts(reader: InMemoryMetricReader) -> dict[str, int]:
    """Return the SDK's numbers of spans, by name and attributes."""
    data = reader.get_metrics_data()
    metrics = [
        metric
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name.startswith(_SPANS)
    ]
    return {
        " ".join([metric.name.removeprefix(_SPANS), *(str(value) for _, value in sorted((point.attributes or {}).items()))]):
        int(getattr(point, "value", -1))
        for metric in metrics
        for point in metric.data.data_points
    }  # fmt: skip


def run(way: Way, folder: Path, sampler: Sampler) -> dict[str, Any]:
    """Return what the SDK has counted at several moments of a program."""
    readers: list[InMemoryMetricReader] = []
    noted: dict[str, Any] = {}

    def more() -> Mapping[str, Any]:
        readers.append(InMemoryMetricReader())
        return {"meter_provider": MeterProvider(readers, shutdown_on_exit=False)}

    def program(stage: Stage) -> None:
        [reader] = readers
        with feedback.action("plan"):
            noted["one open"] = counts(reader)
            with stage.tracer.start_as_current_span("between"), feedback.action("tool"):
                noted["three open"] = counts(reader)
        with Within(remote(1)), feedback.action("reasoning"):
            if stage.span.is_recording():
                stage.span.end()
            noted["ended by somebody else"] = counts(reader)
        noted["none open"] = counts(reader)

    make(program, Setting(sampler=lambda: sampler, more=more, variables=ON), way, folder)
    return noted


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("result", SAMPLERS)
def test_the_sdk_counts_actions_as_its_own_spans(result: str, way: Way, tmp_path: Path) -> None:
    def expected(root: int, local: int, remote: int, live: int) -> dict[str, int]:
        started = {"none": root, "local": local, "remote": remote}
        found = {f"started {origin} {result}": number for origin, number in started.items() if number}
        return found if result == DROPPED else {**found, f"live {result}": live}

    assert run(way, tmp_path, SAMPLERS[result]) == {
        "one open": expected(1, 0, 0, 1),
        "three open": expected(1, 2, 0, 3),
        "ended by somebody else": expected(1, 2, 1, 0),
        "none open": expected(1, 2, 1, 0),
    }
