"""A log, and a store of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.downstream.store.stores import Store


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return where a log is to be; nobody has written it yet."""
    return tmp_path / "outcomes.jsonl"


@pytest.fixture
def store(tmp_path: Path, log: Path) -> Store:
    """Return a store of the log, which is not there before it is written."""
    return Store(tmp_path / "store", "--from", str(log))
