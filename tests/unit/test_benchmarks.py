"""The benchmarks run and report what they say; no test asserts how fast anything is."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import kafka
import pytest

import otel_feedback as feedback
from benchmarks.__main__ import main
from benchmarks.broker import Broker
from benchmarks.report import Goal, Report, Result, row
from benchmarks.subjects.producing import producer_options
from benchmarks.summary import Spread, paired, percentile
from benchmarks.table import render
from otel_feedback.errors import ExportError
from otel_feedback.events.codec import encode
from otel_feedback.events.record import Origin, Record
from otel_feedback.exporters.kafka.exporter import KafkaExporter
from tests.stack.errors import ServiceUnavailable
from tests.stack.kafka import KafkaBroker
from tests.support import environment, run_python

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
        (Goal("growth", 10.0), True),
        (Goal("growth", 9.0), False),
        (None, None),
    ],
)
def test_goals(goal: Goal | None, met: bool | None) -> None:
    assert row("latency", "p50", "raw", "ms", [30.0], [20.0], goal).met is met


def test_the_table_tells_everything() -> None:
    rows = [
        row("action", "mean", "bare span", "µs", [30.0, 33.0], [20.0, 20.0], Goal("ratio", 1.2)),
        row("action", "p99", "bare span", "ms", [0.061], [0.0305], Goal("ours", 0.2)),
        row("throughput", "gzip", "raw", "events/s", [12_345.0], [24_690.0], Goal("ours", 10_000, at_least=True)),
        row("memory", "RSS", "idle", "MB", [70.0], [40.0], Goal("growth", 32.0)),
    ]
    results = {"action": Result(rows[:2]), "throughput": Result(rows[2:3]), "memory": Result(rows[3:])}
    report = Report({"python": "3.11.7"}, is_quick=True, results=results, failed={"latency": "no broker"})

    lines = [" ".join(line.split()) for line in render(report).splitlines()]

    assert "mean 31.5 20.0 µs 1.57x 1.51 - 1.64 <= 1.2x MISSED bare span" in lines
    assert "p99 0.061 0.030 ms 2.00x 2.00 - 2.00 <= 0.200 ms met bare span" in lines
    assert "RSS 70.0 40.0 MB 1.75x 1.75 - 1.75 <= +32.0 MB met idle" in lines
    assert "gzip 12,345 24,690 events/s 0.50x 0.50 - 0.50 >= 10,000 events/s met raw" in lines
    assert "python 3.11.7" in lines
    assert "latency has no result: no broker" in lines


def test_a_wrong_name_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "acton"])
    assert (
        "acton is not one of startup, pieces, dispatch, choosing, conversion, views, browsing, action, export, throughput, consumer, latency, store, replay, memory"
        in capsys.readouterr().err
    )


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
    # what else ours sets is about names, waiting and sockets, not about speed; but the selector, which is ours
    assert given.keys() - expected.keys() == {
        "client_id", "bootstrap_timeout_ms", "max_block_ms", "delivery_timeout_ms", "selector", "kafka_client", "proxy_url"
    }  # fmt: skip


def test_events_are_the_same_in_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the plain producer would not send what the journal held."""
    monkeypatch.chdir(ROOT)
    program = """
        from hashlib import sha256
        from benchmarks.subjects.workload import same_events
        from otel_feedback.events.codec import encode
        print(sha256(b"".join(map(encode, same_events(50, 1_800_000_000.123)))).hexdigest())
    """
    first, second = (run_python(program, {"PYTHONHASHSEED": seed}) for seed in ("1", "2"))
    assert first.stdout == second.stdout != "", first.stderr


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")


@needs_proc
def test_memory_is_what_the_kernel_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that takes 50 MB more says so, and of which kind; freed, it was the peak."""
    monkeypatch.chdir(ROOT)
    done = run_python("""
        import mmap
        from benchmarks.subjects.memory import Memory, forget_peak
        forget_peak()
        before = Memory.now()
        taken = mmap.mmap(-1, 50_000_000, flags=mmap.MAP_PRIVATE)
        taken.write(bytes(50_000_000))
        meanwhile = Memory.now()
        taken.close()
        after = Memory.now()
        assert 45 < meanwhile.rss_mb - before.rss_mb < 110, (before, meanwhile)
        assert 45 < meanwhile.anonymous_mb - before.anonymous_mb < 110, (before, meanwhile)
        assert abs(meanwhile.file_mb - before.file_mb) < 5, (before, meanwhile)
        assert after.rss_mb < meanwhile.rss_mb - 45, (after, meanwhile)
        assert after.peak_mb >= meanwhile.rss_mb - 1, (after, meanwhile)
    """)
    assert done.returncode == 0, done.stderr


class Places:
    """Where a run may leave things; it must not."""

    def __init__(self, tmp_path: Path) -> None:
        self.temporary = tmp_path / "temporary"
        self.temporary.mkdir()
        self.state = tmp_path / "state"

    def require_untouched(self) -> None:
        assert not self.state.exists(), "a journal where those of the user are"
        assert list(self.temporary.iterdir()) == []


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


GOALS: dict[str, set[tuple[str, float]]] = {
    "startup": {("ratio", 1.2)},
    "pieces": set(),
    "dispatch": {("ratio", 1.05), ("ratio", 1.7)},
    "choosing": {("ours", 20.0), ("ours", 400.0)},
    "conversion": {("ours", 25.0), ("ratio", 2.0), ("ratio", 1.2), ("ratio", 1.05)},
    "views": {("ratio", 1.5), ("ratio", 3.0)},
    "action": {("ratio", limit) for limit in (1.0, 1.1, 1.2, 1.3, 1.5, 2.5)},
    "export": {("ratio", 1.5), ("ratio", 2.2)},
    "throughput": {("ratio", 0.5), ("ratio", 1.0), ("ours", 10_000.0)},
    "consumer": {("ratio", 0.7)},
    "latency": {("ours", 60.0), ("ours", 250.0)},
    "store": {("ratio", 0.6), ("growth", 64.0)},
    "replay": {("ours", 20_000.0), ("ratio", 1.0)},
    "memory": {("growth", 32.0)},
}


AWAY_ONLY: set[tuple[str, float]] = {("ratio", limit) for limit in (1.0, 1.2, 1.5)}


def test_without_a_broker_what_needs_none_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, places: Places
) -> None:
    def unavailable() -> Any:
        raise ServiceUnavailable("none to be had here")

    monkeypatch.setattr(Broker, "launch", unavailable)
    monkeypatch.setattr(tempfile, "tempdir", str(places.temporary))
    monkeypatch.chdir(ROOT)
    file = tmp_path / "figures.json"

    code = main(["--quick", "--only", "startup,action,export,replay", "--json", str(file)])

    assert code == 1
    places.require_untouched()
    written = json.loads(file.read_text())
    why = "none to be had here"
    assert written["failed"] == {"action, Kafka there": why, "export, Kafka there": why, "replay": why}
    goals = {"startup": GOALS["startup"], "action": AWAY_ONLY, "export": {("ratio", 1.5)}}
    names = {line["name"] for line in require_plausible(written, goals)}
    assert {"Kafka away: mean, wall", "Kafka away: CPU of the process"} <= names
    assert not any("Kafka there" in name for name in names)
    assert f"replay has no result: {why}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name",
    [
        "dispatch",
        "choosing",
        "conversion",
        "views",
        "action",
        "export",
        "throughput",
        "consumer",
        "latency",
        "replay",
        pytest.param("store", marks=needs_proc),
        pytest.param("memory", marks=needs_proc),
    ],
)
def test_a_quick_run_reports_every_row(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, places: Places
) -> None:
    """The command itself, as people call it: shape and plausibility of what it writes, and what it leaves behind."""
    variables = {"TMPDIR": str(places.temporary), "XDG_STATE_HOME": str(places.state)}
    if name not in (
        "pieces",
        "dispatch",
        "choosing",
        "conversion",
        "views",
        "memory",
    ):  # some need none; the last one stops its broker, so it must be its own
        broker: KafkaBroker = request.getfixturevalue("kafka_broker")
        variables["KAFKA_BOOTSTRAP_SERVERS"] = broker.bootstrap_servers
    file = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--only", name, "--json", str(file)],
        cwd=ROOT,
        env=environment() | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if "no Kafka broker to be had" in done.stderr:
        raise ServiceUnavailable(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    places.require_untouched()

    written = json.loads(file.read_text())

    assert written["quick"] is True
    assert written["failed"] == {}
    assert {"python", "opentelemetry-sdk", "kafka-python", "msgspec", "os", "cpu count"} <= written["versions"].keys()
    assert "not installed" not in written["versions"].values()
    for line in require_plausible(written, {name: GOALS[name]}):
        assert line["name"] in done.stdout
    assert all(line.startswith("[benchmarks]") for line in done.stderr.splitlines()), done.stderr


def test_memory_needs_a_broker_that_may_be_stopped() -> None:
    """One from the environment belongs to somebody else, who would not like it to hang."""
    with pytest.raises(ServiceUnavailable), Broker(KafkaBroker(None, "127.0.0.1:1", {})).paused():
        pytest.fail("it was stopped")


def require_plausible(written: dict[str, Any], goals: dict[str, set[tuple[str, float]]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = written["rows"]
    assert {line["benchmark"] for line in rows} == set(goals)
    for line in rows:
        assert line["ours"] > 0, line
        assert line["baseline"] > 0, line
        assert 0 < line["ratio"]["p10"] <= line["ratio"]["median"] <= line["ratio"]["p90"], line
        assert (line["met"] is None) == (line["goal"] is None), line
    for name, expected in goals.items():
        found = [line["goal"] for line in rows if line["benchmark"] == name and line["goal"]]
        assert {(goal["of"], goal["limit"]) for goal in found} == expected
    return rows
