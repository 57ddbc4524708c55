"""Actions' spans on the oldest SDK that the project takes: what it does inside is not what the newest one does."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from tests.beside.environments import environment_of
from tests.support import ROOT


@pytest.mark.timeout(500)
def test_an_action_is_a_span_of_the_sdk_there_too() -> None:
    """All cases of tests/conformance/wire, with the span that is made without the tracer, and against its own."""
    python = environment_of("oldest-sdk") / "python"
    command = [str(python), "-m", "pytest", "tests/conformance/wire", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": ""}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3_000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None, done.stdout[-3_000:]
    assert int(passed[1]) > 400, "that SDK has no metrics of itself, and everything else"
