"""Topics of tenants: their names, and what becomes of records whose topic is missing or shut, on a made-up clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pytest

from otel_feedback.errors import ConfigError, ExportError
from otel_feedback.events.record import Origin, Record
from otel_feedback.exporters.interface import Refusal
from otel_feedback.exporters.kafka import tenants
from otel_feedback.exporters.kafka.tenants import FORBIDDEN, Looked, TenantTopics
from otel_feedback.exporters.kafka.topics import (
    audit_topic,
    dead_letter_topic,
    is_topic_of,
    tenant_of,
    tenant_topic,
    topic_for,
)
from otel_feedback.settings.kafka import KafkaConfig

OF_EACH = "outcomes.{tenant}"
SHUT = Looked(Refusal(FORBIDDEN, "it may not"))
OPEN = Looked()


def record(tenant_id: str | None) -> Record:
    return Record(Origin("p", "s"), 0, "run", b"{}", False, "id", tenant_id=tenant_id)


class Clock:
    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now_s = 1_000.0
        patch.setattr(tenants.time, "monotonic", lambda: self.now_s)


class Cluster:
    """Says of topics what it is told to; of others that they are open."""

    def __init__(self, **looked: Looked) -> None:
        self.looked = {f"outcomes.{name}": found for name, found in looked.items()}
        self.asked: list[list[str]] = []

    def look(self, config: KafkaConfig, names: Sequence[str]) -> Mapping[str, Looked]:
        self.asked.append(sorted(names))
        return {name: self.looked.get(name, OPEN) for name in names}


def topics_of(cluster: Cluster) -> TenantTopics:
    return TenantTopics(KafkaConfig(topic=OF_EACH), cluster.look)


@pytest.mark.parametrize(
    ("tenant", "topic"),
    [
        ("acme", "outcomes.acme"),
        ("Acme_2-x", "outcomes.Acme_2-x"),
        ("7", "outcomes.7"),
        ("x" * 240, f"outcomes.{'x' * 240}"),
        ("x" * 241, None),
        ("a.b", None),
        ("a b", None),
        ("a/b", None),
        ("müller", None),
        ("acme\n", None),
        ("", None),
        ("..", None),
        ("acme-dlq", None),
        ("acme-audit", None),
        ("dlq", "outcomes.dlq"),
    ],
)
def test_the_topic_of_a_tenant(tenant: str, topic: str | None) -> None:
    assert tenant_topic(OF_EACH, tenant) == topic
    assert topic_for(OF_EACH, tenant) == (topic or "outcomes")
    if topic is not None:
        assert is_topic_of(OF_EACH, topic)
        assert tenant_of(OF_EACH, topic) == tenant


def test_topics_beside_are_no_tenants() -> None:
    config = KafkaConfig(topic=OF_EACH)
    assert (dead_letter_topic(config), audit_topic(config)) == ("outcomes-dlq", "outcomes-audit")
    others = [
        "outcomes-dlq",
        "outcomes-audit",
        "outcomes.acme-dlq",
        "outcomes.acme-audit",
        "xoutcomes.acme",
        "outcomes.a.b",
    ]
    assert not any(is_topic_of(OF_EACH, name) for name in others)
    assert is_topic_of(OF_EACH, "outcomes")
    assert is_topic_of("outcomes", "outcomes")
    assert not is_topic_of("outcomes", "outcomes.acme"), "where all have one topic it is that one"
    assert tenant_of("outcomes.acme", "outcomes.acme") is None, "the setting of one tenant's own program"


@pytest.mark.parametrize(
    "topic",
    ["{tenant}", "outcomes{tenant}", "{tenant}.outcomes", "o.{tenant}.{tenant}", "o.{user}", f"{'x' * 181}.{{tenant}}"],
)
def test_settings_that_name_no_topics(topic: str) -> None:
    with pytest.raises(ConfigError, match="tenant"):
        KafkaConfig(topic=topic)


def test_a_topic_that_is_shut_is_waited_for_and_then_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, cluster = Clock(monkeypatch), Cluster(acme=SHUT)
    topics = topics_of(cluster)
    topics.look(["outcomes.acme", "outcomes.globex"])
    assert topics.state("outcomes.globex") is True
    assert topics.state("outcomes.acme") is False
    clock.now_s += tenants.GRACE_S
    topics.look(["outcomes.acme"])
    assert topics.state("outcomes.acme") == SHUT.refusal
    cluster.looked.clear()
    clock.now_s += 1
    topics.look(["outcomes.acme"])
    assert topics.state("outcomes.acme") == SHUT.refusal, "it is looked at now and then"
    clock.now_s += tenants.AGAIN_S
    topics.look(["outcomes.acme"])
    assert topics.state("outcomes.acme") is True
    cluster.looked["outcomes.acme"] = SHUT
    topics.forget()
    topics.look(["outcomes.acme"])
    assert topics.state("outcomes.acme") is False, "it was open meanwhile: it is waited for again"


def test_where_no_topic_is_open_everything_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, cluster = Clock(monkeypatch), Cluster(acme=SHUT)
    cluster.looked["outcomes"] = SHUT
    topics = topics_of(cluster)
    topics.look(["outcomes.acme"])
    assert topics.state("outcomes.acme") is False
    clock.now_s += tenants.GRACE_S
    with pytest.raises(ExportError, match="no topic takes events: it may not") as raised:
        topics.state("outcomes.acme")
    assert raised.value.retryable


def test_one_topic_too_many_is_the_shared_one_for_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock, cluster = Clock(monkeypatch), Cluster(acme=Looked(is_too_many=True))
    topics = topics_of(cluster)
    topics.look(["outcomes.acme"])
    assert topics.name_of(record("acme")) == "outcomes"
    for _ in range(3):
        topics.count_redirected(record("acme"))
        topics.count_redirected(record("a.b"))
        topics.count_redirected(record(None))
    assert topics.redirected == {"limit": 3, "name": 3}
    assert len(caplog.records) == 2, "each is said once"
    clock.now_s += tenants.AGAIN_S
    assert topics.name_of(record("acme")) == "outcomes.acme"


def test_the_cluster_is_asked_once_for_all_and_not_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, cluster = Clock(monkeypatch), Cluster(t7=SHUT)
    topics = topics_of(cluster)
    names = [f"outcomes.t{n}" for n in range(100)]
    topics.look(names)
    topics.look([*names, "outcomes.new"])
    assert len(cluster.asked) == 1
    assert cluster.asked[0] == sorted(["outcomes", *names])
    clock.now_s += tenants.LOOK_S
    topics.look([*names, "outcomes.new"])
    assert cluster.asked[1:] == [["outcomes.new", "outcomes.t7"]]
    clock.now_s += tenants.LOOK_S
    topics.look(["outcomes.t1"])
    assert len(cluster.asked) == 2, "what is open is not asked about"


def test_names_without_end_take_memory_with_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenants, "MOST_KNOWN", 50)
    clock = Clock(monkeypatch)
    topics = TenantTopics(KafkaConfig(topic=OF_EACH), lambda _, names: dict.fromkeys(names, Looked(is_too_many=True)))

    def sizes() -> Iterable[int]:
        return (len(kept) for kept in vars(topics).values() if isinstance(kept, dict))

    for number in range(500):
        clock.now_s += tenants.LOOK_S
        topics.look([topics.name_of(record(f"t{number}"))])
        assert max(sizes()) <= 60
