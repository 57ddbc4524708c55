"""`python -m tests.beside`: make the environments with the real packages, and run the tests that use them.

With `--build` only make the environments. What follows `--` goes to pytest.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from tests.beside.environments import NAMES, environment_of
from tests.stack import progress
from tests.stack.cache import cache_root
from tests.stack.errors import StackError


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.beside", description=__doc__)
    parser.add_argument("--build", action="store_true", help="only make the environments, and keep them")
    parser.add_argument("pytest", nargs="*", help="arguments of pytest, after --")
    arguments = parser.parse_args()
    try:
        for name in NAMES:
            environment_of(name)
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if arguments.build:
        progress.say(f"all is there, in {cache_root()}")
        return 0
    return pytest.main([str(Path(__file__).parent), *arguments.pytest])


if __name__ == "__main__":
    sys.exit(main())
