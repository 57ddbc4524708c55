"""The figures that the documentation shows: summaries of whole runs, in `benchmarks/results/`.

    python -m benchmarks --json out.json ──► keep ──► results/benchmarks.json ──► docs/performance.md, .svg, README
    python -m benchmarks.peers --json … ───► keep ──► results/peers.json ───────►

Only rows and versions are kept, to four digits; the rounds are megabytes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from benchmarks.report import Report

__all__ = ["BENCHMARKS", "PEERS", "keep", "kept"]

BENCHMARKS: Final = "benchmarks"
PEERS: Final = "peers"

_RESULTS: Final = Path(__file__).parent / "results"


def kept(name: str, directory: Path = _RESULTS) -> Report:
    """Return the run that was kept last."""
    return Report.from_dict(json.loads((directory / f"{name}.json").read_text("utf-8")))


def keep(path: Path, directory: Path = _RESULTS) -> str:
    """Take a run's JSON in the place of the one that was kept; return whose it is.

    Raises:
        ValueError: It is a quick one, whose figures mean nothing, or not all could be measured.
    """
    told: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if told["quick"] or told["failed"]:
        raise ValueError(
            f"{path}: only a whole run in earnest is kept; quick: {told['quick']}, failed: {told['failed']}"
        )
    name = PEERS if {row["benchmark"] for row in told["rows"]} == {"peers"} else BENCHMARKS
    summary = {part: _short(told[part]) for part in ("versions", "quick", "rows", "failed")}
    (directory / f"{name}.json").write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return name


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, list):
        return [_short(one) for one in value]
    if isinstance(value, dict):
        return {name: _short(one) for name, one in value.items()}
    return value
