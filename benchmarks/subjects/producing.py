"""Set-up that the sending subjects share: our pipeline, and a plain kafka-python producer with the same options.

`producer_options` repeats what `otel_feedback.exporters.kafka.exporter` gives its producer; a test compares the two.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from typing import Any

from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from benchmarks.children import BenchmarkError

__all__ = [
    "configure", "flush", "kafka_away", "kafka_config", "new_producer", "producer_options", "record", "require_acknowledged",
    "require_journal",
]  # fmt: skip

FLUSH_TIMEOUT_S = 240.0

_reserved: list[socket.socket] = []


def kafka_away() -> feedback.KafkaConfig:
    """Return our configuration by default, for a broker that will never be there."""
    # bound and never listening: connections are refused, and nobody else can get the port
    reserved = socket.socket()
    reserved.bind(("127.0.0.1", 0))
    _reserved.append(reserved)
    return feedback.KafkaConfig(bootstrap_servers=(f"127.0.0.1:{reserved.getsockname()[1]}",))


def kafka_config(given: Mapping[str, Any]) -> feedback.KafkaConfig:
    """Return our configuration by default, but for the broker, the topic, and what is given of compression and client."""
    return feedback.KafkaConfig(
        bootstrap_servers=tuple(given["bootstrap_servers"].split(",")),
        topic=given["topic"],
        **{name: given[name] for name in ("compression", "client", "sender") if name in given},
    )


def record(provider: TracerProvider, kafka: feedback.KafkaConfig | None, **settings: Any) -> feedback.FeedbackPipeline:
    """Return a pipeline on a provider, with Kafka as its one exporter, and so with the journal on disk; None: neither."""
    return feedback.configure(
        tracer_provider=provider, kafka=kafka, enable_outcome_logging=False, enable_otlp=False, **settings
    )


def configure(given: dict[str, Any]) -> feedback.FeedbackPipeline:
    """Return a pipeline by default, whose spans go nowhere."""
    return record(TracerProvider(), kafka_config(given))


def flush(pipeline: feedback.FeedbackPipeline, events: int) -> None:
    """Wait until this many events, and no other number, were acknowledged since the pipeline was made, from the disk.

    Raises:
        BenchmarkError: The account says otherwise.
    """
    flushed = pipeline.force_flush(FLUSH_TIMEOUT_S)
    account = pipeline.metrics()["exporters"]["kafka"]
    if not flushed or account["delivered"] != events or account["lost"] or account["pending"]:
        raise BenchmarkError(f"{events} events were to be delivered: {account}")
    require_journal(pipeline, "disk")


def require_journal(pipeline: feedback.FeedbackPipeline, kind: str) -> None:
    """Check where the journal is: one that fell back to memory costs less, and is not what is measured.

    Raises:
        BenchmarkError: It is not of this kind, or has a problem.
    """
    health = pipeline.metrics()["journal"]
    if health["kind"] != kind or health["problem"] is not None:
        raise BenchmarkError(f"the journal is to be on {kind}: {health}")


def producer_options(config: feedback.KafkaConfig) -> dict[str, Any]:
    """Return what our exporter gives its producer, as far as it bears on speed."""
    return {
        "bootstrap_servers": list(config.bootstrap_servers),
        "acks": "all",
        "enable_idempotence": True,
        "compression_type": None if config.compression == "none" else config.compression,
        "batch_size": config.producer_batch_bytes,
        "linger_ms": config.producer_linger_ms,
        "max_request_size": config.max_request_bytes,
        "metrics_enabled": False,
    }


def new_producer(config: feedback.KafkaConfig) -> Any:
    """Return a plain producer."""
    from kafka import KafkaProducer

    return KafkaProducer(**producer_options(config))


def require_acknowledged(futures: Iterable[Any]) -> None:
    """Check that the broker has acknowledged every record.

    Raises:
        BenchmarkError: One was not.
    """
    for future in futures:
        if not future.is_done or future.exception is not None:
            raise BenchmarkError(f"a record was not acknowledged: {future.exception}")
