"""What there is, newest last, and what comes: records of log files, a topic, a store, as events and feedback in the order of arrival.

Each has `newest(lines, selection)`, once and first, and `more()`, which waits a moment for records. For one thread.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from otel_feedback.cli.reading.records import Record, is_wanted, record_in, time_of
from otel_feedback.cli.reading.source import STORE, Source, connected, tell
from otel_feedback.downstream.tables.selection import Selection, literal
from otel_feedback.downstream.topic.reading import TopicReader, partitions_of
from otel_feedback.errors import SchemaError
from otel_feedback.events.feedback import Feedback
from otel_feedback.exporters.kafka.topics import is_per_tenant, tenant_of

__all__ = ["Feed", "open_feed"]

WAIT_S = 0.2
LOOK_S = 10.0
"""How often to look for topics of new tenants."""
BLOCK = 2**18
ENDS = 1_000


class Feed(Protocol):
    """Records from somewhere."""

    unread: int
    """Lines, or records, that were neither."""

    def newest(self, lines: int | None, selection: Selection) -> Iterable[Record]:
        """Return the newest records that are selected, so many or, None, all, in the order of arrival."""
        ...

    def more(self) -> Iterable[Record]:
        """Return what has come meanwhile; wait a moment where nothing has."""
        ...


@contextlib.contextmanager
def open_feed(source: Source) -> Generator[Feed, None, None]:
    """Give the feed of a source."""
    if source.config is not None:
        with connected(source.config, "tail", is_shown=False) as reader:
            yield TopicFeed(reader, source.config.topic, source.config.feedback_topic)
    elif source.kind == STORE:
        yield StoreFeed(source.paths[0])
    else:
        feed = LogFeed(source.paths)
        try:
            yield feed
        finally:
            feed.close()


class LogFeed:
    """Log files: read from their ends, and followed where they are moved away, cut, or begun anew."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.unread = 0
        # the one that is written to is the newest
        self._paths = sorted(paths, key=lambda path: path.stat().st_mtime_ns)
        self._followed = [_Followed(path) for path in self._paths if path.suffix != ".gz"]

    def newest(self, lines: int | None, selection: Selection) -> Iterable[Record]:
        ends = {followed.path: followed.at for followed in self._followed}
        if lines is None:
            for path in self._paths:
                yield from (
                    each for each in self._decoded(_forwards(path, ends.get(path))) if is_wanted(each, selection)
                )
            return
        found: list[Record] = []
        for path in reversed(self._paths):
            for record in self._decoded(_backwards(path, ends.get(path))):
                if len(found) >= lines:
                    break
                if is_wanted(record, selection):
                    found.append(record)
        yield from reversed(found)

    def more(self) -> Iterable[Record]:
        known = {followed.identity for followed in self._followed}
        lines = [line for followed in self._followed for line in followed.read(known)]
        if not lines:
            time.sleep(WAIT_S)
        return self._decoded(lines)

    def close(self) -> None:
        """Close the files."""
        for followed in self._followed:
            followed.close()

    def _decoded(self, lines: Iterable[bytes]) -> Iterator[Record]:
        for line in lines:
            if line.strip():
                record = record_in(line)
                if record is not None:
                    yield record
                else:
                    self.unread += 1


class _Followed:
    """One file that grows. `at`: how far it was read, which is the end of a line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb")
        self.at = _last_end(self._file.fileno())

    @property
    def identity(self) -> tuple[int, int]:
        """Which file it is, whatever its name."""
        told = os.fstat(self._file.fileno())
        return told.st_dev, told.st_ino

    def read(self, known: set[tuple[int, int]]) -> list[bytes]:
        """Return the lines that are whole by now; of a file that has come in its place, too, if it is none of the known."""
        lines = self._grown()
        try:
            told = self.path.stat()
        except FileNotFoundError:  # about to be made
            return lines
        if (told.st_dev, told.st_ino) != self.identity:
            self._file.close()
            self._file = self.path.open("rb")
            self.at = _last_end(self._file.fileno()) if (told.st_dev, told.st_ino) in known else 0
            lines += self._grown()
        return lines

    def _grown(self) -> list[bytes]:
        if os.fstat(self._file.fileno()).st_size < self.at:  # cut, by whoever copied it
            self.at = 0
        self._file.seek(self.at)
        data = self._file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self.at += len(whole)
        return whole.splitlines()

    def close(self) -> None:
        """Close it."""
        self._file.close()


def _last_end(file: int) -> int:
    """Return where the last whole line of a file ends."""
    end = os.fstat(file).st_size
    while end > 0:
        begin = max(0, end - BLOCK)
        found = os.pread(file, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _forwards(path: Path, end: int | None) -> Iterator[bytes]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        left = end
        with contextlib.suppress(EOFError, gzip.BadGzipFile):  # as far as it goes
            for line in file:
                if left is not None:
                    left -= len(line)
                    if left < 0:
                        return
                yield line


def _backwards(path: Path, end: int | None) -> Iterator[bytes]:
    if end is None:
        yield from reversed(list(_forwards(path, None)))
        return
    with path.open("rb") as file:
        rest = b""
        while end > 0:
            begin = max(0, end - BLOCK)
            file.seek(begin)
            lines = (file.read(end - begin) + rest).split(b"\n")
            rest, end = lines[0], begin
            yield from reversed(lines[1:])
        yield rest


class TopicFeed:
    """The topic, and that of feedback, without a group."""

    def __init__(self, reader: TopicReader, topic: str, feedback_topic: str) -> None:
        self.unread = 0
        self._reader = reader
        self._topic, self._feedback_topic = topic, feedback_topic
        self._places = self._there()
        self._begins = reader.starts(self._places)
        self._ends: dict[Any, int] = reader.consumer.end_offsets(self._places)
        self._is_following = False
        self._look_s = time.monotonic() + LOOK_S

    def newest(self, lines: int | None, selection: Selection) -> Iterable[Record]:
        begins = self._begins if selection.since is None else self._reader.starts(self._places, selection.since)
        if lines is None:
            read = self._decoded(self._reader.read(self._places, begins, self._ends))
            yield from (each for each in read if is_wanted(each, selection))
            return
        found: list[Record] = []
        ends, step = self._ends, max(lines, ENDS // 10)
        while len(found) < lines and any(begins[place] < ends[place] for place in self._places):
            starts = {place: max(begins[place], ends[place] - step) for place in self._places}
            read = self._decoded(self._reader.read(self._places, starts, ends))
            found = [each for each in read if is_wanted(each, selection)] + found
            ends, step = starts, step * 4
        # of several partitions: no record says which came first
        yield from sorted(found, key=time_of)[-lines:] if lines else ()

    def more(self) -> Iterable[Record]:
        consumer = self._reader.consumer
        if not self._is_following:
            self._is_following = True
            consumer.assign(self._places)
            for place in self._places:
                consumer.seek(place, self._ends[place])
        elif (is_per_tenant(self._topic) or is_per_tenant(self._feedback_topic)) and time.monotonic() >= self._look_s:
            self._take_in_new()
        polled = consumer.poll(timeout_ms=int(WAIT_S * 1e3), max_records=ENDS)
        return self._decoded(record for records in polled.values() for record in records)

    def _there(self) -> list[Any]:
        return [
            *self._reader.partitions(self._topic),
            *partitions_of(self._reader.consumer, self._feedback_topic),  # where somebody has given any
        ]

    def _take_in_new(self) -> None:
        """Follow the topics of tenants that have come meanwhile, from their beginnings."""
        self._look_s = time.monotonic() + LOOK_S
        consumer, known = self._reader.consumer, set(self._places)
        new = [place for place in self._there() if place not in known]
        if new:
            at = {place: consumer.position(place) for place in self._places} | self._reader.starts(new)
            self._places = [*self._places, *new]
            consumer.assign(self._places)
            for place, offset in at.items():
                consumer.seek(place, offset)

    def _decoded(self, records: Iterable[Any]) -> Iterator[Record]:
        for record in records:
            found = self._found_in(record)
            topic = self._feedback_topic if isinstance(found, Feedback) else self._topic
            owner = tenant_of(topic, record.topic)
            if found is not None and owner in (None, found.tenant_id):
                yield found
            else:
                self.unread += 1

    def _found_in(self, record: Any) -> Record | None:
        try:
            return record_in(self._reader.values.json_fetched(record) or b"")
        except SchemaError:
            return None


class StoreFeed:
    """A store: looked at again when its manifest is another."""

    def __init__(self, folder: Path) -> None:
        self.unread = 0
        self._folder = folder
        self._seen: Any = None
        self._furthest = ("", "")

    def newest(self, lines: int | None, selection: Selection) -> Iterable[Record]:
        from otel_feedback.downstream.tables.stored import open_store

        self._seen = self._version()
        with open_store(self._folder, selection.since) as tables:
            limit = "" if lines is None else f"LIMIT {lines}"
            wanted = f"SELECT * FROM outcomes WHERE {selection.condition()} ORDER BY event_time DESC {limit}"
            given = [each for each in _given(tables, "true") if is_wanted(each, selection)]
            found = sorted([*_events(tables, f"({wanted})"), *given], key=time_of)
            yield from found if lines is None else found[-lines:] if lines else ()
            self._note(tables)
            tell(tables)

    def more(self) -> Iterable[Record]:
        from otel_feedback.downstream.tables.stored import open_store

        version = self._version()
        if version == self._seen:
            time.sleep(WAIT_S)
            return []
        self._seen = version
        with open_store(self._folder) as tables:
            new, new_given = (f"{each or 'true'}" for each in self._furthest)
            found = [*_events(tables, f"(FROM events WHERE {new})"), *_given(tables, new_given)]
            self._note(tables)
        return sorted(found, key=time_of)

    def _version(self) -> Any:
        told = (self._folder / "manifest.json").stat()
        return told.st_ino, told.st_mtime_ns

    def _note(self, tables: Any) -> None:
        """Remember how far each source was read: what is further is new, whichever file it is in."""
        self._furthest = (
            _beyond(tables, "events", "source", "source_partition", "source_position"),
            _beyond(tables, "feedback_latest", "read_from", "read_partition", "read_position"),
        )


def _events(tables: Any, rows: str) -> Iterable[Record]:
    from otel_feedback.cli.reading.rows import SELECTED, events_of

    return events_of(tables.ask(f"SELECT {SELECTED} FROM {rows} ORDER BY event_time"))


def _given(tables: Any, condition: str) -> Iterable[Record]:
    from otel_feedback.cli.reading.rows import feedback_of

    return [feedback_of(row) for row in tables.rows(f"SELECT * FROM feedback_latest WHERE {condition}")]


def _beyond(tables: Any, table: str, source: str, partition: str, position: str) -> str:
    """Return the condition for rows from further on than those that are there."""
    rows = tables.query(f"SELECT {source}, {partition}, max({position}) FROM {table} GROUP BY ALL")
    known = [
        f"({source} IS NOT DISTINCT FROM {literal(of)} AND {partition} IS NOT DISTINCT FROM"
        f" {'NULL' if number is None else number} AND {position} <= {last})"
        for of, number, last in rows
        if last is not None
    ]
    return f"NOT coalesce({' OR '.join(known)}, false)" if known else ""
