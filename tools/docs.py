"""`python -m tools.docs`: write the generated parts of the documentation; `--check`: say which are out of step.

A page's generated part stands between `<!-- generated: NAME -->` and `<!-- end of NAME -->`; the rest of the page is
written by hand. `docs/api.md`, `docs/schemas/`, `docs/performance.svg` and `.env.example` are generated as a whole.
Figures are those that `python -m benchmarks.page` has kept: nothing is measured here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import performance, picture
from otel_feedback.downstream.contract.schemas import ALL_SCHEMAS
from tests.replay import endings
from tools import api, kept, render
from tools.kept import ROOT, Difference, File

__all__ = ["differences", "main", "with_generated_parts", "write"]

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
    **{f"docs/schemas/{schema.file}": schema.text for schema in ALL_SCHEMAS.values()},
    "docs/schemas/outcome-event.schema.json": render.schema,
    "docs/performance.svg": picture.picture,
    ".env.example": render.env_example,
}
_PART = re.compile(r"(?P<begin><!-- generated: (?P<name>[^>]+?) -->\n).*?(?P<end><!-- end of (?P=name) -->)", re.DOTALL)


def with_generated_parts(page: str) -> str:
    """Return a page with its generated parts made anew.

    Raises:
        KeyError: The page asks for a part that does not exist.
    """
    return _PART.sub(lambda match: f"{match['begin']}\n{PARTS[match['name']]()}\n\n{match['end']}", page)


def _wanted(root: Path) -> Iterator[File]:
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
    return kept.differences(_wanted(root), root)


def write(root: Path = ROOT) -> list[str]:
    """Bring every file into step; return the names of those that changed."""
    return kept.write(_wanted(root), root)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: with `--check` 1 where something is out of step, else 0."""
    return kept.main("python -m tools.docs", "the generated documentation", lambda: _wanted(ROOT), arguments)


if __name__ == "__main__":
    sys.exit(main())
