"""What can be seen of a sender that is a process without a broker: its settings, what it is told, and what it costs nobody."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import otel_feedback as feedback
from otel_feedback.errors import ConfigError, ExportError
from otel_feedback.events.codec import encode as encode_event
from otel_feedback.events.record import Origin, Record
from otel_feedback.exporters.kafka.process.child import interpreter
from otel_feedback.exporters.kafka.process.messages import (
    Answers,
    Channel,
    Closed,
    Failed,
    FromSender,
    Lease,
    Message,
    ToSender,
    encode,
)
from otel_feedback.exporters.kafka.process.receipt import LeaseReceipt, Receipts
from otel_feedback.settings.settings import feedback_settings, get_settings
from tests.stack.processes import free_port
from tests.support import run_python

ORIGIN = Origin("0" * 32, "test")


def of_this_file() -> str:
    return "token"


def configure(provider: Callable[[], Any] | str, **settings: Any) -> None:
    feedback.configure(
        enable_kafka=True, kafka_sender="process", kafka_security_protocol="sasl_plaintext",
        kafka_sasl_mechanism="oauthbearer", kafka_sasl_oauth_token_provider=provider, **settings,
    )  # fmt: skip


def test_a_function_that_another_process_cannot_import_is_refused() -> None:
    with pytest.raises(ConfigError, match="sasl_oauth_token_provider='<hidden>': expected what another process can"):
        configure(lambda: "token")


def test_a_function_of_the_programs_own_file_is_refused() -> None:
    done = run_python(
        """
        import otel_feedback as feedback

        def give():
            return "token"

        for provider in (give, "__main__:give"):
            try:
                feedback.configure(
                    enable_kafka=True, kafka_sender="process", kafka_security_protocol="sasl_plaintext",
                    kafka_sasl_mechanism="oauthbearer", kafka_sasl_oauth_token_provider=provider,
                )
            except feedback.ConfigError as exc:
                print(exc)
        """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("this is of the program's own file") == 2, done.stdout


def test_what_is_no_sender_is_refused() -> None:
    with pytest.raises(ConfigError, match="kafka_sender='fork': expected one of thread, process"):
        get_settings(kafka_sender="fork")  # pyright: ignore[reportArgumentType]


def test_feedback_is_sent_by_a_thread() -> None:
    settings = get_settings(kafka_sender="process", environ={})
    assert (settings.kafka.sender, feedback_settings(settings).kafka.sender) == ("process", "thread")


def test_a_program_that_is_no_python_finds_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As uWSGI, which says that it is the interpreter itself."""
    monkeypatch.setattr(sys, "executable", "/usr/bin/uwsgi")
    assert interpreter() == f"{sys.prefix}/bin/python3"
    monkeypatch.setattr(sys, "prefix", "/nowhere")
    with pytest.raises(ConfigError, match="expected thread, since there is no Python to start at /nowhere/bin/python3"):
        interpreter()


def test_nothing_of_it_is_imported_by_those_who_do_not_ask_for_it() -> None:
    done = run_python(
        """
        import sys
        import otel_feedback as feedback

        pipeline = feedback.configure(shutdown_timeout_s=0)
        with feedback.action("a"): pass
        print([name for name in sys.modules if "kafka.process" in name])
        """,
        {
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}", "OTEL_TRACES_EXPORTER": "none",
            "ENABLE_OUTCOME_LOGGING": "false", "OTEL_FEEDBACK_DURABILITY": "memory",
        },
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_what_its_client_logs_goes_nowhere_where_the_program_shows_no_logs() -> None:
    """As in this process, where kafka-python says so of its loggers: what it comes to, one line of ours says."""
    done = run_python(
        """
        import time
        import otel_feedback as feedback

        pipeline = feedback.configure(shutdown_timeout_s=1)
        with feedback.action("a"): pass
        until_s = time.monotonic() + 30
        # what stands in the way is known sooner; and the line comes a moment after the count
        while not pipeline.metrics()["exporters"]["kafka"]["retries"] and time.monotonic() < until_s:
            time.sleep(0.05)
        time.sleep(1)
        """,
        {
            "KAFKA_SENDER": "process", "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
            "OTEL_TRACES_EXPORTER": "none", "ENABLE_OUTCOME_LOGGING": "false", "OTEL_FEEDBACK_DURABILITY": "memory",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "kafka did not take events (unavailable: " in done.stderr
    assert "Connection failed" not in done.stderr
    assert "KafkaConnection node_id" not in done.stderr


def record(sequence: int, *, packed: bool) -> Record:
    if packed:
        return Record(ORIGIN, sequence, "run", b"[]", True, "", is_packed=True)
    event = feedback.OutcomeEvent(action_type="a", status=feedback.OutcomeStatus.SUCCESS, tenant_id="acme")
    return Record.of(event, ORIGIN, sequence, "run", encode_event(event), sampled=False)


@given(cuts=st.lists(st.integers(1, 400), min_size=1, max_size=40))
def test_messages_come_as_they_were_sent_however_they_are_cut(cuts: list[int]) -> None:
    whole = record(3, packed=False)
    said: list[Message] = [Lease(1, ORIGIN, [(2, "run", b"[]", True), whole]), Lease(2, ORIGIN, [])]
    data = bytearray()
    for message in said:
        encode(message, data)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel, heard = Channel(theirs, ToSender), list[Message]()
        at = 0
        while at < len(data):
            size = cuts[at % len(cuts)]
            ours.sendall(data[at : at + size])
            at += size
            heard += channel.receive()
        assert heard == said
        ours.close()
        with pytest.raises(EOFError):
            channel.receive()


def test_a_record_that_is_whole_keeps_all_that_stands_beside_its_payload() -> None:
    whole = record(3, packed=False)
    assert whole.timestamp > datetime.fromtimestamp(0, timezone.utc)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for message in (Failed(1, "timeout", "late", None), Closed()):
            ours.sendall(encode(message))
        assert Channel(theirs, FromSender).receive() == [Failed(1, "timeout", "late", None), Closed()]
        theirs.sendall(encode(Lease(1, ORIGIN, [whole])))
        (lease,) = Channel(ours, ToSender).receive()
        assert lease.records == [whole]


@given(
    settled=st.sets(st.integers(0, 30)), refused=st.sets(st.integers(0, 30)), missing=st.sets(st.integers(1, 29))
)  # what a lease leaves out, since it was settled before
def test_answers_are_about_the_records_that_they_name(settled: set[int], refused: set[int], missing: set[int]) -> None:
    lease = [record(100 + n, packed=False) for n in range(31) if n not in missing]
    there = {one.sequence for one in lease}
    delivered = {100 + n for n in settled - refused} & there
    lost = {100 + n for n in refused} & there
    receipt = LeaseReceipt(lease)
    receipt.take(Answers(1, [(n, n + 1) for n in sorted(delivered)], [(n, "policy", "no") for n in sorted(lost)], None))
    told = list(receipt.poll())
    assert {one.sequence for one, refusal in told if refusal is None} == delivered
    assert {one.sequence for one, refusal in told if refusal is not None} == lost
    assert receipt.done == (delivered | lost == there)


def test_what_became_known_of_records_that_went_one_by_one_is_told_before_what_failed() -> None:
    one, other = LeaseReceipt([record(1, packed=False)]), LeaseReceipt([record(2, packed=False)])
    receipts = Receipts([one, other])
    one.take(Answers(1, [(1, 2)], [], None))
    other.error = ExportError("timeout", "late", retryable=True)
    assert [known.sequence for known, _ in receipts.poll()] == [1]
    assert not receipts.done
    with pytest.raises(ExportError, match="late"):
        receipts.poll()
