"""What cannot go on is kept for people: damaged bytes, and records that a destination refused for good."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from otel_feedback.events import codec
from otel_feedback.journal import quarantine as quarantine_module
from otel_feedback.journal.disk import DiskJournal
from otel_feedback.journal.frames import event_body
from tests.journals.command import ROOMY
from tests.journals.disk import (
    BOTH,
    KAFKA,
    SMALL,
    append_many,
    close_action,
    crash,
    deliver_all,
    ended,
    folder_of,
    journal_in,
    outcome,
    segments,
)
from tests.logs import lines_in

LATER = b'{"event_id":{"of": "another form"}}'


def kept(root: Path, journal: DiskJournal) -> list[dict[str, Any]]:
    return lines_in(root / "quarantine" / f"{journal.origin.producer_id}.jsonl")


def test_a_refused_record_is_kept_as_it_is(root: Path) -> None:
    journal, _ = journal_in(root)
    cursor = journal.cursor(*KAFKA, durable=True)
    (its,) = append_many(journal, 1)
    (record,) = cursor.lease(1)
    assert journal.quarantine(record, "kafka", "too_large", "by 7 bytes")
    (thing,) = kept(root, journal)
    assert thing["event"] == json.loads(its.payload)
    assert {name: thing[name] for name in ("kind", "exporter", "reason", "detail", "sequence", "key")} == {
        "kind": "refused", "exporter": "kafka", "reason": "too_large", "detail": "by 7 bytes", "sequence": 0,
        "key": its.key,
    }  # fmt: skip
    assert thing["producer_id"] == journal.origin.producer_id


def test_much_damage_is_kept_by_a_second_name_of_the_segment(root: Path) -> None:
    dead, _ = journal_in(root)
    dead.cursor(*KAFKA, durable=True)
    append_many(dead, 40, size=300)
    crash(dead)
    first, second, *_ = segments(folder_of(dead))
    garbage = b"\0" * 100_000
    first.write_bytes(garbage)
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    assert deliver_all(adopted.cursors[KAFKA]) == list(range(int(second.stem), 40))
    assert adopted.kept_aside.damaged_bytes == 100_000
    adopted.tend()
    adopted.close()
    assert not folder_of(dead).exists()
    assert (root / "quarantine" / f"{dead.origin.producer_id}-{first.name}").read_bytes() == garbage
    (thing,) = kept(root, dead)
    assert (thing["segment"], thing["offset"], thing["bytes"]) == (first.name, 0, 100_000)
    assert "data" not in thing


def test_damage_in_the_middle_is_kept_byte_by_byte(root: Path) -> None:
    dead, _ = journal_in(root)
    dead.cursor(*KAFKA, durable=True)
    append_many(dead, 5)
    crash(dead)
    (segment,) = segments(folder_of(dead))
    data = segment.read_bytes()
    segment.write_bytes(data[:-700] + b"\xff\xf5junk\xff" + data[-700:])
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    got = deliver_all(adopted.cursors[KAFKA])
    assert len(got) in (4, 5), "at most the record that it is in"
    (thing,) = kept(root, dead)
    assert b"\xff\xf5junk\xff" in base64.b64decode(thing["data"])
    assert adopted.kept_aside.damaged_bytes == thing["bytes"]


@pytest.mark.parametrize("where", ["memory", "read back", "adopted"])
def test_a_whole_record_of_which_no_event_can_be_made_is_kept_counted_and_named_once(
    where: str, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As what a later version wrote is to an older one, which takes its journal over."""
    journal, _ = journal_in(root, ROOMY if where == "memory" else SMALL)
    cursors, aside = {name: journal.cursor(*name, durable=True) for name in BOTH}, None
    append_many(journal, 2)
    body = event_body("a key", LATER)
    assert journal.append("a key", LATER, outcome("later"), True) == 2
    append_many(journal, 20, size=300)
    if where == "adopted":
        crash(journal)
        (adopted,) = journal_in(root)[0].adopt(BOTH, close_action)
        cursors, aside = dict(adopted.cursors), adopted.kept_aside
    for cursor in cursors.values():
        assert deliver_all(cursor) == [0, 1, *range(3, 23)]
        assert cursor.account().lost == {"damaged": 1}
    (thing,) = kept(root, journal)
    assert (thing["kind"], thing["sequence"], base64.b64decode(thing["data"])) == ("damaged", 2, body)
    assert (journal.health().damaged_bytes if aside is None else aside.damaged_bytes) == len(body)
    (line,) = [line for line in caplog.messages if "cannot be read" in line]
    assert f"record 2 of the process {journal.origin.producer_id} cannot be read, and is not delivered; kept in" in line


def test_what_a_sender_cannot_read_is_kept_as_lines_that_can_be_read(root: Path) -> None:
    """Such a record comes packed, and its bytes are no JSON."""
    journal, _ = journal_in(root)
    cursor = journal.cursor(*KAFKA, durable=True)
    packed = b"\xc1\n\xff of a later version"
    journal.append("a key", packed, ended("e"), True)
    append_many(journal, 1)
    for record in cursor.lease(2, packed=True):
        assert journal.quarantine(record, "kafka", "damaged", "no event")
    first, second = kept(root, journal)
    assert (first["kind"], first["sequence"], second["kind"]) == ("damaged", 0, "refused")
    assert base64.b64decode(first["data"]) == event_body("a key", packed)


def test_half_a_character_in_a_key_or_in_what_a_destination_says_keeps_nothing_from_being_kept(root: Path) -> None:
    journal, _ = journal_in(root)
    cursor = journal.cursor(*KAFKA, durable=True)
    event = outcome("e")
    journal.append("a \ud800", codec.encode(event), event, True)
    (record,) = cursor.lease(1)
    assert journal.quarantine(record, "kafka", "invalid_record", "what \udfff")
    (thing,) = kept(root, journal)
    assert (thing["key"], thing["detail"], thing["event"]["event_id"]) == ("a ?", "what ?", "e")


def test_the_quarantine_is_bounded_and_the_count_goes_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine_module, "MAX_FILE_BYTES", 2_000)
    journal, _ = journal_in(root)
    cursor = journal.cursor(*KAFKA, durable=True)
    append_many(journal, 20)
    answers = [journal.quarantine(record, "kafka", "refused", "") for record in cursor.lease(20)]
    assert answers == sorted(answers, reverse=True)
    assert 0 < sum(answers) < 20
    assert len(kept(root, journal)) == sum(answers)
    crash(journal)
    first, *_ = segments(folder_of(journal))
    first.write_bytes(first.read_bytes()[:-10])
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    assert len(deliver_all(adopted.cursors[KAFKA])) == 19
    assert adopted.kept_aside.damaged_bytes > 100


def test_where_nothing_can_be_kept_that_is_said(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal, _ = journal_in(root)
    cursor = journal.cursor(*KAFKA, durable=True)
    append_many(journal, 3)
    (root / "quarantine").write_bytes(b"in the way")
    (record, *_) = cursor.lease(1)
    assert journal.quarantine(record, "kafka", "refused", "") is False
    crash(journal)
    (segment,) = segments(folder_of(journal))
    segment.write_bytes(segment.read_bytes()[:-10])
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    assert deliver_all(adopted.cursors[KAFKA]) == [0, 1]
    assert any(str(segment) in line and "there was no place to keep them" in line for line in caplog.messages)
