"""Runs the programs with their instrumentors, two at a time, and says for each scenario what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.live.check import by_scenario, problems
from tests.live.expected import EXPECTED, INSTRUMENTORS
from tests.live.known import without_known
from tests.logs import newest
from tests.model.server import ModelServer
from tests.pace import slowness
from tests.stack.virtualenvs import programs_beside_ours
from tests.support import ROOT

__all__ = ["Result", "cases", "run"]

# the frameworks have an environment of their own, so that the project's stays light
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
AT_ONCE = 2
LONGEST_S = 120


@dataclass(frozen=True)
class Result:
    """One scenario of a program with an instrumentor: what is wrong, and what cannot be right."""

    program: str
    instrumentor: str
    scenario: str
    wrong: list[str]
    known: list[str]
    events: list[dict[str, Any]]
    spans: list[dict[str, Any]]


def cases() -> list[tuple[str, str]]:
    """Return each program with each of its instrumentors."""
    return [(program, instrumentor) for program, several in INSTRUMENTORS.items() for instrumentor in several]


def run(chosen: list[tuple[str, str]], place: Path) -> Iterator[Result]:
    """Run programs and yield what came out, in their order.

    Args:
        place: A folder for what they write.

    Raises:
        ServiceUnavailable: There is no environment, and none could be built.
    """
    interpreter = programs_beside_ours("live", REQUIREMENTS) / "python"
    with ModelServer() as server, ThreadPoolExecutor(AT_ONCE) as pool:
        reports = [pool.submit(_report, interpreter, server.url, *case, place) for case in chosen]
        for case, report in zip(chosen, reports, strict=True):
            yield from _results(*case, report.result())


def _report(interpreter: Path, url: str, program: str, instrumentor: str, place: Path) -> dict[str, Any]:
    out = place / f"{program}-{instrumentor}.json"
    keep = ("HOME", "LANG", "PATH", "TMPDIR")
    environment = {name: os.environ[name] for name in keep if name in os.environ}
    environment |= {"PYTHONPATH": str(ROOT), "MODEL_SERVER": url, "OPENAI_API_KEY": "none", "PYTHONWARNINGS": "ignore"}
    environment["PACE"] = str(slowness())
    path = Path(__file__).parent / "programs" / f"{program}.py"
    done = subprocess.run(
        [str(interpreter), str(path), instrumentor, str(out)],
        env=environment, cwd=place, capture_output=True, text=True,
        timeout=LONGEST_S * slowness(), check=False,
    )  # fmt: skip
    if done.returncode != 0 or not out.exists():
        last = done.stderr.strip().splitlines()[-1:] or ["no word"]
        failure = f"the program ended with {done.returncode}: {last[0]}"
        return {"begun": {}, "failures": dict.fromkeys(EXPECTED[program], failure), "events": [], "spans": []}
    return json.loads(out.read_text("utf-8"))


def _results(program: str, instrumentor: str, report: dict[str, Any]) -> Iterator[Result]:
    begun, failures = report["begun"], report["failures"]
    events = by_scenario(newest(report["events"]), begun, _start_ns)
    spans = by_scenario(report["spans"], begun, lambda span: span["start_ns"])
    for scenario, rows in EXPECTED[program].items():
        if scenario in failures:
            found = [f"the scenario failed: {failures[scenario]}"]
        else:
            found = problems(events[scenario], rows)
        wrong, known = without_known(f"{program} {instrumentor} {scenario}", found)
        yield Result(program, instrumentor, scenario, wrong, known, events.get(scenario, []), spans.get(scenario, []))


def _start_ns(event: dict[str, Any]) -> int:
    start = datetime.fromisoformat(event["start_time"].replace("Z", "+00:00"))
    return round(start.timestamp() * 1e6) * 1000
