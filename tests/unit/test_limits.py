"""The limits of this suite: what is busy is waited for, what stands still is ended, and what is over a limit fails alone."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import pace
from tests.pace import Patience, slowness
from tests.stack.errors import ServiceUnavailable
from tests.stack.steps import run_step
from tests.support import ROOT, environment

TESTS = """
import subprocess, time, pytest

@pytest.mark.timeout(1)
def test_that_hangs():
    time.sleep(1_000)

@pytest.mark.timeout(1)
def test_whose_program_hangs():
    with subprocess.Popen(["sleep", "2"]):
        time.sleep(1_000)

def test_after_it():
    pass
"""


def test_one_that_is_over_its_limit_fails_alone(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    method = pytestconfig.getini("timeout_method")
    (tmp_path / "test_some.py").write_text(TESTS, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.limits", "-q", f"--timeout-method={method}", str(tmp_path)],
        cwd=tmp_path, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "2 failed, 1 passed" in done.stdout
    assert "time.sleep(1_000)" in done.stdout, "it shows where"


def test_seconds_pass_slower_on_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    times_s = iter([0.0, 10.0, 39.0, 41.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(times_s))
    monkeypatch.setattr(pace, "slowness", lambda: 4.0)
    patience = Patience(10)
    assert [patience.is_over for _ in range(3)] == [False, False, True]


def test_how_slow_it_is_grows_with_what_else_it_has_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_NEW_FOR_S", 0.0)
    monkeypatch.setattr(pace.os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    alone = slowness()
    monkeypatch.setattr(pace, "_work", lambda: 0.001)
    monkeypatch.setattr(pace.os, "getloadavg", lambda: (1e3, 0.0, 0.0))
    assert 1.0 <= alone < slowness()


WORKS = """
import sys, time
for number in range(40):
    time.sleep(0.1)
    print(number, flush=True)
"""


def test_a_step_goes_on_as_long_as_it_does_something(tmp_path: Path) -> None:
    run_step([sys.executable, "-c", "print('the step before')"], tmp_path)
    told = run_step([sys.executable, "-c", WORKS], tmp_path, standstill_s=1.0)
    assert told.split() == [str(number) for number in range(40)]


def test_a_step_that_stands_still_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match=r"has stood still for 1 s:\n.*thinking"):
        run_step(
            [sys.executable, "-c", "import time; print('thinking', flush=True); time.sleep(1000)"],
            tmp_path,
            standstill_s=1,
        )


def test_a_step_that_fails_says_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="no such thing"):
        run_step([sys.executable, "-c", "raise SystemExit('no such thing')"], tmp_path)


def test_nothing_that_a_test_starts_has_a_limit_of_its_own() -> None:
    """A program's seconds would be the machine's: the limit of the test, which grows with them, ends what hangs."""
    limited = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("run", "communicate", "check_output", "check_call", "call")
        and any(keyword.arg == "timeout" for keyword in node.keywords)
    ]
    assert limited == []
