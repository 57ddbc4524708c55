"""A broker that hangs or dies in the middle and comes back: everything arrives, in order per run, and is accounted for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.fault.stream import Stream, account, assert_everything_arrived, configure, give_up_after
from tests.stack.kafka import KafkaBroker
from tests.stack.waiting import wait_until

pytestmark = pytest.mark.usefixtures("client")
TOPIC = "agent-outcomes"


@pytest.fixture
def broker() -> Iterator[KafkaBroker]:
    with KafkaBroker.launch_own() as started:
        started.create_topic(TOPIC, partitions=3)
        yield started


def pause(broker: KafkaBroker, seconds: float) -> Callable[[], None]:
    broker.pause()
    time.sleep(seconds)
    return broker.resume


def kill(broker: KafkaBroker) -> Callable[[], None]:
    broker.kill()
    time.sleep(1)
    return broker.start


@pytest.mark.parametrize(
    "fail",
    [
        pytest.param(partial(pause, seconds=2), id="pauses for 2 s"),
        # past the 30 s after which the client stops waiting for an answer to its request
        pytest.param(partial(pause, seconds=32), id="pauses for 32 s"),
        pytest.param(kill, id="dies"),
    ],
)
def test_nothing_is_lost_and_runs_stay_in_order(
    fail: Callable[[KafkaBroker], Callable[[], None]], broker: KafkaBroker
) -> None:
    pipeline = configure(broker.bootstrap_servers, TOPIC, kafka_compression="zstd")
    with Stream() as stream:
        stream.wait_for_steps(100)
        bring_back = fail(broker)
        stream.wait_for_steps(10)
        assert account(pipeline)["pending"] > 0, "the fault was felt"
        bring_back()
        stream.wait_for_steps(100)
    assert_everything_arrived(pipeline, stream, broker.bootstrap_servers, TOPIC)
    assert pipeline.shutdown(10) is True


def test_a_pause_longer_than_the_worker_waits_sends_again_what_is_in_flight(
    broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker has the first copy in its socket and writes it when it goes on: repeats, and still in order."""
    give_up_after(1.0, monkeypatch)
    pipeline = configure(broker.bootstrap_servers, TOPIC)
    with Stream() as stream:
        stream.wait_for_steps(100)
        wait_until(lambda: account(pipeline)["delivered"] > 0, timeout_s=30, what="something to be delivered")
        bring_back = pause(broker, seconds=3)
        kafka = account(pipeline)
        assert kafka["retries"] > 0
        assert kafka["last_error"] is not None
        bring_back()
        stream.wait_for_steps(100)
    arrived = assert_everything_arrived(pipeline, stream, broker.bootstrap_servers, TOPIC)
    assert arrived.repeats > 0, "otherwise this test does not show what it is for"
    assert pipeline.shutdown(10) is True
