"""Files that are made by the code and kept beside it: which are out of step, and how to bring them into it."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

__all__ = ["ROOT", "Difference", "File", "differences", "main", "write"]

ROOT = Path(__file__).parents[1]
MOST_LINES = 40
"""Lines shown of one file's difference."""

File = tuple[Path, str]
"""Where it is, and what should be in it."""
Difference = tuple[str, str]


def differences(files: Iterable[File], root: Path = ROOT) -> list[Difference]:
    """Return the names of the files that are out of step, each with its difference."""
    found: list[Difference] = []
    for path, wanted in files:
        name = path.relative_to(root).as_posix()
        there = path.read_text("utf-8") if path.exists() else ""
        if there != wanted:
            lines = difflib.unified_diff(there.splitlines(), wanted.splitlines(), name, "the code", lineterm="", n=0)
            shown = list(lines)
            rest = [f"and {len(shown) - MOST_LINES} lines more"] if len(shown) > MOST_LINES else []
            found.append((name, "\n".join(shown[:MOST_LINES] + rest)))
    return found


def write(files: Iterable[File], root: Path = ROOT) -> list[str]:
    """Bring every file into step; return the names of those that changed."""
    wanted = list(files)
    changed = [name for name, _ in differences(wanted, root)]
    for path, text in wanted:
        path.write_text(text, "utf-8")
    return changed


def main(command: str, what: str, files: Callable[[], Iterable[File]], arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: with `--check` 1 where something is out of step, else 0."""
    parser = argparse.ArgumentParser(prog=command, description=f"Write {what}.")
    parser.add_argument("--check", action="store_true", help="only say what is out of step")
    if parser.parse_args(arguments).check:
        found = differences(files())
        for _, difference in found:
            sys.stdout.write(f"{difference}\n")
        if found:
            sys.stdout.write(f"out of step: {', '.join(name for name, _ in found)}; run: {command}\n")
        return 1 if found else 0
    for name in write(files()):
        sys.stdout.write(f"written: {name}\n")
    return 0
