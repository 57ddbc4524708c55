"""What the tests of the store share: a store and its commands, and the rows that its manifest names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

import otel_feedback as feedback
from otel_feedback.downstream.store import manifest as manifests
from otel_feedback.downstream.store.folder import StoreFolder
from otel_feedback.downstream.store.manifest import Manifest
from tests.downstream.topics import Topic, event
from tests.stack.waiting import wait_until
from tests.support import environment, run_cli


class Store:
    """A store, written by processes of their own."""

    def __init__(self, path: Path, *arguments: str, **variables: str) -> None:
        self.path = path
        self.variables = {"PYTHONUNBUFFERED": "1", **variables}
        self.folder = StoreFolder(path)
        self._arguments = ["store", "--store", str(path), *arguments]

    @classmethod
    def of(cls, topic: Topic, path: Path) -> Store:
        """Return a store of a topic."""
        servers = topic.broker.bootstrap_servers
        return cls(
            path, KAFKA_BOOTSTRAP_SERVERS=servers, KAFKA_OUTCOME_TOPIC=topic.name, KAFKA_FEEDBACK_TOPIC=topic.feedback
        )

    def once(self, *more: str) -> dict[str, Any]:
        """Write what is there, and return what the command says."""
        done = run_cli(*self._arguments, "--once", "--json", *more, variables=self.variables)
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def follow(self, *more: str) -> subprocess.Popen[str]:
        """Start the writer; it is for the test to end it."""
        return subprocess.Popen(
            [sys.executable, "-m", "otel_feedback", *self._arguments, *more],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(**self.variables),
        )  # fmt: skip

    def manifest(self) -> Manifest:
        return manifests.load(self.folder)

    def wait_for_rows(self, count: int) -> None:
        wait_until(lambda: self.manifest().rows >= count, timeout_s=90, what=f"{count} rows")

    def files(self, table: str = "events") -> list[str]:
        """Return the files of a table that the manifest names; each of them is there."""
        told = self.manifest()
        named = [str(self.path / file.path) for file in (*told.files, *told.notices) if file.table == table]
        assert all(Path(path).is_file() for path in named)
        return named

    def select(self, what: str, table: str = "events") -> list[tuple[Any, ...]]:
        """Return what a reader sees: `what` of the rows of the files of a table that the manifest names."""
        files = self.files(table)
        if not files:
            return []
        with duckdb.connect() as database:
            database.execute("SET TimeZone = 'UTC'")
            rows = f"read_parquet({files}, union_by_name = true, hive_partitioning = false)"
            return database.execute(f"SELECT {what} FROM {rows}").fetchall()

    def places(self, table: str = "events") -> list[tuple[int, int]]:
        """Return partition and offset of each row."""
        return self.select("source_partition, source_position", table)

    def ids(self) -> list[str]:
        """Return the event id of each row."""
        return sorted(one[0] for one in self.select("event_id"))


def ended(process: subprocess.Popen[str], signal_number: int | None = None) -> tuple[int, str, str]:
    """Return code, output and errors of a process once it has ended; where there is a signal, after that."""
    if signal_number is not None:
        process.send_signal(signal_number)
    out, err = process.communicate()
    return process.returncode, out, err


def lines(numbers: Sequence[int], **fields: Any) -> bytes:
    """Return events as a log has them."""
    return b"".join(line(event(number, **fields)) for number in numbers)


def line(one: feedback.OutcomeEvent) -> bytes:
    return one.to_json().encode() + b"\n"


def ids(numbers: Sequence[int]) -> list[str]:
    """Return the ids of these events."""
    return sorted(event(number).event_id for number in numbers)


def append(path: Path, data: bytes) -> None:
    """Write to the end of a file, at once."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        assert os.write(file, data) == len(data)
    finally:
        os.close(file)
