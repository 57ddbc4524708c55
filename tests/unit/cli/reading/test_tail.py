"""`tail` of a log file that lives: what comes, rotation, copies that are cut, torn lines, what is under way; and its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.cli.main import main
from otel_feedback.cli.reading.feeds import LogFeed
from otel_feedback.downstream.tables.selection import Selection
from tests.downstream.tables import made
from tests.terminal import Terminal, needs_pty

EVENT = made.events(1)[0]


def line(name: str, status: str = "success", **fields: Any) -> bytes:
    event = msgspec.structs.replace(
        EVENT, event_id=name, agent_name=name, status=OutcomeStatus(status), severity=None, **fields
    )
    return event.to_json().encode() + b"\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "outcomes.jsonl"
    path.write_bytes(b"".join(line(f"old-{number}") for number in range(50)))
    return path


@pytest.fixture
def feed(path: Path) -> Iterator[LogFeed]:
    feed = LogFeed([path])
    yield feed
    feed.close()


def names(events: Any) -> list[str]:
    return [event.event_id for event in events]


def test_the_newest_come_first_and_then_what_is_added(path: Path, feed: LogFeed) -> None:
    assert names(feed.newest(3, Selection())) == ["old-47", "old-48", "old-49"]
    assert names(feed.newest(None, Selection())) == [f"old-{number}" for number in range(50)]
    with path.open("ab") as file:
        file.write(line("a") + line("b")[:40])
        file.flush()
        assert names(feed.more()) == ["a"], "half a line waits"
        file.write(line("b")[40:] + b"no event\n")
    assert names(feed.more()) == ["b"]
    assert feed.unread == 1
    assert names(feed.more()) == []


def test_a_half_written_last_line_is_read_once_it_is_whole(path: Path) -> None:
    with path.open("ab") as file:
        file.write(line("torn")[:50])
    feed = LogFeed([path])
    assert names(feed.newest(1, Selection())) == ["old-49"]
    with path.open("ab") as file:
        file.write(line("torn")[50:])
    assert names(feed.more()) == ["torn"]
    feed.close()


def test_a_file_that_is_moved_away_is_read_to_its_end_and_the_new_one_from_its_beginning(path: Path) -> None:
    rotated = path.with_name("outcomes.jsonl.1")
    rotated.write_bytes(line("older"))
    feed = LogFeed([path, rotated])
    with path.open("ab") as file:
        file.write(line("a"))
    rotated.unlink()
    path.rename(rotated)
    with rotated.open("ab") as file:
        file.write(line("b"))
    path.write_bytes(line("c"))
    found = names(feed.more()) + names(feed.more())
    assert sorted(found) == ["a", "b", "c"], "each once, though both names are followed"
    feed.close()


def test_a_file_that_is_copied_and_cut_is_read_from_its_beginning(path: Path, feed: LogFeed) -> None:
    os.truncate(path, 0)
    with path.open("ab") as file:
        file.write(line("a"))
    assert names(feed.more()) == ["a"]


def test_filters_look_back_as_far_as_they_have_to(log: Path, records: list[OutcomeEvent]) -> None:
    feed = LogFeed([log])
    chosen = Selection(values={"run_id": ["run-3"]})
    expected = [event.event_id for event in records if event.run_id == "run-3"]
    assert names(feed.newest(4, chosen)) == expected[-4:]
    assert names(feed.newest(1_000, chosen)) == expected
    feed.close()


def test_each_action_is_one_line_and_repeats_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    path = tmp_path / "log.jsonl"
    path.write_bytes(
        line("a", "pending", revision=0) + line("a") + line("a") + line("a", revision=2, own_cost=9.0)
        + line("b", "failure") + line("a", "pending", revision=0)
    )  # fmt: skip
    assert main(["tail", "--once", "--from", str(path)]) == 0
    rows = [row.split()[1:5:2] for row in capsys.readouterr().out.partition("2026-03-02\n")[2].splitlines()]
    assert rows == [["a", "…"], ["a", "✓"], ["b", "✗"]]
    assert main(["tail", "--once", "--json", "--from", str(path)]) == 0
    told = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    assert [(event["event_id"], event["revision"]) for event in told] == [("a", 0), ("a", 1), ("a", 2), ("b", 1)]


@needs_pty
def test_on_a_terminal_what_is_under_way_waits_at_the_foot_and_ctrl_c_leaves_the_screen_clean(path: Path) -> None:
    terminal = Terminal([sys.executable, "-m", "otel_feedback", "tail", "--from", str(path), "-n", "2"])
    terminal.read_until("Ctrl-C ends")
    with path.open("ab") as file:
        file.write(line("slowpoke", "pending", revision=0))
    terminal.read_until("… pending")
    with path.open("ab") as file:
        file.write(line("slowpoke", "timeout"))
    terminal.read_until("◷ timeout")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.read_to_end() == 130
    assert "Traceback" not in terminal.output
    assert terminal.output.rindex("\x1b[?25h") > terminal.output.rindex("\x1b[?25l"), "the cursor is back"


def test_a_pipe_gets_what_comes_as_it_comes_and_ends_quietly(path: Path) -> None:
    command = [sys.executable, "-m", "otel_feedback", "tail", "--from", str(path), "-n", "1", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["event_id"] == "old-49"
        with path.open("ab") as file:
            file.write(line("new"))
        assert json.loads(process.stdout.readline())["event_id"] == "new"
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.stderr.read() == ""
