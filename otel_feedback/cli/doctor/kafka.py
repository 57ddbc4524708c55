"""The doctor's look at Kafka, one step after the other: each needs those before it.

Whether this client may write is asked and not tried: the broker lists what it permits with the topic's metadata. A
test record would stay in `agent-outcomes`, which holds outcome events and nothing else; one in another topic would
prove nothing, since permissions are given by topic. That enough replicas are in sync for acks=all is looked up, too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from otel_feedback.cli.doctor.findings import Finding, State
from otel_feedback.cli.kafka.admin import Admin, check_network, open_admin
from otel_feedback.cli.kafka.problem import KafkaSetupError, refusal
from otel_feedback.cli.kafka.topics import topic_names
from otel_feedback.cli.network import LIMIT_S, within
from otel_feedback.errors import ConfigError, ExportError
from otel_feedback.exporters.kafka.library import import_kafka, limit_of_interpreter
from otel_feedback.exporters.kafka.tokens import TokenError, TokenSource
from otel_feedback.exporters.kafka.topics import shared_topic
from otel_feedback.settings.kafka import KafkaConfig, require_avro, require_codec
from otel_feedback.settings.settings import Settings

__all__ = ["check_kafka"]

_STEPS = {
    "network": "Kafka network",
    "protocol": "Kafka protocol",
    "login": "Kafka login",
    "brokers": "Kafka brokers",
    "topics": "Kafka topics",
    "write": "Kafka write",
    "feedback": "Kafka feedback",
}
UNKNOWN_TOPIC = 3  # Kafka's error code UNKNOWN_TOPIC_OR_PARTITION


def check_kafka(settings: Settings) -> Iterator[Finding]:
    """Say how far one comes on the way to writing events, and what stops one."""
    if settings.disabled or not settings.enable_kafka:
        given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "").strip()
        switch = "ENABLE_KAFKA=true" if given else "KAFKA_BOOTSTRAP_SERVERS=localhost:9092"
        yield Finding("Kafka", State.OFF, "events are not sent to Kafka", f"to switch on: {switch}")
        return
    config = settings.kafka
    yield _codec(config)
    yield from _tokens(config)
    yield from _schemas(config)
    yield from _interpreter()
    step = ""
    try:
        for finding in _steps(config):
            step = finding.check
            yield finding
        return
    except KafkaSetupError as problem:
        stopped, found, todo = _STEPS[problem.step], problem.found, problem.todo
    except Exception as exc:  # whatever kafka-python raises for an answer that it did not expect
        after = list(_STEPS.values())
        stopped = after[min(after.index(step) + 1 if step in after else 0, len(after) - 1)]
        found, todo = " ".join(f"{type(exc).__name__}: {exc}".split())[:200], "look at the broker's log"
    yield from _stopped_at(stopped, step, found, todo)


def _interpreter() -> Iterator[Finding]:
    name, limit = "Kafka and Python", limit_of_interpreter()
    if limit is not None:
        found, _, todo = limit.partition(": ")
        yield Finding(name, State.WARNING, found, todo)
    try:
        import_kafka()
    except ExportError as exc:
        found, _, todo = exc.detail.partition(": ")
        yield Finding(name, State.FAILED, found, todo)


def _steps(config: KafkaConfig) -> Iterator[Finding]:
    wrong = check_network(config)
    servers = ", ".join(config.bootstrap_servers)
    if wrong:
        found = f"{'; '.join(wrong)}; the others take connections"
        yield Finding(_STEPS["network"], State.WARNING, found, "start it, or correct KAFKA_BOOTSTRAP_SERVERS")
    else:
        yield Finding(_STEPS["network"], State.OK, f"{servers} takes connections")
    with open_admin(config) as admin:
        options = config.client_options
        protocol = str(options.get("security_protocol", "PLAINTEXT"))
        yield Finding(_STEPS["protocol"], State.OK, f"Kafka {admin.version} by {protocol}")
        if protocol.startswith("SASL_"):
            user = options.get("sasl_plain_username")
            as_user = f" as {user}" if user else ""
            yield Finding(_STEPS["login"], State.OK, f"logged in by {options.get('sasl_mechanism')}{as_user}")
        else:
            yield Finding(_STEPS["login"], State.OK, f"{protocol} asks for none")
        yield Finding(_STEPS["brokers"], State.OK, f"{', '.join(admin.brokers)} can be reached")
        names = list(topic_names(config))
        answer = within(LIMIT_S, lambda: admin.client.describe_topics(names))
        topics = {topic["name"]: topic for topic in answer}
        yield _topics(config, topics)
        yield within(LIMIT_S, lambda: _write(config, topics, admin))
        # what gives feedback may be another program than this one
        seen = within(LIMIT_S, lambda: _write(config, topics, admin, of_feedback=True))
        yield seen._replace(state=State.WARNING) if seen.state is State.FAILED else seen


def _topics(config: KafkaConfig, topics: Mapping[str, Mapping[str, Any]]) -> Finding:
    outcome = topics[shared_topic(config.topic)]
    missing = [name for name, topic in topics.items() if topic["error_code"] == UNKNOWN_TOPIC]
    create = "otel-feedback topics"
    if outcome["error_code"] == UNKNOWN_TOPIC:
        return Finding(_STEPS["topics"], State.FAILED, f"not there: {', '.join(missing)}", create)
    if outcome["error_code"]:
        found = f"{shared_topic(config.topic)}: {refusal(outcome['error_code'])}"
        return Finding(_STEPS["topics"], State.FAILED, found, _grant(config, shared_topic(config.topic)))
    leaderless = [part["partition_index"] for part in outcome["partitions"] if part["leader_id"] < 0]
    if leaderless:
        found = f"{shared_topic(config.topic)}: no leader for partition {', '.join(map(str, leaderless))}"
        return Finding(_STEPS["topics"], State.FAILED, found, "start the brokers that hold it")
    partitions = len(outcome["partitions"])
    here = f"{shared_topic(config.topic)} has {partitions} partition{'' if partitions == 1 else 's'}"
    if missing:
        return Finding(_STEPS["topics"], State.WARNING, f"{here}; not there: {', '.join(missing)}", create)
    return Finding(_STEPS["topics"], State.OK, f"{here}; the other {len(topics) - 1} are there")


def _write(
    config: KafkaConfig, topics: Mapping[str, Mapping[str, Any]], admin: Admin, *, of_feedback: bool = False
) -> Finding:
    step, topic_name = _STEPS["write"], shared_topic(config.topic)
    if of_feedback:
        step, topic_name = _STEPS["feedback"], shared_topic(config.feedback_topic)
    topic = topics[topic_name]
    if topic["error_code"]:
        return Finding(step, State.SKIPPED, "needs to see the topic")
    allowed = topic["authorized_operations"]
    if allowed is None:
        return Finding(
            step, State.WARNING, "the broker does not say (older than 2.3)", "run a program and look at metrics()"
        )
    if "WRITE" not in allowed:
        found = f"not allowed on {topic_name}; allowed: {', '.join(sorted(allowed)) or 'nothing'}"
        return Finding(step, State.FAILED, found, _grant(config, topic_name))
    needed = _min_in_sync(topic_name, admin)
    behind = [part["partition_index"] for part in topic["partitions"] if len(part["isr_nodes"]) < needed]
    if behind:
        found = f"acks=all needs {needed} replicas in sync; too few for partition {', '.join(map(str, behind))}"
        return Finding(
            step, State.FAILED, found, "start the missing brokers, or lower min.insync.replicas of the topic"
        )
    return Finding(step, State.OK, f"allowed on {topic_name} (asked; nothing was written)")


def _min_in_sync(topic_name: str, admin: Admin) -> int:
    import kafka.admin

    library: Any = kafka.admin  # the stubs that pyright brings are those of another version
    wanted = "min.insync.replicas"
    resource = library.ConfigResource("TOPIC", topic_name, [wanted])
    answer = admin.client.describe_configs([resource], config_filter="all")
    # who may write need not be allowed to read the configuration; then the answer is empty
    entry = answer.get("topic", {}).get(topic_name, {}).get(wanted)
    return 1 if entry is None else int(entry["value"])


def _grant(config: KafkaConfig, topic_name: str) -> str:
    user = config.client_options.get("sasl_plain_username", "USER")
    return f"kafka-acls.sh --add --allow-principal User:{user} --producer --topic {topic_name}"


def _tokens(config: KafkaConfig) -> Iterator[Finding]:
    if config.client_options.get("sasl_mechanism") != "OAUTHBEARER":
        return
    name, given = "Kafka tokens", config.client_options["sasl_oauth_token_provider"]
    try:
        token = within(LIMIT_S, TokenSource(given).token)
    except ConfigError as exc:
        yield Finding(name, State.FAILED, f"{exc.variable}={exc.value}", f"expected {exc.expected}")
    except TokenError as exc:
        yield Finding(name, State.FAILED, str(exc), "correct the function, or what it asks")
    else:
        ends = "" if token.expires_at_s is None else f", which ends in {token.expires_at_s - time.time():.0f} s"
        yield Finding(name, State.OK, f"{given} gives one{ends}")


def _codec(config: KafkaConfig) -> Finding:
    try:
        require_codec(config.compression)
    except ConfigError as exc:
        return Finding(
            "Kafka codec", State.FAILED, f"{config.compression} is not installed", f"expected {exc.expected}"
        )
    return Finding("Kafka codec", State.OK, f"{config.compression} can be used")


def _schemas(config: KafkaConfig) -> Iterator[Finding]:
    """Say whether the registry takes the schema, without registering it."""
    name = "Kafka schemas"
    if config.value_format != "avro" or config.registry is None:
        return
    from otel_feedback.exporters.kafka.avro.registry import SchemaRegistry
    from otel_feedback.exporters.kafka.avro.writing import schema_text, subject_of

    subject, registry = subject_of(config.topic), SchemaRegistry(config.registry)
    try:
        require_avro(config)
        is_there = registry.check(subject, schema_text())
    except ConfigError as exc:
        yield Finding(name, State.FAILED, "fastavro is not installed", f"expected {exc.expected}")
    except ExportError as exc:
        found, _, todo = exc.detail.rpartition("; ")
        yield Finding(name, State.FAILED, found, todo)
    else:
        is_how = "is registered" if is_there else "would be registered: it is compatible, or the first"
        yield Finding(name, State.OK, f"{registry.name}: the schema of {subject} {is_how}")


def _stopped_at(stopped: str, last: str, found: str, todo: str) -> Iterator[Finding]:
    """Yield what lies between the last step that was seen and the one that failed, that one, and what it hides."""
    names = list(_STEPS.values())
    at = names.index(stopped)
    for name in names[names.index(last) + 1 if last in names else 0 :]:
        if name == stopped:
            yield Finding(name, State.FAILED, found, todo)
        elif names.index(name) < at:
            yield Finding(name, State.OK, "got past this step")
        else:
            yield Finding(name, State.SKIPPED, f"needs {stopped}")
