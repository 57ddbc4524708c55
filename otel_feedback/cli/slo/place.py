"""Where objectives are, and what is said of a file that is wrong."""

from __future__ import annotations

from pathlib import Path

from otel_feedback.cli.console import failed
from otel_feedback.downstream.declared.reading import FileError
from otel_feedback.downstream.objectives.objective import Objective
from otel_feedback.downstream.objectives.reading import ObjectivesError, read

__all__ = ["OBJECTIVES", "explain", "read_objectives"]

OBJECTIVES = Path("slo.toml")


def read_objectives(given: str | None) -> tuple[Objective, ...] | None:
    """Return the objectives; None when there are none that can be used, which is said on stderr."""
    path = OBJECTIVES if given is None else Path(given).expanduser()
    if given is None and not path.exists():
        failed(
            f"there is no {path} in this directory",
            "write one (docs/objectives.md has the first), or name it with --slo",
        )
        return None
    try:
        return read(path)
    except ObjectivesError as exc:
        explain(exc)
    return None


def explain(exc: FileError) -> None:
    """Say on stderr each mistake of a file, and what would be right."""
    for problem in exc.problems:
        line = "" if problem.line is None else f":{problem.line}"
        failed(f"{exc.path}{line}: {problem.field}: {problem.found}", problem.remedy)
