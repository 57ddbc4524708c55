"""The keys of `--json` are those of the operations page: no more, no fewer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from otel_feedback.journal.folder import LOCK
from tests.journals.command import dead, living, run_json, spoil_event, to
from tests.journals.disk import KAFKA, crash
from tests.support import ROOT

PAGE = ROOT / "docs" / "operations.md"
BY_REASON = "lost"


def documented(command: str) -> set[str]:
    """Return the paths in the table of one command; a key alone stands for a sibling of the one before it."""
    (table,) = re.findall(rf"<!-- keys: {command} -->\n((?:\|.*\n)+)", PAGE.read_text("utf-8"))
    paths: set[str] = set()
    for row in table.splitlines()[2:]:
        prefix = ""
        for path in re.findall(r"`([^`]+)`", row.split("|")[1]):
            prefix = path.rpartition(".")[0] if "." in path else prefix
            paths.add(path if "." in path or not prefix else f"{prefix}.{path}")
    return paths


def paths_in(value: Any, path: str = "") -> Iterator[str]:
    """Yield the path of each value; the items of lists have one path together."""
    if isinstance(value, dict) and path.rpartition(".")[2] != BY_REASON:
        for key, inner in cast("dict[str, Any]", value).items():
            yield from paths_in(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for item in cast("list[Any]", value):
            yield from paths_in(item, f"{path}[]")
    else:
        yield f"{path}[]" if isinstance(value, list) else path


@pytest.fixture
def in_every_state(directory: Path, log: Path) -> Iterator[Path]:
    """Journals in every state there is, so that no list is empty."""
    spoil_event(dead(directory, to(log), KAFKA, events=4, open_actions=1), 1)
    (dead(directory, KAFKA).folder / LOCK).unlink()
    alive = living(directory, KAFKA)
    yield directory
    crash(alive.journal)


@pytest.mark.parametrize("command", ["inspect", "verify", "replay"])
def test_the_page_has_the_keys(command: str, in_every_state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, shown = run_json(capsys, command, in_every_state)
    found = set(paths_in(shown))
    empty = {path for path in found if any(other.startswith(f"{path}.") for other in found)}
    nullable = {path for path in documented(command) if any(other.startswith(f"{path}[]") for other in found)}
    assert found - empty == documented(command) - nullable
