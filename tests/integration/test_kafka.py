"""The main job on a real broker: events on the topic field for field, in order per run, with their headers and key."""

from __future__ import annotations

import json
import platform
import uuid
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from otel_feedback.events.model import epoch_us
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.logs import lines_in
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.support import run_python

SNIPPET = """
    import json
    import otel_feedback as feedback

    pipeline = feedback.configure(service_name="support-bot")

    with feedback.action("reasoning", agent="react_agent", agent_type="react",
                         workflow_id="wf-1", tags=["customer"], metadata={"client": "acme"}) as act:
        act.add_usage(model="gpt-4o", input_tokens=900, output_tokens=120, llm_latency_ms=840)
        act.score(quality=0.92, confidence=0.8)

    @feedback.action("plan", agent="planner")
    async def plan(task):
        return task

    import asyncio
    asyncio.run(plan("t"))
    try:
        with feedback.action("tool", agent="react_agent"):
            raise RuntimeError("down")
    except RuntimeError:
        pass
    failures = pipeline.get_recent_events(count=20, status=feedback.OutcomeStatus.FAILURE, agent_name="react_agent")
    print(json.dumps({
        "producer_id": pipeline.producer_id,
        "events": [e.to_dict() for e in pipeline.get_recent_events(100)],
        "failures": len(failures),
    }))
"""


def new_topic(broker: KafkaBroker, partitions: int = 6, **config: str) -> str:
    name = f"outcomes-{uuid.uuid4().hex[:12]}"
    broker.create_topic(name, partitions, {key.replace("_", "."): value for key, value in config.items()})
    return name


def variables_of(broker: KafkaBroker, topic: str, **more: str) -> dict[str, str]:
    """Return the settings of a program that sends to a topic and nowhere else, unless there are more."""
    return {
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "KAFKA_OUTCOME_TOPIC": topic, "OTEL_TRACES_EXPORTER": "none",
        "ENABLE_OUTCOME_LOGGING": "false", **more,
    }  # fmt: skip


def by_sequence(records: list[kafka_clients.Record]) -> list[kafka_clients.Record]:
    return sorted(records, key=lambda record: int(dict(record.headers)["sequence"]))


def test_the_snippet_in_a_fresh_process(client: str, kafka_broker: KafkaBroker) -> None:
    """A script that ends at once; nothing flushes, the interpreter's end delivers."""
    topic = new_topic(kafka_broker)
    done = run_python(
        SNIPPET,
        variables_of(
            kafka_broker,
            topic,
            ENABLE_OUTCOME_LOGGING="true",
            ENABLE_KAFKA="true",
            KAFKA_CLIENT=client,
            OTEL_FEEDBACK_SHUTDOWN_TIMEOUT="30",
        ),
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["failures"] == 1

    records = by_sequence(kafka_clients.read_topic(kafka_broker.bootstrap_servers, topic, 3))
    assert [json.loads(record.value or b"") for record in records] == told["events"], "field for field"
    for sequence, (record, event) in enumerate(zip(records, told["events"], strict=True)):
        assert record.key == event["run_id"].encode() == event["trace_id"].encode()
        assert record.timestamp_ms == epoch_us(feedback.OutcomeEvent.from_json(record.value or b"").timestamp) // 1000
        assert dict(record.headers) == {
            "traceparent": f"00-{event['trace_id']}-{event['span_id']}-01".encode(),
            "content-type": b"application/json",
            "producer_id": told["producer_id"].encode(),
            "sequence": str(sequence).encode(),
            "ce_id": event["event_id"].encode(),
            "ce_source": b"//otel_feedback/support-bot",
            "ce_type": b"agent.outcome.v1",
            "ce_time": event["timestamp"].encode(),
            "ce_specversion": b"1.0",
            "schema_version": b"1.0",
        }
    logged = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert logged == told["events"], "the log tier has them too"


def configure(broker: KafkaBroker, topic: str, **settings: Any) -> FeedbackPipeline:
    return feedback.configure(
        tracer_provider=TracerProvider(shutdown_on_exit=False),
        kafka_bootstrap_servers=broker.bootstrap_servers,
        kafka_outcome_topic=topic,
        **settings,
    )


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("compression", ["gzip", "zstd", "lz4", "snappy", "none"])
def test_runs_stay_in_order_with_every_compression(compression: str, kafka_broker: KafkaBroker) -> None:
    topic = new_topic(kafka_broker)
    pipeline = configure(kafka_broker, topic, kafka_compression=compression, kafka_batch_size=50)
    for step in range(40):
        for run in range(25):
            with feedback.action("step", run_id=f"run-{run}", metadata={"step": step}):
                pass
    assert pipeline.force_flush(30) is True
    kafka = pipeline.metrics()["exporters"]["kafka"]
    assert (kafka["appended"], kafka["delivered"], kafka["pending"], kafka["lost"]) == (1000, 1000, 0, {})

    records = kafka_clients.read_topic(kafka_broker.bootstrap_servers, topic, 1000)
    assert len(records) == 1000
    steps: dict[str, list[Any]] = {}
    partitions: dict[bytes | None, set[int]] = {}
    for record in records:
        event = json.loads(record.value or b"")
        steps.setdefault(event["run_id"], []).append(event["metadata"]["step"])
        partitions.setdefault(record.key, set()).add(record.partition)
    assert steps == {f"run-{run}": list(range(40)) for run in range(25)}
    assert all(len(used) == 1 for used in partitions.values())
    assert len({p for used in partitions.values() for p in used}) > 1, "the load is spread"
    assert sorted(int(dict(r.headers)["sequence"]) for r in records) == list(range(1000))


@pytest.mark.usefixtures("client")
def test_keys_are_partitioned_as_kafkas_own_producers_do(kafka_broker: KafkaBroker) -> None:
    """So that records of other producers with the same key land beside ours."""
    topic = new_topic(kafka_broker)
    pipeline = configure(kafka_broker, topic)
    for run in range(30):
        with feedback.action("a", run_id=f"rün-{run}"):
            pass
    assert pipeline.force_flush(30) is True
    for run in range(30):
        kafka_clients.produce(kafka_broker.bootstrap_servers, topic, [b"theirs"], key=f"rün-{run}".encode())
    partitions: dict[bytes | None, set[int]] = {}
    for record in kafka_clients.read_topic(kafka_broker.bootstrap_servers, topic, 60):
        partitions.setdefault(record.key, set()).add(record.partition)
    assert len(partitions) == 30
    assert all(len(used) == 1 for used in partitions.values())


def test_a_record_that_the_broker_refuses_is_counted_kept_and_blocks_nobody(
    client: str, kafka_broker: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    import os
    from pathlib import Path

    topic = new_topic(kafka_broker, partitions=1, max_message_bytes="4000")
    pipeline = configure(
        kafka_broker, topic, kafka_compression="none", enable_outcome_logging=False, durability="memory"
    )
    numbers = {f"n{n}": [10**15] * 64 for n in range(5)}  # never cut, as text would be
    for i in range(20):
        with feedback.action("step", run_id="one", metadata={**(numbers if i == 7 else {}), "i": i}):
            pass
    assert pipeline.force_flush(30) is False, "one was not acknowledged"
    kafka = pipeline.metrics()["exporters"]["kafka"]
    assert (kafka["delivered"], kafka["pending"], kafka["lost"]) == (19, 0, {"too_large": 1})
    read = kafka_clients.read_to_end(kafka_broker.bootstrap_servers, topic)
    arrived = [json.loads(r.value or b"")["metadata"]["i"] for r in read]
    if client == "confluent":  # librdkafka gives up what is under way behind a refusal, and may have sent it
        arrived = list(dict.fromkeys(arrived))
    assert arrived == [i for i in range(20) if i != 7]
    assert "kafka refused event" in caplog.text
    [kept] = lines_in(Path(os.environ["OTEL_FEEDBACK_LOG_FILE"]))
    assert (kept["refused_by"], kept["reason"], kept["event"]["metadata"]["i"]) == ("kafka", "too_large", 7)


@pytest.mark.usefixtures("client")
def test_revisions_of_an_event_share_a_partition_and_are_told_apart(kafka_broker: KafkaBroker) -> None:
    topic = new_topic(kafka_broker)
    pipeline = configure(kafka_broker, topic)
    for revision in (0, 1, 2):
        status = feedback.OutcomeStatus.PENDING if revision == 0 else feedback.OutcomeStatus.SUCCESS
        event = feedback.OutcomeEvent(event_id="e", run_id="r", revision=revision, action_type="a", status=status)
        assert pipeline.record_outcome(event)
    assert pipeline.force_flush(30) is True
    records = by_sequence(kafka_clients.read_topic(kafka_broker.bootstrap_servers, topic, 3))
    assert [dict(r.headers)["ce_id"] for r in records] == [b"e/0", b"e", b"e/2"]
    assert len({r.partition for r in records}) == 1
    assert "traceparent" not in dict(records[0].headers), "an event outside of a trace has none"


def test_every_action_has_its_event_where_one_percent_is_sampled(kafka_broker: KafkaBroker) -> None:
    """On a provider that configure() made; the flag in `traceparent` says which traces are kept."""
    topic = new_topic(kafka_broker)
    done = run_python(
        """
        import otel_feedback as feedback
        pipeline = feedback.configure()
        for i in range(600):
            with feedback.action("root", metadata={"i": i}):
                with feedback.action("child"): pass
        print(pipeline.metrics()["recorded"], pipeline.metrics()["sampled_out"])
        assert pipeline.shutdown(30)
        """,
        variables_of(
            kafka_broker, topic, OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0.01"
        ),
    )
    assert done.returncode == 0, done.stderr
    records = kafka_clients.read_topic(kafka_broker.bootstrap_servers, topic, 1200)
    assert len(records) == 1200
    flags = [dict(r.headers)["traceparent"][-2:] for r in records]
    assert 0 <= flags.count(b"01") < 120, "about 1 %"
    assert flags.count(b"00") > 1000
    assert done.stdout.split() == ["1200", "0"]


def test_a_fork_while_the_client_is_being_imported(client: str, kafka_broker: KafkaBroker) -> None:
    """Parent and child each deliver what is theirs, under producer ids of their own."""
    topic = new_topic(kafka_broker)
    done = run_python(
        """
        import os, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        import otel_feedback as feedback
        pipeline = feedback.configure()
        with feedback.action("parent"): pass
        children = []
        for n in range(8):
            time.sleep(0.01)
            child = os.fork()
            if not child:
                with feedback.action(f"child-{n}"): pass
                os._exit(0 if pipeline.shutdown(30) else 1)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
        assert pipeline.shutdown(30)
        """,
        variables_of(kafka_broker, topic, KAFKA_CLIENT=client),
    )
    assert done.returncode == 0, done.stderr
    records = kafka_clients.read_topic(kafka_broker.bootstrap_servers, topic, 9)
    names = sorted(json.loads(record.value or b"")["action_type"] for record in records)
    assert names == [*(f"child-{n}" for n in range(8)), "parent"]
    assert len({dict(record.headers)["producer_id"] for record in records}) == 9


WITHOUT_LOOKUPS = """
    import os, socket, threading, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    import otel_feedback as feedback

    def look():
        socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)

    def look_on():
        while not is_over.is_set():
            look()

    def can_look():
        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        looking.join(1)
        return not looking.is_alive()

    is_over = threading.Event()
    pipeline = feedback.configure({settings})
    look()  # imports a codec
    for _ in range(2):
        threading.Thread(target=look_on, daemon=True).start()
    for _ in range(100):
        child = os.fork()
        if not child:
            if can_look():
                os._exit(0)
            with feedback.action("child"): pass
            is_delivered = pipeline.shutdown({limit_s})
            print(pipeline.metrics()["exporters"]["kafka"], flush=True)
            os._exit(1 if is_delivered else 2)
        if how := os.waitpid(child, 0)[1]:
            break
    is_over.set()
    print(os.waitstatus_to_exitcode(how))
"""
"""A child that is forked while its parent looks up a host: one of three, where the parent does nothing else."""

has_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a fault of glibc")


@has_glibc
def test_a_child_that_can_look_up_no_hosts_sends_by_a_process_of_its_own(
    client: str, kafka_broker: KafkaBroker
) -> None:
    topic = new_topic(kafka_broker)
    variables = variables_of(kafka_broker, topic, KAFKA_CLIENT=client, KAFKA_SENDER="thread")
    done = run_python(WITHOUT_LOOKUPS.format(settings="", limit_s=30), variables)
    assert done.returncode == 0, done.stderr
    *account, how = done.stdout.splitlines()
    assert (how, len(account)) == ("1", 1), (done.stdout, done.stderr)
    assert "'delivered': 1, 'pending': 0" in account[0]
    assert "was forked while its parent looked up a host" in done.stderr
    records = kafka_clients.read_topic(kafka_broker.bootstrap_servers, topic, 1)
    assert [json.loads(record.value or b"")["action_type"] for record in records] == ["child"]


@has_glibc
def test_a_child_that_can_look_up_no_hosts_and_may_have_no_process_ends_and_says_why(
    client: str, kafka_broker: KafkaBroker
) -> None:
    """Its event is in its journal, for a process that can."""
    provider = (
        'kafka_security_protocol="sasl_plaintext", kafka_sasl_mechanism="oauthbearer", '
        'kafka_sasl_oauth_token_provider=lambda: "token"'
    )
    variables = variables_of(kafka_broker, "outcomes", KAFKA_CLIENT=client, KAFKA_SENDER="thread")
    done = run_python(WITHOUT_LOOKUPS.format(settings=provider, limit_s=4), variables)
    assert done.returncode == 0, done.stderr
    *account, how = done.stdout.splitlines()
    assert (how, len(account)) == ("2", 1), (done.stdout, done.stderr)
    assert "'delivered': 0, 'pending': 1, 'lost': {}" in account[0]
    assert "was forked while its parent looked up a host" in account[0]
    assert "no other process can send for it: sasl_oauth_token_provider='<hidden>'" in account[0]
    assert "1 event not delivered to kafka" in done.stderr


def test_a_child_of_a_program_that_is_connected_delivers_and_ends(client: str, kafka_broker: KafkaBroker) -> None:
    """It ends as a program does: what it has of its parent's producer is not ended, which would wait for threads of its parent."""
    topic = new_topic(kafka_broker)
    done = run_python(
        """
        import os, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        import otel_feedback as feedback
        pipeline = feedback.configure()
        for _ in range(100):
            with feedback.action("parent"): pass
        assert pipeline.force_flush(30)
        for n in range(3):
            child = os.fork()
            if not child:
                with feedback.action("child"): pass
                sys.exit(0 if pipeline.shutdown(30) else 1)
            assert os.waitpid(child, 0)[1] == 0
            with feedback.action("parent"): pass
        assert pipeline.shutdown(30)
        """,
        variables_of(kafka_broker, topic, KAFKA_CLIENT=client),
    )
    assert done.returncode == 0, done.stderr
    records = kafka_clients.read_topic(kafka_broker.bootstrap_servers, topic, 106)
    names = [json.loads(record.value or b"")["action_type"] for record in records]
    assert sorted(names) == [*["child"] * 3, *["parent"] * 103]
    assert len({dict(record.headers)["producer_id"] for record in records}) == 4


def test_the_end_of_the_program_delivers_through_the_producer_that_is_open(kafka_broker: KafkaBroker) -> None:
    """kafka-python closes its producers at exit, too: all has to be acknowledged before that."""
    topic = new_topic(kafka_broker)
    done = run_python(
        """
        import otel_feedback as feedback
        pipeline = feedback.configure()
        with feedback.action("first"): pass
        assert pipeline.force_flush(30)
        import kafka
        close = kafka.KafkaProducer.close
        def told(self, *args, **kwargs):
            print(pipeline.metrics()["exporters"]["kafka"])
            close(self, *args, **kwargs)
        kafka.KafkaProducer.close = told
        for _ in range(3000):
            with feedback.action("late"): pass
        """,
        variables_of(kafka_broker, topic, OTEL_FEEDBACK_SHUTDOWN_TIMEOUT="30", KAFKA_SENDER="thread"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "'delivered': 3001, 'pending': 0, 'lost': {}, 'retries': 0" in done.stdout.splitlines()[0]
