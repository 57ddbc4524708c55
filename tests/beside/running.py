"""Run a program with an environment's packages and this project's code, and read what it recorded."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from tests.logs import lines_in, newest
from tests.support import ROOT, environment

PROGRAMS = Path(__file__).parent / "programs"


class Ran(NamedTuple):
    """What came of a program. `events` has the newest revision of each, in the order of their first ones."""

    code: int
    out: str
    err: str
    events: list[dict[str, Any]]

    def of_type(self, action_type: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["action_type"] == action_type]


def run(programs: Path, command: list[str], log: Path, *, hook: bool, **variables: str) -> Ran:
    """Run `python COMMAND` with the interpreter in `programs`.

    Args:
        log: where the events go; what is there already counts as well.
        hook: below `opentelemetry-instrument`, with nothing exported unless `variables` say so.
        variables: of the environment, which has none of the machine's settings.
    """
    python = [str(programs / "python")]
    # by its interpreter: the script may name one that is elsewhere now
    instrumented = [*python, str(programs / "opentelemetry-instrument")] if hook else []
    done = subprocess.run(
        [*instrumented, *python, *command],
        env=surroundings(log, **variables),
        cwd=log.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr, newest(lines_in(log)))


def surroundings(log: Path, **variables: str) -> dict[str, str]:
    """Return the environment of a program that has our code, and whose only destination is a log."""
    return environment(
        **{
            "PYTHONPATH": str(ROOT),
            "OTEL_FEEDBACK_LOG_FILE": str(log),
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_FEEDBACK_SHUTDOWN_TIMEOUT": "60",  # a log takes no time, unless the machine is busy
            **variables,
        }
    )
