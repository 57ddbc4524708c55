"""A disk that is full: said in a clear line, tried again, and nothing is lost; on a real file system."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.downstream.store.stores import Store, append, ended, ids, lines
from tests.fault.small_disk import FULL, SmallDisk
from tests.stack.waiting import wait_until
from tests.support import run_cli


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with SmallDisk(tmp_path / "disk") as made:
        yield made


def test_a_full_disk_is_said_and_waited_out(disk: SmallDisk, tmp_path: Path) -> None:
    log = tmp_path / "outcomes.jsonl"
    store = Store(disk.path / "store", "--from", str(log))
    append(log, lines(range(20)))
    writer = store.follow("--flush-interval", "0.05")
    said: list[str] = []
    assert writer.stderr is not None
    reading = threading.Thread(target=said.extend, args=[iter(writer.stderr.readline, "")], daemon=True)
    reading.start()
    store.wait_for_rows(20)
    disk.fill()
    append(log, lines(range(20, 50)))
    wait_until(lambda: any(FULL in one for one in said), timeout_s=60, what="a line about the disk")
    assert any(str(store.path) in one and "nothing is lost" in one for one in said)
    append(log, lines(range(50, 60)))
    assert store.ids() == ids(range(20)), "what there is can be read"
    disk.free()
    store.wait_for_rows(60)
    wait_until(lambda: any("all is well again" in one for one in said), timeout_s=60, what="the all-clear")
    writer.send_signal(signal.SIGTERM)
    assert writer.wait() == 0
    reading.join(60)
    writer.communicate()
    assert store.ids() == ids(range(60))


def test_stopped_while_the_disk_is_full_it_ends_and_the_next_one_goes_on(disk: SmallDisk, tmp_path: Path) -> None:
    log = tmp_path / "outcomes.jsonl"
    store = Store(disk.path / "store", "--from", str(log))
    append(log, lines(range(20)))
    store.once()
    disk.fill()
    append(log, lines(range(20, 40)))
    writer = store.follow("--flush-interval", "0.05")
    assert writer.stderr is not None
    while FULL not in writer.stderr.readline():
        assert writer.poll() is None
    code, _, err = ended(writer, signal.SIGTERM)
    assert code == 1
    assert "read again the next time" in err
    disk.free()
    store.once()
    assert store.ids() == ids(range(40))


def test_readers_need_no_more_than_to_read(disk: SmallDisk, tmp_path: Path) -> None:
    """As where a container has the writer's folder as a volume that is read-only."""
    log = tmp_path / "outcomes.jsonl"
    store = Store(disk.path / "store", "--from", str(log))
    append(log, lines(range(20)))
    store.once()
    append(log, lines(range(10, 30)))
    store.once()
    subprocess.run(["mount", "-o", "remount,ro", str(disk.path)], check=True)
    with pytest.raises(OSError, match="Read-only file system"):
        (store.path / "anything").write_bytes(b"")
    before = {path: path.stat().st_mtime_ns for path in store.path.rglob("*")}
    for command, expected in (
        (["sql", "--csv", "SELECT sum(executions) + sum(pending) FROM windows"], "\n30\n"),
        (["sql", "--csv", "SELECT count(*), count(DISTINCT event_id) FROM events"], "40,30"),
        (["tail", "--once", "--json", "-n", "1"], '"event_id"'),
    ):
        done = run_cli(*command, "--from", str(store.path), variables={"XDG_STATE_HOME": str(tmp_path / "state")})
        assert (done.returncode, done.stderr) == (0, ""), command
        assert expected in done.stdout
    assert {path: path.stat().st_mtime_ns for path in store.path.rglob("*")} == before
    refused = run_cli("store", "--store", str(store.path), "--from", str(log), "--once")
    assert refused.returncode == 1
    assert "Read-only file system" in refused.stderr
