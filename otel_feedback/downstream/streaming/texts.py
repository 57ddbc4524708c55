"""The text of a job, as a SQL client of Flink takes it: settings, the topic as a table, the store's views, where rows go.

    a job's file in jobs/ ─┐
    parts/, views/*.sql ───┼──► text() ──► a script for sql-client.sh
    Options ───────────────┘

The SELECTs are those of the store (`tables/views/`), to the letter. Pure; safe on any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import NamedTuple

from otel_feedback.downstream.alerts.reading import read
from otel_feedback.downstream.contract.schemas import flink_columns
from otel_feedback.downstream.streaming.jars import FLINK, JARS
from otel_feedback.downstream.tables.tables import WINDOW_S, quoted, text_of
from otel_feedback.errors import ConfigError
from otel_feedback.events.fields import FIELDS
from otel_feedback.events.model import SCHEMA_VERSION, OutcomeStatus
from otel_feedback.exporters.kafka.topics import is_per_tenant, shared_topic, topics_pattern

__all__ = ["JOBS", "MARGIN_S", "REFUSED_TOPIC", "Job", "Options", "text"]

REFUSED_TOPIC = "agent-metrics-refused"
MARGIN_S = 3_600
"""How much longer than the oldest event state is kept, beside a window: clocks of producers that are ahead, and mini-batches."""
LOOK_S = 10
"""How often to look for topics of new tenants."""
_HERE = Path(__file__).parent
_NAMES = tuple(f"`{field.name}`" for field in FIELDS)
_AS_READ = {"`revision`": "COALESCE(`revision`, 1) AS `revision`"}  # as the store reads it


class Job(NamedTuple):
    """A job, and the topic that its rows go to."""

    meaning: str
    topic: str
    parts: tuple[str, ...] = ()
    """Files of `parts/` between the topic and the job's own."""


JOBS: Mapping[str, Job] = MappingProxyType(
    {
        "windows": Job("the store's windows", "agent-metrics", ("metrics",)),
        "outcomes_latest": Job("how each action ended", "agent-outcomes-latest"),
        "alerts": Job("windows, with the default rules that hold in them", "agent-metrics", ("metrics",)),
    }
)


class Options(NamedTuple):
    """What can be chosen of a job.

    `retention_s` is how long producers' journals keep an event, and so how late it may come; `ttl_s` how long Flink keeps
    state; both in seconds. `kafka` are options of Kafka's Java clients, `settings` of Flink, both over those of the job.
    """

    bootstrap_servers: str
    topic: str = "agent-outcomes"
    sink: str | None = None
    refused: str = REFUSED_TOPIC
    window_s: int = WINDOW_S
    ttl_s: int = 8 * 86_400
    retention_s: float = 7 * 86_400
    latency_s: float = 2.0
    checkpoint_s: float = 30.0
    once: bool = False
    kafka: Mapping[str, str] = MappingProxyType({})
    settings: Mapping[str, str] = MappingProxyType({})

    @property
    def oldest_s(self) -> int:
        """How old an event may be that is counted, in seconds: no state of its window has gone by then."""
        return self.ttl_s - self.window_s - MARGIN_S


def text(name: str, options: Options) -> str:
    """Return the script of a job.

    Raises:
        ConfigError: State would be gone before the last events come.
        KeyError: There is no such job.
    """
    job = JOBS[name]
    if options.oldest_s < options.retention_s:
        least = int(options.retention_s) + options.window_s + MARGIN_S
        raise ConfigError(
            "ttl", said_of(options.ttl_s),
            f"at least {said_of(least)}: journals keep events for {said_of(options.retention_s)}, and a window"
            f" and {said_of(MARGIN_S)} more; what comes later than state is kept would begin a finished window anew",
        )  # fmt: skip
    values: dict[str, str] = {
        "job": name, "flink": FLINK, "jars": "\n".join(f"--   {jar}" for jar in JARS),
        "ttl": said_of(options.ttl_s), "ttl_s": str(options.ttl_s),
        "oldest": said_of(options.oldest_s), "oldest_s": str(options.oldest_s),
        "latency_ms": str(int(options.latency_s * 1e3)), "checkpoint_ms": str(int(options.checkpoint_s * 1e3)),
        "more": "\n".join(f"SET {quoted(each)} = {quoted(value)};" for each, value in options.settings.items()),
        "columns": ",\n".join(f"    {column}" for column in flink_columns()),
        "names": ", ".join(_NAMES), "read": ", ".join(_AS_READ.get(name, name) for name in _NAMES),
        "statuses": ", ".join(quoted(status.value) for status in OutcomeStatus), "major": SCHEMA_VERSION.partition(".")[0],
        **_topic(options.topic), "sink": quoted(options.sink or job.topic),
        "refused": quoted(options.refused), "refused_topic": options.refused,
        "kafka": "\n".join(
            f"    {quoted(f'properties.{each}')} = {quoted(value)},"
            for each, value in {"bootstrap.servers": options.bootstrap_servers, **options.kafka}.items()
        ),
        "bounded": "    'scan.bounded.mode' = 'latest-offset'," if options.once else "",
        "outcomes": _select("outcomes", options.window_s), "windows": _select("windows", options.window_s),
        "conditions": ",\n        ".join(_conditions()),
    }  # fmt: skip
    for part in ("upsert", "upsert_apart", "refused"):
        values["refusals" if part == "refused" else part] = _filled(f"parts/{part}.sql", values).rstrip()
    parts = (*(f"parts/{part}.sql" for part in ("session", "outcomes", *job.parts)), f"jobs/{name}.sql")
    filled = "\n".join(_filled(part, values) for part in parts)
    return "\n".join(line for line in filled.splitlines() if line.strip()) + "\n"


def _topic(topic: str) -> dict[str, str]:
    """Return what reads one topic, or those of all tenants, and of these what counts on which."""
    if not is_per_tenant(topic):
        return {"topic": f"    'topic' = {quoted(topic)},", "on_topic": "", "of_others": ""}
    shared = shared_topic(topic)
    return {
        "topic": f"    'topic-pattern' = {quoted(topics_pattern(topic))},\n"
        f"    'scan.topic-partition-discovery.interval' = '{LOOK_S} s',",
        "on_topic": ",\n    `on_topic` STRING NOT NULL METADATA FROM 'topic' VIRTUAL",
        "of_others": f"        WHEN on_topic <> {quoted(shared)} AND tenant_id IS DISTINCT FROM"
        f" SUBSTRING(on_topic FROM {len(shared) + 2}) THEN 'other_tenant'",
    }  # fmt: skip


def said_of(seconds: float) -> str:
    """Return a time as people say it, such as `8d` or `7d 1h 5m`."""
    left, words = int(seconds), list[str]()
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if left >= size:
            words.append(f"{left // size}{unit}")
            left %= size
    return " ".join(words) or "0s"


def _filled(file: str, values: Mapping[str, str]) -> str:
    return Template((_HERE / file).read_text(encoding="utf-8")).substitute(values)


def _select(view: str, window_s: int) -> str:
    lines = text_of(view, window_s).rstrip().splitlines()
    return "\n".join(line for line in lines if not line.startswith("--"))


def _conditions() -> list[str]:
    """Return an expression for each default rule whose value is a window's own."""
    values = {"errors": "CAST(failures + timeouts AS DOUBLE) / executions", "latency": "p95_latency_ms"}
    return [
        f"CASE WHEN executions >= {rule.min_count} AND {values[rule.kind]} > {rule.above!r} THEN {quoted(rule.name)} END"
        for rule in read(None).rules
        if rule.above is not None and rule.kind in values and rule.window == WINDOW_S
    ]
