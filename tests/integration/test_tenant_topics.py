"""A topic for each tenant, on a real broker: who goes where, in order; and what holds up nobody."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from otel_feedback.exporters.kafka import tenants
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker

FLUSH_S = 60


def configure(broker: KafkaBroker, base: str, **settings: Any) -> FeedbackPipeline:
    return feedback.configure(
        tracer_provider=TracerProvider(shutdown_on_exit=False),
        kafka_bootstrap_servers=broker.bootstrap_servers,
        kafka_outcome_topic=f"{base}.{{tenant}}",
        enable_kafka=True,
        **settings,
    )


def act(tenant: str | None, number: int) -> str:
    with feedback.action("step", run_id=f"run-{number % 3}", tenant_id=tenant, metadata={"n": number}) as done:
        pass
    return done.event_id


def events_on(broker: KafkaBroker, topic: str) -> list[feedback.OutcomeEvent]:
    """Return the events of a topic; those of a run in their order there."""
    records = kafka_clients.read_to_end(broker.bootstrap_servers, topic)
    return [feedback.OutcomeEvent.from_json(record.value or b"") for record in records]


def numbers(events: list[feedback.OutcomeEvent], run: str) -> list[Any]:
    return [event.metadata["n"] for event in events if event.run_id == run]


@pytest.mark.usefixtures("either_line")
def test_each_tenant_has_a_topic_of_its_own(kafka_broker: KafkaBroker) -> None:
    base = f"outcomes-{uuid.uuid4().hex[:12]}"
    pipeline = configure(kafka_broker, base)
    names = ["acme", "Globex_2", None, "no such.name", "x" * 240]
    sent = {act(names[n % 5], n): names[n % 5] for n in range(300)}
    assert pipeline.force_flush(FLUSH_S), pipeline.metrics()
    found: dict[str, str | None] = {}
    for topic, expected in ((f"{base}.acme", {"acme"}), (f"{base}.Globex_2", {"Globex_2"}), (base, {None, *names[3:]})):
        events = events_on(kafka_broker, topic)
        assert {event.tenant_id for event in events} == expected
        found |= {event.event_id: event.tenant_id for event in events}
        for run in ("run-0", "run-1", "run-2"):
            assert (steps := numbers(events, run)) == sorted(steps)
    assert found == sent
    assert pipeline.metrics()["exporters"]["kafka"]["redirected"] == {"name": 120, "limit": 0}


@pytest.mark.usefixtures("client")
def test_tenants_that_are_too_many_share_a_topic(kafka_broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in what tenants are called makes no more topics than so many; one that is there is used all the same."""
    monkeypatch.setattr(tenants, "MOST_TOPICS", 3)
    base = f"outcomes-{uuid.uuid4().hex[:12]}"
    kafka_broker.create_topic(f"{base}.late", 1)
    pipeline = configure(kafka_broker, base, kafka_sender="thread")  # whose limit was changed here
    for number in range(40):
        act(f"t{number}", number)
    act("late", 0)
    assert pipeline.force_flush(FLUSH_S), pipeline.metrics()
    assert pipeline.metrics()["exporters"]["kafka"]["redirected"] == {"name": 0, "limit": 38}
    assert len(events_on(kafka_broker, base)) == 38
    assert len(events_on(kafka_broker, f"{base}.late")) == 1
