"""`otel-feedback topics` and `doctor` against a real broker, a real collector and a real Jaeger."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from otel_feedback.cli.kafka.topics import STREAM_TOPICS, topic_names
from otel_feedback.settings.kafka import KafkaConfig
from tests.pace import Patience, slowness
from tests.stack import kafka_clients
from tests.stack.collector import Collector
from tests.stack.jaeger import Jaeger
from tests.stack.kafka import KafkaBroker
from tests.stack.processes import free_port
from tests.support import run_cli, run_python

KAFKA_CHECKS = ["codec", "network", "protocol", "login", "brokers", "topics", "write", "feedback"]


def cli(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    done = run_cli(*arguments, variables={"COLUMNS": "200", **variables}, folder=folder)
    assert done.stderr == ""
    assert "Traceback" not in done.stdout
    return done


# what it says of a service that did not answer within the seconds that it waits, as a well one may on a busy machine
LATE = re.compile(r"no answer within|does not answer|not resolved within|DEADLINE_EXCEEDED|timed out", re.IGNORECASE)


def doctor(folder: Path, *arguments: str, **variables: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Ask the doctor, again where something was too slow for it."""
    patience = Patience(30)
    while True:
        code, found = ask_doctor(folder, *arguments, **variables)
        if patience.is_over or not any(LATE.search(check["found"]) for check in found.values()):
            return code, found


def ask_doctor(folder: Path, *arguments: str, **variables: str) -> tuple[int, dict[str, dict[str, Any]]]:
    done = cli(folder, "doctor", "--json", *arguments, **{"OTEL_TRACES_EXPORTER": "none", **variables})
    return done.returncode, {check["check"]: check for check in json.loads(done.stdout)["checks"]}


def kafka_states(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: found[f"Kafka {name}"]["state"] for name in KAFKA_CHECKS}


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


class Secured(NamedTuple):
    """A broker with an authorizer and three doors: anybody is a superuser, a login, and one that leads nowhere."""

    broker: KafkaBroker
    login: str
    astray: str

    def as_user(self, user: str, password: str = "right") -> dict[str, str]:
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.login,
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_SASL_MECHANISM": "PLAIN",
            "KAFKA_SASL_PLAIN_USERNAME": user,
            "KAFKA_SASL_PLAIN_PASSWORD": password,
        }


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    login, astray = free_port(), free_port()
    plain_module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    listener = "PLAINTEXT://127.0.0.1:{broker_port}"
    properties = {
        "listeners": f"{listener},CONTROLLER://127.0.0.1:{{controller_port}},"
        f"SASL_PLAINTEXT://127.0.0.1:{login},ASTRAY://127.0.0.1:{astray}",
        "advertised.listeners": f"{listener},SASL_PLAINTEXT://127.0.0.1:{login},ASTRAY://kafka.invalid:29092",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,"
        "SASL_PLAINTEXT:SASL_PLAINTEXT,ASTRAY:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": f'{plain_module} required user_boss="right" user_guest="right";',
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS;User:boss",
        "auto.create.topics.enable": "false",
    }
    with KafkaBroker.launch_own(properties) as broker:
        yield Secured(broker, f"127.0.0.1:{login}", f"127.0.0.1:{astray}")


def test_topics_are_checked_then_created_then_left_alone(secured: Secured, tmp_path: Path) -> None:
    servers = secured.broker.bootstrap_servers
    outcome = unique("outcomes")
    of_feedback = unique("feedback")
    side_topics = [f"{outcome}-dlq", f"{outcome}-audit", *STREAM_TOPICS]
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": servers, "KAFKA_OUTCOME_TOPIC": outcome, "KAFKA_FEEDBACK_TOPIC": of_feedback,
    }  # fmt: skip
    assert kafka_clients.partition_count(servers, "agent-alerts") == 0

    dry = cli(tmp_path, "topics", "--dry-run", "--partitions", "3", **variables)
    assert dry.returncode == 0
    assert dry.stdout.count("would be created") == 8
    assert kafka_clients.partition_count(servers, outcome) == 0

    created = cli(tmp_path, "topics", "--partitions", "3", **variables)
    assert created.returncode == 0
    assert [line.split()[1:] for line in created.stdout.splitlines()[1:]] == [
        *([name, "created,", "3", "partitions"] for name in (outcome, of_feedback)),
        *([name, "created,", "1", "partition"] for name in side_topics),
    ]
    counts = [kafka_clients.partition_count(servers, name) for name in (outcome, of_feedback, *side_topics)]
    assert counts == [3, 3, 1, 1, 1, 1, 1, 1]

    again = cli(tmp_path, "topics", **variables)
    assert again.returncode == 0
    assert again.stdout.count("left as it is") == 8
    assert "exists, 3 partitions (a new one would have 6)" in again.stdout
    assert kafka_clients.partition_count(servers, outcome) == 3


def test_topics_that_the_broker_refuses(secured: Secured, tmp_path: Path) -> None:
    variables = {"KAFKA_BOOTSTRAP_SERVERS": secured.broker.bootstrap_servers, "KAFKA_OUTCOME_TOPIC": unique("outcomes")}
    done = cli(tmp_path, "topics", "--replication-factor", "3", **variables)
    assert done.returncode == 1
    assert "refused: invalid replication factor" in done.stdout
    assert "this cluster has 1 broker" in done.stdout
    done = cli(tmp_path, "topics", **secured.as_user("guest"))
    assert done.returncode == 1
    assert done.stdout.count("refused: topic authorization failed") == len(topic_names(KafkaConfig()))
    done = run_cli("topics", variables={"COLUMNS": "200", **secured.as_user("guest", "wrong")}, folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    error, todo = done.stderr.splitlines()
    # which of the two depends on whether the broker's answer is read before it closes the connection
    assert error.removeprefix("error: Kafka: ") in (
        "Authentication failed: Invalid username or password",
        "the broker closes the connection at the login",
    )
    assert "KAFKA_SASL_PLAIN_PASSWORD" in todo


def test_the_doctor_finds_a_topic_missing_and_then_all_well(secured: Secured, tmp_path: Path) -> None:
    variables = {
        **secured.as_user("boss"), "KAFKA_OUTCOME_TOPIC": unique("outcomes"), "KAFKA_FEEDBACK_TOPIC": unique("feedback"),
    }  # fmt: skip
    code, found = doctor(tmp_path, **variables)
    assert code == 1
    assert kafka_states(found) == {
        **dict.fromkeys(KAFKA_CHECKS, "ok"),
        "topics": "failed",
        "write": "skipped",
        "feedback": "skipped",
    }
    assert found["Kafka topics"]["todo"] == "otel-feedback topics"
    assert cli(tmp_path, "topics", **variables).returncode == 0
    code, found = doctor(tmp_path, **variables)
    assert (code, kafka_states(found)) == (0, dict.fromkeys(KAFKA_CHECKS, "ok"))
    assert found["Kafka login"]["found"] == "logged in by PLAIN as boss"


def test_the_doctor_writes_nothing_to_the_outcome_topic(secured: Secured, tmp_path: Path) -> None:
    servers, topic = secured.broker.bootstrap_servers, unique("outcomes")
    secured.broker.create_topic(topic)
    assert doctor(tmp_path, KAFKA_BOOTSTRAP_SERVERS=servers, KAFKA_OUTCOME_TOPIC=topic)[0] == 0
    kafka_clients.produce(servers, topic, [b"the first"])
    (record,) = kafka_clients.read_topic(servers, topic, 1)
    assert (record.offset, record.value) == (0, b"the first")


def test_a_wrong_password(secured: Secured, tmp_path: Path) -> None:
    code, found = doctor(tmp_path, **secured.as_user("boss", "wr0ng-passw0rd"))
    assert code == 1
    assert kafka_states(found)["protocol"] == "ok"
    assert found["Kafka login"]["state"] == "failed"
    assert "KAFKA_SASL_PLAIN_PASSWORD" in found["Kafka login"]["todo"]
    assert kafka_states(found)["write"] == "skipped"
    assert "wr0ng-passw0rd" not in json.dumps(found)


def test_a_user_who_may_not_write(secured: Secured, tmp_path: Path) -> None:
    topic = unique("outcomes")
    secured.broker.create_topic(topic)
    variables = {**secured.as_user("guest"), "KAFKA_OUTCOME_TOPIC": topic}
    code, found = doctor(tmp_path, **variables)
    assert (code, found["Kafka topics"]["state"]) == (1, "failed")
    assert found["Kafka topics"]["found"] == f"{topic}: topic authorization failed"

    _allow(secured, "guest", "READ", topic)
    code, found = doctor(tmp_path, **variables)
    assert (code, found["Kafka write"]["state"]) == (1, "failed")
    assert found["Kafka write"]["found"] == f"not allowed on {topic}; allowed: DESCRIBE, READ"
    assert f"User:guest --producer --topic {topic}" in found["Kafka write"]["todo"]

    _allow(secured, "guest", "WRITE", topic)
    code, found = doctor(tmp_path, **variables)
    assert (code, found["Kafka write"]["state"]) == (0, "ok")
    # the other topics are not for this user, which keeps no event back
    assert found["Kafka topics"]["state"] in ("ok", "warning")


def _allow(secured: Secured, user: str, operation: str, topic: str) -> None:
    program = f"""
        from kafka import KafkaAdminClient
        from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
        admin = KafkaAdminClient(bootstrap_servers={secured.broker.bootstrap_servers!r})
        admin.create_acls([ACL("User:{user}", "*", ACLOperation.{operation}, ACLPermissionType.ALLOW,
                               ResourcePattern(ResourceType.TOPIC, {topic!r}))])
        admin.close()
    """
    done = run_python(program)
    assert done.returncode == 0, done.stderr


def test_too_few_replicas_for_acks_all(secured: Secured, tmp_path: Path) -> None:
    topic = unique("outcomes")
    secured.broker.create_topic(topic, config={"min.insync.replicas": "2"})
    variables = {"KAFKA_BOOTSTRAP_SERVERS": secured.broker.bootstrap_servers, "KAFKA_OUTCOME_TOPIC": topic}
    code, found = doctor(tmp_path, **variables)
    assert (code, found["Kafka write"]["state"]) == (1, "failed")
    assert "acks=all needs 2 replicas in sync" in found["Kafka write"]["found"]


def test_a_cluster_that_sends_its_clients_astray(secured: Secured, tmp_path: Path) -> None:
    code, found = doctor(tmp_path, KAFKA_BOOTSTRAP_SERVERS=secured.astray)
    assert (code, found["Kafka brokers"]["state"]) == (1, "failed")
    assert "kafka.invalid:29092" in found["Kafka brokers"]["found"]
    assert "advertised.listeners" in found["Kafka brokers"]["todo"]


def test_a_protocol_that_does_not_fit_the_listener(secured: Secured, tmp_path: Path) -> None:
    tls = {"KAFKA_BOOTSTRAP_SERVERS": secured.broker.bootstrap_servers, "KAFKA_SECURITY_PROTOCOL": "SSL"}
    code, found = doctor(tmp_path, **tls)
    assert (code, found["Kafka protocol"]["state"]) == (1, "failed")
    assert "does this port speak TLS?" in found["Kafka protocol"]["todo"]
    code, found = doctor(tmp_path, KAFKA_BOOTSTRAP_SERVERS=secured.login)
    assert (code, found["Kafka protocol"]["state"], found["Kafka login"]["state"]) == (1, "ok", "failed")
    assert "it wants a login" in found["Kafka login"]["found"]


def test_a_broker_that_hangs(secured: Secured, tmp_path: Path) -> None:
    secured.broker.pause()
    try:
        began = time.monotonic()
        code, found = ask_doctor(tmp_path, KAFKA_BOOTSTRAP_SERVERS=secured.broker.bootstrap_servers)
        elapsed_s = time.monotonic() - began
    finally:
        secured.broker.resume()
    assert (code, found["Kafka protocol"]["state"]) == (1, "failed")
    assert "does not answer" in found["Kafka protocol"]["found"]
    assert elapsed_s < 8 * slowness()


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_all_is_well(
    kafka_broker: KafkaBroker, collector: Collector, jaeger: Jaeger, tmp_path: Path, protocol: str
) -> None:
    """The doctor says so, and a program with the same settings then really arrives."""
    service = unique("doctor")
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_broker.bootstrap_servers,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.grpc_endpoint if protocol == "grpc" else collector.http_endpoint,
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_SERVICE_NAME": service,
        "ENABLE_OUTCOME_LOGGING": "false",
    }
    assert cli(tmp_path, "topics", **variables).returncode == 0
    code, found = doctor(tmp_path, "--jaeger", jaeger.query_url, **variables)
    wrong = {name: check for name, check in found.items() if check["state"] not in ("ok", "off")}
    assert (code, wrong) == (0, {})
    assert kafka_states(found) == dict.fromkeys(KAFKA_CHECKS, "ok")
    assert found["OTLP logs"]["found"].endswith(f"takes logs by {protocol}")
    assert found["OTLP traces"]["found"].endswith(f"takes traces by {protocol}")
    assert f"{service} has sent nothing yet" in found["Jaeger"]["found"]

    done = run_python(
        """
        import otel_feedback as feedback
        pipeline = feedback.configure()
        with feedback.action("check", agent="doctor"):
            pass
        assert pipeline.shutdown(timeout_s=100), pipeline.metrics()
        """,
        variables,
    )
    assert done.returncode == 0, done.stderr
    jaeger.wait_for_spans(service)
    _, found = doctor(tmp_path, "--jaeger", jaeger.query_url, **variables)
    assert f"{service} is one of them" in found["Jaeger"]["found"]


def test_the_wrong_protocol_for_the_collectors_port(collector: Collector, tmp_path: Path) -> None:
    for protocol, endpoint in (("grpc", collector.http_endpoint), ("http/protobuf", collector.grpc_endpoint)):
        code, found = doctor(
            tmp_path,
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
            OTEL_TRACES_EXPORTER="otlp",
        )
        assert code == 1
        for name in ("OTLP logs", "OTLP traces"):
            assert found[name]["state"] == "failed"
            assert f"OTEL_EXPORTER_OTLP_PROTOCOL ({protocol})" in found[name]["todo"]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_server_of_traces_that_takes_no_logs(jaeger: Jaeger, tmp_path: Path, protocol: str) -> None:
    """Jaeger itself is one: the commonest wrong address for outcome events."""
    endpoint = jaeger.otlp_grpc_endpoint if protocol == "grpc" else jaeger.otlp_http_endpoint
    code, found = doctor(
        tmp_path,
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        OTEL_TRACES_EXPORTER="otlp",
    )
    assert (code, found["OTLP traces"]["state"], found["OTLP logs"]["state"]) == (1, "ok", "failed")
    assert found["OTLP logs"]["todo"].startswith("give the collector a pipeline for logs with the otlp receiver")


def test_logs_and_traces_to_different_servers(collector: Collector, jaeger: Jaeger, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}"
    code, found = doctor(
        tmp_path,
        OTEL_EXPORTER_OTLP_ENDPOINT=closed,
        OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=f"{collector.http_endpoint}/v1/logs",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=jaeger.otlp_grpc_endpoint,
        OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="grpc",
        OTEL_TRACES_EXPORTER="otlp",
    )
    assert (code, found["OTLP logs"]["state"], found["OTLP traces"]["state"]) == (0, "ok", "ok")
    assert found["OTLP traces"]["found"] == f"{jaeger.otlp_grpc_endpoint} takes traces by grpc"
