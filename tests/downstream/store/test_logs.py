"""Log files as a source: rotation, copies, gzip, torn lines, what is no event; each line is one row, once."""

from __future__ import annotations

import gzip
import logging.handlers
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_feedback.exporters.log_file import LogFile
from tests.downstream.store.stores import Store, append, ended, ids, line, lines
from tests.downstream.topics import event
from tests.stack.waiting import wait_until
from tests.support import run_cli


def renamed(log: Path) -> None:
    log.rename(f"{log}.1")


def copied_and_cut(log: Path) -> None:
    Path(f"{log}-20260302").write_bytes(log.read_bytes())
    log.write_bytes(b"")


def compressed(log: Path) -> None:
    Path(f"{log}.1.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()


def dated_before_the_suffix(log: Path) -> None:
    log.rename(log.with_name("outcomes-2026-03-02.jsonl"))


@pytest.mark.parametrize("rotate", [renamed, copied_and_cut, compressed, dated_before_the_suffix])
def test_rotated_between_two_runs(log: Path, store: Store, rotate: Callable[[Path], None]) -> None:
    """What came before it was moved away is read there, and what comes after, under the old name."""
    append(log, lines(range(10)))
    assert store.once()["written"] == 10
    append(log, lines(range(10, 15)))
    rotate(log)
    append(log, lines(range(15, 17)))
    assert store.once()["written"] == 7
    assert store.once()["written"] == 0
    assert store.ids() == ids(range(17))


def test_every_step_of_a_rotation_is_seen_as_the_same_file(log: Path, store: Store) -> None:
    """Renamed, a copy that is not complete, compressed half and whole, moved on: no row twice."""
    append(log, lines(range(50)))
    store.once()
    first = Path(f"{log}.1")
    whole = log.read_bytes()
    first.write_bytes(whole[: len(whole) // 3])  # copytruncate in the middle of its copy
    assert store.once()["written"] == 0
    first.write_bytes(whole)
    log.write_bytes(lines(range(50, 52)))
    assert store.once()["written"] == 2
    packed = gzip.compress(first.read_bytes())
    Path(f"{log}.1.gz").write_bytes(packed[: len(packed) // 2])
    assert store.once()["written"] == 0
    Path(f"{log}.1.gz").write_bytes(packed)
    first.unlink()
    Path(f"{log}.1.gz").rename(f"{log}.2.gz")
    assert store.once()["written"] == 0
    assert store.ids() == ids(range(52))


def test_what_was_rotated_before_the_first_run_is_read_too(log: Path, store: Store) -> None:
    Path(f"{log}.2.gz").write_bytes(gzip.compress(lines(range(5))))
    Path(f"{log}.1").write_bytes(lines(range(5, 8)))
    Path(f"{log}.bak").write_bytes(lines(range(90, 99)))  # somebody's own
    append(log, lines(range(8, 9)))
    assert store.once()["written"] == 9
    assert store.ids() == ids(range(9))


def test_a_torn_last_line_waits(log: Path, store: Store) -> None:
    torn = line(event(1))
    append(log, line(event(0)) + torn[:40])
    assert store.once()["written"] == 1
    append(log, torn[40:])
    told = store.once()
    assert (told["written"], told["no_events"]) == (1, 0)
    append(log, line(event(2)).rstrip(b"\n"))  # complete but for the line feed
    assert store.once()["written"] == 1
    append(log, b"\n" + line(event(3)))
    told = store.once()
    assert (told["written"], told["no_events"]) == (1, 0)
    assert store.ids() == ids(range(4))


def test_what_is_no_event_is_counted_and_takes_no_neighbour_with_it(log: Path, store: Store) -> None:
    hostile = [
        b"no JSON", b'{"refused_by": "kafka"}', b"[1]", b"\xff\xfe", b'{"action_type":"s","status":"fine"}',
        event(0).to_json().encode().replace(b'"revision":1', b'"revision":99999999999999999999'),
        b"x" * 3_000_000, b"\0" * 100,
    ]  # fmt: skip
    tolerable = [
        event(1).to_json().replace('"status"', '"status":"failure","status"'),  # twice
        event(2).to_json().replace("Z", "z"),
        event(3).to_json()[:-1] + ',"source":"elsewhere","e":{},"STATUS":"x","new_field":[1]}',
        event(4, model="\0 \U0001f600", metadata={"big": 10**30, "quote'\"": "\\"}).to_json(),
        "  " + event(5).to_json() + "\r",
    ]
    append(log, b"\n".join([*hostile, *(one.encode() for one in tolerable), b""]))
    told = store.once()
    assert (told["written"], told["no_events"]) == (5, len(hostile))
    assert store.ids() == ids(range(1, 6))
    assert set(store.select("status, source")) == {("success", str(log))}
    at = {position: number for number, position in store.select("event_id, source_position")}
    content = log.read_bytes()
    assert all(number.encode() in content[position:].split(b"\n")[0] for position, number in at.items())


def test_followed_while_it_is_written_and_rotated(log: Path, store: Store) -> None:
    """Our own file rotates by size, several times, and its last backup goes; the writer sees all of it."""
    file = LogFile(log, max_bytes=8_000, backups=2)
    writer = store.follow("--flush-interval", "0.05")
    for number in range(120):
        file.write(line(event(number)))
        if number % 10 == 9:
            store.wait_for_rows(number + 1)
    file.close()
    code, _, err = ended(writer, signal.SIGTERM)
    assert code == 0, err
    assert store.ids() == ids(range(120))
    assert not Path(f"{log}.3").exists()


def test_a_file_that_is_deleted_is_read_to_its_end_first(log: Path, store: Store) -> None:
    """Without backups it is gone at once, but who has it open may still read, and write."""
    append(log, lines(range(3)))
    writer = store.follow("--flush-interval", "0.05")
    store.wait_for_rows(3)
    with log.open("ab") as old:
        log.unlink()
        append(log, lines(range(3, 5)))
        old.write(lines(range(5, 6)))
    store.wait_for_rows(6)
    assert ended(writer, signal.SIGINT)[0] == 0
    assert store.ids() == ids(range(6))


def test_two_logs_in_one_store(tmp_path: Path, log: Path) -> None:
    other = tmp_path / "other" / "outcomes.jsonl"
    other.parent.mkdir()
    append(log, lines(range(3)))
    append(other, lines(range(3, 7)))
    store = Store(tmp_path / "store", "--from", str(log), "--from", str(other))
    store.once()
    assert store.ids() == ids(range(7))
    assert {source for (source,) in store.select("source")} == {str(log), str(other)}


def test_logging_handlers_of_python_are_followed(log: Path, store: Store) -> None:
    handler = logging.handlers.RotatingFileHandler(log, maxBytes=4_000, backupCount=5)
    handler.setFormatter(logging.Formatter("%(message)s"))
    for number in range(60):
        handler.emit(logging.makeLogRecord({"msg": event(number).to_json()}))
        if number % 20 == 0:
            store.once()
    handler.close()
    store.once()
    assert store.ids() == ids(range(60))


def test_a_log_that_is_not_there_has_nothing_to_read_once(log: Path, store: Store) -> None:
    done = run_cli("store", "--store", str(store.path), "--from", str(log), "--once")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: there is no {log}: --from takes the file that events are logged to\n")


def test_a_log_that_is_not_there_yet_is_waited_for(log: Path, store: Store) -> None:
    writer = store.follow("--flush-interval", "0.05")
    wait_until(store.path.exists, timeout_s=60, what="the store")
    append(log, lines(range(2)))
    store.wait_for_rows(2)
    assert ended(writer, signal.SIGTERM)[0] == 0
