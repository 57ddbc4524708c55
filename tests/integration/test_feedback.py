"""Feedback on a real broker and out of the real collector: it arrives, however its processes end; whose it is; what is refused."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from otel_feedback.downstream.topic.received import header
from otel_feedback.downstream.verify.verifying import verify
from otel_feedback.events import audit
from otel_feedback.events.feedback import decode_feedback, feedback_id_of
from otel_feedback.exporters.kafka import inside
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.settings.registry import RegistryConfig
from tests.stack import kafka_clients
from tests.stack.collector import Collector
from tests.stack.kafka import KafkaBroker
from tests.stack.otlp_sink import OtlpSink
from tests.stack.registry import Registry
from tests.stack.waiting import wait_for, wait_until
from tests.support import ROOT, environment, run_cli, run_python

FLUSH_S = 60


class Topics:
    """Topics of its own: of outcomes, those beside it, and of feedback."""

    def __init__(self, broker: KafkaBroker, **feedback_config: str) -> None:
        self.servers = broker.bootstrap_servers
        self.feedback = f"feedback-{uuid.uuid4().hex[:12]}"
        self.outcomes = f"{self.feedback}-outcomes"
        for name in (self.feedback, self.outcomes):
            broker.create_topic(name, 3, {key.replace("_", "."): told for key, told in feedback_config.items()})
        for kind in ("dlq", "audit"):
            broker.create_topic(f"{self.outcomes}-{kind}", 1)

    @property
    def variables(self) -> dict[str, str]:
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.servers, "KAFKA_OUTCOME_TOPIC": self.outcomes,
            "KAFKA_FEEDBACK_TOPIC": self.feedback, "OTEL_TRACES_EXPORTER": "none",
        }  # fmt: skip

    def configure(self, **settings: Any) -> FeedbackPipeline:
        given: dict[str, Any] = {
            "kafka_bootstrap_servers": self.servers, "kafka_outcome_topic": self.outcomes,
            "kafka_feedback_topic": self.feedback, "enable_outcome_logging": False, **settings,
        }  # fmt: skip
        return feedback.configure(tracer_provider=TracerProvider(shutdown_on_exit=False), service_name="web", **given)

    def read(self, name: str | None = None) -> list[kafka_clients.Record]:
        return kafka_clients.read_to_end(self.servers, name or self.feedback)


@pytest.fixture
def topics(kafka_broker: KafkaBroker) -> Topics:
    return Topics(kafka_broker)


@pytest.mark.parametrize("line", ["whole batches", "send()"])
def test_a_record_on_the_topic(topics: Topics, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if line == "send()":
        monkeypatch.setattr(inside, "KNOWN_VERSIONS", ("0.",))
    pipeline = topics.configure(capture_content="comment")
    with feedback.action("step", run_id="run-1", tenant_id="acme") as act:
        pass
    told = feedback.give(act, score=0.83, label="good", comment="it was", by="u-302")
    assert told is not None
    assert pipeline.force_flush(FLUSH_S), pipeline.metrics()
    (record,), (event,) = topics.read(), topics.read(topics.outcomes)
    assert decode_feedback(record.value or b"") == told
    assert record.key == event.key == b"run-1"
    assert record.partition == event.partition
    moment = told.to_dict()["timestamp"]
    trace_id, span_id = act.event_id.split("-")
    assert dict(record.headers) == {
        "content-type": b"application/json", "producer_id": pipeline.metrics()["feedback"]["producer_id"].encode(),
        "sequence": b"0", "ce_id": f"{told.feedback_id}/{moment}".encode(), "ce_source": b"//otel_feedback/web",
        "ce_type": b"agent.feedback.v1", "ce_time": moment.encode(), "ce_specversion": b"1.0", "schema_version": b"1.0",
        "tenant_id": b"acme", "traceparent": f"00-{trace_id}-{span_id}-01".encode(), "record": b"feedback",
    }  # fmt: skip
    assert dict(event.headers)["sequence"] == b"0"


def _killed(topics: Topics, journal: Path, total: int, rounds: int, seed: int) -> dict[str, float]:
    """Give so many from processes that are killed; return what they said that give() returned, and a process that lives."""
    choose, told, first = random.Random(seed), dict[str, float](), 0
    for number in range(rounds):
        count = total // rounds if number < rounds - 1 else total - first
        command = [
            sys.executable, "-m", "tests.integration.feedback_child",
            topics.servers, topics.feedback, str(first), str(count), str(journal),
        ]  # fmt: skip
        first += count
        with subprocess.Popen(
            command, env=environment(OTEL_TRACES_EXPORTER="none"), cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            # in the middle of its delivery, or after all was given
            deadly = count if number % 2 else choose.randint(1, count)
            for given, line in enumerate(child.stdout, 1):
                feedback_id, _, score = line.partition(" ")
                told[feedback_id] = float(score)
                if given == deadly:
                    child.kill()
            child.kill()
    return told


def _arrives_exactly_once(topics: Topics, journal: Path, total: int, rounds: int) -> None:
    told = _killed(topics, journal, total, rounds, seed=17)
    drain = f"""
        import time
        from pathlib import Path
        import otel_feedback as feedback
        from otel_feedback.journal.folder import folders
        pipeline = feedback.configure(
            kafka_bootstrap_servers={topics.servers!r}, kafka_outcome_topic={topics.outcomes!r},
            kafka_feedback_topic={topics.feedback!r}, journal_dir={str(journal)!r}, journal_rescan_s=0.2,
            enable_outcome_logging=False, service_name="web",
        )
        until = time.monotonic() + 120
        while folders(Path({str(journal / "+feedback")!r})) and time.monotonic() < until:
            time.sleep(0.1)
        pipeline.shutdown(30)
    """
    done = run_python(drain, {"OTEL_TRACES_EXPORTER": "none"})
    assert done.returncode == 0, done.stderr
    joined: dict[str, feedback.Feedback] = {}
    for record in topics.read():
        one = decode_feedback(record.value or b"")
        assert joined.setdefault(one.feedback_id, one) == one  # a repeat is the same
    # what was written and not told any more, since the pipe was closed, is there, too
    assert {feedback_id: joined[feedback_id].score for feedback_id in told} == told
    outcomes, of_feedback = verify(_config(topics))
    assert (outcomes.missing, of_feedback.missing) == (0, 0)
    assert of_feedback.is_complete
    assert sum(one.delivered for one in of_feedback.producers) == len(joined)


def _config(topics: Topics) -> feedback.KafkaConfig:
    return feedback.KafkaConfig(
        bootstrap_servers=(topics.servers,), topic=topics.outcomes, feedback_topic=topics.feedback
    )


def test_what_give_returned_arrives_however_its_processes_are_killed(topics: Topics, tmp_path: Path) -> None:
    _arrives_exactly_once(topics, tmp_path / "j", total=2_000, rounds=3)


@pytest.mark.timeout(900)
def test_many_arrive_however_many_processes_are_killed(topics: Topics, tmp_path: Path) -> None:
    _arrives_exactly_once(topics, tmp_path / "j", total=20_000, rounds=24)


def test_a_topic_for_each_tenant(kafka_broker: KafkaBroker) -> None:
    base = f"outcomes-{uuid.uuid4().hex[:12]}"
    pipeline = feedback.configure(
        tracer_provider=TracerProvider(shutdown_on_exit=False), kafka_bootstrap_servers=kafka_broker.bootstrap_servers,
        kafka_outcome_topic=f"{base}.{{tenant}}", kafka_feedback_topic=f"{base}-feedback.{{tenant}}",
        enable_outcome_logging=False,
    )  # fmt: skip
    with feedback.action("step", tenant_id="acme") as act:
        pass
    for target, tenant in ((act.event_id, None), ("run-1", "globex"), ("run-2", None)):
        assert feedback.give(target, score=1, tenant_id=tenant)
    assert pipeline.force_flush(FLUSH_S), pipeline.metrics()
    found = {
        topic: [decode_feedback(record.value or b"").tenant_id for record in records]
        for topic in (f"{base}-feedback.acme", f"{base}-feedback.globex", f"{base}-feedback")
        for records in [kafka_clients.read_to_end(kafka_broker.bootstrap_servers, topic)]
    }
    assert found == {
        f"{base}-feedback.acme": ["acme"],
        f"{base}-feedback.globex": ["globex"],
        f"{base}-feedback": [None],
    }


def test_what_kafka_refuses_is_a_dead_letter_is_told_and_can_be_sent_again(
    kafka_broker: KafkaBroker, tmp_path: Path
) -> None:
    topics = Topics(kafka_broker, max_message_bytes="900")
    journal = tmp_path / "j"
    pipeline = topics.configure(journal_dir=journal, kafka_compression="none")
    assert feedback.give("run-1", score=1, label="x" * 256, by="y" * 256, name="z" * 256)  # nothing of it may be cut
    assert feedback.give("run-1", score=0.5)
    wait_until(
        lambda: pipeline.metrics()["feedback"]["exporters"]["kafka"]["pending"] == 0, timeout_s=60, what="answers"
    )
    account = pipeline.metrics()["feedback"]["exporters"]["kafka"]
    assert (account["delivered"], account["lost"]) == (1, {"too_large": 1})
    pipeline.shutdown(30)
    (letter,) = topics.read(f"{topics.outcomes}-dlq")
    assert header(letter.headers, "error.reason") == "too_large"
    assert header(letter.headers, "original.topic") == topics.feedback
    assert header(letter.headers, "record") == "feedback"
    told = [audit.decode(record.value or b"") for record in topics.read(f"{topics.outcomes}-audit")]
    losses = [one for one in told if isinstance(one, audit.LossRecord)]
    assert [(one.reason, one.count, one.destination.rpartition("/")[2]) for one in losses] == [
        ("too_large", 1, topics.feedback)
    ]
    outcomes, of_feedback = verify(_config(topics))
    assert (outcomes.missing, of_feedback.missing, of_feedback.producers[0].state) == (0, 0, "losses")

    kafka_clients.set_topic_option(topics.servers, topics.feedback, "max.message.bytes", "100000")
    variables = {**topics.variables, "OTEL_FEEDBACK_JOURNAL_DIR": str(journal), "OTEL_SERVICE_NAME": "web"}
    done = run_cli("journal", "replay", "--quarantine", "--json", variables=variables)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["feedback"]["delivered"] == 1
    names = {decode_feedback(record.value or b"").name for record in topics.read()}
    assert names == {"z" * 256, "user_rating"}


def test_replay_delivers_what_a_dead_process_left(topics: Topics, tmp_path: Path) -> None:
    variables = {**topics.variables, "OTEL_FEEDBACK_JOURNAL_DIR": str(tmp_path / "j"), "OTEL_SERVICE_NAME": "web"}
    done = run_python(
        """
        import os, signal
        import otel_feedback as feedback
        feedback.configure(enable_outcome_logging=False, kafka_linger_ms=60_000)
        with feedback.action("step") as act:
            pass
        for number in range(20):
            feedback.give(act, score=number / 20, by=str(number))
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        variables,
    )
    assert done.returncode == -9, done.stderr
    shown = json.loads(run_cli("journal", "inspect", "--json", variables=variables).stdout)
    assert [Path(each["directory"]).name for each in shown["services"]] == ["j", "+feedback"]
    assert run_cli("journal", "verify", variables=variables).returncode == 0
    done = run_cli("journal", "replay", "--json", variables=variables)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    # part of it may have been sent before the process died
    assert report["left"] == report["feedback"]["left"] == 0
    assert len({decode_feedback(record.value or b"").feedback_id for record in topics.read()}) == 20
    assert run_cli("verify", variables=variables).returncode == 0


def test_verify_says_what_of_feedback_is_missing(topics: Topics) -> None:
    pipeline = topics.configure()
    for number in range(10):
        feedback.give(f"run-{number}", score=1)
    assert pipeline.shutdown(FLUSH_S)
    outcomes, of_feedback = verify(_config(topics))
    assert (outcomes.producers, of_feedback.is_complete) == ([], True)
    for record in topics.read():
        kafka_clients.delete_below(topics.servers, topics.feedback, record.partition, record.offset + 1)
    done = run_cli("verify", "--json", variables=topics.variables)
    found = json.loads(done.stdout)
    assert (done.returncode, found["missing"], found["feedback"]["missing"]) == (1, 0, 10)
    done = run_cli("verify", variables={**topics.variables, "COLUMNS": "120"})
    assert f"{topics.feedback} on " in done.stdout
    assert "10 feedback records missing that nobody declared lost" in done.stdout


def test_feedback_stays_json_where_events_are_avro(topics: Topics, registry: Registry) -> None:
    config = feedback.KafkaConfig(
        bootstrap_servers=(topics.servers,), topic=topics.outcomes, feedback_topic=topics.feedback, value_format="avro",
        registry=RegistryConfig(urls=(registry.url,)),
    )  # fmt: skip
    pipeline = feedback.configure(
        tracer_provider=TracerProvider(shutdown_on_exit=False), kafka=config, enable_outcome_logging=False
    )
    with feedback.action("step") as act:
        pass
    feedback.give(act, score=1)
    assert pipeline.force_flush(FLUSH_S), pipeline.metrics()
    assert (topics.read(topics.outcomes)[0].value or b"")[0] == 0
    assert decode_feedback(topics.read()[0].value or b"").score == 1


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_the_collector_takes_it_as_an_evaluation(
    protocol: str, collector: Collector, otlp_sink: OtlpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = collector.grpc_endpoint if protocol == "grpc" else collector.http_endpoint
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    pipeline = feedback.configure(
        tracer_provider=TracerProvider(shutdown_on_exit=False), service_name="web", enable_outcome_logging=False,
        capture_content="comment",
    )  # fmt: skip
    user = uuid.uuid4().hex
    with feedback.action("step", run_id="run-1") as act:
        pass
    told = feedback.give(act, score=1, label="good", comment="just so", by=user)
    assert told is not None
    assert pipeline.force_flush(FLUSH_S), pipeline.metrics()

    def ours() -> Any:
        for record in otlp_sink.log_records():
            said = {pair.key: pair.value for pair in record.attributes}
            if "outcome.feedback.by" in said and said["outcome.feedback.by"].string_value == user:
                return record, said
        return None

    record, said = wait_for(ours, timeout_s=60, what="the evaluation behind the collector")
    assert record.event_name == "gen_ai.evaluation.result"
    assert f"{record.trace_id.hex()}-{record.span_id.hex()}" == act.event_id
    assert said["gen_ai.evaluation.name"].string_value == "user_rating"
    assert said["gen_ai.evaluation.score.value"].double_value == 1.0
    assert said["gen_ai.evaluation.score.label"].string_value == "good"
    assert said["gen_ai.evaluation.explanation"].string_value == "just so"
    assert said["outcome.feedback.id"].string_value == feedback_id_of(
        "event", act.event_id, "user_rating", "human", user
    )
    assert said["outcome.run_id"].string_value == "run-1"


def test_an_outage_costs_disk_and_nothing_is_lost(topics: Topics, tmp_path: Path) -> None:
    """Kafka that was never there: give() does not wait, and what it returned goes elsewhere when an operator says so."""
    variables = {**topics.variables, "OTEL_FEEDBACK_JOURNAL_DIR": str(tmp_path / "j"), "OTEL_SERVICE_NAME": "web"}
    done = run_python(
        """
        import otel_feedback as feedback
        pipeline = feedback.configure(kafka_bootstrap_servers="127.0.0.1:1", enable_outcome_logging=False)
        for number in range(100):
            print(feedback.give("run", score=1, by=str(number)).feedback_id)
        assert not pipeline.shutdown(0.5)
        """,
        variables,
    )
    assert done.returncode == 0, done.stderr
    given = done.stdout.split()
    assert len(set(given)) == 100
    taken = run_cli("journal", "replay", "--take", f"127.0.0.1:1/{topics.feedback}", "--json", variables=variables)
    assert taken.returncode == 0, taken.stdout + taken.stderr
    assert {decode_feedback(record.value or b"").feedback_id for record in topics.read()} == set(given)
