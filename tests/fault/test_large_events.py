"""Large events while a broker hangs, and when it goes on: what is on its way is bounded by its bytes, in either process."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

import otel_feedback as feedback
from tests.fault.stream import Step, account, arrivals, configure
from tests.senders import senders
from tests.stack.kafka import KafkaBroker

TEXT = "what the agent has read, and what it has made of that; " * 72
TEXTS = 60
EVENTS = 900
"""Of 250 KB each: more than 200 MB."""

MOST_MB = 160
"""32 MB are on their way, and are there several times: packed, as events, and in the client's batches. Of all it would be 320 to 460."""


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaBroker]:
    with KafkaBroker.launch_own() as started:
        yield started


def peak_mb(process: int | str = "self") -> float:
    """Return the most memory that a process ever had, in megabytes."""
    lines = Path(f"/proc/{process}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1_024 / 1e6


def wait_until_still() -> None:
    """Return when this process and its senders take no more memory than half a second ago."""
    before, now = 0.0, 1.0
    while now > before:
        time.sleep(0.5)
        before, now = now, sum(map(peak_mb, ["self", *senders(os.getpid())]))


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("sender", ["thread", "process"])
def test_what_waits_is_on_disk_and_not_in_memory(client: str, sender: str, broker: KafkaBroker) -> None:
    topic = f"large-{uuid.uuid4().hex[:8]}"
    broker.create_topic(topic, 3)
    pipeline = configure(
        broker.bootstrap_servers,
        topic,
        kafka_client=client,
        kafka_sender=sender,
        ring_size=1,
        event_max_bytes=1_000_000,
    )
    with feedback.action("step", run_id="first") as act:
        pass
    sent = {act.event_id: Step("first", 0)}
    assert pipeline.force_flush(60), account(pipeline)
    Path("/proc/self/clear_refs").write_text("5", "utf-8")  # the peak begins anew
    before_mb = [peak_mb(), *map(peak_mb, senders(os.getpid()))]
    broker.pause()
    try:
        for number in range(EVENTS):
            metadata: dict[str, feedback.MetadataValue] = {f"text {at}": f"{number} {TEXT}" for at in range(TEXTS)}
            with feedback.action("step", run_id=f"run-{number % 7}", metadata=metadata) as act:
                pass
            sent[act.event_id] = Step(f"run-{number % 7}", number)
        wait_until_still()
    finally:
        broker.resume()
    assert pipeline.force_flush(120), account(pipeline)
    after_mb = [peak_mb(), *map(peak_mb, senders(os.getpid()))]
    grown_mb = [round(after - before) for before, after in zip(before_mb, after_mb, strict=True)]
    print(f"\ngrown by {grown_mb} MB")
    assert len(grown_mb) == (2 if sender == "process" else 1)
    assert max(grown_mb) < MOST_MB
    kafka = account(pipeline)
    assert (kafka["delivered"], kafka["pending"], kafka["lost"]) == (len(sent), 0, {})
    assert arrivals(sent, broker.bootstrap_servers, topic).missing == frozenset()
    assert pipeline.shutdown(20) is True
