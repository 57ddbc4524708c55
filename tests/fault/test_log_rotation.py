"""Log files that somebody moves away, compresses, copies or cuts while processes write to them: every event is in one."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_feedback.exporters.log_file import LogFile
from tests.stack.waiting import wait_until
from tests.support import environment

AGENT = """
    import sys
    import otel_feedback as feedback
    pipeline = feedback.configure(service_name="agents")
    first, count = int(sys.argv[1]), int(sys.argv[2])
    for number in range(first, first + count):
        with feedback.action("step", metadata={"number": number}): pass
        if number % 20 == 0:
            pipeline.force_flush(20)
    assert pipeline.shutdown(30)
    print(pipeline.metrics()["exporters"]["log"]["lost"])
"""


def agent(log: Path, first: int, count: int, **variables: str) -> subprocess.Popen[str]:
    """Start a process that acts so many times, and writes often."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(AGENT), str(first), str(count)],
        env=environment(
            OTEL_TRACES_EXPORTER="none", OTEL_FEEDBACK_LOG_FILE=str(log), XDG_STATE_HOME=str(log.parent.parent / "state"),
            **variables,
        ),
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def numbers_in(logs: Path) -> Counter[int]:
    """Return how often each event is in the log and in what became of it, all of them whole lines."""
    found: Counter[int] = Counter()
    for path in logs.iterdir():
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        found.update(json.loads(line)["metadata"]["number"] for line in data.splitlines())
    return found


def by_hand(log: Path, options: str) -> Callable[[], None]:
    """Do what logrotate does with `create` and `compress`: move the files, make a new one, compress what was moved."""

    def rotate() -> None:
        moved = log.with_name(f"{log.name}.{len(list(log.parent.iterdir()))}")
        if "copytruncate" in options:
            shutil.copyfile(log, moved)
            os.truncate(log, 0)
        else:
            log.rename(moved)
            log.touch(0o600)
        subprocess.run(["gzip", moved], check=True)

    return rotate


def by_logrotate(program: str, log: Path, options: str) -> Callable[[], None]:
    settings, state = log.parent.parent / "logrotate.conf", log.parent.parent / "logrotate.state"
    settings.write_text(f"{log} {{\n rotate 1000\n compress\n {options}\n}}\n")
    settings.chmod(0o600)
    log.parent.chmod(0o700)
    return lambda: subprocess.run([program, "-f", "-s", str(state), str(settings)], check=True) and None


@pytest.fixture
def rotation(tmp_path: Path) -> Callable[[str], tuple[Path, Callable[[], None]]]:
    """Return where to log to, and what rotates it: the real logrotate where this machine has it."""

    def make(options: str) -> tuple[Path, Callable[[], None]]:
        log = tmp_path / "logs" / "outcomes.jsonl"
        log.parent.mkdir()
        program = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin")
        return log, by_hand(log, options) if program is None else by_logrotate(program, log, options)

    return make


@pytest.mark.parametrize("options", ["create", "nocreate", "create\n delaycompress"])
def test_what_logrotate_moves_and_compresses_has_every_event(
    options: str, rotation: Callable[[str], tuple[Path, Callable[[], None]]]
) -> None:
    log, rotate = rotation(options)
    with agent(log, 0, 6_000) as process:
        wait_until(log.exists, timeout_s=30, what="the first event")
        rotations = 0
        while process.poll() is None:
            if log.exists():
                rotate()
                rotations += 1
        assert process.stdout is not None
        assert (process.returncode, process.stdout.read()) == (0, "{}\n")
    found = numbers_in(log.parent)
    assert rotations >= 2
    assert sorted(found) == list(range(6_000))


def test_copytruncate_leaves_whole_lines_and_loses_no_more_than_its_own_window(
    rotation: Callable[[str], tuple[Path, Callable[[], None]]],
) -> None:
    log, rotate = rotation("copytruncate")
    with agent(log, 0, 9_000) as process:
        wait_until(log.exists, timeout_s=30, what="the first event")
        rotate()
        process.wait()
    lost = sorted(set(range(9_000)) - set(numbers_in(log.parent)))
    assert lost == list(range(lost[0], lost[-1] + 1) if lost else ()), "between its copy and its cut"
    assert 8_999 not in lost


def test_of_several_processes_that_rotate_one_file_none_overwrites_what_another_moved(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "outcomes.jsonl"
    limits = {"OTEL_FEEDBACK_LOG_MAX_BYTES": "8192", "OTEL_FEEDBACK_LOG_BACKUPS": "1000"}
    agents = [agent(log, 1_000 * number, 1_000, **limits) for number in range(4)]
    for process in agents:
        out, _ = process.communicate()
        assert (process.returncode, out) == (0, "{}\n")
    found = numbers_in(log.parent)
    assert found == Counter(range(4_000)), "each once: nobody moves it while another writes"
    assert len(list(log.parent.iterdir())) > 50
    assert max(path.stat().st_size for path in log.parent.iterdir()) <= 32 * 1024


def test_processes_that_are_killed_in_a_rotation_keep_no_lock(tmp_path: Path) -> None:
    """And what they leave half moved is moved on: no line of another's goes."""
    log = tmp_path / "logs" / "outcomes.jsonl"
    limits = {"OTEL_FEEDBACK_LOG_MAX_BYTES": "2048", "OTEL_FEEDBACK_LOG_BACKUPS": "1000"}
    with agent(log, 0, 2_000, **limits) as lasting:
        first = 10_000
        while lasting.poll() is None:
            with agent(log, first, 1_000, **limits) as killed:
                time.sleep(0.7)
                killed.kill()
            first += 1_000
        assert lasting.stdout is not None
        assert (lasting.returncode, lasting.stdout.read()) == (0, "{}\n")
    assert set(range(2_000)) <= set(numbers_in(log.parent))


def test_a_frozen_process_that_has_the_lock_keeps_nobody_from_writing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    file = LogFile(log, 1_024, 3)
    file.write(b"x" * 1_000 + b"\n")
    with log.open("rb") as frozen:
        fcntl.flock(frozen, fcntl.LOCK_EX)
        file.write(b"y" * 1_000 + b"\n")
        assert log.stat().st_size == 2_002, "it writes, and moves nothing"
    file.write(b"z\n")
    assert (log.read_bytes(), log.with_name("log.1").stat().st_size) == (b"z\n", 2_002)


def test_half_a_line_of_a_dead_process_does_not_spoil_the_next_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b'{"half')
    LogFile(log, 1_024, 3).write(b"{}\n")
    assert log.read_bytes() == b'{"half\n{}\n'


def test_a_rotation_that_a_crash_cut_in_two_is_gone_on_with(tmp_path: Path) -> None:
    """log.1 was moved to log.2, log was not moved to log.1 yet: the number that is free is used."""
    log = tmp_path / "log"
    for name, text in (("log", b"new\n"), ("log.2", b"older\n"), ("log.3", b"oldest\n")):
        (tmp_path / name).write_bytes(text)
    LogFile(log, 1, 3).write(b"newest\n")
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {"log": b"newest\n", "log.1": b"new\n", "log.2": b"older\n", "log.3": b"oldest\n"}


def test_a_program_that_goes_to_another_folder_and_one_whose_log_is_a_pipe(tmp_path: Path) -> None:
    program = """
        import os, sys
        import otel_feedback as feedback
        pipeline = feedback.configure(service_name="agents", log_file=sys.argv[1])
        for number in range(3):
            with feedback.action("step", metadata={"number": number}): pass
            pipeline.force_flush(20)
            os.chdir("/")
    """

    def run(name: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), name], cwd=tmp_path, check=True, capture_output=True,
            text=True, env=environment(OTEL_TRACES_EXPORTER="none", XDG_STATE_HOME=str(tmp_path / "state")),
        ).stdout  # fmt: skip

    run("logs/here")
    assert numbers_in(tmp_path / "logs") == Counter(range(3))
    assert run("/dev/stdout").count("\n") == 3
