"""The log tier: rotation, files that are moved away, disks that are full, refused records."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

import otel_feedback as feedback
from otel_feedback.errors import ExportError
from otel_feedback.events import codec
from otel_feedback.events.record import Origin, Record
from otel_feedback.exporters.interface import Refusal
from otel_feedback.exporters.log import LogExporter, LogWriter


def record(sequence: int) -> Record:
    event = feedback.OutcomeEvent(action_type=f"a{sequence}", status=feedback.OutcomeStatus.SUCCESS)
    return Record.of(event, Origin("0" * 32, "test"), sequence, "key", codec.encode(event), sampled=False)


@pytest.mark.skipif(not Path("/proc").exists(), reason="RLIMIT_FSIZE as on Linux")
def test_a_file_that_takes_half_a_line_gets_none_of_it(tmp_path: Path) -> None:
    """A limit on the file's size stands in for a disk that fills up in the middle of a write."""
    import resource
    import signal

    path = tmp_path / "log"
    writer = LogWriter(str(path), max_bytes=10**6, backups=1)
    writer.write([b"x" * 99])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            writer.write([b"y" * 99])
        assert path.read_bytes() == b"x" * 99 + b"\n"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    writer.write([b"z"])
    assert path.read_bytes() == b"x" * 99 + b"\nz\n"
    writer.close()


def lines(path: Path) -> list[str]:
    return [json.loads(line)["action_type"] for line in path.read_text().splitlines()]


def test_rotation_by_size_keeps_whole_lines_and_so_many_files(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "log"
    exporter = LogExporter(LogWriter(str(path), max_bytes=1_024, backups=2))
    for i in range(60):
        assert exporter.export([record(i)]).poll()
    files = sorted(path.parent.iterdir())
    assert [f.name for f in files] == ["log", "log.1", "log.2"]
    kept = lines(path.parent / "log.2") + lines(path.parent / "log.1") + lines(path)
    assert kept == [f"a{i}" for i in range(60 - len(kept), 60)]
    assert all(f.stat().st_size <= 1_024 for f in files)


def test_no_backups(tmp_path: Path) -> None:
    path = tmp_path / "log"
    exporter = LogExporter(LogWriter(str(path), max_bytes=1_024, backups=0))
    for i in range(60):
        exporter.export([record(i)])
    assert [f.name for f in tmp_path.iterdir()] == ["log"]


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    exporter = LogExporter(LogWriter(str(path), max_bytes=10**6, backups=1))
    exporter.export([record(0)])
    path.rename(tmp_path / "moved")
    exporter.export([record(1)])
    assert (lines(tmp_path / "moved"), lines(path)) == (["a0"], ["a1"])


def test_what_cannot_be_written_waits(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    exporter = LogExporter(LogWriter(str(tmp_path / "file" / "log"), max_bytes=10**6, backups=1))
    with pytest.raises(ExportError) as caught:
        exporter.export([record(0)])
    assert caught.value.retryable
    full = Path("/dev/full")
    if full.exists():
        with pytest.raises(ExportError, match="No space left"):
            LogExporter(LogWriter(str(full), max_bytes=10**6, backups=1)).export([record(0)])


def test_a_refused_record_is_kept_with_who_and_why(tmp_path: Path) -> None:
    path = tmp_path / "log"
    LogWriter(str(path), 10**6, 1).write_refused(record(7), "kafka", Refusal("too_large", 'it said "no"'))
    kept = json.loads(path.read_text())
    assert (kept["refused_by"], kept["reason"], kept["detail"]) == ("kafka", "too_large", 'it said "no"')
    assert feedback.OutcomeEvent.from_json(json.dumps(kept["event"])).action_type == "a7"


def test_stderr_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    LogExporter(LogWriter(None, 10**6, 1)).export([record(0), record(1)])
    assert [json.loads(line)["action_type"] for line in capsys.readouterr().err.splitlines()] == ["a0", "a1"]


def test_a_stream_that_has_not_every_character_holds_up_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stderr", io.TextIOWrapper(written, encoding="ascii"))
    event = feedback.OutcomeEvent(action_type="é 🙂", status=feedback.OutcomeStatus.SUCCESS)
    odd = Record.of(event, Origin("0" * 32, "test"), 0, "key", codec.encode(event), sampled=False)
    exporter = LogExporter(LogWriter(None, max_bytes=1_024, backups=2))
    assert exporter.export([odd, record(1)]).poll()
    assert [json.loads(line)["action_type"] for line in written.getvalue().splitlines()] == ["é 🙂", "a1"]


class _Odd(io.StringIO):
    def write(self, text: str) -> int:
        raise RuntimeError("reentrant call")


@pytest.mark.parametrize("stream", [None, _Odd()], ids=["none", "one that fails"])
def test_a_process_without_a_stderr_keeps_its_events(stream: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    exporter = LogExporter(LogWriter(None, max_bytes=1_024, backups=2))
    with pytest.raises(ExportError) as failed:
        exporter.export([record(1)])
    assert failed.value.retryable
