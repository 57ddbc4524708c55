"""Read the audit topic, then the outcome topic, and say of each producer what became of its events.

In this order, so that all that the account calls delivered is on the topic by then. Both are read up to where they ended
when it began, headers alone are looked at, and no group is joined. For the one thread that calls it, which waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from otel_feedback.downstream.topic.reading import Progress, TopicMissingError, TopicReader, open_reader, partitions_of
from otel_feedback.downstream.topic.received import header
from otel_feedback.downstream.verify.account import ProducerAccount, Verdict
from otel_feedback.errors import SchemaError
from otel_feedback.events import audit
from otel_feedback.exporters.kafka.topics import audit_topic
from otel_feedback.settings.kafka import KafkaConfig

__all__ = ["Report", "TopicMissingError", "verify"]

MOST_DIGITS = 19
"""Of a sequence: it has 8 bytes in the journal, and Python reads no number of thousands of digits."""


class Report(NamedTuple):
    """What was found: producers in the order in which they were met.

    `foreign`: records without the headers of a producer. `deleted`: offsets below which partitions have nothing any more.
    """

    topic: str
    since: datetime | None
    noun: str  # what its records are called
    producers: list[Verdict]
    foreign: int
    deleted: Mapping[tuple[str, int], int]
    unread: int  # records of the audit topic that are none

    @property
    def missing(self) -> int:
        """How many events are missing that nobody declared lost."""
        return sum(run.length for one in self.producers for run in one.missing)

    @property
    def is_complete(self) -> bool:
        """Whether every event is on the topic."""
        return all(one.state == "complete" for one in self.producers)


def verify(config: KafkaConfig, since: datetime | None = None, progress: Progress = lambda *_: None) -> list[Report]:
    """Compare the outcome topic with the account on the audit topic, and so the topic of feedback, where there is one.

    Args:
        config: Where, and which topics.
        since: Look for what was recorded from then on only.
        progress: Called with a topic, how many of its records were read, and how many there are.

    Raises:
        TopicMissingError: The outcome topic or the audit topic is not there.
        KafkaError: kafka-python's, where Kafka does not answer.
    """
    with open_reader(config, "verify", progress) as reader:
        found = [_Reading(reader, config, config.topic, "event", since).report()]
        if partitions_of(reader.consumer, config.feedback_topic):
            found.append(_Reading(reader, config, config.feedback_topic, "feedback record", since).report())
        return found


class _Reading:
    def __init__(self, reader: TopicReader, config: KafkaConfig, topic: str, noun: str, since: datetime | None) -> None:
        self._reader = reader
        self._config = config
        self._topic = topic
        self._noun = noun
        self._since = since
        self._accounts: dict[str, ProducerAccount] = {}
        self._foreign = self._unread = 0

    def report(self) -> Report:
        topic, reader = self._topic, self._reader
        partitions = reader.partitions(topic)
        for record in reader.read(reader.partitions(audit_topic(self._config))):
            self._hear(record)
        begins = reader.starts(partitions)
        starts = reader.starts(partitions, self._since)
        for record in reader.read(partitions, starts):
            self._see(record)
        if self._since is not None and any(one.verdict().missing for one in self._of_interest()):
            # dated, or told, otherwise than one would think: what is not there at all is missing, and nothing else
            for record in reader.read(partitions, begins, starts):
                self._see_earlier(record)
        return Report(
            topic,
            self._since,
            self._noun,
            [account.verdict() for account in self._of_interest()],
            self._foreign,
            {(place.topic, place.partition): offset for place, offset in begins.items() if offset > 0},
            self._unread,
        )

    def _of_interest(self) -> list[ProducerAccount]:
        return [account for account in self._accounts.values() if account.is_of_interest]

    def _hear(self, record: Any) -> None:
        try:
            told = audit.decode(record.value or b"")
        except SchemaError:
            self._unread += 1
            return
        if told.exporter == "kafka" and told.destination.rpartition("/")[2] == self._topic:
            self._account(told.producer_id).tell(told)

    def _see(self, record: Any) -> None:
        known = _numbered(record)
        if known is None:
            self._foreign += 1
            return
        source = header(record.headers, "ce_source") or ""
        self._account(known[0]).see(known[1], source.rpartition("/")[2])

    def _see_earlier(self, record: Any) -> None:
        known = _numbered(record)
        if known is not None and known[0] in self._accounts:
            self._accounts[known[0]].see_earlier(known[1])

    def _account(self, producer_id: str) -> ProducerAccount:
        account = self._accounts.get(producer_id)
        if account is None:
            account = self._accounts[producer_id] = ProducerAccount(producer_id, self._since)
        return account


def _numbered(record: Any) -> tuple[str, int] | None:
    """Return whose a record is, and which one; None of a record that is nobody's."""
    producer_id, sequence = header(record.headers, "producer_id"), header(record.headers, "sequence")
    if not producer_id or sequence is None or not (sequence.isascii() and sequence.isdecimal()):
        return None
    if len(sequence) > MOST_DIGITS:
        return None
    return producer_id, int(sequence)
