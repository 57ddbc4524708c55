"""The figures that the documentation shows: summaries of whole runs, in `benchmarks/results/`.

    python -m benchmarks --json out.json ──► keep ──► results/benchmarks.json ──► docs/performance.md, .svg, README
    python -m benchmarks.peers --json … ───► keep ──► results/peers.json ───────►

Only rows and versions are kept, to four digits; the rounds are megabytes. Each figure is a ratio of what ran side by side in
one measurement, so one can be made anew without the others: it takes its former place, and the load it met stands by its name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.report import Report

__all__ = ["BENCHMARKS", "PEERS", "keep", "kept"]

OF_THE_MOMENT: Final = ("date", "load")

BENCHMARKS: Final = "benchmarks"
PEERS: Final = "peers"

_RESULTS: Final = Path(__file__).parent / "results"


def kept(name: str, directory: Path = _RESULTS) -> Report:
    """Return the run that was kept last."""
    return Report.from_dict(json.loads((directory / f"{name}.json").read_text("utf-8")))


def keep(path: Path, directory: Path = _RESULTS) -> str:
    """Take a run's JSON in the place of what was kept of the same measurements; return whose it is.

    Raises:
        ValueError: It is a quick one, whose figures mean nothing, or not all could be measured, or other measurements are
            kept that were made with other versions.
    """
    told: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if told["quick"] or told["failed"]:
        raise ValueError(
            f"{path}: only a run in earnest that made all it was to measure is kept; quick: {told['quick']}, failed: {told['failed']}"
        )
    name = PEERS if {row["benchmark"] for row in told["rows"]} == {"peers"} else BENCHMARKS
    summary = {part: _short(told[part]) for part in ("versions", "quick", "rows", "failed")}
    file = directory / f"{name}.json"
    if file.exists():
        summary = _joined(path, json.loads(file.read_text("utf-8")), summary)
    file.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return name


def _joined(path: Path, before: Mapping[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return a run with what is kept of measurements that are not in it."""
    measured = list(dict.fromkeys(row["benchmark"] for row in now["rows"]))
    others = [row for row in before["rows"] if row["benchmark"] not in measured]
    if not others:
        return now
    old, new = before["versions"], now["versions"]
    changed = sorted(
        name for name in old.keys() & new.keys() if old[name] != new[name] and not name.startswith(OF_THE_MOMENT)
    )
    if changed:
        names = sorted({row["benchmark"] for row in others})
        raise ValueError(f"{path}: other versions than {', '.join(names)} were measured with: {', '.join(changed)}")
    loads = {f"{name}, {', '.join(measured)}": load for name, load in new.items() if name.startswith("load")}
    order = list(dict.fromkeys(row["benchmark"] for row in before["rows"])) + measured
    rows = sorted(others + now["rows"], key=lambda row: order.index(row["benchmark"]))
    return {**now, "versions": {**new, **old, "date": new["date"], **loads}, "rows": rows}


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, list):
        return [_short(one) for one in value]
    if isinstance(value, dict):
        return {name: _short(one) for name, one in value.items()}
    return value
