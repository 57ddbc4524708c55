"""Where rules look that ask for windows alone: the rows that a streaming job keeps up to date on `agent-metrics`.

    agent-metrics ──► the newest row of each key, in memory ──► a table `metrics` ──► rules ──► Observations

A window is looked at once a later one has begun, or the job has had nothing to write for a while; what comes later changes it
while it is recent. Whether the job still runs nobody can tell from its rows. For one thread, which waits for Kafka.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

from otel_feedback.downstream.alerts.looking import Failed
from otel_feedback.downstream.alerts.observing import Observation, is_metered, moments_of, observe, reach_s
from otel_feedback.downstream.alerts.rules import AlertFile, Rule
from otel_feedback.downstream.objectives.alerting import ObjectiveRule
from otel_feedback.downstream.tables.columns import struct_of
from otel_feedback.downstream.tables.tables import SourceError, Tables, quoted
from otel_feedback.downstream.topic.reading import open_reader
from otel_feedback.errors import FeedbackError, describe
from otel_feedback.settings.kafka import KafkaConfig

__all__ = ["METRICS_TOPIC", "MetricsTopic", "blind_to_windows"]

METRICS_TOPIC = "agent-metrics"
_COLUMNS = {
    "window_start": "TIMESTAMP WITH TIME ZONE", "tenant_id": "VARCHAR", "agent_name": "VARCHAR", "action_type": "VARCHAR",
    "executions": "BIGINT", "failures": "BIGINT", "timeouts": "BIGINT", "p50_latency_ms": "DOUBLE", "p95_latency_ms": "DOUBLE",
    "p99_latency_ms": "DOUBLE", "cost": "DOUBLE", "avg_quality": "DOUBLE", "quality_count": "BIGINT",
}  # fmt: skip


class _Row(msgspec.Struct):
    """What is looked at of a row before all rows are."""

    window_start: datetime


def blind_to_windows(file: AlertFile) -> list[Rule]:
    """Return the rules of which windowed figures say nothing, or not all."""
    return [rule for rule in file.rules if isinstance(rule, ObjectiveRule) or not is_metered(rule)]


class MetricsTopic:
    """The rows of a topic, of each key the newest.

    Args:
        config: Where Kafka is.
        topic: Which, as the jobs `windows` and `alerts` write it.
    """

    def __init__(self, config: KafkaConfig, topic: str = METRICS_TOPIC) -> None:
        self._config = config
        self._topic = topic
        self._read: dict[Any, int] = {}
        self._rows: dict[bytes, tuple[datetime, bytes]] = {}
        self._written = datetime.fromtimestamp(0, timezone.utc)

    def __str__(self) -> str:
        return f"the topic {self._topic}"

    def look(self, file: AlertFile, now: datetime, failed: Failed | None = None) -> list[Observation]:
        """Return what the rules see of windows that ended lately.

        Args:
            file: The rules; those of `blind_to_windows()` see nothing.
            now: The time.
            failed: Called with a rule that sees nothing, and why; the others go on. None: it is raised.

        Raises:
            SourceError: The topic cannot be read.
        """
        rules = [rule for rule in file.rules if is_metered(rule) and not isinstance(rule, ObjectiveRule)]
        self._read_on()
        settings = file.settings
        reach_of = max((reach_s(rule, settings) for rule in rules), default=0.0)
        self._forget(now - timedelta(seconds=reach_of + settings.recent))
        after, until = now - timedelta(seconds=settings.recent), now - timedelta(seconds=settings.settle)
        if self._written > until:  # more may be on its way
            until = min(until, max((start for start, _ in self._rows.values()), default=until))
        moments = {rule.name: moments_of(rule, after, until) for rule in rules}
        seen: list[Observation] = []
        with Tables() as tables:
            self._fill(tables)
            for rule in rules:
                at = moments[rule.name]
                if at is None:
                    continue
                try:
                    seen += observe(tables, rule, settings, at, of_windows=True)
                except Exception as exc:
                    if failed is None:
                        raise
                    failed(rule, exc)
        return seen

    def _read_on(self) -> None:
        """Read what came since the last time."""
        try:
            with open_reader(self._config, "alerts", lambda *_: None) as reader:
                partitions = reader.partitions(self._topic)
                first = reader.starts(partitions)
                starts = {place: max(first[place], self._read.get(place, 0)) for place in partitions}
                for record in reader.read(partitions, starts):
                    self._take(record.key or b"", record.value, record.timestamp)
                    self._read[type(partitions[0])(record.topic, record.partition)] = record.offset + 1
        except FeedbackError as exc:
            raise SourceError(str(exc)) from exc
        except Exception as exc:  # kafka-python's
            raise SourceError(f"cannot read {self}: {describe(exc)}") from exc

    def _take(self, key: bytes, value: bytes | None, timestamp_ms: int) -> None:
        self._written = max(self._written, datetime.fromtimestamp(timestamp_ms / 1e3, timezone.utc))
        self._rows.pop(key, None)
        if value is not None:
            try:
                start = msgspec.json.decode(value, type=_Row).window_start
            except msgspec.MsgspecError:
                return  # none of a job's
            self._rows[key] = (start, value)

    def _forget(self, before: datetime) -> None:
        self._rows = {key: row for key, row in self._rows.items() if row[0] >= before}

    def _fill(self, tables: Tables) -> None:
        lines = tables.folder / "metrics"
        lines.write_bytes(b"".join(value + b"\n" for _, value in self._rows.values()))
        tables.connection.execute(
            f"CREATE TABLE metrics AS SELECT * FROM read_json({quoted(str(lines))}, format='newline_delimited',"
            f" columns={struct_of(_COLUMNS)})"
        )
