"""A broker behind a slow line: events wait in the journal, the agent does not wait, and everything arrives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fault.stream import (
    SLOWER_AT_MOST,
    Stream,
    account,
    assert_everything_arrived,
    configure,
    median_without_kafka_s,
)
from tests.stack.kafka import KafkaBroker
from tests.stack.slow_proxy import SlowProxy

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


def test_the_agent_goes_on_at_its_pace_and_everything_arrives(proxy: SlowProxy, broker: KafkaBroker) -> None:
    """Medians of interleaved rounds: with the slow broker against with Kafka switched off."""
    off_s: list[float] = []
    slow_s: list[float] = []
    for round_ in range(ROUNDS):
        off_s.append(median_without_kafka_s(STEPS, PAUSE_S))
        topic = f"round-{round_}"
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
