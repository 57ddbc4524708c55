"""Topics of tenants: which one a record goes to, and whether that takes records now.

    record ──tenant_id──► its topic ──┬── open: it is there, and this client may write to it
                             │        ├── unknown, or shut for a moment: its records wait, and no others
                             │        └── shut for `GRACE_S`, while another is open: its records are refused, each with why
                             └── a name that no topic can have, or one topic too many: the shared topic

The cluster is asked about all that are not open together, so that none has to be waited for. What is not there is made, with
the brokers' defaults, where this client may make topics. Where no topic is open at all it is the client or the cluster that
is at fault: then all waits. Used on the worker's thread only, which waits here for answers of the cluster, not of a topic.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from otel_feedback.errors import ExportError
from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import Refusal
from otel_feedback.exporters.kafka.asking import admin_client
from otel_feedback.exporters.kafka.receipt import unavailable
from otel_feedback.exporters.kafka.topics import is_topic_of, shared_topic, tenant_topic
from otel_feedback.logger import get_logger
from otel_feedback.redaction.scrubbing import scrub
from otel_feedback.settings.kafka import KafkaConfig

__all__ = ["Looked", "TenantTopics", "look_at"]

logger = get_logger(__name__)

FORBIDDEN, MISSING = "topic_forbidden", "topic_missing"
"""The reasons of records that a topic of a tenant does not take."""

NAME, LIMIT = "name", "limit"
"""Why records of a tenant go to the shared topic."""

MOST_TOPICS = 1_000
"""Of tenants on a cluster, beyond which no program makes another: a fault in what tenants are called makes no more than so many."""

MOST_KNOWN = 10_000
"""Of which it is remembered how they are, or where they lead: names may be made up without end."""

GRACE_S = 5.0
"""How long a topic is shut before its records are refused: a grant, and a new topic, take a moment to get around."""

LOOK_S = 1.0
AGAIN_S = 30.0
"""How often to look, while records wait for a topic, and while they are refused."""

_UNKNOWN_TOPIC, _NOT_ALLOWED, _EXISTS = 3, 29, 36


class Looked(NamedTuple):
    """What the cluster says of a topic: why it takes nothing, if so; or that it would be one too many."""

    refusal: Refusal | None = None
    is_too_many: bool = False


class _Topic:
    """What is known of a topic. Times are monotonic."""

    __slots__ = ("due_s", "is_open", "refusal", "shut_s")

    def __init__(self) -> None:
        self.is_open = False
        self.refusal: Refusal | None = None
        self.shut_s = 0.0  # since when there is a refusal, without a break
        self.due_s = 0.0  # when to look

    def is_closed_and_due(self, now_s: float) -> bool:
        return not self.is_open and self.due_s <= now_s


Look = Callable[[KafkaConfig, Sequence[str]], Mapping[str, Looked]]


class TenantTopics:
    """Knows how the topics are; asks the cluster.

    Args:
        config: Whose topic is one for each tenant.
        look: Asks; raises ExportError where the cluster cannot be asked.
    """

    def __init__(self, config: KafkaConfig, look: Look | None = None) -> None:
        self._config = config
        self.shared = shared_topic(config.topic)
        self._look = look or look_at
        self._topics: dict[str, _Topic] = {}
        self._names: dict[str, str | None] = {}  # by tenant: the name of its topic, None where there is none
        self._too_many: dict[str, float] = {}  # names that lead to the shared topic, and until when
        self._look_s = 0.0
        self.redirected = {NAME: 0, LIMIT: 0}
        """How many records of tenants were handed to the shared topic, and why; also where they were so again."""

    def name_of(self, record: Record) -> str:
        """Return the topic that a record goes to."""
        name = None if record.tenant_id is None else self._named_after(record.tenant_id)
        return self.shared if name is None else self.place_of(name)

    def place_of(self, name: str) -> str:
        """Return the topic that stands for a topic: itself, or the shared one."""
        until_s = self._too_many.get(name)
        if until_s is None:
            return name
        if time.monotonic() < until_s:
            return self.shared
        del self._too_many[name]
        return name

    def count_redirected(self, record: Record) -> None:
        """Count a record of a tenant that is sent to the shared topic."""
        tenant_id = record.tenant_id
        if tenant_id is None:
            return
        why = NAME if self._named_after(tenant_id) is None else LIMIT
        self.redirected[why] += 1
        if self.redirected[why] == 1:
            found = (
                f"no topic can be named after tenant {tenant_id[:80]!r}, which wants A-Z a-z 0-9 _ - alone" if why == NAME
                else f"there are topics of {MOST_TOPICS} tenants, and none is made for another, {tenant_id!r}"
            )  # fmt: skip
            logger.warning("%s: its events, and those of others like it, go to %s", scrub(found), self.shared)

    def _named_after(self, tenant_id: str) -> str | None:
        try:
            return self._names[tenant_id]
        except KeyError:
            if len(self._names) >= MOST_KNOWN:
                self._names.clear()
            name = self._names[tenant_id] = tenant_topic(self._config.topic, tenant_id)
            return name

    def state(self, name: str) -> bool | Refusal:
        """Return whether a topic takes records now; a refusal where that is to be waited for no longer.

        Raises:
            ExportError: No topic takes any.
        """
        topic = self._topics.get(name)
        if topic is None or topic.is_open or topic.refusal is None:
            return topic is not None and topic.is_open
        if time.monotonic() - topic.shut_s < GRACE_S:
            return False
        if any(other.is_open for other in self._topics.values()):
            return topic.refusal
        raise ExportError("unavailable", f"no topic takes events: {topic.refusal.detail}", retryable=True)

    def shut(self, name: str, refusal: Refusal) -> None:
        """Note that a topic takes nothing, whatever the cluster says of it."""
        now_s = time.monotonic()
        topic = self._topics.setdefault(name, _Topic())
        if topic.refusal is None:
            topic.shut_s = now_s
        topic.is_open, topic.refusal = False, refusal
        topic.due_s = now_s + (LOOK_S if now_s - topic.shut_s < GRACE_S else AGAIN_S)

    def forget(self) -> None:
        """Look at all topics again before anything is sent: something has failed."""
        for topic in self._topics.values():
            topic.is_open = False
        self._look_s = 0.0

    def look(self, names: Iterable[str]) -> None:
        """Ask how these topics are, where it is not known, and time to.

        Raises:
            ExportError: The cluster cannot be asked.
        """
        now_s = time.monotonic()
        if now_s < self._look_s:
            return
        known = self._topics
        if len(known) >= MOST_KNOWN:
            self._topics = known = {name: topic for name, topic in known.items() if topic.is_open}
        asked = [known.setdefault(name, _Topic()) for name in (self.shared, *names)][1:]
        if not any(topic.is_closed_and_due(now_s) for topic in asked):
            return
        # also those that nobody asks about now: whether another one is open decides what becomes of those that are shut
        due = [name for name, topic in known.items() if topic.is_closed_and_due(now_s)]
        looked = self._look(self._config, due)
        self._look_s = time.monotonic() + LOOK_S
        for name, found in looked.items():
            if found.is_too_many:
                if len(self._too_many) >= MOST_KNOWN:
                    self._too_many.clear()
                self._too_many[name] = time.monotonic() + AGAIN_S
                del known[name]
            elif found.refusal is not None:
                self.shut(name, found.refusal)
            else:
                known[name].is_open, known[name].refusal = True, None


def look_at(config: KafkaConfig, names: Sequence[str]) -> Mapping[str, Looked]:
    """Ask a cluster how topics are, and make those that are not there: of tenants, as long as there are not too many.

    Raises:
        ExportError: It does not answer.
    """
    try:
        with admin_client(config, "topics") as admin:
            return _look(config, admin, names)
    except Exception as exc:
        raise unavailable(exc, why="how the topics of tenants are") from exc


def _look(config: KafkaConfig, admin: Any, names: Sequence[str]) -> Mapping[str, Looked]:
    shared = shared_topic(config.topic)
    told: dict[str, Any] = {topic["name"]: topic for topic in admin.describe_topics(list(names))}
    looked = {name: _told(name, topic) for name, topic in told.items()}
    missing = [name for name, topic in told.items() if topic["error_code"] == _UNKNOWN_TOPIC]
    if missing:
        there = sum(name != shared and is_topic_of(config.topic, name) for name in admin.list_topics())
        room = max(0, MOST_TOPICS - there)
        of_tenants = [name for name in missing if name != shared]
        looked |= dict.fromkeys(of_tenants[room:], Looked(is_too_many=True))
        made = [*(name for name in missing if name == shared), *of_tenants[:room]]
        if made:
            answer = admin.create_topics(made, raise_errors=False)
            looked |= {
                topic["name"]: Looked() for topic in answer["topics"] if topic["error_code"] in (0, _EXISTS)
            }  # fmt: skip
    return looked


def _told(name: str, topic: Mapping[str, Any]) -> Looked:
    code, allowed = topic["error_code"], topic["authorized_operations"]
    if code == _NOT_ALLOWED or (code == 0 and allowed is not None and "WRITE" not in allowed):
        return Looked(Refusal(FORBIDDEN, f"this client may not write to {name}: grant it WRITE, DESCRIBE"))
    if code == _UNKNOWN_TOPIC:
        todo = f"`otel-feedback topics --tenant {name.rpartition('.')[2]}`"
        return Looked(Refusal(MISSING, f"there is no topic {name}, and this client may not make it: {todo}"))
    return Looked(None if code == 0 else Refusal(MISSING, f"topic {name} cannot be used: Kafka's error {code}"))
