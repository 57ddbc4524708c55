"""A broker behind a slow line: events wait in the journal, the agent does not wait, and everything arrives."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

import otel_feedback as feedback
from tests.fault.stream import (
    DELIVERY_TIMEOUT_S,
    SLOWER_AT_MOST,
    Stream,
    account,
    assert_everything_arrived,
    configure,
    give_up_after,
    median_without_kafka_s,
)
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.slow_proxy import SlowProxy

pytestmark = pytest.mark.usefixtures("client")
ROUNDS = 2
STEPS = 60
PAUSE_S = 0.02


@pytest.fixture
def proxy() -> Iterator[SlowProxy]:
    with SlowProxy(delay_s=0.2, bytes_per_s=50_000) as started:
        yield started


@pytest.fixture
def broker(proxy: SlowProxy) -> Iterator[KafkaBroker]:
    with KafkaBroker.launch_own(proxy.slow_listener()) as started:
        yield started


def test_the_agent_goes_on_at_its_pace_and_everything_arrives(
    proxy: SlowProxy, broker: KafkaBroker, client: str
) -> None:
    """Medians of interleaved rounds: with the slow broker against with Kafka switched off."""
    off_s: list[float] = []
    slow_s: list[float] = []
    for round_ in range(ROUNDS):
        off_s.append(median_without_kafka_s(STEPS, PAUSE_S))
        topic = f"round-{round_}-{client}"
        broker.create_topic(topic, partitions=3)
        forwarded_bytes = proxy.forwarded_bytes
        pipeline = configure(proxy.address, topic)
        with Stream(pause_s=PAUSE_S) as stream:
            stream.wait_for_steps(STEPS)
            while not account(pipeline)["delivered"]:
                stream.wait_for_steps(1)
            stream.wait_for_steps(STEPS)
        slow_s.append(stream.median_s)
        assert account(pipeline)["pending"] > 0, "the line is slow"
        assert_everything_arrived(pipeline, stream, broker.bootstrap_servers, topic)
        assert pipeline.shutdown(10) is True
        assert proxy.forwarded_bytes - forwarded_bytes > 10 * len(stream.sent), "they went along the slow line"
    ratio = min(slow_s) / min(off_s)
    print(f"\naction with a slow broker / with Kafka off: {ratio:.2f}")
    assert ratio < SLOWER_AT_MOST, (slow_s, off_s)


def test_what_does_not_get_through_in_time_goes_in_smaller_batches(
    proxy: SlowProxy, broker: KafkaBroker, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full batch takes longer than the worker waits for it. A tenth of the time, on a line as much wider, is the same."""
    proxy.delay_s, proxy.bytes_per_s = 0.02, 100_000
    give_up_after(2.0, monkeypatch)
    topic = f"narrow-{client}"
    broker.create_topic(topic, partitions=1)
    pipeline = configure(proxy.address, topic, kafka_compression="none")
    events = 1_500
    for number in range(events):
        with feedback.action("step", run_id="one", metadata={"step": number, "text": "x" * 500}):
            pass
    assert pipeline.force_flush(DELIVERY_TIMEOUT_S * 4) is True, account(pipeline)
    kafka = account(pipeline)
    records = kafka_clients.read_to_end(broker.bootstrap_servers, topic)
    steps = list(dict.fromkeys(json.loads(record.value or b"")["metadata"]["step"] for record in records))
    assert steps == list(range(events)), "all, in order"
    print(f"\n{len(records) - events} sent twice, {kafka['retries']} retries")
    assert kafka["retries"] > 0, "otherwise this test does not show what it is for"
    assert kafka["retries"] <= 12
    assert len(records) < 2 * events
    proxy.bytes_per_s = None
    assert pipeline.shutdown(10) is True
