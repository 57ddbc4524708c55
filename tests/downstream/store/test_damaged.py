"""Data files that cannot be read: readers go on without them and say so, the writer sets them aside and joins the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from otel_feedback.cli.main import main
from otel_feedback.downstream.store.keeping import JOINED
from otel_feedback.downstream.tables.stored import open_store
from tests.downstream.store.stores import Store, append, ids, lines
from tests.support import run_cli

EACH = 40


def _overwrite(path: Path, *, footer: bool = False) -> None:
    """Overwrite what a Parquet file has in its columns, or what tells where they are."""
    data = bytearray(path.read_bytes())
    begin = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    place = slice(begin, len(data) - 8) if footer else slice(4, begin)
    data[place] = b"\xff" * len(data[place])
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "no footer": lambda path: _overwrite(path, footer=True),
    "no pages": _overwrite,
    "gone": Path.unlink,
}


def filled(store: Store, log: Path, files: int) -> list[Path]:
    """Write so many files, and return them in the order in which they were written."""
    for number in range(files):
        append(log, lines(range(EACH * number, EACH * (number + 1)), user_id=f"u-{number}"))
    store.once("--flush-rows", str(EACH))
    return [store.path / file.path for file in store.manifest().files]


@pytest.mark.parametrize("damage", DAMAGES)
def test_readers_go_on_without_it_and_say_so(damage: str, log: Path, store: Store) -> None:
    path = filled(store, log, 3)[1]
    DAMAGES[damage](path)
    done = run_cli("sql", "--from", str(store.path), "--csv", "SELECT count(*), count(DISTINCT user_id) FROM outcomes")
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, [f"{2 * EACH},2"]), done.stderr
    assert f"{path} is left out: it cannot be read (" in done.stderr


def test_a_file_that_is_damaged_while_it_is_read_is_left_out_of_the_next_answer(log: Path, store: Store) -> None:
    path = filled(store, log, 3)[1]
    with open_store(store.path) as tables:
        tables.choose("user_id <> 'u-2'")
        assert tables.query("SELECT count(*) FROM outcomes") == [(2 * EACH,)]
        _overwrite(path)
        assert tables.query("SELECT count(*), count(DISTINCT user_id) FROM outcomes") == [(EACH, 1)], "still chosen"
        assert list(tables.left_out) == [path]


def test_every_command_that_reads_says_so(log: Path, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    DAMAGES["torn"](filled(store, log, 3)[1])

    def read(*arguments: str) -> str:
        assert main([*arguments, "--from", str(store.path), "--json"]) == 0
        out, err = capsys.readouterr()
        assert "is left out: it cannot be read (" in err
        return out

    assert json.loads(read("stats", "--user", "u-0"))["total"]["executions"] == EACH
    assert len(read("tail", "--once", "-n", "all").splitlines()) == 2 * EACH
    assert len(json.loads(read("trace", "run-0"))) == len(
        [number for number in (*range(EACH), *range(2 * EACH, 3 * EACH)) if number % 24 == 0]
    )
    assert json.loads(read("failures"))["groups"] == []


@pytest.mark.parametrize("damage", ["torn", "no pages", "gone"])
def test_the_writer_sets_it_aside_and_joins_the_others(damage: str, log: Path, store: Store) -> None:
    path = filled(store, log, JOINED - 1)[2]
    DAMAGES[damage](path)
    content = path.read_bytes() if path.exists() else b""
    append(log, lines(range(EACH * 10, EACH * 11)))
    done = run_cli("store", "--store", str(store.path), "--from", str(log), "--once", "--json")
    assert (done.returncode, json.loads(done.stdout)["damaged"]) == (0, EACH), done.stderr
    assert f"{path} cannot be read (" in done.stderr
    assert f"is in quarantine/ from now on; its {EACH} rows are missing" in done.stderr
    aside = {kept.name: kept.read_bytes() for kept in store.folder.quarantine.iterdir()}
    assert aside == ({} if damage == "gone" else {path.name: content})
    assert not path.exists()
    rest = [*range(2 * EACH), *range(3 * EACH, EACH * (JOINED - 1)), *range(EACH * 10, EACH * 11)]
    assert store.ids() == ids(rest)
    append(log, lines(range(EACH * 11, EACH * 12)))
    assert store.once()["damaged"] == 0
    assert len(store.manifest().files) == 1, "the others are joined"
    assert store.ids() == ids([*rest, *range(EACH * 11, EACH * 12)])


def test_an_erasure_is_done_all_the_same(log: Path, store: Store) -> None:
    path = filled(store, log, 3)[1]
    DAMAGES["torn"](path)
    done = run_cli("erase", "--store", str(store.path), "--user", "u-0")
    assert done.returncode == 0, done.stderr
    assert store.ids() == ids(range(2 * EACH, 3 * EACH))
    assert [kept.name for kept in store.folder.quarantine.iterdir()] == [path.name]
