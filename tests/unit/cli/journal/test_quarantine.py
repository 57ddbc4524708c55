"""`otel-feedback journal replay --quarantine`: what was refused is sent once more, and stays until it is taken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from otel_feedback.journal.disk import DiskJournal
from otel_feedback.journal.folder import LOCK
from otel_feedback.journal.requeue import requeue
from tests.journals.command import run, run_json
from tests.journals.disk import append_many, close_action, journal_in, lease_all
from tests.logs import lines_in
from tests.stack.otlp_sink import OtlpSink
from tests.unit.exporters.test_otlp import says

OTLP = ("otlp", "http://before:4318/v1/logs")


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpSink]:
    with OtlpSink.launch() as running:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.http_endpoint)
        monkeypatch.setenv("OTEL_FEEDBACK_LOG_FILE", "")
        yield running


def refuse(directory: Path, sequences: list[int], *, exporter: str = "otlp", events: int = 6) -> DiskJournal:
    """Let a journal have these records in its quarantine, and nothing else be left of it."""
    journal, _ = journal_in(directory)
    cursor = journal.cursor(exporter, OTLP[1], durable=True)
    append_many(journal, events)
    for record in cursor.lease(events):
        is_refused = record.sequence in sequences
        cursor.settle(record.sequence, "rejected" if is_refused else None)
        if is_refused:
            assert journal.quarantine(record, exporter, "rejected", "HTTP 400")
    journal.close()
    return journal


def kept(directory: Path, producer_id: str) -> list[dict[str, Any]]:
    path = directory / "quarantine" / f"{producer_id}.jsonl"
    return lines_in(path) if path.exists() else []


def event_ids(sink: OtlpSink) -> list[str]:
    return [
        pair.value.string_value
        for record in sink.log_records()
        for pair in record.attributes
        if pair.key == "outcome.event_id"
    ]


def test_what_was_refused_is_taken_now(directory: Path, sink: OtlpSink, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = refuse(directory, [0, 3, 4]), refuse(directory, [5])
    code, shown = run_json(capsys, "replay", "--quarantine", directory)
    assert (code, shown["delivered"], shown["left"]) == (0, 4, 0)
    assert sorted(row["producer_id"] for row in shown["producers"]) == sorted(
        [first.origin.producer_id, second.origin.producer_id]
    )
    assert sorted(event_ids(sink)) == ["e0", "e3", "e4", "e5"]
    assert list((directory / "quarantine").iterdir()) == [], "what was taken is not kept"
    code, out, _ = run(capsys, "replay", "--quarantine", directory)
    assert (code, "0 delivered; nothing is left" in out) == (0, True)


def test_records_are_their_producers_own(directory: Path) -> None:
    dead = refuse(directory, [1, 2, 5])
    again = requeue(directory, {"otlp": ("http://now:4318", "")})
    assert again is not None
    (adopted,) = journal_in(again.root)[0].adopt([("otlp", "http://now:4318")], close_action)
    cursor = adopted.cursors["otlp", "http://now:4318"]
    account = cursor.account()
    assert account.appended == account.delivered + account.pending
    assert account.pending == 3
    records = lease_all(cursor)
    assert [(record.sequence, record.event_id, record.key) for record in records] == [
        (number, f"e{number}", f"run-e{number}") for number in (1, 2, 5)
    ]
    assert {record.origin for record in records} == {dead.origin}
    assert all(record.sampled for record in records)
    assert cursor.account().lost == {}, "what lies between is nobody's loss"
    adopted.close()
    again.finish()
    assert [line["sequence"] for line in kept(directory, dead.origin.producer_id)] == [1, 2, 5]


def test_what_is_refused_again_stays(directory: Path, sink: OtlpSink, capsys: pytest.CaptureFixture[str]) -> None:
    dead = refuse(directory, [0, 3, 4])
    sink.refuse_where(lambda message: b"e3" in message.SerializeToString())
    code, out, _ = run(capsys, "replay", "--quarantine", directory)
    assert (code, "1 record refused again" in out) == (1, True)
    (line,) = kept(directory, dead.origin.producer_id)
    assert (line["sequence"], line["exporter"], line["reason"]) == (3, "otlp", "rejected")
    sink.respond_ok()
    code, shown = run_json(capsys, "replay", "--quarantine", directory)
    assert (code, shown["delivered"]) == (0, 1)
    assert kept(directory, dead.origin.producer_id) == []


def test_what_cannot_be_sent_now_stays(directory: Path, sink: OtlpSink, capsys: pytest.CaptureFixture[str]) -> None:
    dead = refuse(directory, [0, 3])
    before = kept(directory, dead.origin.producer_id)
    sink.respond_with(401)
    code, shown = run_json(capsys, "replay", "--quarantine", directory, "--timeout", "1")
    assert (code, shown["delivered"], shown["left"]) == (1, 0, 2)
    assert "OTEL_EXPORTER_OTLP_HEADERS" in shown["destinations"][0]["last_error"]
    assert kept(directory, dead.origin.producer_id) == before
    assert [path.name for path in (directory / "quarantine").iterdir()] == [f"{dead.origin.producer_id}.jsonl"]


def test_what_is_none_of_its_business_stays(
    directory: Path, sink: OtlpSink, capsys: pytest.CaptureFixture[str]
) -> None:
    kafkas, otlps = refuse(directory, [2], exporter="kafka"), refuse(directory, [0])
    path = directory / "quarantine" / f"{otlps.origin.producer_id}.jsonl"
    damaged = json.dumps({"kind": "damaged", "segment": "0.seg", "offset": 7, "bytes": 2, "data": "//U="}).encode()
    with path.open("ab") as file:
        file.write(damaged + b"\n{half a li")
    code, out, _ = run(capsys, "replay", "--quarantine", directory)
    assert (code, "1 delivered" in out) == (0, True)
    assert "1 record refused by kafka, which is not switched on here" in out
    assert path.read_bytes() == damaged + b"\n{half a li\n"
    assert len(kept(directory, kafkas.origin.producer_id)) == 1


def test_an_interruption_loses_nothing(directory: Path, sink: OtlpSink, capsys: pytest.CaptureFixture[str]) -> None:
    refuse(directory, [0, 3, 4])
    interrupted = requeue(directory, {"otlp": ("http://now:4318", "")})
    assert interrupted is not None
    code, _, error = run(capsys, "replay", "--quarantine", directory)
    assert (code, "another process" in error) == (2, True)
    (directory / "quarantine" / "again" / LOCK).unlink()  # as the death of that process lets go of it
    code, shown = run_json(capsys, "replay", "--quarantine", directory)
    assert (code, shown["delivered"]) == (0, 3)
    assert sorted(event_ids(sink)) == ["e0", "e3", "e4"]


def test_the_others_say_how(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refuse(directory, [0])
    _, out, _ = run(capsys, "inspect", directory)
    assert "otel-feedback journal replay --quarantine" in out


def test_what_one_server_refuses_while_it_takes_others(
    directory: Path, sink: OtlpSink, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the refusal in a living process to the delivery, with nothing made by hand."""
    import otel_feedback as feedback

    monkeypatch.setenv("OTEL_FEEDBACK_JOURNAL_DIR", str(directory))
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    monkeypatch.setenv("ENABLE_OUTCOME_LOGGING", "false")
    pipeline = feedback.configure(service_name="svc")
    sink.refuse_where(says("odd"))
    for name in ("plain", "odd", "simple"):
        with feedback.action("work", agent=name):
            pass
    pipeline.force_flush(30)
    assert pipeline.shutdown(30) is False
    assert len(sink.log_records()) == 2
    sink.respond_ok()
    code, shown = run_json(capsys, "replay", "--quarantine", directory)
    assert (code, shown["delivered"], len(sink.log_records())) == (0, 1, 3)
