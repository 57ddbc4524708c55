"""The mirror keeps up with its store: files that are joined, erased, expired, damaged, replaced; a writer that is killed."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.downstream.store import erasures
from otel_feedback.downstream.store import manifest as manifests
from otel_feedback.downstream.store.folder import StoreError, StoreFolder
from otel_feedback.downstream.store.parquet import ParquetFiles
from otel_feedback.downstream.ui.asking import asked_of
from otel_feedback.downstream.ui.mirror import Mirror
from otel_feedback.downstream.ui.picture import totals
from tests.downstream.store.stores import Store, append, lines
from tests.downstream.tables import made
from tests.downstream.ui.serve import Server, kept_from, served, write
from tests.stack.waiting import wait_until

RECORDS = made.events(1_200)
TIME = [("since", "2026-03-02"), ("until", "2026-03-03")]


def kept(mirror: Mirror) -> set[tuple[Any, ...]]:
    with mirror.open(None) as reader:
        found = reader.cursor.execute("SELECT event_id, revision, status FROM hot").fetchall()
    assert len(found) == len(set(found)), "an action is there twice"
    return set(found)


def right(records: Sequence[OutcomeEvent]) -> set[tuple[Any, ...]]:
    return {(event.event_id, event.revision, event.status.value) for event in made.outcomes(records)}


@pytest.fixture
def folder(tmp_path: Path) -> StoreFolder:
    return StoreFolder(tmp_path / "store")


def test_each_change_of_the_store_is_taken_in(folder: StoreFolder) -> None:
    """By many small files, some joined between two looks, and with repeats and revisions in all of them."""
    mirror = Mirror(folder)
    try:
        mirror.look()
        assert kept(mirror) == set()
        for start in range(0, len(RECORDS), 300):
            write(folder, RECORDS[start : start + 300], files=9)
            mirror.look()
            assert kept(mirror) == right(RECORDS[: start + 300])
        assert len(mirror.manifest.files) < 30, "files were joined"
        seen = mirror.seen
        mirror.look()
        write(folder, RECORDS[:50])  # repeats
        mirror.look()
        assert mirror.seen == seen, "nobody is told of what is not new"
    finally:
        mirror.close()


def test_a_file_that_was_joined_of_known_ones_is_not_read_again(folder: StoreFolder) -> None:
    mirror = Mirror(folder)
    try:
        write(folder, RECORDS[:700], files=7)
        mirror.look()
        files = mirror.manifest.files
        with folder.writing():
            parquet = ParquetFiles(folder)
            joined = parquet.join(files, [])
            parquet.close()
        manifests.save(folder, msgspec.structs.replace(mirror.manifest, files=joined))
        assert len(joined) > 1
        for file in joined:
            (folder.path / file.path).write_bytes(b"no Parquet: to read it would fail")
        mirror.look()
        assert kept(mirror) == right(RECORDS[:700])
    finally:
        mirror.close()


def test_what_is_erased_is_gone(folder: StoreFolder) -> None:
    write(folder, RECORDS, files=3)
    mirror = Mirror(folder)
    try:
        mirror.look()
        erasures.add(folder, "tenant_id", "acme", None, datetime.now(timezone.utc))
        write(folder, [])
        mirror.look()
        assert kept(mirror) == right([event for event in RECORDS if event.tenant_id != "acme"])
        names = {path.name for path in folder.events.glob("day=*/*")}
        named = {Path(each.path).name for each in (*mirror.manifest.files, *mirror.manifest.rollups)}
        assert names == named, "sums of what was erased are gone, too"
    finally:
        mirror.close()


def test_what_expires_is_gone(folder: StoreFolder) -> None:
    later = [_moved(event, 24) for event in RECORDS[:300]]
    write(folder, RECORDS[300:])
    mirror = Mirror(folder)
    try:
        mirror.look()
        write(folder, later, limits=kept_from(made.BEGIN + timedelta(days=1)))
        mirror.look()
        assert kept(mirror) == right(later)
    finally:
        mirror.close()


def test_a_store_that_is_gone_is_said_and_what_was_read_stays(folder: StoreFolder) -> None:
    write(folder, RECORDS[:300])
    mirror = Mirror(folder)
    try:
        mirror.look()
        folder.path.rename(folder.path.with_name("elsewhere"))
        for _ in range(2):
            with pytest.raises(StoreError, match="moved or removed; bring it back"):
                mirror.look()
        assert kept(mirror) == right(RECORDS[:300])
        folder.path.with_name("elsewhere").rename(folder.path)
        write(folder, RECORDS[300:600])
        mirror.look()
        assert (kept(mirror), mirror.problem) == (right(RECORDS[:600]), None)
    finally:
        mirror.close()


def test_another_store_in_its_place(folder: StoreFolder) -> None:
    write(folder, RECORDS)
    mirror = Mirror(folder)
    try:
        mirror.look()
        shutil.rmtree(folder.path)
        write(folder, RECORDS[:10])
        mirror.look()
        assert kept(mirror) == right(RECORDS[:10])
    finally:
        mirror.close()


@pytest.mark.parametrize("is_made", [True, False])
def test_days_that_are_not_in_memory_are_seen_by_sums(folder: StoreFolder, is_made: bool) -> None:
    """Of compaction, or of one's own where there are none; also when more of such a day comes."""
    write(folder, RECORDS[:600])
    assert manifests.load(folder).rollups
    if not is_made:
        manifests.save(folder, msgspec.structs.replace(manifests.load(folder), rollups=[]))
    mirror, asked = Mirror(folder, most_hot=0), asked_of(TIME)
    try:
        mirror.look()
        assert kept(mirror) == set()

        def actions() -> Any:
            mirror.look()
            with mirror.open(None) as reader:
                told = totals(reader, asked)
            return told["actions"], told["pending"]

        def counted(records: Sequence[OutcomeEvent]) -> Any:
            events = made.outcomes(records)
            pending = sum(event.status.value == "pending" for event in events)
            return len(events) - pending, pending

        assert actions() == counted(RECORDS[:600])
        write(folder, RECORDS[600:])
        mirror.days._late.clear()  # pyright: ignore[reportPrivateUsage]
        assert actions() == counted(RECORDS)
    finally:
        mirror.close()


def test_an_action_that_ends_on_the_next_day_is_in_the_sums_of_that_day(folder: StoreFolder) -> None:
    begin = datetime(2026, 3, 2, 23, 59, tzinfo=timezone.utc)
    pending = OutcomeEvent(
        event_id="over-midnight", revision=0, timestamp=begin, action_type="step", status=OutcomeStatus.PENDING
    )
    ended = OutcomeEvent(
        event_id="over-midnight", timestamp=begin + timedelta(minutes=2), end_time=begin + timedelta(minutes=2),
        action_type="step", status=OutcomeStatus.SUCCESS, latency_ms=120_000.0,
    )  # fmt: skip
    write(folder, [pending, ended])
    mirror = Mirror(folder, most_hot=0)
    try:
        for _ in range(3):
            mirror.look()
        with mirror.open(None) as reader:
            days = reader.cursor.execute("SELECT day, status, n FROM days").fetchall()
        assert days == [("2026-03-03", "success", 1)]
    finally:
        mirror.close()


def test_a_store_that_cannot_be_read_is_said_and_what_was_seen_stays(folder: StoreFolder) -> None:
    write(folder, RECORDS)
    with served(folder.path) as server:
        server.wait_for_rows(len(RECORDS))
        whole = folder.manifest.read_bytes()
        folder.manifest.write_bytes(b"{")
        wait_until(lambda: server.get("api/state")["problem"] is not None, timeout_s=30, what="the problem")
        assert "manifest.json" in server.get("api/state")["problem"]
        assert server.get("api/now?since=2026-03-02&until=2026-03-03")["totals"]["actions"] > 0
        folder.manifest.write_bytes(whole)
        wait_until(lambda: server.get("api/state")["problem"] is None, timeout_s=30, what="its end")


def test_no_store_and_an_empty_one(folder: StoreFolder) -> None:
    with served(folder.path) as server:
        _is_empty(server)
        write(folder, [])
        _is_empty(server)
        write(folder, RECORDS[:5])
        server.wait_for_rows(5)


def _is_empty(server: Server) -> None:
    state = server.get("api/state")
    assert (state["rows"], state["newest"], state["problem"]) == (0, None, None)
    now = server.get("api/now")
    assert now["totals"]["actions"] == 0
    assert now["totals"]["cost"] is None
    assert (now["agents"], now["worse"], now["before"]) == ([], [], None)
    assert server.get("api/feed")["events"] == []
    assert server.get("api/failures") == {"groups": []}
    assert server.get("api/cost")["groups"] == []
    assert server.ask("api/export?format=csv").text.startswith("schema_version,event_id")
    assert server.ask("api/run/run-1").status_code == 404


def test_a_writer_that_is_killed_again_and_again(tmp_path: Path) -> None:
    """Of a log that grows: what the page has in the end is what is in the log, once."""
    log, store = tmp_path / "outcomes.jsonl", Store(tmp_path / "store", "--from", str(tmp_path / "outcomes.jsonl"))
    with served(store.path) as server:
        for number in range(2):
            append(log, lines(range(number * 500, number * 500 + 500)))
            writer = store.follow("--flush-interval", "0.05", "--flush-rows", "50")
            wait_until(lambda n=number: store.manifest().rows > n * 500, timeout_s=60, what="some rows")
            writer.kill()
            writer.communicate()
        store.once()
        server.wait_for_rows(1_000)
        assert len(server.get("api/feed?limit=1000")["events"]) == 1_000


def test_readers_beside_the_writer(folder: StoreFolder) -> None:
    """Each sees a whole change, or nothing of it."""
    write(folder, RECORDS[:1])
    with served(folder.path) as server:
        server.wait_for_rows(1)
        ended, seen = threading.Event(), list[int]()

        def ask() -> None:
            while not ended.is_set():
                seen.append(server.get("api/now?since=2026-03-02&until=2026-03-03")["totals"]["actions"])

        reader = threading.Thread(target=ask)
        reader.start()
        batch = [event for event in RECORDS if event.status.value != "pending" and event.revision == 1]
        unique = list({event.event_id: event for event in batch}.values())[:800]
        for start in range(0, 800, 200):
            write(folder, unique[start : start + 200])
        server.wait_for_rows(801)
        ended.set()
        reader.join()
        allowed = {len({event.event_id for event in [RECORDS[0], *unique[:size]]}) for size in range(0, 801, 200)}
        pending = RECORDS[0].status.value == "pending"
        assert set(seen) <= allowed | {0 if pending else 1}


def _moved(event: OutcomeEvent, hours: int) -> OutcomeEvent:
    by = timedelta(hours=hours)
    moments = {
        name: moment + by
        for name in ("timestamp", "start_time", "end_time")
        if (moment := getattr(event, name)) is not None
    }
    return msgspec.structs.replace(event, **moments)
