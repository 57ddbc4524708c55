"""Erasure: a kept rule that takes out what there is, and that late records, a rebuild and a running writer obey."""

from __future__ import annotations

import json
import signal
from datetime import datetime, timedelta, timezone
from pathlib import Path

from tests.downstream.store.stores import Store, append, ended, ids, line, lines
from tests.downstream.topics import event
from tests.support import run_cli


def erase(store: Store, *arguments: str) -> int:
    done = run_cli("erase", "--store", str(store.path), "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["erased"])


def bytes_of(store: Store) -> bytes:
    return b"".join(path.read_bytes() for path in store.folder.events.rglob("*.parquet"))


def test_rows_go_from_every_file_and_nothing_of_them_is_left(log: Path, store: Store) -> None:
    append(log, lines(range(5), user_id="somebody-special") + lines(range(5, 9), user_id="u-2"))
    store.once()
    append(log, lines(range(9, 11), user_id="somebody-special"))
    append(log, lines(range(11, 12)))
    store.once()
    assert b"somebody-special" in bytes_of(store)
    assert erase(store, "--user", "somebody-special") == 7
    assert store.ids() == ids([*range(5, 9), 11])
    assert b"somebody-special" not in bytes_of(store)
    assert erase(store, "--user", "somebody-special") == 0


def test_what_comes_late_and_a_rebuild_obey_it_and_what_is_new_stays(log: Path, store: Store) -> None:
    now = datetime.now(timezone.utc)
    append(log, lines(range(4), tenant_id="acme") + lines(range(4, 6), tenant_id="other"))
    store.once()
    assert erase(store, "--tenant", "acme") == 4
    append(log, line(event(6, tenant_id="acme", end_time=now - timedelta(minutes=1))))  # a journal's replay
    append(log, line(event(7, tenant_id="acme", end_time=now + timedelta(hours=1))))  # it has come back
    told = store.once()
    assert (told["written"], told["erased"]) == (1, 1)
    assert store.ids() == ids([4, 5, 7])
    told = store.once("--rebuild")
    assert (told["rows"], store.ids()) == (3, ids([4, 5, 7]))


def test_for_good_is_also_about_what_is_still_to_come(log: Path, store: Store) -> None:
    append(log, lines(range(2), tenant_id="acme"))
    store.once()
    assert erase(store, "--tenant", "acme", "--for-good") == 2
    append(log, line(event(3, tenant_id="acme", timestamp=datetime(2150, 1, 1, tzinfo=timezone.utc))))
    assert store.once()["written"] == 0


def test_before_a_time_only(log: Path, store: Store) -> None:
    now = datetime.now(timezone.utc)
    for number, days in ((0, 9), (1, 1)):
        append(log, line(event(number, user_id="u", end_time=now - timedelta(days=days))))
    store.once()
    assert erase(store, "--user", "u", "--before", "5d") == 1
    assert store.ids() == ids([1])


def test_a_running_writer_picks_it_up(log: Path, store: Store) -> None:
    append(log, lines(range(5), user_id="u-1") + lines(range(5, 7), user_id="u-2"))
    writer = store.follow("--flush-interval", "0.05")
    store.wait_for_rows(7)
    assert erase(store, "--user", "u-1") == 5
    assert store.ids() == ids(range(5, 7))
    append(log, line(event(8, user_id="u-1", end_time=datetime(2026, 1, 1, tzinfo=timezone.utc))))
    append(log, lines(range(9, 10), user_id="u-2"))
    store.wait_for_rows(3)
    assert ended(writer, signal.SIGTERM)[0] == 0
    assert store.ids() == ids([5, 6, 9])


def test_rules_that_cannot_be_read_stop_the_writer(log: Path, store: Store) -> None:
    """Else it would write what they forbid."""
    append(log, lines(range(1)))
    store.once()
    store.folder.erasures.write_text("oops")
    append(log, lines(range(1, 2)))
    done = run_cli("store", "--store", str(store.path), "--from", str(log), "--once")
    assert done.returncode == 1
    assert "erasures.json holds no rules of erasure" in done.stderr
    assert len(store.ids()) == 1


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    done = run_cli("erase", "--store", str(tmp_path / "nowhere"), "--user", "u")
    assert done.returncode == 1
    assert f"there is no store in {tmp_path / 'nowhere'}" in done.stderr
    assert run_cli("erase", "--store", str(tmp_path)).returncode == 2
