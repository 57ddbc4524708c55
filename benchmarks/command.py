"""What the two commands have in common: some names of many, quick or in earnest, a table, and JSON beside it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import Report
from benchmarks.table import render

__all__ = ["command"]


def command(
    prog: str, about: str | None, names: Sequence[str], run: Callable[..., Report], arguments: Sequence[str] | None
) -> int:
    """Read the arguments, call `run(names, is_quick=…)`, write what it reports, and return the exit code."""

    def chosen(text: str) -> list[str]:
        found = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in found if name not in names]
        if unknown or not found:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown) or 'nothing'} is not one of {', '.join(names)}")
        return found

    parser = argparse.ArgumentParser(prog=prog, description=about)
    parser.add_argument("--only", type=chosen, default=list(names), metavar="NAME", help="some of " + ",".join(names))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there too, all rounds included")
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes; the figures mean nothing")
    given: Any = parser.parse_args(arguments)
    report = run(given.only, is_quick=given.quick)
    if given.json is not None:
        given.json.write_text(json.dumps(report.to_dict(), indent=2) + "\n")
    sys.stdout.write(render(report))
    return 1 if report.failed else 0
