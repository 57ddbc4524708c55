"""`python -m tools.docs`: write the generated parts of the documentation; `--check`: say which are out of step.

A page's generated part stands between `<!-- generated: NAME -->` and `<!-- end of NAME -->`; the rest of the page is
written by hand. `docs/api.md`, `docs/schemas/`, `docs/performance.svg` and `.env.example` are generated as a whole.
Figures are those that `python -m benchmarks.page` has kept: nothing is measured here.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import performance, picture
from otel_feedback.downstream.contract.schemas import SCHEMAS
from tests.replay import endings
from tools import api, render

__all__ = ["Difference", "differences", "main", "with_generated_parts", "write"]

ROOT = Path(__file__).parents[1]
MOST_LINES = 40
"""Lines shown of one file's difference."""

PARTS: dict[str, Callable[[], str]] = {
    "settings": render.settings,
    "kafka options": render.kafka_options,
    "OpenTelemetry variables": render.otel_variables,
    "always there": render.event_always,
    "event fields": render.event_fields,
    "event example": render.event_example,
    "field names": render.event_names,
    "record headers": render.kafka_headers,
    "endings": endings.table,
    **performance.PARTS,
}
PAGES = {
    "docs/configuration.md": ("settings", "kafka options", "OpenTelemetry variables"),
    "docs/events.md": ("event example", "always there", "event fields", "record headers", "field names"),
    "docs/performance.md": ("what an action costs", "goals", "other SDKs", "the machine"),
    "README.md": ("endings", "the figure"),
}
FILES: dict[str, Callable[[], str]] = {
    "docs/api.md": api.page,
    **{f"docs/schemas/{schema.file}": schema.text for schema in SCHEMAS.values()},
    "docs/schemas/outcome-event.schema.json": render.schema,
    "docs/performance.svg": picture.picture,
    ".env.example": render.env_example,
}
_PART = re.compile(r"(?P<begin><!-- generated: (?P<name>[^>]+?) -->\n).*?(?P<end><!-- end of (?P=name) -->)", re.DOTALL)

Difference = tuple[str, str]


def with_generated_parts(page: str) -> str:
    """Return a page with its generated parts made anew.

    Raises:
        KeyError: The page asks for a part that does not exist.
    """
    return _PART.sub(lambda match: f"{match['begin']}\n{PARTS[match['name']]()}\n\n{match['end']}", page)


def _wanted(root: Path) -> Iterator[tuple[Path, str]]:
    for name, parts in PAGES.items():
        page = (root / name).read_text("utf-8")
        found = tuple(match["name"] for match in _PART.finditer(page))
        if found != parts:
            raise ValueError(f"{name} has the generated parts {found}, and should have {parts}")
        yield root / name, with_generated_parts(page)
    for name, make in FILES.items():
        yield root / name, make()


def differences(root: Path = ROOT) -> list[Difference]:
    """Return the files that are out of step, each with its difference."""
    found: list[Difference] = []
    for path, wanted in _wanted(root):
        name = path.relative_to(root).as_posix()
        there = path.read_text("utf-8") if path.exists() else ""
        if there != wanted:
            lines = difflib.unified_diff(there.splitlines(), wanted.splitlines(), name, "the code", lineterm="", n=0)
            shown = list(lines)
            rest = [f"and {len(shown) - MOST_LINES} lines more"] if len(shown) > MOST_LINES else []
            found.append((name, "\n".join(shown[:MOST_LINES] + rest)))
    return found


def write(root: Path = ROOT) -> list[str]:
    """Bring every file into step; return the names of those that changed."""
    changed = [name for name, _ in differences(root)]
    for path, wanted in list(_wanted(root)):
        path.write_text(wanted, "utf-8")
    return changed


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: with `--check` 1 where something is out of step, else 0."""
    parser = argparse.ArgumentParser(prog="python -m tools.docs", description="Write the generated documentation.")
    parser.add_argument("--check", action="store_true", help="only say what is out of step")
    if parser.parse_args(arguments).check:
        found = differences()
        for _, difference in found:
            sys.stdout.write(f"{difference}\n")
        if found:
            sys.stdout.write(f"out of step: {', '.join(name for name, _ in found)}; run: python -m tools.docs\n")
        return 1 if found else 0
    for name in write():
        sys.stdout.write(f"written: {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
