"""Where journals are, and the one destination to which they can be replayed without a service."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only destination that is switched on: a file."""
    path = tmp_path / "delivered.jsonl"
    monkeypatch.setenv("OTEL_FEEDBACK_LOG_FILE", str(path))
    return path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journals"
