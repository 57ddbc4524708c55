"""The side lane while its broker is away, at its end, and in a forked child; on real brokers."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import context

from otel_feedback.exporters.kafka.producer import OutcomeProducer
from otel_feedback.sdk.compat.suppressing import suppress_instrumentation
from tests.integration.test_kafka_notices import REFUSAL, ours, side
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.waiting import wait_until
from tests.support import run_python
from tools.sample import sample_record


def die(broker: KafkaBroker) -> Callable[[], None]:
    broker.kill()
    return broker.start


def hang(broker: KafkaBroker) -> Callable[[], None]:
    broker.pause()
    return broker.resume


@pytest.mark.parametrize("fail", [die, hang])
def test_a_broker_that_is_away_and_comes_back(
    fail: Callable[[KafkaBroker], Callable[[], None]], caplog: pytest.LogCaptureFixture
) -> None:
    with KafkaBroker.launch_own() as broker, side(broker.bootstrap_servers) as lane:
        for number in range(10):
            lane.notices.audit("p", b"%d" % number)
        assert lane.notices.flush(30) is True
        bring_back = fail(broker)
        for number in range(10, 20):
            lane.notices.audit("p", b"%d" % number)
        lane.notices.dead_letter(sample_record(), REFUSAL)
        assert lane.notices.flush(1) is False
        assert lane.notices.account() == {"sent": 10, "pending": 11, "lost": 0}
        bring_back()
        assert lane.notices.flush(60) is True, ours(caplog)
        assert lane.notices.account() == {"sent": 21, "pending": 0, "lost": 0}
        assert lane.values("audit") == [b"%d" % number for number in range(20)], "in order"
        assert lane.values("dlq") == [sample_record().payload]


def test_close_is_in_time_where_nobody_answers() -> None:
    """The client itself would wait for 5 s; the thread is still at it when `close` is done, and ends by itself."""
    with socket.create_server(("127.0.0.1", 0)) as silent, side(f"127.0.0.1:{silent.getsockname()[1]}") as lane:
        lane.notices.audit("p", b"{}")
        [thread] = [one for one in threading.enumerate() if one.name == "otel-feedback-notices"]
        lane.notices.close(0.3)
        assert thread.is_alive()
        assert lane.notices.account() == {"sent": 0, "pending": 0, "lost": 1}
        wait_until(lambda: not thread.is_alive(), timeout_s=60, what="the thread to end")


def test_close_sends_what_is_waiting(kafka_broker: KafkaBroker) -> None:
    with side(kafka_broker.bootstrap_servers) as lane:
        for number in range(2_000):
            lane.notices.audit("p", b"%d" % number)
        lane.notices.close(60)
        assert lane.notices.account() == {"sent": 2_000, "pending": 0, "lost": 0}
        assert lane.values("audit") == [b"%d" % number for number in range(2_000)]


def test_a_fork_leaves_the_parents_lane_alone(kafka_broker: KafkaBroker) -> None:
    """The child forgets what is the parent's without closing it, and sends what is its own."""
    topic = f"outcomes-{uuid.uuid4().hex[:12]}"
    done = run_python(
        f"""
        import os, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from otel_feedback import KafkaConfig
        from otel_feedback.exporters.kafka.notices.notices import KafkaNotices
        notices = KafkaNotices(KafkaConfig(bootstrap_servers=({kafka_broker.bootstrap_servers!r},), topic={topic!r}))
        os.register_at_fork(after_in_child=notices.after_fork)
        notices.audit("p", b"before")
        assert notices.flush(30)
        children = []
        for n in range(5):
            notices.audit("p", b"parent-%d" % n)
            child = os.fork()
            if not child:
                assert notices.account() == {{"sent": 0, "pending": 0, "lost": 0}}
                notices.audit("p", b"child-%d" % n)
                notices.close(30)
                os._exit(0 if notices.account() == {{"sent": 1, "pending": 0, "lost": 0}} else 1)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 5
        assert notices.flush(30)
        notices.audit("p", b"after")
        notices.close(30)
        assert notices.account() == {{"sent": 7, "pending": 0, "lost": 0}}
        """,
    )
    assert (done.returncode, done.stderr) == (0, "")
    arrived = [one.value for one in kafka_clients.read_to_end(kafka_broker.bootstrap_servers, f"{topic}-audit")]
    numbers = range(5)
    expected = [b"before", b"after", *(b"parent-%d" % n for n in numbers), *(b"child-%d" % n for n in numbers)]
    assert sorted(filter(None, arrived)) == sorted(expected), "each once"


def test_an_instrumented_client_makes_no_spans_of_it(
    kafka_broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[context.Context] = []
    send = OutcomeProducer.send

    def look(self: OutcomeProducer, *args: Any, **kwargs: Any) -> Any:
        seen.append(context.get_current())
        return send(self, *args, **kwargs)

    monkeypatch.setattr(OutcomeProducer, "send", look)
    with side(kafka_broker.bootstrap_servers) as lane:
        lane.notices.audit("p", b"{}")
        assert lane.notices.flush(30) is True
    with suppress_instrumentation():
        assert seen == [context.get_current()]
