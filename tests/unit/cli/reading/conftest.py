"""Logs that the commands look into: one made up, and one of a demo run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from otel_feedback import OutcomeEvent
from tests.downstream.tables import made
from tests.support import run_cli


def write(path: Path, records: list[OutcomeEvent]) -> Path:
    path.write_bytes(b"".join(record.to_json().encode() + b"\n" for record in records))
    return path


@pytest.fixture(scope="session")
def records() -> list[OutcomeEvent]:
    return made.events(4_000)


@pytest.fixture(scope="session")
def log(records: list[OutcomeEvent], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("made") / "outcomes.jsonl", records)


@pytest.fixture(scope="session")
def demo_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = run_cli("demo", "--json", "--seconds", "0.4")
    events = [OutcomeEvent.from_json(json.dumps(event)) for event in json.loads(done.stdout)["events"]]
    return write(tmp_path_factory.mktemp("demo") / "outcomes.jsonl", events)
