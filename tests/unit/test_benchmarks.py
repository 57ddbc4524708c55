"""The benchmarks run and report what they say; no test asserts how fast anything is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import kafka
import pytest

import otel_feedback as feedback
from benchmarks.__main__ import main
from benchmarks.report import Goal, Report, Result, row
from benchmarks.subjects.producing import producer_options
from benchmarks.summary import Spread, paired, percentile
from benchmarks.table import render
from otel_feedback.errors import ExportError
from otel_feedback.events.codec import encode
from otel_feedback.events.record import Origin, Record
from otel_feedback.exporters.kafka import KafkaExporter
from tests.support import environment

ROOT = Path(__file__).parents[2]


def test_percentiles_interpolate() -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], 50) == 2.5
    assert percentile([1.0, 2.0, 3.0], 100) == 3.0
    assert percentile([1.0, 2.0, 3.0], 0) == 1.0
    assert percentile([7.0], 99) == 7.0


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], 101)])
def test_percentile_of_nothing_is_an_error(values: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        percentile(values, percent)


def test_ratios_are_taken_round_by_round() -> None:
    """A machine that was busy in one round slowed both: the ratio does not show it."""
    assert paired([12.0, 120.0, 12.0], [10.0, 100.0, 10.0]) == Spread(1.2, 1.2, 1.2, 3)


def test_rounds_that_do_not_pair_up_are_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        (Goal("ratio", 1.2), False),
        (Goal("ratio", 1.5), True),
        (Goal("ours", 60.0), True),
        (Goal("ours", 29.0), False),
        (Goal("ours", 30.0, at_least=True), True),
        (Goal("ours", 31.0, at_least=True), False),
        (None, None),
    ],
)
def test_goals(goal: Goal | None, met: bool | None) -> None:
    assert row("latency", "p50", "raw", "ms", [30.0], [20.0], goal).met is met


def test_the_table_tells_everything() -> None:
    rows = [
        row("action", "mean", "bare span", "µs", [30.0, 33.0], [20.0, 20.0], Goal("ratio", 1.2)),
        row("throughput", "gzip", "raw", "events/s", [12_345.0], [24_690.0], Goal("ours", 10_000, at_least=True)),
    ]
    results = {"action": Result(rows[:1]), "throughput": Result(rows[1:])}
    report = Report({"python": "3.11.7"}, is_quick=True, results=results, failed={"latency": "no broker"})

    lines = [" ".join(line.split()) for line in render(report).splitlines()]

    assert "mean 31.5 20.0 µs 1.57x 1.51 - 1.64 <= 1.2x MISSED bare span" in lines
    assert "gzip 12,345 24,690 events/s 0.50x 0.50 - 0.50 >= 10,000 events/s met raw" in lines
    assert "python 3.11.7" in lines
    assert "latency has no result: no broker" in lines


def test_a_wrong_name_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "acton"])
    assert "acton is not one of action, startup, throughput, latency" in capsys.readouterr().err


def test_the_plain_producer_has_the_options_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the share of the plain producer would compare two different things."""
    given: dict[str, Any] = {}

    def remember(self: Any, **options: Any) -> None:
        self._closed, self.config = True, options  # what its __del__ looks at
        given.update(options)
        raise ConnectionError("only looking")

    monkeypatch.setattr(kafka.KafkaProducer, "__init__", remember)
    config = feedback.KafkaConfig(bootstrap_servers=("127.0.0.1:1",), compression="zstd")
    event = feedback.OutcomeEvent(action_type="plan", status=feedback.OutcomeStatus.SUCCESS)
    exporter = KafkaExporter(config)
    with pytest.raises(ExportError):
        exporter.export([Record.of(event, Origin("0" * 32, "test"), 0, "run-1", encode(event), sampled=True)])

    expected = producer_options(config)
    assert {name: given[name] for name in expected} == expected
    # what else ours sets is about names and waiting, not about speed
    assert given.keys() - expected.keys() == {
        "client_id", "bootstrap_timeout_ms", "max_block_ms", "delivery_timeout_ms"
    }  # fmt: skip


def test_a_quick_run_reports_every_row(tmp_path: Path) -> None:
    """The command itself, without a broker: shape and plausibility of what it writes."""
    file = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--only", "action,startup", "--json", str(file)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    written = json.loads(file.read_text())

    assert written["quick"] is True
    assert written["failed"] == {}
    assert {"python", "opentelemetry-sdk", "kafka-python", "msgspec", "os", "cpu count"} <= written["versions"].keys()
    assert "not installed" not in written["versions"].values()
    assert {line["benchmark"] for line in written["rows"]} == {"action", "startup"}
    for line in written["rows"]:
        assert line["ours"] > 0, line
        assert line["baseline"] > 0, line
        assert 0 < line["ratio"]["p10"] <= line["ratio"]["median"] <= line["ratio"]["p90"], line
        assert (line["met"] is None) == (line["goal"] is None), line
    goals = [(line["benchmark"], line["goal"]["of"], line["goal"]["limit"]) for line in written["rows"] if line["goal"]]
    assert set(goals) == {("action", "ratio", 1.2), ("startup", "ratio", 1.2)}
    assert "memory journal: mean, wall" in done.stdout
    assert all(line.startswith("[benchmarks]") for line in done.stderr.splitlines()), done.stderr
