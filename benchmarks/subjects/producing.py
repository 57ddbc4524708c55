"""Set-up that the sending subjects share: our pipeline, and a plain kafka-python producer with the same options.

`producer_options` repeats what `otel_feedback.exporters.kafka.exporter` gives its producer; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from benchmarks.children import BenchmarkError

__all__ = ["configure", "flush", "new_producer", "producer_options", "require_acknowledged", "require_journal"]

FLUSH_TIMEOUT_S = 240.0


def kafka_config(given: dict[str, Any]) -> feedback.KafkaConfig:
    """Return our configuration by default, but for the broker, the topic and the compression."""
    return feedback.KafkaConfig(
        bootstrap_servers=tuple(given["bootstrap_servers"].split(",")),
        topic=given["topic"],
        compression=given["compression"],
    )


def configure(given: dict[str, Any]) -> feedback.FeedbackPipeline:
    """Return a pipeline by default, with the journal on disk and Kafka as its one exporter; spans go nowhere."""
    return feedback.configure(
        tracer_provider=TracerProvider(),
        kafka=kafka_config(given),
        enable_outcome_logging=False,
        enable_otlp=False,
    )


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
