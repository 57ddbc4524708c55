"""`otel-feedback topics`: create the topics of this project; those that exist are left as they are, and said so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from otel_feedback.cli import env_file
from otel_feedback.cli.console import CORRECT_IT, failed, open_console
from otel_feedback.cli.kafka.admin import Admin, check_network, open_admin
from otel_feedback.cli.kafka.problem import KafkaSetupError, refusal
from otel_feedback.errors import ConfigError
from otel_feedback.exporters.kafka.topics import (
    audit_topic,
    dead_letter_topic,
    is_per_tenant,
    is_topic_of,
    shared_topic,
    tenant_topic,
)
from otel_feedback.settings.kafka import KafkaConfig
from otel_feedback.settings.settings import get_settings

__all__ = ["run", "topic_names"]

STREAM_TOPICS: Mapping[str, str] = MappingProxyType(
    {
        "agent-metrics": "compact,delete",
        "agent-metrics-refused": "compact,delete",
        "agent-outcomes-latest": "compact,delete",
        "agent-alerts": "compact",
    }
)
"""What streaming jobs and alerts write, and Kafka's policy: of each key it keeps what is newest, of what is old nothing.
Alerts are few, and stay."""

ALREADY_EXISTS = 36  # Kafka's error code TOPIC_ALREADY_EXISTS
LEADERS_WAIT_MS = 10_000


class _Said(NamedTuple):
    """What became of one topic."""

    symbol: str
    style: str
    text: str
    failed: bool = False


def topic_names(config: KafkaConfig) -> tuple[str, ...]:
    """Return the names of all topics that are no tenant's, the outcome topic first."""
    outcomes = shared_topic(config.topic)
    side = (shared_topic(config.feedback_topic), dead_letter_topic(config), audit_topic(config), *STREAM_TOPICS)
    return (outcomes, *(name for name in side if name != outcomes))


def _of_tenants(config: KafkaConfig, tenants: Sequence[str]) -> list[str]:
    """Return the names of the topics of tenants.

    Raises:
        ConfigError: There are none, or none can be called so.
    """
    if tenants and not is_per_tenant(config.topic):
        raise ConfigError("kafka_outcome_topic", config.topic, "one for each tenant, such as agent-outcomes.{tenant}")
    names: list[str] = []
    for tenant in tenants:
        name = tenant_topic(config.topic, tenant)
        if name is None:
            raise ConfigError("--tenant", tenant, "a name that a topic can have: A-Z a-z 0-9 _ -")
        of_feedback = tenant_topic(config.feedback_topic, tenant)
        names += [name] if of_feedback is None else [name, of_feedback]
    return names


def _has_runs(config: KafkaConfig, name: str) -> bool:
    return is_topic_of(config.topic, name) or is_topic_of(config.feedback_topic, name)


def run(
    *,
    partitions: int,
    replication_factor: int,
    dry_run: bool,
    bootstrap_servers: str | None,
    tenants: Sequence[str] = (),
) -> int:
    """Create the topics and return the exit code: 0 when all of them are there, else 1.

    Args:
        partitions: Of the topics of outcomes and of feedback; as many consumers can share the work.
        replication_factor: Copies of each partition; at most the number of brokers.
        dry_run: The broker checks the request and creates nothing.
        bootstrap_servers: In place of the setting.
        tenants: Whose topics to create, too.
    """
    console = open_console()
    read = env_file.load()
    for problem in read.problems:
        console.print(Text(f"! {problem}", "yellow"))
    try:
        config = get_settings(kafka_bootstrap_servers=bootstrap_servers).kafka
        names = (*topic_names(config), *_of_tenants(config, tenants))
        check_network(config)
        with open_admin(config) as admin:
            return _create(console, config, admin, names, partitions, replication_factor, dry_run=dry_run)
    except ConfigError as exc:
        is_ours = exc.variable == "kafka_bootstrap_servers"
        where = "correct --bootstrap-servers" if is_ours else CORRECT_IT
        where = "correct it" if exc.variable == "--tenant" else where
        return _failed(str(exc), where)
    except KafkaSetupError as exc:
        return _failed(f"Kafka: {exc.found}", exc.todo)


def _create(
    console: Console, config: KafkaConfig, admin: Admin, names: Sequence[str], partitions: int, replication_factor: int,
    *, dry_run: bool,
) -> int:  # fmt: skip
    # the others have little traffic, and are read as one sequence
    wanted = {name: partitions if _has_runs(config, name) else 1 for name in names}
    console.print(Text(f"Topics on {', '.join(config.bootstrap_servers)}", "bold"))
    try:
        answer = admin.client.create_topics(
            {
                name: {
                    "num_partitions": n,
                    "replication_factor": replication_factor,
                    "configs": {"cleanup.policy": STREAM_TOPICS[name]}
                    if name in STREAM_TOPICS and not _has_runs(config, name)
                    else {},
                }
                for name, n in wanted.items()
            },
            validate_only=dry_run,
            raise_errors=False,
        )
        results = {topic["name"]: topic for topic in answer["topics"]}
        there = {topic["name"]: len(topic["partitions"]) for topic in admin.client.describe_topics(list(names))}
        said = {name: _say(results[name], wanted[name], there[name], dry_run=dry_run) for name in names}
        created = [name for name in names if results[name]["error_code"] == 0]
        if created and not dry_run:
            admin.client.wait_for_topics(created, timeout_ms=LEADERS_WAIT_MS)
    except Exception as exc:
        return _failed(f"Kafka: {' '.join(str(exc).split())[:200]}", "look at the broker's log")
    width = max(map(len, names))
    for name, line in said.items():
        text = Text(f"  {line.symbol} ", line.style).append(f"{name:<{width}}  ", "none").append(line.text, line.style)
        console.print(text, soft_wrap=True)
    has_failed = any(line.failed for line in said.values())
    if has_failed and replication_factor > len(admin.brokers):
        console.print(Text(f"  this cluster has {len(admin.brokers)} broker(s): --replication-factor can be no more"))
    return 1 if has_failed else 0


def _say(result: dict[str, Any], wanted: int, there: int, *, dry_run: bool) -> _Said:
    code = result["error_code"]
    if code == 0:
        verb = "would be created" if dry_run else "created"
        return _Said("+", "green", f"{verb}, {_partitions(wanted)}")
    if code == ALREADY_EXISTS:
        differs = f" (a new one would have {wanted})" if there not in (0, wanted) else ""
        return _Said("=", "dim", f"exists, {_partitions(there)}{differs}: left as it is")
    return _Said("x", "bold red", f"refused: {refusal(code, result.get('error_message'))}", failed=True)


def _partitions(number: int) -> str:
    return "1 partition" if number == 1 else f"{number} partitions"


def _failed(found: str, todo: str) -> int:
    failed(found, todo)
    return 1
