"""Everybody who is notified, on this machine."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.downstream.alerts import standins


@pytest.fixture
def others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[standins.Everybody, None, None]:
    """Return who answers for every HTTPS address, in this process's environment."""
    folder = tmp_path / "others"
    folder.mkdir()
    with standins.everybody(folder) as made:
        for name, value in made.variables.items():
            monkeypatch.setenv(name, value)
        yield made
