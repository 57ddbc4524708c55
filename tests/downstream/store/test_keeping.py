"""What a store keeps: days, sizes, joined files, older files; one writer."""

from __future__ import annotations

import random
import signal
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from otel_feedback.downstream.store import manifest as manifests
from otel_feedback.downstream.store.keeping import JOINED, LARGE_BYTES, SORTED_ROWS, Limits, doomed, to_join, unsorted
from otel_feedback.downstream.store.manifest import NEWEST, DataFile
from tests.downstream.store.stores import Store, append, ended, ids, line, lines
from tests.downstream.topics import event
from tests.support import run_cli

NOW = datetime.now(timezone.utc)


def of_day(number: int, days_ago: float, **fields: Any) -> bytes:
    return line(event(number, end_time=NOW - timedelta(days=days_ago), timestamp=NOW, **fields))


def test_a_second_writer_is_refused_with_a_clear_line(log: Path, store: Store) -> None:
    append(log, lines(range(1)))
    writer = store.follow("--flush-interval", "0.05")
    store.wait_for_rows(1)
    second = run_cli("store", "--store", str(store.path), "--from", str(log), "--once")
    assert second.returncode == 1
    assert f"{store.path} has a writer already (process {writer.pid})" in second.stderr
    assert ended(writer, signal.SIGTERM)[0] == 0
    assert store.once()["up_to_date"], "and when it has ended, the next one may"


def test_a_file_is_of_one_day_by_the_time_of_the_event(log: Path, store: Store) -> None:
    append(log, of_day(0, 0) + of_day(1, 3) + of_day(2, 3) + of_day(3, 40))
    store.once()
    told = {file.day: file.rows for file in store.manifest().files}
    assert told == {f"{NOW - timedelta(days=days):%Y-%m-%d}": rows for days, rows in ((0, 1), (3, 2), (40, 1))}
    assert all(file.first.strftime("%Y-%m-%d") == file.day for file in store.manifest().files)


def test_days_that_are_too_old_go(log: Path, store: Store) -> None:
    append(log, of_day(0, 0) + of_day(1, 3) + of_day(2, 40))
    assert store.once()["rows"] == 3
    before = set(store.files())
    told = store.once("--retention-days", "30")
    assert (told["rows"], told["expired"]) == (2, 1)
    assert store.ids() == ids(range(2))
    assert {rollup.day for rollup in store.manifest().rollups} <= {file.day for file in store.manifest().files}
    assert store.folder.data_files() == store.manifest().named, "nor are there sums of them"
    [gone] = before - set(store.files())
    assert not Path(gone).exists()


def test_the_oldest_days_go_when_the_store_is_too_large(log: Path, store: Store) -> None:
    for number in range(3):
        append(log, of_day(number, 2 - number, metadata={"text": random.Random(number).randbytes(100_000).hex()}))
        store.once()
    size = store.manifest().bytes
    oldest = min(store.manifest().files, key=lambda file: file.day)
    told = store.once("--max-bytes", str(size - oldest.bytes))
    assert (told["rows"], told["expired"]) == (2, 1)
    assert store.ids() == ids(range(1, 3))


def test_joined_files_hold_the_same_rows(log: Path, store: Store) -> None:
    every = "COLUMNS(lambda name: name <> 'metadata' AND name NOT LIKE 'event_key_%'), CAST(metadata AS VARCHAR)"
    for number in range(JOINED - 1):
        append(log, of_day(number, 0, tags=("a", "b"), metadata={"n": number, "t": "é\0"}, own_cost=0.1 * number))
        store.once()
    assert len(store.manifest().files) == JOINED - 1
    before = sorted(store.select(every), key=str)
    append(log, of_day(99, 0))
    store.once()
    [joined] = store.manifest().files
    assert joined.rows == JOINED
    after = sorted((row for row in store.select(every) if row[1] != event(99).event_id), key=str)
    assert after == before
    left = list(store.folder.events.glob("day=*/*"))
    assert len(left) > 1, "those that were joined stay a while, for who reads them"


def test_files_of_the_largest_events_are_joined_with_more_memory_than_usual_ones_need(log: Path, store: Store) -> None:
    text = random.Random(1).randbytes(30_000).hex()
    for number in range(1_600):
        append(log, of_day(number, 0, stack_trace=text, metadata={"text": text[number:]}))
    told = store.once("--flush-rows", "200")
    assert (told["rows"], len(store.manifest().files)) == (1_600, 1)
    assert store.ids() == ids(range(1_600))


def test_files_of_an_older_version_are_read_and_joined(log: Path, store: Store) -> None:
    """One with fewer columns, and one of a newer version with one more, which a join does not lose."""
    append(log, lines(range(1)))
    store.once()
    [file] = store.manifest().files
    path = store.path / file.path
    with duckdb.connect() as database:
        for number, (left_out, added) in enumerate(
            [("own_cost, sequence", ""), ("trace_id", ", 'x' AS of_tomorrow")], 1
        ):
            other = path.with_name(f"other-{number}.parquet")
            chosen = f"* EXCLUDE ({left_out}) REPLACE ('event-{number:06d}' AS event_id){added}"
            database.execute(f"COPY (SELECT {chosen} FROM '{path}') TO '{other}'")
            old = store.manifest()
            named = msgspec.structs.replace(file, path=str(other.relative_to(store.path)), bytes=other.stat().st_size)
            manifests.save(store.folder, msgspec.structs.replace(old, files=[*old.files, named]))
    assert store.ids() == ids(range(3))
    for number in range(3, JOINED):
        append(log, lines(range(number, number + 1)))
        store.once()
    assert len(store.manifest().files) == 1
    assert store.ids() == ids(range(JOINED))
    assert min(store.select("of_tomorrow, own_cost"), key=str) == ("x", None)


def test_a_manifest_that_is_none_is_named_and_left_alone(log: Path, store: Store) -> None:
    append(log, lines(range(1)))
    store.once()
    store.folder.manifest.write_text("{")
    done = run_cli("store", "--store", str(store.path), "--from", str(log), "--once")
    assert done.returncode == 1
    assert "manifest.json is no manifest" in done.stderr
    assert store.folder.manifest.read_text() == "{"
    store.folder.manifest.write_text('{"version": 9}')
    assert "newer otel-feedback" in run_cli("store", "--store", str(store.path), "--from", str(log), "--once").stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--retention-days", "0"], "retention_days='0': expected a number from 1 to 36500"),
        (["--max-bytes", "many"], "max_bytes='many'"),
        (["--from", "nowhere.jsonl"], "there is no nowhere.jsonl: --from takes the file that events are logged to"),
        (["--from", "."], ". is a folder"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = run_cli("store", "--once", "--store", str(tmp_path / "store"), *arguments, folder=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr


def test_what_writes_is_only_for_its_user(log: Path, store: Store) -> None:
    append(log, lines(range(1)))
    store.once()
    modes = {path.stat().st_mode & 0o777 for path in [store.path, *store.path.rglob("*")] if path.is_dir()}
    assert modes == {0o700}
    assert {path.stat().st_mode & 0o777 for path in store.path.rglob("*") if path.is_file()} == {0o600}


def _file(day: str, size: int, name: str = "", rows: int = 1) -> DataFile:
    moment = datetime.fromisoformat(f"{day}T12:00:00+00:00")
    return DataFile(f"events/day={day}/{name or size}.parquet", rows, size, moment, moment)


def test_limits_take_the_oldest_first() -> None:
    files = [_file("2026-03-03", 30), _file("2026-03-01", 10), _file("2026-03-02", 20)]
    now = datetime(2026, 3, 3, 12, tzinfo=timezone.utc)
    assert doomed(files, Limits(), now) == []
    assert [file.bytes for file in doomed(files, Limits(retention_days=1), now)] == [10]
    assert [file.bytes for file in doomed(files, Limits(max_bytes=50), now)] == [10]
    assert [file.bytes for file in doomed(files, Limits(max_bytes=29), now)] == [10, 20, 30]


def test_a_row_is_joined_a_few_times_at_most() -> None:
    """However often the writer flushes, a day has few files, and what is large stays as it is."""
    files: list[DataFile] = []
    written = 0
    for number in range(4_000):
        files.append(_file("2026-03-02", 100_000, f"flush-{number}"))
        while group := to_join(files):
            size = sum(file.bytes for file in group)
            written += size
            files = [*(file for file in files if file not in group), _file("2026-03-02", size, f"join-{number}-{size}")]
    assert written <= 5 * 4_000 * 100_000
    assert len(files) <= JOINED * 6
    assert all(file.bytes < LARGE_BYTES * JOINED for file in files)


def test_no_more_rows_are_sorted_out_at_a_time_than_are_enough() -> None:
    files = [_file("2026-03-02", 3_000_000, f"flush-{number}", rows=30_000) for number in range(JOINED)]
    assert sum(file.rows for file in to_join(files)) == SORTED_ROWS + 20_000
    assert sum(file.rows for file in unsorted(files)) == SORTED_ROWS + 20_000
    assert to_join(files[:3]) == []
    assert unsorted(files[:3]) == files[:3]
    sorted_out = [msgspec.structs.replace(file, holds=NEWEST) for file in files]
    assert to_join(sorted_out) == sorted_out, "they are not sorted again"
