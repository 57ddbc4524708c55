"""A journal of some 1,300 bytes as a crash left it, and what each destination is to get of it, whatever is damaged."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import msgspec

from otel_feedback.journal.cursor import CursorState
from otel_feedback.journal.disk import DiskJournal
from otel_feedback.journal.frames import Kind, event_body, frame
from otel_feedback.journal.state import JournalState, encode_state
from tests.journals.disk import BOTH, KAFKA, OTLP, assert_balanced, close_action, deliver, lease_all, started

PRODUCER = "ab" * 16
EVENTS = 6
Got = tuple[list[tuple[int, str]], int]
"""The sequences and event ids that a destination got, and how many records it counted as damaged."""


class Placed(NamedTuple):
    """A frame in a file."""

    name: str
    file: str
    first: int
    end: int


def event_id(number: int) -> str:
    return "b" if number == 4 else f"e{number}"


def payload(number: int) -> bytes:
    return b'{"event_id":"%b","revision":1,"timestamp":"2026-01-02T03:04:05Z"}' % event_id(number).encode()


def state(saved: int, end: int, kafka: CursorState, *, version: int = 1) -> JournalState:
    otlp = CursorState(*OTLP, 0, 0, [], 0, {})
    return JournalState(version, PRODUCER, "s", end, saved, [kafka, otlp])


KAFKA_AT_FIRST = CursorState(*KAFKA, 0, 0, [], 0, {})
KAFKA_AT_LAST = CursorState(*KAFKA, 0, 1, [(3, 4)], 1, {"too_large": 1})
AT_LAST = state(9, EVENTS, KAFKA_AT_LAST)


def head(saved: int, first: int, *, version: int = 1) -> tuple[str, bytes]:
    return f"head{first}", frame(Kind.HEAD, first, encode_state(state(saved, first, KAFKA_AT_FIRST, version=version)))


def start(name: str, number: int) -> tuple[str, bytes]:
    return f"start{number} {name}", frame(Kind.START, number, msgspec.msgpack.encode(started(name)))


def event(number: int) -> tuple[str, bytes]:
    return f"event{number}", frame(Kind.EVENT, number, event_body("k", payload(number)), number % 2)


LAYOUT = {
    f"{0:020d}.seg": [("head0", frame(Kind.HEAD, 0, b"{}")), event(0), event(1)],
    f"{2:020d}.seg": [head(2, 2), start("a", 2), event(2), event(3)],
    f"{4:020d}.seg": [head(4, 4), start("a", 4), start("b", 4), event(4), event(5), start("a", 6)],
}
OLDEST, MIDDLE, NEWEST = sorted(LAYOUT)
CURSORS = "cursors"


def written_down(its: JournalState) -> bytes:
    """The cursors file that says this."""
    body = encode_state(its)
    return body + b"\ncrc32 %08x\n" % crc32(body)


class SmallJournal:
    """A folder as a crash left it; copies of it are damaged."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / PRODUCER
        self.files = {CURSORS: written_down(AT_LAST)}
        self.placed: list[Placed] = []
        for name, frames in LAYOUT.items():
            data = b""
            for what, one in frames:
                self.placed.append(Placed(what, name, len(data), len(data) + len(one)))
                data += one
            self.files[name] = data

    def put(self, changed: Mapping[str, bytes | None]) -> None:
        """Write the folder down, with these files changed, or left out."""
        (self.root / "quarantine" / f"{PRODUCER}.jsonl").unlink(missing_ok=True)
        self.folder.mkdir(parents=True)
        for name, data in {**self.files, "lock": b"", **changed}.items():
            if data is not None:
                (self.folder / name).write_bytes(data)

    def hit(self, file: str, is_hit: Callable[[Placed], bool]) -> set[str]:
        """The frames of a file that are not whole any more."""
        return {placed.name for placed in self.placed if placed.file == file and is_hit(placed)}

    def frames_of(self, *files: str) -> set[str]:
        return {placed.name for placed in self.placed if placed.file in files}


def open_actions(gone: set[str], newest: str = NEWEST) -> list[str]:
    """The actions that seem to be open in the newest segment, in the order of their starts."""
    there = [what for what, _ in LAYOUT[newest] if what not in gone]
    names = list(dict.fromkeys(what[-1] for what in there if what.startswith("start")))
    return [name for name in names if name == "a" or "event4" not in there]


def expected(gone: set[str], *, done: set[int], actions: list[str]) -> Got:
    """What a destination is to get, and how many records it is to miss."""
    pending = [n for n in range(EVENTS) if n not in done]
    whole = [(n, event_id(n)) for n in pending if f"event{n}" not in gone]
    return [*whole, *((EVENTS + i, name) for i, name in enumerate(actions))], len(pending) - len(whole)


def deliver_what_is_left(journal: DiskJournal) -> tuple[dict[tuple[str, str], Got], int]:
    """Adopt and deliver; return what each destination got and missed, and the damaged bytes."""
    (adopted,) = journal.adopt(BOTH, close_action)
    assert adopted.origin.producer_id == PRODUCER
    got: dict[tuple[str, str], Got] = {}
    for name, cursor in adopted.cursors.items():
        records = lease_all(cursor, 3)
        for record in records:
            if record.sequence < EVENTS:
                assert record.payload == payload(record.sequence)
                assert (record.key, record.sampled) == ("k", record.sequence % 2 == 1)
            assert_balanced(cursor)
        deliver(cursor, records)
        assert_balanced(cursor)
        account = cursor.account()
        assert account.pending == 0
        assert set(account.lost) <= {"damaged", "too_large"}
        got[name] = [(record.sequence, record.event_id) for record in records], account.lost.get("damaged", 0)
    assert adopted.tend() is True
    adopted.close()
    assert not adopted.folder.path.exists()
    return got, adopted.kept_aside.damaged_bytes


def kept_aside(root: Path) -> list[tuple[str, int, bytes]]:
    """The damaged bytes that are in quarantine: of which file, from where on."""
    kept = root / "quarantine" / f"{PRODUCER}.jsonl"
    if not kept.exists():
        return []
    things = [json.loads(line) for line in kept.read_text().splitlines()]
    assert {thing["kind"] for thing in things} == {"damaged"}
    return [(thing["segment"], thing["offset"], base64.b64decode(thing["data"])) for thing in things]
