"""From chunks of records to events, or feedback, one at a time: skipped, decoded, repeats dropped, settled. What all consumers
share.

Input: a `GroupMember`'s chunks. Output: an event, a dead letter that has to be sent first, or nothing yet. For the one
thread, or loop, that iterates.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from queue import Empty
from typing import Any, Generic, TypeVar

from otel_feedback.downstream.consumer.group import Chunk, GroupMember
from otel_feedback.downstream.consumer.window import SeenWindow
from otel_feedback.downstream.topic.given import ReceivedFeedback
from otel_feedback.downstream.topic.letters import INVALID, DeadLetter
from otel_feedback.downstream.topic.received import ReceivedEvent, is_for
from otel_feedback.downstream.topic.values import SchemaWantedError, TopicValues
from otel_feedback.errors import SchemaError

__all__ = ["Handing", "Received", "Records"]

Received = TypeVar("Received", ReceivedEvent, ReceivedFeedback)


class Records(Generic[Received]):
    """What the records of a topic are.

    Args:
        decode: Makes it of a record, its JSON, and the topic as it is set; raises SchemaError where it is none.
        id_of: Returns what tells a repeat, and which of two is the newer one.
    """

    def __init__(
        self, decode: Callable[[Any, bytes | None, str], Received], id_of: Callable[[Received], tuple[str, int]]
    ) -> None:
        self.decode = decode
        self.id_of = id_of


class Handing(Generic[Received]):
    """Hands out one event after the other; each is settled before the next.

    Args:
        member: Where the chunks are from.
        records: What they are of.
        values: Reads values.
        window: How many events to remember for telling repeats.
        tenant_id: Whose events alone are wanted; None: everybody's.
        topic: As it is set.
    """

    def __init__(
        self, member: GroupMember, records: Records[Received], values: TopicValues, window: int, tenant_id: str | None,
        topic: str,
    ) -> None:  # fmt: skip
        self._member = member
        self._records = records
        self._values = values
        self._window = SeenWindow(window)
        self._tenant_id = tenant_id
        self._topic = topic
        self._chunk: Chunk | None = None
        self._at = 0
        self._in_hand: Received | None = None
        self._record: Any = None
        self._counts = {"handled": 0, "repeated": 0, "superseded": 0, "skipped": 0}
        self.dead_letters: dict[str, int] = {}

    @property
    def counts(self) -> Mapping[str, int]:
        """What became of the records so far."""
        return {**self._counts, "dead_letters": sum(self.dead_letters.values())}

    @property
    def record(self) -> Any:
        """The record in hand, which is not settled yet; None where there is none."""
        return self._record

    @property
    def is_lost(self) -> bool:
        """Whether the partition of the record in hand is somebody else's by now."""
        return self._chunk is None or self._chunk.owner.is_gone

    def settle(self) -> None:
        """The record in hand is done with: it may be committed."""
        event, chunk = self._in_hand, self._chunk
        if event is not None:
            self._window.note(*self._records.id_of(event))
            self._counts["handled"] += 1
            self._in_hand = None
        if self._record is not None and chunk is not None:
            chunk.owner.settled = self._record.offset + 1
        self._record = None

    def settle_letter(self, letter: DeadLetter) -> None:
        """The record in hand is among the dead letters: it may be committed."""
        self._in_hand = None
        self.dead_letters[letter.reason] = self.dead_letters.get(letter.reason, 0) + 1
        self.settle()

    def drop(self) -> None:
        """The record in hand is not done with: it is read again, by whoever has its partition."""
        self._record = self._in_hand = None

    def again(self) -> None:
        """The record in hand is to be judged once more: what it needed may be here now."""
        if self._record is not None and self._chunk is not None:
            self._at -= 1
            self._chunk.owner.handed_out -= 1
            self._record = None

    def next(self) -> Received | DeadLetter | SchemaWantedError | None:
        """Return the next event that is wanted, or a dead letter to send and settle; None where nothing is there yet.

        It is in hand from then on; the one before has to be settled. Where a schema is wanted, it is to be fetched, and the
        record to be judged again.
        """
        while not self._member.is_over:
            chunk = self._chunk
            if chunk is None or self._at >= len(chunk.records) or chunk.owner.is_gone:
                if not self._next_chunk():
                    return None
                continue
            if not self._member.settled.is_set():
                return None
            record = self._record = chunk.records[self._at]
            self._at += 1
            chunk.owner.handed_out += 1
            found = self._judge(record)
            if found is not None:
                return found
            self.settle()
        return None

    def await_chunk(self, timeout_s: float) -> None:
        """Wait for the next chunk, where `next()` had none; or for whatever else there is to look at."""
        with contextlib.suppress(Empty):
            self._take(self._member.chunks.get(timeout=timeout_s))

    def _next_chunk(self) -> bool:
        if self._chunk is not None:
            self._chunk = None
            self._member.drained.set()
        try:
            self._take(self._member.chunks.get_nowait())
        except Empty:
            return False
        return self._chunk is not None

    def _take(self, chunk: Chunk | None) -> None:
        self._chunk, self._at = chunk, 0

    def _judge(self, record: Any) -> Received | DeadLetter | SchemaWantedError | None:
        tenant_id = self._tenant_id
        if tenant_id is not None and is_for(record.headers, tenant_id) is False:
            self._counts["skipped"] += 1
            return None
        try:
            event = self._records.decode(record, self._values.json_of(record), self._topic)
        except SchemaWantedError as wanted:
            return wanted
        except SchemaError as exc:
            return DeadLetter(record, INVALID, str(exc))
        if tenant_id is not None and event.tenant_id != tenant_id:
            self._counts["skipped"] += 1
            return None
        key, revision = self._records.id_of(event)
        handled = self._window.revision_of(key)
        if handled is not None and revision <= handled:
            self._counts["repeated" if revision == handled else "superseded"] += 1
            return None
        self._in_hand = event
        return event
