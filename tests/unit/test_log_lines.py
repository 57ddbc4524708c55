"""A program's logging that raises, by a filter or a handler, costs the line and nothing else."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from otel_feedback.errors import ExportError
from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import Receipt
from otel_feedback.journal.folder import folders, is_owned
from otel_feedback.logger import get_logger
from tests.journals.command import dead, to
from tests.logs import lines_in
from tests.stack.waiting import wait_for
from tests.unit.test_worker import ScriptedExporter, account, pipeline_to, record

SERVICE = "agents"


class _Raising(logging.Handler):
    """One whose filter raises, as one does that looks for a field that only its own program's records have."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.addFilter(self._raise)

    def _raise(self, record: logging.LogRecord) -> bool:
        self.asked.append(record.getMessage())
        raise LookupError("no tenant in this record")


@pytest.fixture
def broken() -> Iterator[_Raising]:
    handler = _Raising()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


def test_every_journal_of_a_dead_process_is_delivered(broken: _Raising, tmp_path: Path) -> None:
    log = tmp_path / "outcomes.jsonl"
    directory = feedback.get_settings(service_name=SERVICE).journal_dir
    for _ in range(3):
        dead(directory, to(log), events=4)
    pipeline = feedback.configure(
        tracer_provider=TracerProvider(), service_name=SERVICE, log_file=str(log), journal_rescan_s=0.1
    )
    wait_for(lambda: not folders(directory) or None, timeout_s=60, what="all journals to be delivered")
    assert len(lines_in(log)) == 12
    assert pipeline.shutdown(10) is True
    assert any("undelivered" in line for line in broken.asked), "or nothing was tried"


def test_events_of_others_that_are_too_old_are_dropped(broken: _Raising, tmp_path: Path) -> None:
    log = tmp_path / "outcomes.jsonl"
    directory = feedback.get_settings(service_name=SERVICE).journal_dir
    old = [dead(directory, ("kafka", "elsewhere:9092/agent-outcomes"), events=2) for _ in range(2)]
    for made in old:
        for path in made.folder.iterdir():
            os.utime(path, (1, 1))
    dead(directory, to(log), events=4)
    feedback.configure(tracer_provider=TracerProvider(), service_name=SERVICE, log_file=str(log), journal_rescan_s=0.1)
    wait_for(lambda: not folders(directory) or None, timeout_s=60, what="all journals to be gone")
    assert len(lines_in(log)) == 4
    assert any("no process came for" in line for line in broken.asked)


class _Unspeakable(Exception):
    """One that cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


def test_a_worker_survives_what_cannot_be_said(broken: _Raising) -> None:
    def fail(lease: Sequence[Record]) -> Receipt:
        raise _Unspeakable

    def away(lease: Sequence[Record]) -> Receipt:
        raise ExportError("unavailable", "it is away", retryable=True)

    exporter = ScriptedExporter(fail, away, fail)
    pipeline = pipeline_to(exporter)
    record(pipeline, 5)
    assert pipeline.force_flush(60) is True
    assert account(pipeline)["delivered"] == 5
    assert broken.asked


def test_a_worker_survives_an_exporter_that_cannot_abandon(broken: _Raising) -> None:
    class Stubborn(ScriptedExporter):
        def abandon(self) -> None:
            super().abandon()
            if self.abandoned == 1:
                raise OSError("not now")

    def away(lease: Sequence[Record]) -> Receipt:
        raise ExportError("unavailable", "it is away", retryable=True)

    pipeline = pipeline_to(Stubborn(away, away))
    record(pipeline, 5)
    assert pipeline.force_flush(60) is True


def test_an_end_that_leaves_something_ends_and_lets_go(broken: _Raising, tmp_path: Path) -> None:
    log = tmp_path / "outcomes.jsonl"
    log.mkdir()  # it cannot be written
    pipeline = feedback.configure(tracer_provider=TracerProvider(), service_name=SERVICE, log_file=str(log))
    with feedback.action("step"):
        pass
    assert pipeline.shutdown(0.5) is False
    (folder,) = folders(feedback.get_settings(service_name=SERVICE).journal_dir)
    assert not is_owned(folder)
    assert any("not delivered" in line for line in broken.asked)


def test_a_line_names_where_it_was_said(caplog: pytest.LogCaptureFixture) -> None:
    get_logger("otel_feedback.tested").warning("%d of %s", 3, "these")
    here = inspect.currentframe()
    assert here is not None
    (said,) = caplog.records
    assert (said.getMessage(), said.lineno, said.pathname) == ("3 of these", here.f_code.co_firstlineno + 1, __file__)


def test_no_module_has_a_logger_that_may_raise() -> None:
    package = Path(feedback.__file__).parent
    own = [path for path in package.rglob("*.py") if "getLogger(__name__)" in path.read_text()]
    assert own == []
