"""What `tests.stack` promises about its own doing: no leftovers, no silent skip, no second build."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack import progress
from tests.stack.cache import build_key, built
from tests.stack.errors import NotReadyError, ServiceUnavailable, first_possible
from tests.stack.processes import ChildProcess, free_port, wait_ready
from tests.stack.waiting import wait_until
from tests.support import ROOT

_SERVICE_PROGRAM = """
import sys

from tests.stack.processes import ChildProcess, temporary_directory

directory = temporary_directory("test")
process = ChildProcess("sleeper", ["sh", "-c", "sleep 600 & sleep 600"], directory=directory)
process.start()
{then}
print(process.pid, directory, flush=True)
sys.stdin.read()
"""


def is_alive(group_id: int) -> bool:
    """Whether a process of the group still runs; one that nobody has waited for does not count."""
    answer = subprocess.run(["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True, check=True)
    rows = [line.split() for line in answer.stdout.splitlines()]
    return any(int(pgid) == group_id and not state.startswith("Z") for pgid, state in rows)


@pytest.mark.parametrize("then", ["", "process.pause()"], ids=["running", "paused"])
@pytest.mark.parametrize("number", [signal.SIGKILL, None], ids=["killed", "ended"])
def test_nothing_outlives_the_process_that_started_it(number: signal.Signals | None, then: str) -> None:
    """Not even after SIGKILL, not even a grandchild, nor a paused process or a directory."""
    parent = subprocess.Popen(
        [sys.executable, "-c", _SERVICE_PROGRAM.format(then=then)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:  # closes stdin, and waits
        assert parent.stdout is not None
        pid, directory = parent.stdout.readline().split()
        assert is_alive(int(pid))
        assert Path(directory).is_dir()
        if number is not None:
            parent.send_signal(number)
    wait_until(lambda: not is_alive(int(pid)), timeout_s=10, what="the end of the service")
    wait_until(lambda: not Path(directory).exists(), timeout_s=10, what="an end of its files")


def test_service_that_ends_early_shows_its_last_lines(tmp_path: Path) -> None:
    process = ChildProcess("early", ["sh", "-c", "echo no such thing; exit 3"], directory=tmp_path)
    process.start()
    with pytest.raises(NotReadyError, match=r"early ended[\s\S]*no such thing"):
        wait_ready(process, lambda: False, timeout_s=10)


def test_service_that_never_answers_shows_its_last_lines(tmp_path: Path) -> None:
    process = ChildProcess("mute", ["sh", "-c", "echo thinking; sleep 60"], directory=tmp_path)
    process.start()
    wait_until(lambda: "thinking" in process.output(), timeout_s=10, what="the first line")
    with pytest.raises(NotReadyError, match=r"mute was not ready after 0.1 s[\s\S]*thinking"):
        wait_ready(process, lambda: False, timeout_s=0.1)
    process.stop()
    assert not process.is_running()


def test_own_settings_of_the_developer_do_not_reach_a_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    process = ChildProcess("env", ["env"], directory=tmp_path, environment={"OTEL_GIVEN": "yes"})
    process.start()
    wait_until(lambda: not process.is_running(), timeout_s=10, what="the end of env")
    assert "OTEL_SDK_DISABLED" not in process.output()
    assert "OTEL_GIVEN=yes" in process.output()


def test_ports_are_given_once_and_outside_the_ephemeral_range() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    assert all(15_000 <= port < 30_000 for port in ports)


@pytest.fixture
def progress_lines() -> Iterator[io.StringIO]:
    lines = io.StringIO()
    before = progress.write_to(lines)
    yield lines
    progress.write_to(before)


def test_parallel_requests_build_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, progress_lines: io.StringIO
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    builds: list[Path] = []
    has_both = threading.Barrier(2)

    def build(directory: Path) -> None:
        builds.append(directory)
        (directory / "result").write_text("x")

    results: list[Path] = []

    def ask() -> None:
        has_both.wait()
        results.append(built(build_key("thing", "1.0", ["recipe"]), "building a thing", build))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1
    assert results[0] == results[1]
    assert (results[0] / "result").read_text() == "x"
    assert results[0].parent == tmp_path / "otel-feedback"
    assert progress_lines.getvalue().count("[tests.stack] building a thing ...") == 1
    assert build_key("thing", "1.0", ["recipe"]) != build_key("thing", "1.0", ["another"])


def test_failed_build_leaves_nothing_behind_and_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, progress_lines: io.StringIO
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    attempts: list[Path] = []

    def build(directory: Path) -> None:
        attempts.append(directory)
        (directory / "half").write_text("x")
        raise ServiceUnavailable("no network")

    for _ in range(2):
        with pytest.raises(ServiceUnavailable, match="no network"):
            built("failing-1.0-test", "building what fails", build)
    assert len(attempts) == 1
    assert "building what fails: failed after" in progress_lines.getvalue()
    assert [path.suffix for path in (tmp_path / "otel-feedback").iterdir()] == [".lock"]


def test_every_way_that_was_tried_is_named() -> None:
    def refuse(reason: str) -> str:
        raise ServiceUnavailable(reason)

    ways = [("Docker", lambda: refuse("no engine")), ("Maven", lambda: refuse("not installed"))]
    with pytest.raises(ServiceUnavailable, match="Docker: no engine; Maven: not installed"):
        first_possible("broker", ways)
    assert first_possible("broker", [*ways, ("third", lambda: "found")]) == "found"


_TEST_THAT_NEEDS_A_BROKER = """
def test_with_the_fixture(kafka_broker):
    pass

def test_with_a_call():
    from tests.stack.kafka import KafkaBroker
    KafkaBroker.launch_own()

def test_without():
    pass
"""


@pytest.mark.parametrize(
    ("ci", "outcome"),
    [("true", {"passed=1", "failed=1", "errors=1"}), ("", {"passed=1", "skipped=2"})],
    ids=["CI", "developer"],
)
def test_missing_service_is_a_loud_skip_and_in_ci_a_failure(tmp_path: Path, ci: str, outcome: set[str]) -> None:
    (tmp_path / "test_it.py").write_text(_TEST_THAT_NEEDS_A_BROKER)
    (tmp_path / "bin").mkdir()
    environment = {
        **os.environ,
        "CI": ci,
        "PATH": str(tmp_path / "bin"),  # no Docker, no Maven, no Go
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PYTHONPATH": str(ROOT),
        "KAFKA_BOOTSTRAP_SERVERS": "",
        "PYTEST_ADDOPTS": "",
    }
    command = [sys.executable, "-m", "pytest", "-p", "tests.stack.fixtures", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [*command, "--rootdir=.", "-c", os.devnull, "test_it.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    reason = "no Kafka broker to be had here; tried Docker: docker is not installed; Maven: not"
    assert reason in result.stdout
    assert ("SERVICES NOT AVAILABLE" in result.stdout) == (not ci)
    words = result.stdout.splitlines()[-1].replace("=", "").replace(",", "").split()
    counts = dict(zip(words[1::2], words[::2], strict=False))
    plural = {"error": "errors"}
    found = {f"{plural.get(k, k)}={v}" for k, v in counts.items() if v.isdigit()}
    assert found == outcome
    assert result.returncode == (1 if ci else 0)
