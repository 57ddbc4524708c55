"""librdkafka's producer, built for our use: idempotent, acks=all, and at an end with the first record that cannot go.

    produce() ──► queue by partition ──► batches, compressed ──► broker         librdkafka's threads
                                             │
    ask() ◄── what became of each record ◄───┘                                  the worker's thread, when it asks

librdkafka goes on behind a batch that was refused for good: what is sent again in its place would come after what followed
it. With `enable.gapless.guarantee` it stops instead, and refuses everything, as kafka-python does; the worker builds a new one.
What it has ready by then may still go. The broker takes none of it, since something is missing before it: where it knows this
producer, for which `first.py` cares.
Imports confluent-kafka, which takes 100 ms: itself imported when the first event is to be sent.
"""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections.abc import Callable, Collection
from importlib import import_module
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka import Producer as Client
from kafka.errors import KafkaConnectionError, KafkaError

from otel_feedback.errors import ExportError
from otel_feedback.exporters.kafka.confluent.errors import error_of, follows_from_another, translated
from otel_feedback.exporters.kafka.confluent.heard import Heard
from otel_feedback.exporters.kafka.confluent.tokens import token_callback
from otel_feedback.exporters.kafka.destination import ClusterSeen
from otel_feedback.exporters.kafka.receipt import concerns_all
from otel_feedback.exporters.kafka.tls import with_context
from otel_feedback.sdk.forks import import_host_lookup
from otel_feedback.settings.kafka import KafkaConfig
from otel_feedback.settings.librdkafka import properties_of

__all__ = ["ConfluentProducer"]

# under the guard, as this module is
import_host_lookup()
import_module("confluent_kafka.admin")  # as list_topics() would, at any time

LOOK_S, MOST_LOOK_S = 0.3, 5.0
"""How long to wait for metadata at a time, at first and at most: in between it is heard what stands in the way. Each time twice
as long, since what comes later than that is thrown away, and a slow line would never be heard."""

PURGE_S = 1.0
"""How long to wait at most until all that is given up has been taken out."""

CAUSE_S = 0.2
"""How long to wait at most for the error that others follow from."""

_NOT_YET = frozenset({"UnknownTopicOrPartitionError", "LeaderNotAvailableError", "KafkaConnectionError"})
"""What may be said of a topic that is just being made."""


class ConfluentProducer:
    """Used on one thread.

    Args:
        config: Where and how to send.
        heard: Told what stands in the way.
        batch_bytes: How large batches may be, uncompressed.
        wait_s: How long to wait for brokers, and for a topic.

    Raises:
        ExportError: A file of TLS is not what it should be.
        KafkaException: librdkafka does not take a property, or there was no token.
    """

    def __init__(self, config: KafkaConfig, heard: Heard, batch_bytes: int, wait_s: float) -> None:
        self._heard, self._wait_s, self._servers = heard, wait_s, ",".join(config.bootstrap_servers)
        self._has_news = False  # that nobody who asked was told of
        self._seen = ClusterSeen(None, [])
        self._partitions: dict[str, Collection[int]] = {}
        self._cause: Exception | None = None  # the first error that is one by itself
        self._misses_cause = False  # something followed from an error that was not said yet
        with_context(config.client_options)  # says which setting is wrong, in the same words
        properties: dict[str, Any] = {
            "bootstrap.servers": self._servers,
            "client.id": config.client_id,
            "acks": "all",
            "enable.idempotence": True,
            "enable.gapless.guarantee": True,
            # of what is given up, one request at most is on the wire to each broker, and may come twice
            "max.in.flight": 1,
            "compression.type": config.compression,
            "batch.size": batch_bytes,
            "linger.ms": config.producer_linger_ms,
            "message.max.bytes": config.max_request_bytes,
            # the worker gives up first, so that a later batch cannot overtake one that expired
            "message.timeout.ms": 0,
            # of everything: what is in flight is bounded by the worker
            "queue.buffering.max.kbytes": 2_097_151,
            # as Kafka's own producers
            "partitioner": "murmur2_random",
            "reconnect.backoff.max.ms": 1_000,
            **properties_of(config.client_options),
        }
        if (give := token_callback(config.client_options, heard)) is not None:
            properties["oauth_cb"] = give
        self._client: Any = Client(properties, error_cb=heard.error, logger=heard)
        self.produce: Callable[..., None] = self._client.produce

    def connect(self, topic: str) -> None:
        """Wait for a broker to answer, whatever it says of a topic.

        Raises:
            KafkaConnectionError: None did.
        """
        with contextlib.suppress(Exception):
            self.partitions_for(topic, until=lambda: bool(self._seen.brokers))
        if not self._seen.brokers:
            raise KafkaConnectionError(f"no broker answered at {self._servers} within {self._wait_s:g} s")

    def partitions_for(self, topic: str, until: Callable[[], bool] = lambda: False) -> Collection[int]:
        """Return the partitions of a topic, asked for once; of those that are added, see `count_of`.

        Raises:
            Exception: kafka-python's, by the name of what is wrong.
        """
        known = self._partitions.get(topic)
        if known is not None:
            return known
        until_s = time.monotonic() + self._wait_s
        look_s = LOOK_S
        while True:
            try:
                told = self._client.list_topics(topic, timeout=look_s)
                self._seen = ClusterSeen(told.cluster_id, [f"{one.host}:{one.port}" for one in told.brokers.values()])
                found = told.topics[topic]
                if found.error is None and found.partitions:
                    self._partitions[topic] = tuple(found.partitions)
                    return self._partitions[topic]
                failure = (
                    KafkaConnectionError(f"no partitions of {topic}")
                    if found.error is None
                    else translated(found.error)
                )
            except KafkaException as exc:
                error = error_of(exc)
                if error is None:
                    raise
                failure = translated(error)
            self.ask()
            if time.monotonic() >= until_s or type(failure).__name__ not in _NOT_YET or until():
                raise failure
            time.sleep(LOOK_S / 3)
            look_s = min(2 * look_s, MOST_LOOK_S)

    def count_of(self, topic: str) -> int:
        """Return how many partitions of a topic librdkafka sends into by now; asks nobody."""
        if self._client is not None:
            self._has_news |= self._poll(0)
        return self._heard.counts.get(topic) or len(self._partitions[topic])

    def cluster_seen(self) -> ClusterSeen:
        """Return what the cluster says of itself, as far as it has said so yet."""
        return self._seen

    def ask(self, wait_s: float = 0.0) -> bool:
        """Have librdkafka call back for what it knows; True when that was anything."""
        is_news = self._poll(wait_s) or self._has_news
        self._has_news = False
        if self._misses_cause:
            self._misses_cause = False
            self.find_cause()
        return is_news

    def _poll(self, wait_s: float) -> bool:
        try:
            return bool(self._client.poll(wait_s))
        except KafkaException as exc:  # it has come to an end, which it says before what follows from that
            if (error := error_of(exc)) is not None:
                self.explain(error)
            with contextlib.suppress(KafkaException):
                self._client.poll(0)
            return True

    def explain(self, error: Any) -> Exception:
        """Return what an error of librdkafka's is; where it follows from another that no record can cause, that one.

        Also while librdkafka calls back.
        """
        if not follows_from_another(error):
            found = translated(error)
            self._cause = self._cause or found
            return found
        cause = self._cause
        if cause is None:
            self._misses_cause = True
            return translated(error)
        return cause if concerns_all(cause) else KafkaError(f"{error.str()}, after {cause}")

    def find_cause(self) -> None:
        """Wait a moment for the error that others follow from: it is on its way."""
        until_s = time.monotonic() + CAUSE_S
        while self._cause is None and time.monotonic() < until_s:
            self._poll(CAUSE_S / 10)

    def drop(self) -> None:
        """Give up everything, and end: what is not on the wire by now is not sent any more."""
        client, self._client = self._client, None
        self.produce = _given_up
        with contextlib.suppress(Exception):
            client.purge()
        until_s = time.monotonic() + PURGE_S
        while len(client) and time.monotonic() < until_s:  # else it would keep what it was given, for good
            with contextlib.suppress(KafkaException):
                client.poll(0.01)

    def disown(self) -> None:
        """In a forked child: never be collected, not even at its end. Ending the parent's threads would wait for ever."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._client))


def _given_up(*_record: object) -> None:
    raise ExportError("unavailable", "the producer was given up", retryable=True)
