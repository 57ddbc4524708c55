"""`python -m benchmarks.page out.json …`: show the figures of these runs in the documentation.

Keeps a summary of each in `benchmarks/results/`, and writes `docs/performance.md`, its picture and README's line from what is
kept. Without a file it only writes; `python -m tools.docs` does the same with everything that is generated.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.kept import keep
from tools import docs

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="what --json wrote, of either command")
    for path in parser.parse_args(arguments).files:
        print(f"{path}: kept as {keep(path)}")
    for name in docs.write():
        print(f"written: {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
