"""What a broker refuses, on a real one: dates, sizes, and what has no name. Good events arrive all the same.

Resends are bounded: `retries` says how often the worker went back, and a repeat is a record that is on the topic twice.
"""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import otel_feedback as feedback
from otel_feedback.events.model import epoch_us
from otel_feedback.events.trim import smaller_forms
from otel_feedback.exporters.kafka.dates import RecordDates
from otel_feedback.exporters.kafka.notices.sender import NoticeSender
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.fault.stream import account, configure, give_up_after
from tests.integration.test_kafka import new_topic
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.slow_proxy import SlowProxy
from tests.support import run_cli, run_python

HOUR_MS = 3_600_000
POISON = b"poison-6b1f"


def event(number: int, *, ago: timedelta = timedelta(), run: str | None = None, **fields: Any) -> feedback.OutcomeEvent:
    return feedback.OutcomeEvent(
        action_type="tool", status=feedback.OutcomeStatus.SUCCESS, run_id=f"run-{number % 7}" if run is None else run,
        timestamp=datetime.now(timezone.utc) - ago, **fields,
    )  # fmt: skip


def first_records(broker: KafkaBroker, topic: str) -> dict[int, kafka_clients.Record]:
    """Return the first record of each sequence; those of a run are in order."""
    first: dict[int, kafka_clients.Record] = {}
    for record in kafka_clients.read_to_end(broker.bootstrap_servers, topic):
        first.setdefault(int(dict(record.headers)["sequence"]), record)
    by_key: dict[bytes | None, list[int]] = {}
    for sequence, record in first.items():
        by_key.setdefault(record.key, []).append(sequence)
    assert all(sequences == sorted(sequences) for sequences in by_key.values()), "a run is in order"
    return first


def repeats(broker: KafkaBroker, topic: str) -> int:
    records = kafka_clients.read_to_end(broker.bootstrap_servers, topic)
    return len(records) - len({dict(record.headers)["sequence"] for record in records})


def record_all(pipeline: FeedbackPipeline, events: list[feedback.OutcomeEvent]) -> None:
    for one in events:
        assert pipeline.record_outcome(one)


# -- dates -------------------------------------------------------------------------------------------------------

AGO = {
    "in two hours": timedelta(hours=-2),
    "in 300 years": timedelta(days=-110_000),
    "before 1970": timedelta(days=30_000),
    "a year ago": timedelta(days=365),
}


@pytest.mark.usefixtures("either_line")
def test_events_of_any_date_arrive_at_once_with_their_own_time(kafka_broker: KafkaBroker) -> None:
    topic = new_topic(kafka_broker, partitions=2, retention_ms="-1")
    pipeline = configure(kafka_broker.bootstrap_servers, topic)
    dates = [timedelta(), *AGO.values()]
    events = [event(number, ago=dates[number % len(dates)]) for number in range(60)]
    record_all(pipeline, events)
    assert pipeline.force_flush(60) is True, pipeline.metrics()
    assert account(pipeline)["retries"] == 0
    first = first_records(kafka_broker, topic)
    assert [feedback.OutcomeEvent.from_json(first[number].value or b"") for number in range(60)] == events
    now_ms = time.time_ns() // 1_000_000
    for number, one in enumerate(events):
        own_ms = epoch_us(one.timestamp) // 1_000
        assert (
            first[number].timestamp_ms == own_ms if 0 <= own_ms < now_ms else 0 <= first[number].timestamp_ms <= now_ms
        )
        assert dict(first[number].headers)["ce_time"].decode() == json.loads(one.to_json())["timestamp"]


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize(("when", "limit_ms"), [*((when, "60000") for when in AGO), ("a year ago", "0")])
def test_limits_of_a_topic_are_learned_from_one_refusal(when: str, limit_ms: str, kafka_broker: KafkaBroker) -> None:
    """Also one that takes nothing which has a date, by the time that it arrives."""
    limits = {"message_timestamp_before_max_ms": limit_ms, "message_timestamp_after_max_ms": limit_ms}
    topic = new_topic(kafka_broker, partitions=1, retention_ms="-1", **limits)
    pipeline = configure(kafka_broker.bootstrap_servers, topic)
    record_all(pipeline, [event(number, ago=AGO[when] if number % 10 == 5 else timedelta()) for number in range(200)])
    assert pipeline.force_flush(60) is True, pipeline.metrics()
    assert account(pipeline)["retries"] <= 2
    record_all(pipeline, [event(number, ago=AGO[when]) for number in range(200, 300)])
    assert pipeline.force_flush(60) is True
    assert account(pipeline)["retries"] <= 2, "what was learned is kept"
    assert sorted(first_records(kafka_broker, topic)) == list(range(300))


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("ahead_ms", [3 * HOUR_MS, -3 * HOUR_MS])
def test_a_clock_that_is_wrong(ahead_ms: int, kafka_broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events arrive, and so does the dead letter of one that is too large, although its topic has the same limits."""
    limits = {"message_timestamp_before_max_ms": str(HOUR_MS), "message_timestamp_after_max_ms": str(HOUR_MS)}
    topic = new_topic(kafka_broker, partitions=1, max_message_bytes="3000", **limits)
    dotted = {key.replace("_", "."): value for key, value in limits.items()}
    kafka_broker.create_topic(f"{topic}-dlq", 1, {**dotted, "cleanup.policy": "compact"})
    wrong = partial(RecordDates, lambda: time.time_ns() // 1_000_000 + ahead_ms)
    monkeypatch.setattr("otel_feedback.exporters.kafka.exporter.RecordDates", wrong)
    monkeypatch.setattr("otel_feedback.exporters.kafka.notices.sender.RecordDates", wrong)
    pipeline = configure(kafka_broker.bootstrap_servers, topic, kafka_compression="none")
    ago = timedelta(milliseconds=-ahead_ms)
    record_all(pipeline, [event(number, ago=ago) for number in range(200)])
    assert pipeline.force_flush(60) is True, pipeline.metrics()
    assert account(pipeline)["retries"] <= 2
    noise = {f"key-{i}": [random.Random(i).randrange(10**15) for _ in range(64)] for i in range(8)}
    assert pipeline.record_outcome(event(200, ago=ago, metadata=noise))
    assert pipeline.force_flush(60) is False
    assert account(pipeline)["lost"] == {"too_large": 1}
    assert sorted(first_records(kafka_broker, topic)) == list(range(200))
    pipeline.shutdown(20)
    [letter] = kafka_clients.read_to_end(kafka_broker.bootstrap_servers, f"{topic}-dlq")
    assert dict(letter.headers)["sequence"] == b"200"


LEAVES = """
    import os, signal
    from datetime import datetime, timedelta, timezone
    import otel_feedback as feedback
    pipeline = feedback.configure()
    for number in range(60):
        ago = timedelta(days=365) if number % 10 == 5 else timedelta(hours=-5) if number % 10 == 6 else timedelta()
        pipeline.record_outcome(feedback.OutcomeEvent(
            action_type="tool", status="success", run_id=f"run-{number % 3}", timestamp=datetime.now(timezone.utc) - ago,
        ))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("who", ["journal replay", "the next process"])
def test_what_a_dead_process_left_arrives(who: str, client: str, kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    topic = new_topic(kafka_broker, partitions=1, message_timestamp_before_max_ms="60000", retention_ms="-1")
    given = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_broker.bootstrap_servers, "KAFKA_OUTCOME_TOPIC": topic,
        "OTEL_TRACES_EXPORTER": "none", "ENABLE_OUTCOME_LOGGING": "false", "XDG_STATE_HOME": str(tmp_path),
        "OTEL_FEEDBACK_SHUTDOWN_TIMEOUT": "60", "KAFKA_CLIENT": client,
    }  # fmt: skip
    assert run_python(LEAVES, given).returncode == -signal.SIGKILL
    if who == "journal replay":
        done = run_cli("journal", "replay", variables=given, folder=tmp_path)
    else:
        done = run_python(
            "import otel_feedback as f\nf.configure().get_recent_events()\nwith f.action('a'): pass", given
        )
    assert done.returncode == 0, done.stderr
    records = kafka_clients.read_to_end(kafka_broker.bootstrap_servers, topic)
    sequences = {int(dict(one.headers)["sequence"]) for one in records if (one.key or b"").startswith(b"run-")}
    assert sequences == set(range(60)), done.stderr


# -- what has no name --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def firewall() -> Iterator[SlowProxy]:
    with SlowProxy(forbidden=POISON) as started:
        yield started


@pytest.fixture(scope="module")
def behind_firewall(firewall: SlowProxy) -> Iterator[KafkaBroker]:
    with KafkaBroker.launch_own(firewall.slow_listener()) as started:
        yield started


def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up after seconds, not a minute, so that the test ends soon."""
    give_up_after(3, monkeypatch)
    monkeypatch.setattr(
        "otel_feedback.exporters.kafka.notices.notices.NoticeSender", partial(NoticeSender, give_up_s=3)
    )


@pytest.mark.usefixtures("client")
def test_a_record_at_which_the_connection_breaks_stops_no_other(
    firewall: SlowProxy, behind_firewall: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both clients try for ever, and never say an error: there is only time that passes."""
    impatient(monkeypatch)
    topic = new_topic(behind_firewall, partitions=2)
    pipeline = configure(firewall.address, topic, kafka_compression="none")
    bad = (40, 41, 100)
    poison = POISON.decode()
    record_all(pipeline, [event(n, error_message=poison if n in bad else None) for n in range(200)])
    assert pipeline.force_flush(200) is False, "three were refused"
    kafka = account(pipeline)
    assert (kafka["delivered"], kafka["pending"], kafka["lost"]) == (197, 0, {"fails_alone": 3})
    first = first_records(behind_firewall, topic)
    assert sorted(first) == sorted(set(range(200)) - set(bad))
    assert kafka["retries"] <= 4
    assert repeats(behind_firewall, topic) <= 50, "of what went together with a bad one, or in place of it"
    pipeline.shutdown(60)
    letters = kafka_clients.read_to_end(behind_firewall.bootstrap_servers, f"{topic}-dlq")
    assert {int(dict(letter.headers)["sequence"]) for letter in letters} == set(bad)


@pytest.mark.usefixtures("client")
def test_a_broker_that_takes_no_large_requests_gets_small_ones(
    kafka_broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hangs up on a request over `socket.request.max.bytes`, without a word."""
    impatient(monkeypatch)
    with KafkaBroker.launch_own({"socket.request.max.bytes": "20000"}) as strict:
        topic = new_topic(strict, partitions=1)
        pipeline = configure(strict.bootstrap_servers, topic, kafka_compression="none")
        record_all(pipeline, [event(n, error_message="x" * 1_000) for n in range(300)])
        assert pipeline.force_flush(200) is True, pipeline.metrics()
        assert sorted(first_records(strict, topic)) == list(range(300))
        before = account(pipeline)["retries"]
        assert before <= 6
        record_all(pipeline, [event(n, error_message="x" * 1_000) for n in range(300, 400)])
        assert pipeline.force_flush(200) is True


# -- anything ----------------------------------------------------------------------------------------------------

LIMITS: dict[str, list[str | None]] = {
    "message_timestamp_before_max_ms": [None, "0", "1000", "60000", str(HOUR_MS)],
    "message_timestamp_after_max_ms": [None, "0", "1000", "60000", str(24 * HOUR_MS)],
    "message_timestamp_type": [None, None, "LogAppendTime"],
    "max_message_bytes": [None, "2500", "6000", "60000"],
    "cleanup_policy": ["delete", "compact", "compact,delete"],
}
KEYS = ["", "run", "käse 😀", "a" * 900, "\x00", " "]


@pytest.mark.usefixtures("either_line")
@pytest.mark.parametrize("seed", range(4))
def test_good_events_arrive_whatever_is_in_them_and_whatever_the_topic_takes(
    seed: int, kafka_broker: KafkaBroker
) -> None:
    chance = random.Random(seed)
    limits = {name: value for name, values in LIMITS.items() if (value := chance.choice(values)) is not None}
    topic = new_topic(kafka_broker, partitions=chance.choice([1, 3]), retention_ms="-1", **limits)
    compression = chance.choice(["none", "gzip"])
    pipeline = configure(kafka_broker.bootstrap_servers, topic, kafka_compression=compression)
    events: list[feedback.OutcomeEvent] = []
    for number in range(150):
        ago = timedelta(
            seconds=chance.choice([0, 0, 0, 0, chance.uniform(-(10**5), 10**5), 10**9, -(10**9), 6 * 10**10])
        )
        run, size = chance.choice(KEYS), chance.choice([0, 10, 200, 1_500, 15_000])
        text = chance.choice([None, "x" * size, chance.randbytes(size).hex(), "😀\x00" * size])
        events.append(event(number, ago=ago, run=run, stack_trace=text))
    record_all(pipeline, events)
    pipeline.force_flush(120)
    kafka = account(pipeline)
    most = int(limits.get("max_message_bytes", 10**6)) - 1_000 - 900  # for headers and key
    good = {n for n, one in enumerate(events) if min(map(len, forms(one))) <= most}
    first = first_records(kafka_broker, topic)
    assert good <= first.keys(), (limits, kafka)
    assert (kafka["pending"], set(kafka["lost"])) in ((0, set[str]()), (0, {"too_large"})), (limits, kafka)
    assert kafka["retries"] <= 6, (limits, kafka)
    assert repeats(kafka_broker, topic) <= 2 * len(events)


def forms(one: feedback.OutcomeEvent) -> list[bytes]:
    whole = one.to_json().encode()
    return [whole, *smaller_forms(whole)]
