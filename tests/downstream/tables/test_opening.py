"""What events are read from: lines of every kind of damage, compressed files that end early, a store's files by its manifest."""

from __future__ import annotations

import gzip
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest

from otel_feedback import OutcomeEvent
from otel_feedback.downstream.tables.columns import EVENT_COLUMNS, PLACE_COLUMNS
from otel_feedback.downstream.tables.opening import open_log
from otel_feedback.downstream.tables.stored import open_store
from otel_feedback.downstream.tables.tables import SourceError, Tables
from tests.downstream.tables import made

EVENT = made.events(1)[0]


def line(event_id: str, **fields: Any) -> bytes:
    return json.dumps({**EVENT.to_dict(), "event_id": event_id, **fields}).encode()


def read(tmp_path: Path, *lines: bytes) -> tuple[list[str], int]:
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"\n".join(lines))
    with open_log([log], ["own_tokens"]) as tables:
        return [row[0] for row in tables.query("SELECT event_id FROM events ORDER BY ALL")], tables.unread


@pytest.mark.parametrize(
    "damaged",
    [
        line("x")[:60], line("x")[:60] + line("y"), b"hello", b"[1, 2]", b'"word"', b"42", b"{}",
        b"\0" * 300, b"\0" * 300 + line("x"), line("x").replace(b"support-bot", b"\xff\xfe"),
        line("x", action_type=None), line("x", status="splendid"), line("x", end_time=None, timestamp="soon"),
        line("x", schema_version="2.0"), line(""),
        b'{"refused_by": "kafka", "reason": "too_large", "event": ' + line("x") + b"}",
    ],
)  # fmt: skip
def test_what_is_no_event_is_counted_and_leaves_its_neighbours(damaged: bytes, tmp_path: Path) -> None:
    assert read(tmp_path, line("a"), damaged, line("b"), b"") == (["a", "b"], 1)
    assert read(tmp_path, line("a"), line("b"), damaged) == (["a", "b"], 1)


def test_a_value_that_does_not_fit_its_column_is_null_and_its_event_is_there(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(
        line("a", own_tokens=10**30) + b"\n" + line("b", own_tokens=5, tags="no list", tomorrow=[{}]) + b"\n"
    )
    with open_log([log]) as tables:
        assert tables.query("SELECT event_id, own_tokens, tags FROM events ORDER BY ALL") == [
            ("a", None, list(EVENT.tags)), ("b", 5, None),
        ]  # fmt: skip
        assert (tables.unread, tables.unfit) == (0, 2)


@pytest.mark.parametrize(
    "fields",
    [
        {"own_tokens": 2**63}, {"own_tokens": "many"}, {"own_cost": "free"}, {"timestamp": "soon"}, {"tags": {"a": 1}},
        {"usage_complete": "perhaps"}, {"revision": -(2**80)}, {"depth": [1]}, {"quality_score": 10**400},
    ],
)  # fmt: skip
def test_each_value_that_does_not_fit_is_counted(fields: dict[str, Any], tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(
        line("a", **fields) + b"\n" + line("b", own_tokens=None, own_cost=None, tags=None) + b"\nno event\n"
    )
    with open_log([log]) as tables:
        assert (tables.unread, tables.unfit) == (1, 1)
        (name,) = fields
        assert tables.query(f"SELECT \"{name}\" FROM events WHERE event_id = 'a'") == [
            (1 if name == "revision" else None,)
        ]
        assert tables.query("SELECT count(*) FROM outcomes") == [(2,)]


def test_compressed_files_and_plain_ones_are_read_together_and_one_that_ends_early_as_far_as_it_goes(
    tmp_path: Path,
) -> None:
    lines = [line(f"{number:05d}") + b"\n" for number in range(3_000)]
    plain, whole, torn, none = (tmp_path / name for name in ("log.jsonl", "log.1.gz", "log.2.gz", "log.3.gz"))
    plain.write_bytes(b"".join(lines[:100]))
    whole.write_bytes(gzip.compress(b"".join(lines[100:200])) + gzip.compress(b"".join(lines[200:300])))
    torn.write_bytes(gzip.compress(b"".join(lines[300:]))[:-30])
    none.write_bytes(b"no gzip")
    with open_log([plain, whole]) as tables:
        assert tables.query("SELECT count(*), count(DISTINCT source) FROM events") == [(300, 2)]
        assert tables.damaged == []
    with open_log([plain, whole, torn, none]) as tables:
        [(rows, events)] = tables.query("SELECT count(*), count(DISTINCT event_id) FROM events")
        assert rows == events
        assert 2_500 < rows < 3_000
        assert tables.damaged == [torn, none]
        assert tables.query("SELECT DISTINCT source FROM events WHERE event_id = '00300'") == [(str(torn),)]


def test_a_file_that_is_not_there_and_one_without_a_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot read .*nowhere.jsonl: IO Error: No files found"):
        open_log([tmp_path / "nowhere.jsonl"])
    with pytest.raises(SourceError, match=r"cannot read .*nowhere.gz"):
        open_log([tmp_path / "nowhere.gz"])
    for name, content in (("empty.jsonl", b""), ("empty.gz", gzip.compress(b""))):
        (tmp_path / name).write_bytes(content)
        with open_log([tmp_path / name]) as tables:
            assert tables.query("SELECT count(*) FROM windows") == [(0,)]


def test_nothing_is_downloaded(tmp_path: Path) -> None:
    with Tables() as tables:
        settings = "SELECT current_setting('autoinstall_known_extensions'), current_setting('TimeZone')"
        assert tables.query(settings) == [(False, "UTC")]


class StoreFolder:
    """A store as its writer leaves it, made by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: list[dict[str, Any]] = []

    def add(self, records: list[OutcomeEvent], name: str = "", without: tuple[str, ...] = ()) -> Path:
        """Write a Parquet file of these events, and name it in the manifest."""
        lines = self.folder.parent / "lines.jsonl"
        lines.write_bytes(b"".join(record.to_json().encode() + b"\n" for record in records))
        times = sorted(record.end_time or record.timestamp for record in records)
        file = f"events/day={times[0].date()}/{name or len(self._files)}.parquet"
        (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
        columns = ", ".join(f'"{name}"' for name in (*EVENT_COLUMNS, *PLACE_COLUMNS) if name not in without)
        with open_log([lines]) as tables:
            tables.connection.execute(f"COPY (SELECT {columns} FROM events) TO '{self.folder / file}' (FORMAT parquet)")
        size = (self.folder / file).stat().st_size
        self._files.append({
            "path": file, "rows": len(records), "bytes": size,
            "first": times[0].isoformat(), "last": times[-1].isoformat(),
        })  # fmt: skip
        self.commit()
        return self.folder / file

    def add_placed(self, rows: list[dict[str, Any]]) -> Path:
        """Write a file of rows that say where they came from."""
        lines = self.folder.parent / "lines.jsonl"
        lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
        file = f"events/day=2026-03-02/{len(self._files)}-{len(rows)}.parquet"
        (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
        with Tables() as tables:
            tables.make_table()
            tables.add_lines([lines], with_places=True)
            tables.connection.execute(f"COPY (SELECT * EXCLUDE (event_time) FROM events) TO '{self.folder / file}'")
        self._files.append({"path": file, "rows": len(rows), "last": None})
        self.commit()
        return self.folder / file

    def replace_all(self, rows: list[dict[str, Any]]) -> None:
        """Compact: one file in place of all."""
        self._files = []
        self.add_placed(rows)

    def commit(self) -> None:
        self.folder.mkdir(exist_ok=True)
        manifest = {"version": 1, "files": self._files, "positions": {}}
        (self.folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_store_is_what_its_manifest_names(tmp_path: Path) -> None:
    records = made.events(3_000)
    store = StoreFolder(tmp_path / "store")
    store.commit()
    with open_store(store.folder) as tables:
        assert tables.query("SELECT count(*) FROM outcomes") == [(0,)]
    store.add(records[:2_000])
    store.add(records[2_000:])
    (store.folder / "events" / "half-written.parquet").write_bytes(b"PAR1")
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"".join(record.to_json().encode() + b"\n" for record in records))
    asked = "SELECT * FROM windows ORDER BY ALL"
    with open_store(store.folder) as tables, open_log([log]) as lines:
        assert tables.query("SELECT count(*) FROM events") == [(3_000,)]
        found, expected = tables.query(asked), lines.query(asked)
        assert [[_rounded(value) for value in row] for row in found] == [
            [_rounded(value) for value in row] for row in expected
        ]
        described = "SELECT column_name, column_type FROM (DESCRIBE events)"
        assert tables.query(described) == lines.query(described)


def _rounded(value: object) -> object:
    return round(value, 9) if isinstance(value, float) else value


def test_files_of_an_older_version_have_nulls_and_those_of_a_newer_one_more(tmp_path: Path) -> None:
    records = made.events(20)
    store = StoreFolder(tmp_path / "store")
    store.add(records[:10], without=("model", "own_cost", "user_id"))
    with open_store(store.folder) as tables:
        assert tables.query("SELECT count(*), count(model), sum(own_cost) FROM outcomes WHERE user_id IS NULL")[0][1:] == (
            0, None,
        )  # fmt: skip
    newer = store.add(records[10:])
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT *, 'x' AS tomorrow FROM '{newer}') TO '{newer}.new' (FORMAT parquet)")
    Path(f"{newer}.new").replace(newer)
    with open_store(store.folder) as tables:
        assert tables.query("SELECT count(*), count(tomorrow), count(service_name) FROM events") == [(20, 10, 20)]


def test_files_that_end_before_the_time_are_left_out(tmp_path: Path) -> None:
    records = made.events(2_000, minutes=3 * 24 * 60)
    by_day: dict[str, list[OutcomeEvent]] = {}
    for record in records:
        by_day.setdefault(str((record.end_time or record.timestamp).date()), []).append(record)
    store = StoreFolder(tmp_path / "store")
    for day in sorted(by_day):
        store.add(by_day[day])
    since = datetime(2026, 3, 4, 12, tzinfo=timezone.utc)
    with open_store(store.folder, since) as tables:
        [(first, later)] = tables.query(
            "SELECT min(event_time), count(*) FILTER (event_time >= ?) FROM events", [since]
        )
    assert first.date() == since.date()
    assert later == sum((record.end_time or record.timestamp) >= since for record in records)


def test_a_folder_that_is_no_store_and_a_manifest_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"is no store: it has no manifest.json"):
        open_store(tmp_path)
    for content in ("{", "[]", '{"files": [1]}', '{"files": [{"path": "a", "last": "soon"}]}'):
        (tmp_path / "manifest.json").write_text(content)
        with pytest.raises(SourceError, match=r"manifest\.json cannot be read"):
            open_store(tmp_path, made.BEGIN)


def test_a_store_that_is_compacted_while_it_is_opened_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = made.events(100)
    store = StoreFolder(tmp_path / "store")
    old = store.add(records)
    manifest = (store.folder / "manifest.json").read_bytes()
    compacted = old.with_name("compacted.parquet")
    old.rename(compacted)
    reading = json.loads

    def loads(text: bytes) -> Any:
        told = reading(text)
        (store.folder / "manifest.json").write_bytes(manifest.replace(old.name.encode(), compacted.name.encode()))
        return told

    monkeypatch.setattr("otel_feedback.downstream.tables.stored.json.loads", loads)
    with open_store(store.folder) as tables:
        assert tables.query("SELECT count(*) FROM events") == [(100,)]
