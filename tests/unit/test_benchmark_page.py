"""The documentation's figures are those of the runs that were kept, and can be made anew."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import kept, performance, picture
from benchmarks.peers.measuring import OURS, PEERS
from benchmarks.report import Goal, Report, Result, Row, row

AGAINST = performance.AGAINST
SVG = "{http://www.w3.org/2000/svg}"


def one(name: str, ours: float, against: str = AGAINST, goal: Goal | None = None, benchmark: str = "action") -> Row:
    return row(benchmark, name, against, "µs", [ours, ours], [20.0, 20.0], goal)


REPORT = Report(
    {"date": "2026-11-29", "python": "3.11.7"},
    is_quick=False,
    results={
        "action": Result(
            [
                one("Kafka away: mean, wall", 24.6913, goal=Goal("ratio", 1.0)),
                one("Kafka there: mean, wall", 26.0, goal=Goal("ratio", 1.3)),
                one("Kafka away: mean, wall", 24.6913, against="bare span, attributes="),
                one("no exporter, no journal: mean, wall", 12.0),
            ],
            {"rounds": [1.0] * 1_000},
        ),
        "pieces": Result([one("its JSON", 0.5, benchmark="pieces")]),
        "throughput": Result([one("gzip", 40.0, goal=Goal("ratio", 0.5, at_least=True), benchmark="throughput")]),
    },
    failed={},
)
PEER_REPORT = Report(
    {"date": "2026-11-30", "logfire": "logfire 5.4.0, opentelemetry-sdk 1.45.2"},
    is_quick=False,
    results={
        "peers": Result(
            [
                one(f"{name}: {what}", ours, "bare span", benchmark="peers")
                for name, ours in (("logfire", 100.0), ("otel_feedback, journal on disk", 25.0))
                for what in ("mean, wall", "CPU of the process")
            ]
        )
    },
    failed={},
)


def test_what_is_kept_is_the_run_without_its_rounds(tmp_path: Path) -> None:
    for name, report in (("run", REPORT), ("other", PEER_REPORT)):
        (tmp_path / f"{name}.json").write_text(json.dumps(report.to_dict()))
    assert kept.keep(tmp_path / "run.json", tmp_path) == kept.BENCHMARKS
    assert kept.keep(tmp_path / "other.json", tmp_path) == kept.PEERS
    found = kept.kept(kept.BENCHMARKS, tmp_path)
    away, there, *_ = found.rows
    assert (away.ours, away.ratio.median, away.goal, away.met) == (24.69, 1.235, Goal("ratio", 1.0), False)
    assert there.met
    assert found.versions == REPORT.versions
    assert found.results["action"].details == {}
    assert kept.kept(kept.PEERS, tmp_path).rows == PEER_REPORT.rows


@pytest.mark.parametrize("change", [{"quick": True}, {"failed": {"action": "no broker"}}])
def test_a_run_that_means_nothing_is_not_kept(tmp_path: Path, change: dict[str, object]) -> None:
    (tmp_path / "run.json").write_text(json.dumps({**REPORT.to_dict(), **change}))
    with pytest.raises(ValueError, match="only a run in earnest that made all"):
        kept.keep(tmp_path / "run.json", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_one_measurement_can_be_made_anew(tmp_path: Path) -> None:
    def keep(report: Report, **versions: str) -> None:
        told = {**report.to_dict(), "versions": {**report.versions, **versions}}
        (tmp_path / "run.json").write_text(json.dumps(told))
        kept.keep(tmp_path / "run.json", tmp_path)

    keep(REPORT, **{"load at the start": "9.0"})
    again = Report(REPORT.versions, False, {"action": Result([one("journal on disk: mean, wall", 5.0)])}, {})
    keep(again, **{"load at the start": "0.1"})

    found = kept.kept(kept.BENCHMARKS, tmp_path)
    assert [row.ours for row in found.results["action"].rows] == [5.0]
    assert list(found.results) == list(REPORT.results)
    assert [found.results[name].rows for name in REPORT.results if name != "action"] == [
        result.rows for name, result in REPORT.results.items() if name != "action"
    ]
    assert found.versions["load at the start"] == "9.0"
    assert found.versions["load at the start, action"] == "0.1"
    with pytest.raises(ValueError, match=r"other versions than .* were measured with: python"):
        keep(again, python="3.99")


def test_the_line_of_the_readme() -> None:
    line = performance.summary(REPORT)
    assert "costs an agent **1.23** times what a bare OpenTelemetry span" in line
    assert "and **1.30** times with Kafka there" in line
    assert "\n" not in line


def test_the_tables() -> None:
    action = performance.of_action(REPORT).splitlines()
    assert action[2] == "| span and event, no destination: no journal | 12.0 | 20.0 | 0.60 | 0.60 - 0.60 |"
    assert action[3].startswith("| journal on disk, with the note: the default | 24.7 | 20.0 | 1.23 |")
    assert action[-1] == "| its JSON | 0.500 | 20.0 | 0.03 | 0.03 - 0.03 |"
    assert sum(line.startswith("| ---") for line in action) == 2, "a table of nothing"
    goals = performance.goals(REPORT).splitlines()[2:]
    assert [line.split(" | ")[-2:] for line in goals] == [
        ["<= 1x", "**missed** |"], ["<= 1.3x", "met |"], [">= 0.5x", "met |"]
    ]  # fmt: skip
    assert [line.split(" | ")[0] for line in goals] == ["| `action`", "| ", "| `throughput`"]
    peers = performance.of_peers(PEER_REPORT).splitlines()[2:]
    assert peers == [
        "| **otel_feedback, journal on disk** | this version | 25.0 | 1.25 | 25.0 | 1.25 |",
        "| logfire | logfire 5.4.0, opentelemetry-sdk 1.45.2 | 100.0 | 5.00 | 100.0 | 5.00 |",
    ]
    assert performance.machine(REPORT, PEER_REPORT).splitlines()[2:] == [
        "| date | 2026-11-29 | 2026-11-30 |", "| python | 3.11.7 |  |"
    ]  # fmt: skip


def test_the_picture_has_a_bar_for_every_figure_and_fits() -> None:
    drawn = ET.fromstring(picture.draw(REPORT, PEER_REPORT))
    width, height = float(drawn.attrib["width"]), float(drawn.attrib["height"])
    bars = drawn.findall(f"{SVG}rect")
    assert len(bars) == 3 + 1 + 2 + 2
    for bar in bars:
        assert float(bar.attrib["x"]) + float(bar.attrib["width"]) < width - 40, "its figure stands behind it"
        assert float(bar.attrib["y"]) + float(bar.attrib["height"]) < height
    texts = [text.text for text in drawn.findall(f"{SVG}text")]
    assert {"An action", "1.23", "logfire", "5.00"} <= set(texts)
    assert len(drawn.findall(f"{SVG}line")) == 4, "the bare span, in each panel"
    style = drawn.findtext(f"{SVG}style") or ""
    assert "prefers-color-scheme: dark" in style


def test_what_is_kept_is_whole() -> None:
    """Every goal and every SDK is there, so nothing is left out that looks bad."""
    run, peers = kept.kept(kept.BENCHMARKS), kept.kept(kept.PEERS)
    assert {"startup", "pieces", "dispatch", "conversion", "action", "export", "throughput", "latency", "replay"} <= {
        row.benchmark for row in run.rows
    }
    assert len(performance.action_bars(run)) == 6
    labels = {bar.label.partition(",")[0] for bar in performance.peer_bars(peers, "mean, wall")}
    assert labels == {OURS, *PEERS}
    assert not run.is_quick
    assert not peers.is_quick
