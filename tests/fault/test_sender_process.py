"""A process that sends for an agents' process, and dies, hangs, or loses either end: nothing is lost, and runs stay in order."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import otel_feedback as feedback
from otel_feedback.exporters.kafka.process.child import SenderProcess
from otel_feedback.exporters.kafka.process.exporter import ProcessExporter
from otel_feedback.exporters.kafka.process.messages import Begin, Identify, encode
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.fault.small_disk import SmallDisk
from tests.fault.stream import Stream, account, assert_everything_arrived, configure
from tests.senders import is_sending, senders
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.waiting import wait_until
from tests.support import environment, run_python

pytestmark = pytest.mark.usefixtures("client")
LONG = ("workflow_id", "correlation_id", "session_id", "user_id", "agent", "agent_type")


@pytest.fixture
def topic(kafka_broker: KafkaBroker) -> str:
    name = f"outcomes-{uuid.uuid4().hex[:12]}"
    kafka_broker.create_topic(name, 3)
    return name


def wait_less(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    where = "otel_feedback.exporters.kafka.process.exporter.ProcessExporter"
    monkeypatch.setattr(where, partial(ProcessExporter, **seconds))


def the_sender() -> int:
    (found,) = senders(os.getpid())
    return found


def wait_until_gone(process: int) -> None:
    wait_until(lambda: not is_sending(process), timeout_s=10, what="the sender to be gone")


@contextlib.contextmanager
def sending(broker: KafkaBroker, topic: str) -> Generator[FeedbackPipeline]:
    pipeline = configure(broker.bootstrap_servers, topic, kafka_sender="process")
    assert senders(os.getpid()) == [], "there is none before there is something to send"
    yield pipeline
    last = the_sender()
    assert pipeline.shutdown(20) is True
    assert not is_sending(last), "it ends with its pipeline"


@pytest.mark.brief
def test_one_that_is_killed_is_followed_by_another(kafka_broker: KafkaBroker, topic: str) -> None:
    with sending(kafka_broker, topic) as pipeline:
        killed: set[int] = set()
        with Stream() as stream:
            for _ in range(3):
                stream.wait_for_steps(50)
                wait_until(lambda: bool(set(senders(os.getpid())) - killed), timeout_s=30, what="a new sender")
                killed.add(the_sender())
                os.kill(the_sender(), signal.SIGKILL)
            stream.wait_for_steps(50)
        assert_everything_arrived(pipeline, stream, kafka_broker.bootstrap_servers, topic)
        assert len(killed) == 3
        assert the_sender() not in killed


def test_one_that_hangs_is_killed_and_followed_by_another(
    kafka_broker: KafkaBroker, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_less(monkeypatch, hung_s=1.5)
    with sending(kafka_broker, topic) as pipeline:
        with Stream() as stream:
            stream.wait_for_steps(50)
            wait_until(lambda: account(pipeline)["delivered"] > 0, timeout_s=30, what="something to be delivered")
            hung = the_sender()
            os.kill(hung, signal.SIGSTOP)
            wait_until_gone(hung)
            assert "has not answered" in account(pipeline)["last_error"]
            stream.wait_for_steps(50)
        assert_everything_arrived(pipeline, stream, kafka_broker.bootstrap_servers, topic)


def test_what_a_full_disk_leaves_in_memory_goes_as_well(
    kafka_broker: KafkaBroker, topic: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SmallDisk(tmp_path / "disk") as disk:
        monkeypatch.setenv("OTEL_FEEDBACK_JOURNAL_DIR", str(disk.path / "journals"))
        monkeypatch.setenv("OTEL_FEEDBACK_JOURNAL_MIN_FREE_BYTES", "0")
        with sending(kafka_broker, topic) as pipeline:

            def is_in_memory() -> bool:
                return bool(pipeline.metrics()["journal"]["kind"] == "memory")

            with Stream() as stream:
                stream.wait_for_steps(50)
                assert not is_in_memory()
                disk.fill()
                wait_until(is_in_memory, timeout_s=30, what="the disk to be full")
                sent = len(stream.sent)
                wait_until(lambda: account(pipeline)["delivered"] > sent, timeout_s=30, what="more to be delivered")
                assert is_in_memory()
                disk.free()
                wait_until(lambda: not is_in_memory(), timeout_s=30, what="the disk to take events again")
                stream.wait_for_steps(50)
            assert_everything_arrived(pipeline, stream, kafka_broker.bootstrap_servers, topic)


def test_one_that_hangs_does_not_outlive_the_end(kafka_broker: KafkaBroker, topic: str) -> None:
    pipeline = configure(kafka_broker.bootstrap_servers, topic, kafka_sender="process")
    with feedback.action("step"):
        pass
    assert pipeline.force_flush(30)
    hung = the_sender()
    os.kill(hung, signal.SIGSTOP)
    began_s = time.monotonic()
    assert pipeline.shutdown(2) is True, "everything was delivered"
    assert time.monotonic() - began_s < 5
    wait_until_gone(hung)


def test_a_broker_that_hangs_is_for_the_sender_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_less(monkeypatch, give_up_s=1.0, hung_s=5.0)
    with KafkaBroker.launch_own() as broker:
        broker.create_topic("outcomes", 3)
        with sending(broker, "outcomes") as pipeline:
            with Stream() as stream:
                stream.wait_for_steps(50)
                wait_until(lambda: account(pipeline)["delivered"] > 0, timeout_s=30, what="something to be delivered")
                before = the_sender()
                broker.pause()
                wait_until(lambda: account(pipeline)["retries"] > 1, timeout_s=30, what="the sender to give up")
                assert the_sender() == before, "it is not the sender that hangs"
                os.kill(before, signal.SIGKILL)
                tried = account(pipeline)["retries"]
                wait_until(
                    lambda: account(pipeline)["retries"] > tried + 2, timeout_s=60, what="the next one to give up"
                )
                assert "process" not in account(pipeline)["last_error"]
                after = the_sender()
                broker.resume()
                stream.wait_for_steps(50)
            assert_everything_arrived(pipeline, stream, broker.bootstrap_servers, "outcomes")
            assert the_sender() == after


def test_what_is_refused_is_kept_whole_and_the_rest_goes_on(
    kafka_broker: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = f"outcomes-{uuid.uuid4().hex[:12]}"
    kafka_broker.create_topic(topic, 3, {"max.message.bytes": "2000"})
    monkeypatch.setenv("OTEL_FEEDBACK_JOURNAL_DIR", str(tmp_path))
    pipeline = configure(kafka_broker.bootstrap_servers, topic, kafka_sender="process", kafka_compression="none")
    ids: list[str] = []
    for step in range(40):
        # ids are never cut
        ids_of: dict[str, Any] = {name: f"{name}-{'x' * 240}" for name in LONG} if step % 20 == 7 else {}
        with feedback.action("step", run_id="one", **ids_of) as act:
            pass
        ids.append(act.event_id)
    assert pipeline.force_flush(60) is False, "some were refused"
    kafka = account(pipeline)
    assert (kafka["delivered"], kafka["pending"], kafka["lost"]) == (38, 0, {"too_large": 2})
    kept = [json.loads(line) for file in tmp_path.rglob("*.jsonl") for line in file.read_text().splitlines()]
    refused = {line["event"]["event_id"]: line["event"] for line in kept}
    assert set(refused) == {ids[7], ids[27]}
    assert all(event[name].endswith("xxx") for event in refused.values() for name in LONG[:4])
    sent = [
        json.loads(r.value or b"")["event_id"] for r in kafka_clients.read_to_end(kafka_broker.bootstrap_servers, topic)
    ]
    assert list(dict.fromkeys(sent)) == [one for one in ids if one not in refused], "in order"
    pipeline.shutdown(10)


PROGRAM = """
    import os, sys, time
    import otel_feedback as feedback

    pipeline = feedback.configure(service_name="killed")
    print("ready", flush=True)
    if os.environ.get("FORKS"):
        time.sleep(0.5)
        with feedback.action("step", run_id="before"):
            pass
        pipeline.force_flush(30)
        if os.fork() == 0:  # has the socket, too, and knows nothing of us
            while True:
                time.sleep(60)
    step = 0
    try:
        while True:
            with feedback.action("step", run_id=f"run-{step % 3}", metadata={"step": step}) as act:
                pass
            print("did", act.event_id, flush=True)
            step += 1
            time.sleep(0.002)
    except KeyboardInterrupt:
        pass
"""

DRAIN = """
    import otel_feedback as feedback

    pipeline = feedback.configure(service_name="killed")
    assert pipeline.shutdown(60), pipeline.metrics()
"""


def start(variables: dict[str, str], **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)], env=environment(**variables, **more), stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, start_new_session=True,
    )  # fmt: skip


def variables_of(bootstrap_servers: str, topic: str, journal: Path, client: str) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers, "KAFKA_OUTCOME_TOPIC": topic, "KAFKA_CLIENT": client,
        "KAFKA_SENDER": "process", "OTEL_FEEDBACK_JOURNAL_DIR": str(journal), "OTEL_TRACES_EXPORTER": "none",
        "ENABLE_OUTCOME_LOGGING": "false", "OTEL_FEEDBACK_SHUTDOWN_TIMEOUT": "30",
    }  # fmt: skip


def read_for(agent: subprocess.Popen[str], seconds: float) -> list[str]:
    assert agent.stdout is not None
    did: list[str] = []
    until_s: float | None = None
    for line in agent.stdout:
        kind, _, event_id = line.strip().partition(" ")
        if kind == "did":
            did.append(event_id)
            until_s = until_s or time.monotonic() + seconds
        if until_s is not None and time.monotonic() >= until_s:
            return did
    raise AssertionError("the agent has ended")


def test_it_ends_with_an_agent_that_is_killed_and_the_next_process_delivers(
    kafka_broker: KafkaBroker, topic: str, tmp_path: Path, client: str
) -> None:
    variables = variables_of(kafka_broker.bootstrap_servers, topic, tmp_path, client)
    did: list[str] = []
    for _ in range(3):
        with start(variables) as agent:
            did += read_for(agent, 2.0)
            (sender,) = senders(agent.pid)
            agent.kill()
            assert agent.stdout is not None
            did += [line.split()[1] for line in agent.stdout if line.startswith("did ") and line.endswith("\n")]
        wait_until_gone(sender)
    drained = run_python(DRAIN, variables)
    assert drained.returncode == 0, drained.stderr
    records = kafka_clients.read_to_end(kafka_broker.bootstrap_servers, topic)
    steps: dict[tuple[bytes, bytes | None], list[int]] = {}
    seen: set[str] = set()
    for record in records:
        event = json.loads(record.value or b"")
        if event["event_id"] not in seen and "step" in event.get("metadata", {}):
            steps.setdefault((dict(record.headers)["producer_id"], record.key), []).append(event["metadata"]["step"])
        seen.add(event["event_id"])
    assert set(did) <= seen, f"{len(set(did) - seen)} of {len(did)} are missing"
    assert all(numbers == sorted(numbers) for numbers in steps.values()), "in order per run"


def test_it_ends_with_its_agent_also_where_a_child_of_the_agent_lives_on(
    kafka_broker: KafkaBroker, topic: str, tmp_path: Path, client: str
) -> None:
    with start(variables_of(kafka_broker.bootstrap_servers, topic, tmp_path, client), FORKS="1") as agent:
        read_for(agent, 0.5)
        (sender,) = senders(agent.pid)
        group = os.getpgid(agent.pid)
        agent.kill()
        wait_until_gone(sender)
        os.killpg(group, signal.SIGKILL)


def test_ctrl_c_ends_the_agent_and_everything_is_delivered_first(
    kafka_broker: KafkaBroker, topic: str, tmp_path: Path, client: str
) -> None:
    with start(variables_of(kafka_broker.bootstrap_servers, topic, tmp_path, client)) as agent:
        did = read_for(agent, 1.0)
        (sender,) = senders(agent.pid)
        for told in (signal.SIGINT, signal.SIGTERM):  # as a service manager tells all processes of a service
            os.kill(sender, told)
        os.killpg(os.getpgid(agent.pid), signal.SIGINT)  # as a terminal does
        assert agent.stdout is not None
        did += [line.split()[1] for line in agent.stdout if line.startswith("did ")]
        assert agent.wait(60) == 0
        assert not is_sending(sender)
    assert not list(tmp_path.rglob("*.seg")), "nothing was left for another process"
    records = kafka_clients.read_to_end(kafka_broker.bootstrap_servers, topic)
    assert set(did) <= {json.loads(record.value or b"")["event_id"] for record in records}


def test_a_forked_child_has_a_sender_of_its_own(
    kafka_broker: KafkaBroker, topic: str, tmp_path: Path, client: str
) -> None:
    program = """
        import os
        import otel_feedback as feedback

        def act(run, count):
            for step in range(count):
                with feedback.action("step", run_id=run, metadata={"step": step}):
                    pass

        pipeline = feedback.configure(service_name="forks")
        act("before", 10)
        assert pipeline.force_flush(30)
        child = os.fork()
        act("child" if child == 0 else "parent", 200)
        done = pipeline.shutdown(30)
        if child == 0:
            os._exit(0 if done else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert done, pipeline.metrics()
    """
    ran = run_python(program, variables_of(kafka_broker.bootstrap_servers, topic, tmp_path, client))
    assert ran.returncode == 0, ran.stderr
    records = kafka_clients.read_to_end(kafka_broker.bootstrap_servers, topic)
    steps: dict[bytes | None, list[int]] = {}
    for record in records:
        steps.setdefault(record.key, []).append(json.loads(record.value or b"")["metadata"]["step"])
    assert steps == {b"before": list(range(10)), b"child": list(range(200)), b"parent": list(range(200))}
    assert len({dict(record.headers)["producer_id"] for record in records}) == 2


def test_what_it_logs_is_logged_by_its_agent_and_no_secret_is_on_its_command_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pipeline = configure(
        "127.0.0.1:1", "outcomes", kafka_sender="process", kafka_security_protocol="sasl_plaintext",
        kafka_sasl_mechanism="plain", kafka_sasl_plain_username="agent", kafka_sasl_plain_password="s3cret-of-all",
    )  # fmt: skip
    with feedback.action("step"):
        pass
    wait_until(lambda: account(pipeline)["retries"] > 0, timeout_s=60, what="the connection to fail")
    listed = subprocess.run(
        ["ps", "-ww", "-p", str(the_sender()), "-o", "args="], capture_output=True, text=True, check=True
    )
    assert "s3cret" not in listed.stdout
    kafka = account(pipeline)
    assert (kafka["pending"], kafka["healthy"]) == (1, False)
    assert "127.0.0.1:1" in kafka["last_error"]
    wait_until(
        lambda: any("librdkafka: " in line or "kafka.net" in line for line in caplog.text.splitlines()),
        timeout_s=30,
        what="its log",
    )
    assert "s3cret" not in caplog.text
    pipeline.shutdown(0.5)
    wait_until(lambda: senders(os.getpid()) == [], timeout_s=10, what="the sender to be gone")


@contextlib.contextmanager
def silent_broker() -> Generator[tuple[str, threading.Event]]:
    """Take connections and never say anything: a try to connect takes as long as it may."""
    is_tried, connections = threading.Event(), list[socket.socket]()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connections.append(server.accept()[0])
                    is_tried.set()

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}", is_tried
        server.shutdown(socket.SHUT_RDWR)
    for connection in connections:
        connection.close()


def test_none_is_left_behind_where_it_is_just_connecting() -> None:
    with silent_broker() as (address, is_tried):
        pipeline = configure(address, "outcomes", kafka_sender="process")
        with feedback.action("step"):
            pass
        assert is_tried.wait(30)
        sender = the_sender()
        began_s = time.monotonic()
        assert pipeline.shutdown(0.5) is False
        assert time.monotonic() - began_s < 2
        wait_until(lambda: not is_sending(sender), timeout_s=2, what="the sender to be gone")
        kafka = account(pipeline)
        assert (kafka["pending"], kafka["retries"], kafka["lost"]) == (1, 0, {})


def test_one_that_is_told_to_close_does_not_go_on_connecting(client: str) -> None:
    with silent_broker() as (address, is_tried):
        config = feedback.KafkaConfig(bootstrap_servers=(address,), client=client)
        before = senders(os.getpid())
        sender = SenderProcess(Begin(0, pickle.dumps(config), 60.0, logging.ERROR, None), 10.0)
        (process,) = set(senders(os.getpid())) - set(before)
        sender.send(encode(Identify(0)))
        assert is_tried.wait(30)
        began_s = time.monotonic()
        sender.close(20)
        assert time.monotonic() - began_s < 4, "it had 20 s"
        assert not is_sending(process)


def test_it_ends_with_an_agent_that_is_killed_while_it_is_just_connecting(tmp_path: Path, client: str) -> None:
    with silent_broker() as (address, is_tried), start(variables_of(address, "outcomes", tmp_path, client)) as agent:
        assert is_tried.wait(30)
        (sender,) = senders(agent.pid)
        agent.kill()
        wait_until(lambda: not is_sending(sender), timeout_s=2, what="the sender to be gone")
