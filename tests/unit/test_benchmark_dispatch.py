"""The benchmark of the dispatcher runs, and compares like with like; how fast anything is, is not asserted."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import dispatch


def test_every_way_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    result = dispatch.measure(is_quick=True)
    named = [(row.name, row.against) for row in result.rows]
    assert len(set(named)) == len(named) == 18
    assert ("async agent that waits 5 ms: dispatch()", "direct") in named
    assert [row.against for row in result.rows if row.goal is not None] == ["action()", "direct", "direct"]
    for row in result.rows:
        assert row.ours > 0
        assert row.baseline > 0
        assert row.ours >= 5_000 or "waits" not in row.name, "the agent did wait"
    assert "[benchmarks] dispatch: launch 1 of 1" in capsys.readouterr().err
