"""The names of the topics: of the outcomes, one or one for each tenant, and of those beside them, which hold no outcomes.

agent-outcomes.{tenant} ──► agent-outcomes.acme, agent-outcomes.globex …   of tenants whose names a topic can have
                        ──► agent-outcomes                                 of all others: the shared one
                        ──► agent-outcomes-dlq, agent-outcomes-audit
"""

from __future__ import annotations

import re

from otel_feedback.settings.kafka import PER_TENANT, KafkaConfig

__all__ = [
    "audit_topic",
    "dead_letter_topic",
    "is_per_tenant",
    "is_topic_of",
    "shared_topic",
    "tenant_of",
    "tenant_topic",
    "topic_for",
    "topics_pattern",
]

MOST_CHARACTERS = 249
"""Of a topic's name, to Kafka."""

_NAME = r"(?![A-Za-z0-9_-]*-(?:dlq|audit)$)[A-Za-z0-9_-]+"
# nor do they end as the topics beside: with agent-outcomes.acme as the topic for all, its own are agent-outcomes.acme-dlq …
# no dots: to Kafka a topic a.b is in the way of one a_b, so with them one tenant could keep another's from being made
_is_name = re.compile(_NAME).fullmatch


def is_per_tenant(topic: str) -> bool:
    """Tell whether a topic, as it is set, is one for each tenant."""
    return topic.endswith(PER_TENANT)


def shared_topic(topic: str) -> str:
    """Return where events go that have no topic of their tenant's: the only one, where there is one for all."""
    return topic.removesuffix(PER_TENANT)


def tenant_topic(topic: str, tenant_id: str) -> str | None:
    """Return a tenant's topic; None where no topic can be called so, or all have the same one."""
    if not is_per_tenant(topic) or _is_name(tenant_id) is None:
        return None
    name = f"{shared_topic(topic)}.{tenant_id}"
    return name if len(name) <= MOST_CHARACTERS else None


def tenant_of(topic: str, name: str) -> str | None:
    """Return the tenant whose topic one is; None of the shared one, and where all have the same."""
    base = shared_topic(topic)
    return name.removeprefix(f"{base}.") if is_per_tenant(topic) and name != base else None


def topic_for(topic: str, tenant_id: str | None) -> str:
    """Return where an event is to go."""
    return (tenant_id is not None and tenant_topic(topic, tenant_id)) or shared_topic(topic)


def topics_pattern(topic: str) -> str:
    """Return a regular expression for all topics of outcomes, from the beginning of the name to its end."""
    of_tenants = rf"(?:\.{_NAME})?" if is_per_tenant(topic) else ""
    return f"^{re.escape(shared_topic(topic))}{of_tenants}$"


def is_topic_of(topic: str, name: str) -> bool:
    """Tell whether a topic is one of those with outcomes."""
    return re.match(topics_pattern(topic), name) is not None


def dead_letter_topic(config: KafkaConfig) -> str:
    """Return where the records go that Kafka has refused for good."""
    return f"{shared_topic(config.topic)}-dlq"


def audit_topic(config: KafkaConfig) -> str:
    """Return where the account goes: losses, and how far each producer is."""
    return f"{shared_topic(config.topic)}-audit"
