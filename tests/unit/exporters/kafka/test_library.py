"""What kafka-python needs of the interpreter."""

from __future__ import annotations

import logging
import sys
import types

import pytest
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from otel_feedback.cli.doctor.findings import State
from otel_feedback.cli.doctor.kafka import check_kafka
from otel_feedback.errors import ExportError
from otel_feedback.exporters.kafka import library
from otel_feedback.settings.settings import get_settings
from tests.stack.processes import free_port


@pytest.mark.parametrize(("python", "told"), [((3, 12, 0), 1), ((3, 12, 1), 1), ((3, 12, 2), 0), ((3, 11, 7), 0)])
def test_a_python_that_starts_no_threads_at_its_end_is_named(
    python: tuple[int, int, int], told: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(library, "PYTHON", python)
    servers = f"127.0.0.1:{free_port()}"
    pipeline = feedback.configure(
        tracer_provider=TracerProvider(shutdown_on_exit=False),
        kafka_bootstrap_servers=servers,
        enable_outcome_logging=False,
    )
    pipeline.shutdown(0)
    lines = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert len([line for line in lines if "use Python 3.12.2 or later" in line]) == told
    findings = [one for one in check_kafka(get_settings(kafka_bootstrap_servers=servers)) if "Python" in one.check]
    assert [one.state for one in findings] == [State.WARNING] * told


def test_a_kafka_python_that_cannot_be_helped_under_o_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library._TAGGED_FIELDS, types.ModuleType("empty"))  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(ExportError, match="does not work with python -O: run it without"):
        library._read_without_assert()  # pyright: ignore[reportPrivateUsage]
