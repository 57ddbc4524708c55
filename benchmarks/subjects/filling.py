"""A process that fills a journal on disk for a Kafka that it never reaches, and waits to be killed.

It does what a pipeline does, without the actions: the note of each start, the event, and every 100 ms or so the keeper's
work. The cursor is that of the exporter which will deliver.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.children import arguments, serve
from benchmarks.subjects.producing import kafka_config
from benchmarks.subjects.workload import same_events
from otel_feedback.events.codec import encode
from otel_feedback.events.model import epoch_us
from otel_feedback.events.started import StartedAction
from otel_feedback.exporters.kafka.exporter import KafkaExporter
from otel_feedback.journal.disk import DiskJournal
from otel_feedback.settings.settings import get_settings

__all__ = ["fill"]

EVENTS_A_TICK = 4_000
_KNOWN_AT_START: Mapping[str, object] = {
    "outcome.action_type": "reasoning", "gen_ai.agent.name": "react_agent", "outcome.agent_type": "react",
    "outcome.metadata.client": "acme", "outcome.workflow_id": "wf-1", "outcome.tags": ("customer",),
}  # fmt: skip


def fill(journal: DiskJournal, count: int, began_s: float) -> None:
    """Append this many events."""
    for number, event in enumerate(same_events(count, began_s), 1):
        key = event.run_id or ""
        start_ns = epoch_us(event.timestamp) * 1_000
        attributes = {**_KNOWN_AT_START, "outcome.run_id": key}
        journal.note_start(StartedAction(event.event_id, start_ns, key, attributes, sampled=True))
        journal.append(key, encode(event), event, sampled=True)
        if number % EVENTS_A_TICK == 0:
            journal.tend()
    journal.tend()


def _main() -> None:
    given = arguments()
    settings = get_settings(kafka=kafka_config(given))
    journal = DiskJournal(settings.journal_dir, service_name=settings.service_name)
    exporter = KafkaExporter(settings.kafka)
    journal.cursor(exporter.name, exporter.destination, durable=exporter.durable)

    def answer(_request: Mapping[str, Any]) -> Mapping[str, Any]:
        fill(journal, given["events"], given["began_s"])
        health = journal.health()
        return {"producer_id": journal.origin.producer_id, "bytes": health.bytes, "problem": health.problem}

    serve(answer)


if __name__ == "__main__":
    _main()
