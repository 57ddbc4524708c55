"""Files that are joined are sorted out: what they hold, and that the outcomes are the same whatever was joined when."""

from __future__ import annotations

import hashlib
from pathlib import Path

import duckdb
import msgspec

from otel_feedback import OutcomeEvent
from otel_feedback.downstream.store import manifest as manifests
from otel_feedback.downstream.store.manifest import NEWEST, OUTDATED, RECORDS
from otel_feedback.downstream.tables.stored import open_store
from tests.downstream.store.stores import Store, append, line
from tests.downstream.tables import made
from tests.support import run_cli

EVERY = "event_id, revision, own_tokens, own_cost, status, event_time"


def require_right(store: Store, records: list[OutcomeEvent]) -> None:
    """Hold outcomes to a recomputation, and each file to what the manifest says that it holds."""
    expected = {
        event.event_id: (
            event.revision,
            event.own_tokens,
            event.own_cost,
            event.status,
            event.end_time or event.timestamp,
        )
        for event in made.outcomes(records)
    }
    with open_store(store.path) as tables:
        rows = tables.query(f"SELECT {EVERY} FROM outcomes")
        assert {event_id: tuple(row) for event_id, *row in rows} == expected
        assert len(rows) == len(expected)
        assert tables.query("SELECT count(*) FROM events") == [(len(records),)]

        def held(kind: str) -> list[tuple[str, int]]:
            files = [str(store.path / file.path) for file in store.manifest().files if file.holds == kind]
            return tables.query(f"SELECT event_id, revision FROM read_parquet({files})") if files else []

        for file in store.manifest().files:
            if file.has_keys:
                keys = "SELECT event_id, event_key_a, event_key_b"
                assert file.holds in (NEWEST, RECORDS)
                for event_id, *found in tables.query(f"{keys} FROM read_parquet('{store.path / file.path}')"):
                    digest = hashlib.md5(event_id.encode(), usedforsecurity=False).digest()
                    assert found == [int.from_bytes(half, "little") for half in (digest[:8], digest[8:])]
        for relation in ("events", "outcomes"):
            assert not [name for name in tables.ask(f"SELECT * FROM {relation} LIMIT 1").names if "key" in name]

        newest, outdated = held(NEWEST), held(OUTDATED)
        assert len(dict(newest)) == len(newest), "one row an event"
        best = dict(newest)
        for event_id, revision in held(RECORDS):
            best[event_id] = max(revision, best.get(event_id, -1))
        assert all(best[event_id] >= revision for event_id, revision in outdated)


def test_outcomes_are_the_same_whatever_was_joined(log: Path, store: Store) -> None:
    records = made.events(7_000, minutes=100)
    append(log, b"".join(map(line, records[:5_000])))
    store.once("--flush-rows", "150")
    assert {file.holds for file in store.manifest().files} >= {NEWEST, OUTDATED}
    require_right(store, records[:5_000])
    # then many that are about events of those files: higher revisions, older ones, the same again
    again = (
        records[5_000:]
        + records[:400]
        + [made.changed(event, revision=7) for event in made.outcomes(records[800:1_300])]
    )
    append(log, b"".join(map(line, again)))
    store.once("--flush-rows", "150")
    assert {file.holds for file in store.manifest().files} == {RECORDS, NEWEST, OUTDATED}
    require_right(store, records[:5_000] + again)

    done = run_cli("erase", "--store", str(store.path), "--user", "u-7")
    assert done.returncode == 0, done.stderr
    assert {file.holds for file in store.manifest().files} == {RECORDS, NEWEST, OUTDATED}
    require_right(store, [event for event in records[:5_000] + again if event.user_id != "u-7"])


def test_rows_of_one_tenant_are_beside_each_other(log: Path, store: Store) -> None:
    records = [made.changed(event, tenant_id=f"t-{number % 9}") for number, event in enumerate(made.events(2_000))]
    append(log, b"".join(map(line, records)))
    store.once("--flush-rows", "150")
    with open_store(store.path) as tables:
        for file in (store.path / file.path for file in store.manifest().files if file.holds == NEWEST):
            asked = f"SELECT tenant_id, event_time FROM (SELECT *, coalesce(end_time, timestamp) AS event_time FROM '{file}')"
            rows = tables.query(asked)
            assert rows == sorted(rows)


def test_a_manifest_that_does_not_tell_is_one_of_records(log: Path, store: Store) -> None:
    """As older versions wrote it; it is also what everything is read as where the kinds are wrong about nothing."""
    records = made.events(3_000)
    append(log, b"".join(map(line, records)))
    store.once("--flush-rows", "150")
    old = store.manifest()
    told = store.folder.manifest.read_text().replace(',"has_keys":true', "")
    for kind in (NEWEST, OUTDATED, RECORDS):
        told = told.replace(f',"holds":"{kind}"', "")
    store.folder.manifest.write_text(told)
    assert {file.holds for file in store.manifest().files} == {RECORDS}
    require_right(store, records)
    append(log, line(records[0]))
    store.once()
    require_right(store, [*records, records[0]])
    manifests.save(store.folder, old)
    require_right(store, records)


def test_files_of_the_newest_that_an_older_version_wrote_have_no_keys(log: Path, store: Store) -> None:
    records = made.events(6_000, minutes=100)
    append(log, b"".join(map(line, records[:3_000])))
    store.once("--flush-rows", "150")
    old = store.manifest()
    for file in old.files:
        if file.has_keys:
            path = store.path / file.path
            duckdb.execute(
                f"COPY (SELECT * EXCLUDE (event_key_a, event_key_b) FROM read_parquet('{path}')) TO '{path}' (FORMAT parquet)"
            )
    files = [msgspec.structs.replace(file, has_keys=False) for file in old.files]
    manifests.save(store.folder, msgspec.structs.replace(old, files=files))
    require_right(store, records[:3_000])
    # what comes is compared with both kinds, by writer and reader
    more = [
        *records[3_000:],
        *records[:200],
        *(made.changed(event, revision=7) for event in made.outcomes(records[1_000:1_500])),
    ]
    append(log, b"".join(map(line, more[:-150])))
    store.once("--flush-rows", "150")
    append(log, b"".join(map(line, more[-150:])))
    store.once()
    assert {file.has_keys for file in store.manifest().files if file.holds == NEWEST} == {True, False}
    assert RECORDS in {file.holds for file in store.manifest().files}
    require_right(store, records[:3_000] + more)

    assert run_cli("erase", "--store", str(store.path), "--user", "u-7").returncode == 0
    require_right(store, [event for event in records[:3_000] + more if event.user_id != "u-7"])
