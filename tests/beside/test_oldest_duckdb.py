"""The tables, and choices, on the oldest DuckDB that the project takes, which reads some SQL otherwise than the newest."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from tests.beside.environments import environment_of
from tests.support import ROOT


@pytest.mark.timeout(500)
def test_tables_are_the_same_there() -> None:
    python = environment_of("oldest-duckdb") / "python"
    command = [
        str(python),
        "-m",
        "pytest",
        "tests/downstream/tables",
        "tests/downstream/learning/selectors/test_choices.py",
        "-m",
        "not services",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3_000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None, done.stdout[-3_000:]
    assert int(passed[1]) > 50
