"""Events that are too large for Kafka, on a real broker: with less text they arrive, flagged, in order, and alone so."""

from __future__ import annotations

import json
import os
import random
import time
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from otel_feedback.exporters.kafka.producer import partitioner
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.integration.test_kafka import new_topic
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.slow_proxy import SlowProxy
from tests.stack.waiting import wait_until

pytestmark = pytest.mark.usefixtures("client")
FLAGS = "otel_feedback.truncated"


def configure(broker: KafkaBroker, topic: str, servers: str | None = None, /, **config: Any) -> FeedbackPipeline:
    """Send uncompressed: how large a compressed batch is depends on its neighbours."""
    return feedback.configure(
        tracer_provider=TracerProvider(shutdown_on_exit=False),
        kafka=feedback.KafkaConfig(
            bootstrap_servers=(servers or broker.bootstrap_servers,),
            topic=topic,
            compression="none",
            client=os.environ["KAFKA_CLIENT"],
            sender=os.environ.get("KAFKA_SENDER", "thread"),
            **config,
        ),
        enable_outcome_logging=False,
    )


def event(step: int, run: str, **fields: Any) -> feedback.OutcomeEvent:
    metadata = {"step": step, **fields.pop("metadata", {})}
    return feedback.OutcomeEvent(
        event_id=f"{run}-{step}", action_type="tool", status=feedback.OutcomeStatus.FAILURE, run_id=run,
        metadata=metadata, **fields,
    )  # fmt: skip


def account(pipeline: FeedbackPipeline) -> tuple[int, int, dict[str, int]]:
    kafka = pipeline.metrics()["exporters"]["kafka"]
    return kafka["delivered"], kafka["pending"], kafka["lost"]


def read(broker: KafkaBroker, topic: str) -> list[kafka_clients.Record]:
    """Return what is in the topic; a repeat is dropped where it comes after its original, and only there."""
    first: dict[tuple[int, bytes], kafka_clients.Record] = {}
    for record in kafka_clients.read_to_end(broker.bootstrap_servers, topic):
        first.setdefault((record.partition, dict(record.headers)["sequence"]), record)
    return list(first.values())


HUGE = 'Traceback: "\n😀\x00' * 1_500  # 16,384 characters and more is what capture leaves; in JSON this is 36 KB


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param({"broker": "6000"}, id="the broker refuses"),
        pytest.param({"client": 6_000}, id="the client refuses"),
        pytest.param({"broker": "4000", "client": 20_000}, id="the client refuses, then the broker"),
    ],
)
def test_huge_stack_traces_arrive_trimmed_among_their_neighbours(
    limits: dict[str, Any], kafka_broker: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    broker_limit = {"max_message_bytes": limits["broker"]} if "broker" in limits else {}
    client_limit = {"max_request_bytes": limits["client"]} if "client" in limits else {}
    topic = new_topic(kafka_broker, partitions=3, **broker_limit)
    pipeline = configure(kafka_broker, topic, batch_size=20, **client_limit)
    recorded = [
        event(step, f"run-{step % 4}", stack_trace=HUGE if step % 13 == 5 else "short", error_message="it broke")
        for step in range(80)
    ]
    for one in recorded:
        assert pipeline.record_outcome(one)
    assert pipeline.force_flush(60) is True, pipeline.metrics()
    assert account(pipeline) == (80, 0, {})

    records = read(kafka_broker, topic)
    assert len(records) == 80
    steps: dict[str, list[int]] = {}
    for record in records:
        arrived = feedback.OutcomeEvent.from_json(record.value or b"")
        step: Any = arrived.metadata["step"]
        original = recorded[step]
        steps.setdefault(arrived.run_id or "", []).append(step)
        headers = dict(record.headers)
        assert (record.key, headers["sequence"]) == (original.run_id.encode(), str(step).encode())  # type: ignore[union-attr]
        assert headers["ce_id"] == original.event_id.encode()
        if step % 13 == 5:
            assert arrived.metadata == {"step": step, FLAGS: ["stack_trace"]}
            assert arrived.stack_trace
            assert HUGE.endswith(arrived.stack_trace), "the end is what says the cause"
            assert {**arrived.to_dict(), "stack_trace": None, "metadata": None} == {
                **original.to_dict(), "stack_trace": None, "metadata": None,
            }  # fmt: skip
        else:
            assert arrived == original, "a neighbour is untouched"
    assert steps == {f"run-{run}": list(range(run, 80, 4)) for run in range(4)}, "and in order"
    assert "is sent with less text" in caplog.text
    assert "Traceback" not in caplog.text, "no content in the log"


@pytest.mark.parametrize("client", ["confluent"], indirect=True)
@pytest.mark.parametrize("sender", ["thread", "process"])
def test_nothing_overtakes_what_is_refused_first(
    sender: str, kafka_broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every eighth, which is too large, a producer begins of which the broker knows nothing, and the next are there already.

    The broker would take those: librdkafka does not always throw away in time what it has ready to be sent.
    """
    monkeypatch.setenv("KAFKA_SENDER", sender)
    topic = new_topic(kafka_broker, partitions=1, max_message_bytes="3000")
    pipeline = configure(kafka_broker, topic, producer_linger_ms=0)
    for step in range(96):
        text = random.Random(step).randbytes(4_000).hex() if step % 8 == 0 else "short"
        assert pipeline.record_outcome(event(step, "one", stack_trace=text))
    assert pipeline.force_flush(60) is True, pipeline.metrics()
    arrived = [json.loads(record.value or b"")["metadata"]["step"] for record in read(kafka_broker, topic)]
    assert arrived == list(range(96))


@pytest.mark.parametrize("client", ["confluent"], indirect=True)
def test_nothing_overtakes_what_is_refused_after_the_broker_has_forgotten_its_producer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It does after a day in which a partition got nothing. Here after a moment, and we rely on it for less than that."""
    monkeypatch.setattr("otel_feedback.exporters.kafka.confluent.first.KNOWN_S", 0.1)
    forgetting = {"producer.id.expiration.ms": "500", "producer.id.expiration.check.interval.ms": "100"}
    with KafkaBroker.launch_own(forgetting) as broker:
        topics = [new_topic(broker, partitions=1, max_message_bytes="3000") for _ in range(3)]
        for topic in topics:
            pipeline = configure(broker, topic, producer_linger_ms=0, producer_batch_bytes=2_500)
            assert pipeline.record_outcome(event(0, "one"))
            assert pipeline.force_flush(60) is True
            wait_until(
                lambda name=topic: kafka_clients.producers_known(broker.bootstrap_servers, name) == 0,
                timeout_s=30, what="the broker to forget the producer",
            )  # fmt: skip
            for step in range(1, 20):
                text = random.Random(step).randbytes(4_000).hex() if step == 1 else "short"
                assert pipeline.record_outcome(event(step, "one", stack_trace=text))
            assert pipeline.force_flush(60) is True, pipeline.metrics()
            assert pipeline.shutdown(10) is True
        for topic in topics:
            arrived = [json.loads(record.value or b"")["metadata"]["step"] for record in read(broker, topic)]
            assert arrived == list(range(20))


@pytest.mark.parametrize("client", ["confluent"], indirect=True)
def test_the_first_into_a_partition_goes_alone_also_where_that_was_added(kafka_broker: KafkaBroker) -> None:
    """Else what follows could pass it when it is refused. By the topic's clock, all of a batch have the same date."""
    dated = {"message_timestamp_type": "LogAppendTime"}
    topic = new_topic(kafka_broker, partitions=1, **dated)
    pipeline = configure(kafka_broker, topic, producer_linger_ms=100, client_options={"metadata_max_age_ms": 300})
    assert pipeline.record_outcome(event(0, "known"))
    assert pipeline.force_flush(60) is True
    kafka_clients.add_partitions(kafka_broker.bootstrap_servers, topic, 3)
    probe, run = run_into(1, 3), run_into(2, 3)
    wait_until(lambda: is_led_to(probe, 1, pipeline, kafka_broker, topic), timeout_s=30, what="them to be noticed")
    for step in range(20):
        assert pipeline.record_outcome(event(step, run))
    assert pipeline.force_flush(60) is True
    arrived = [record for record in read(kafka_broker, topic) if record.partition == 2]
    assert [json.loads(record.value or b"")["metadata"]["step"] for record in arrived] == list(range(20))
    dates = [record.timestamp_ms for record in arrived]
    assert dates[0] < dates[1]
    assert len(set(dates)) < 20, "those behind it need not"


@pytest.mark.parametrize("client", ["confluent"], indirect=True)
def test_runs_stay_in_order_where_partitions_are_added_while_records_wait_for_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Here some always do. Of a run that leads elsewhere then, what waits is not overtaken in its new partition."""
    monkeypatch.setattr("otel_feedback.exporters.kafka.confluent.first.KNOWN_S", 0.05)
    with SlowProxy(delay_s=0.03) as proxy, KafkaBroker.launch_own(proxy.slow_listener()) as broker:
        topic = new_topic(broker, partitions=1)
        pipeline = configure(broker, topic, proxy.address, client_options={"metadata_max_age_ms": 300})
        count, step = 1, 0
        until_s, added_s = time.monotonic() + 4, time.monotonic()
        while time.monotonic() < until_s:
            for run in range(10):
                assert pipeline.record_outcome(event(step, f"run-{run}"))
            step += 1
            time.sleep(0.002)
            if time.monotonic() > added_s + 0.4:
                count, added_s = count + 1, time.monotonic()
                kafka_clients.add_partitions(broker.bootstrap_servers, topic, count)
        assert pipeline.force_flush(60) is True, pipeline.metrics()
        steps: dict[tuple[str, int], list[int]] = {}
        for record in read(broker, topic):
            value = json.loads(record.value or b"")
            steps.setdefault((value["run_id"], record.partition), []).append(value["metadata"]["step"])
        assert sum(map(len, steps.values())) == 10 * step
        assert [place for place, its in steps.items() if its != sorted(its)] == [], "out of order"
        assert len({partition for _, partition in steps}) > 3


def run_into(partition: int, count: int) -> str:
    """Return a run whose events go into a partition of so many."""
    place = partitioner(range(count))
    return next(run for n in range(1_000) if place((run := f"run-{n}").encode()) == partition)


def is_led_to(run: str, partition: int, pipeline: FeedbackPipeline, broker: KafkaBroker, topic: str) -> bool:
    """Send an event of a run, and tell whether it went into this partition."""
    assert pipeline.record_outcome(event(0, run))
    assert pipeline.force_flush(60) is True
    return kafka_clients.end_offset(broker.bootstrap_servers, topic, partition) > 0


def test_an_action_with_all_its_text_at_the_limits(kafka_broker: KafkaBroker) -> None:
    """Everything that an action may carry: 16 KB of stack, 64 keys of 4 KB, 64 tags: a quarter of a megabyte."""
    topic = new_topic(kafka_broker, partitions=1, max_message_bytes="16000")
    pipeline = configure(kafka_broker, topic)
    metadata = {f"key-{i}": "é" * 4_096 for i in range(63)}
    with (
        pytest.raises(ValueError, match="x" * 99),
        feedback.action("tool", run_id="r", tags=[f"{i}-{'t' * 200}" for i in range(64)], metadata=metadata),
    ):
        raise ValueError("x" * 50_000)
    assert pipeline.force_flush(60) is True, pipeline.metrics()
    [record] = read(kafka_broker, topic)
    arrived = feedback.OutcomeEvent.from_json(record.value or b"")
    flags: Any = arrived.metadata[FLAGS]
    assert set(flags) == {"stack_trace", "error_message", "tags", *(f"metadata.{key}" for key in metadata)}
    assert len(flags) == len(set(flags)), "error_message and stack_trace were flagged before"
    assert arrived.metadata.keys() == {*metadata, FLAGS}


@pytest.mark.parametrize("limit", ["broker", "client"])
def test_what_is_large_without_text_is_refused_and_its_neighbours_arrive(limit: str, kafka_broker: KafkaBroker) -> None:
    """Numbers are never cut: a cut one would be a wrong one."""
    topic = new_topic(kafka_broker, partitions=1, **({"max_message_bytes": "4000"} if limit == "broker" else {}))
    pipeline = configure(kafka_broker, topic, **({"max_request_bytes": 4_000} if limit == "client" else {}))
    numbers = {f"key-{i}": [10**15] * 64 for i in range(8)}
    for step in range(12):
        extra = {"metadata": numbers, "stack_trace": HUGE} if step in (3, 7) else {}
        assert pipeline.record_outcome(event(step, "one", **extra))
    assert pipeline.force_flush(60) is False, "two were not acknowledged"
    assert account(pipeline) == (10, 0, {"too_large": 2})
    records = read(kafka_broker, topic)
    arrived = [json.loads(record.value or b"") for record in records]
    assert [one["metadata"] for one in arrived] == [{"step": step} for step in range(12) if step not in (3, 7)]


def test_tags_go_last(kafka_broker: KafkaBroker) -> None:
    topic = new_topic(kafka_broker, partitions=1, max_message_bytes="3000")
    pipeline = configure(kafka_broker, topic)
    tags = tuple(f"{i}-{'t' * 100}" for i in range(64))
    assert pipeline.record_outcome(event(0, "r", tags=tags, error_message="m" * 4_000))
    assert pipeline.force_flush(60) is True
    [record] = read(kafka_broker, topic)
    arrived = feedback.OutcomeEvent.from_json(record.value or b"")
    assert arrived.error_message == ""
    assert arrived.tags == tags[: len(arrived.tags)]
    assert 0 < len(arrived.tags) < 64
    assert arrived.metadata == {"step": 0, FLAGS: ["error_message", "tags"]}
