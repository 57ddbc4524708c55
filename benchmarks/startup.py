"""What a program waits before it can begin: import and set-up, ours against the OTel SDK with OTLP alone.

Method: a fresh interpreter for each sample, in turns; the clock starts at the program's first line, so that the start
of the interpreter itself, which is the same for all, does not make the ratio look better. All read their bytecode from
one new cache, which a first sample of each, thrown away, has filled: an installed package is compiled, a checkout whose
PYTHONDONTWRITEBYTECODE is set never is, and would pay for compiling each time.

Fair, because both set up the same: a provider with a resource, a batch processor and the OTLP/HTTP span exporter, set
as the global provider. Ours adds its own processor, pipeline and exporters. Not in the figure, of ours: kafka-python,
which its worker imports when the first event comes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from benchmarks.children import BenchmarkError, environment, journal_directory
from benchmarks.progress import say
from benchmarks.report import Goal, Result, row

__all__ = ["measure"]

_TIMED = """
import time
wall, cpu = time.perf_counter_ns(), time.process_time_ns()
{program}
wall, cpu = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
print('{{"wall_ms": %f, "cpu_ms": %f}}' % (wall / 1e6, cpu / 1e6))
"""

_OURS = """
import otel_feedback as feedback
feedback.configure(service_name="support-bot")
"""

_SDK = """
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider(resource=Resource.create({"service.name": "support-bot"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
"""

_BASELINE = "OTel SDK + OTLP"
_PROGRAMS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    _BASELINE: (_SDK, {}),
    "by default": (_OURS, {}),
    "ENABLE_KAFKA=true": (_OURS, {"ENABLE_KAFKA": "true"}),
}
_FIGURES = (("wall_ms", "wall", Goal("ratio", 1.2)), ("cpu_ms", "CPU of the process", None))


def measure(*, is_quick: bool) -> Result:
    """Start all programs in turns."""
    turns = 2 if is_quick else 21
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in _PROGRAMS}
    say(f"startup: {turns} fresh interpreters for each of {len(_PROGRAMS)} programs")
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as bytecode, journal_directory() as journals:
        for turn in range(turns + 1):
            for name, (program, variables) in _PROGRAMS.items():
                cached = {"PYTHONPYCACHEPREFIX": bytecode, "PYTHONDONTWRITEBYTECODE": ""}
                sample = _start(program, journals, {**variables, **cached})
                if turn > 0:
                    samples[name].append(sample)
    rows = [
        row(
            "startup",
            f"import + configure(), {name}: {what}",
            _BASELINE,
            "ms",
            [sample[figure] for sample in samples[name]],
            [sample[figure] for sample in samples[_BASELINE]],
            goal,
        )
        for name in _PROGRAMS
        if name != _BASELINE
        for figure, what, goal in _FIGURES
    ]
    return Result(rows, {"turns": turns, "samples": samples})


def _start(program: str, journals: Path, variables: Mapping[str, str]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", _TIMED.format(program=program)],
        env=environment(journals, **variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise BenchmarkError(f"a start-up program failed: {done.stderr[-2_000:]}")
    sample: dict[str, float] = json.loads(done.stdout)
    return sample
