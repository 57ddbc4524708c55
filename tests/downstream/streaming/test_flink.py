"""Real jobs of a real Flink on a real broker: windows equal to DuckDB's and to a recomputation, whatever comes, and whoever dies."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from otel_feedback import OutcomeEvent
from otel_feedback.downstream.streaming.local import newest_checkpoint
from otel_feedback.downstream.streaming.texts import JOBS, MARGIN_S, Options, text
from otel_feedback.downstream.tables.opening import open_log
from otel_feedback.exporters.kafka.topics import topic_for
from tests.downstream.streaming.test_launching import is_running
from tests.downstream.tables import made
from tests.downstream.tables.test_views import windows_of
from tests.stack import kafka_clients
from tests.stack.flink import Flink, FlinkCluster
from tests.stack.kafka import KafkaBroker
from tests.stack.waiting import wait_until
from tests.support import environment

MINUTES = 50
"""Of event time, so that a window has more than a handful of events."""


class Rows:
    """What is on a topic of rows: of each key the newest."""

    def __init__(self, broker: KafkaBroker, name: str) -> None:
        self.name = name
        self._servers = broker.bootstrap_servers
        self._read: dict[int, int] = {}
        self._newest: dict[bytes | None, bytes] = {}

    def newest(self) -> list[dict[str, Any]]:
        for record in kafka_clients.read_to_end(self._servers, self.name, timeout_s=100, since=self._read):
            if record.value is None:
                self._newest.pop(record.key, None)
            else:
                self._newest[record.key] = record.value
        return [json.loads(value) for value in self._newest.values()]


class Topics(NamedTuple):
    """What a job reads and writes, on a broker."""

    broker: KafkaBroker
    events: str
    rows: Rows
    refused: Rows

    @classmethod
    def make(cls, broker: KafkaBroker) -> Topics:
        names = [f"{name}-{uuid.uuid4().hex[:12]}" for name in ("outcomes", "rows", "refused")]
        for name, partitions in zip(names, (6, 1, 1), strict=True):
            broker.create_topic(name, partitions)
        events, rows, refused = names
        return cls(broker, events, Rows(broker, rows), Rows(broker, refused))

    def send(self, events: Sequence[OutcomeEvent], *others: bytes, topic: str | None = None) -> None:
        """Send records, all of a run to one partition, compressed by zstd."""
        records = [((event.run_id or "").encode(), event.to_json().encode()) for event in events]
        records += [(b"", each) for each in others]
        kafka_clients.produce_keyed(
            self.broker.bootstrap_servers, topic or self.events, records, compression="zstd"
        )  # fmt: skip

    def options(self, **given: Any) -> Options:
        return Options(
            self.broker.bootstrap_servers, self.events, self.rows.name, self.refused.name, latency_s=1, checkpoint_s=3,
            **given,
        )  # fmt: skip

    def windows(self) -> dict[tuple[Any, ...], dict[str, Any]]:
        """Return the windows that are on the topic, as the recomputation has them."""
        found: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in self.rows.newest():
            start = datetime.fromisoformat(row.pop("window_start").replace("Z", "+00:00")).timestamp()
            key = (start, *(row.pop(name) for name in ("tenant_id", "agent_name", "action_type")))
            assert key not in found
            found[key] = {name: value for name, value in row.items() if name != "conditions"}
        return found

    def counted(self) -> int:
        """Return how many actions are in windows now."""
        return sum(window["executions"] + window["pending"] for window in self.windows().values())


def is_equal(found: dict[Any, Any], expected: dict[Any, Any]) -> bool:
    return not wrong_windows(found, expected)


def assert_equal(found: dict[Any, Any], expected: dict[Any, Any]) -> None:
    wrong = wrong_windows(found, expected)
    assert not wrong, f"{len(wrong)} of {len(expected)} windows are wrong: {wrong[:3]}"


def wrong_windows(found: dict[Any, Any], expected: dict[Any, Any]) -> list[str]:
    """Return what is wrong, each window once; sums of numbers with a point differ by the order of what is added."""

    def is_right(one: Any, other: Any) -> bool:
        both = isinstance(one, float) and isinstance(other, float)
        return math.isclose(one, other, rel_tol=1e-9) if both else one == other

    wrong: list[str] = []
    for key in found.keys() | expected.keys():
        one, other = found.get(key, {}), expected.get(key, {})
        names = [name for name in one.keys() | other.keys() if not is_right(one.get(name), other.get(name))]
        wrong += (
            [f"{key}: " + ", ".join(f"{name} {one.get(name)}, not {other.get(name)}" for name in names)]
            if names
            else []
        )
    return wrong


def of_duckdb(events: Sequence[OutcomeEvent], folder: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    log = folder / "outcomes.jsonl"
    log.write_bytes(b"".join(event.to_json().encode() + b"\n" for event in events))
    with open_log([log]) as tables:
        return windows_of(tables)


def stream(topics: Topics, flink: Flink, folder: Path, job: str, *arguments: str) -> list[str]:
    """Return the command of `stream run`."""
    return [
        sys.executable, "-m", "otel_feedback", "stream", "run", job, "--bootstrap-servers", topics.broker.bootstrap_servers,
        "--to", topics.rows.name, "--refused", topics.refused.name, "--jars", str(flink.jars), "--state", str(folder / "state"),
        "--latency", "1s", "--checkpoint", "1s", *arguments,
    ]  # fmt: skip


def variables(topics: Topics, flink: Flink) -> dict[str, str]:
    return environment(**flink.variables, KAFKA_OUTCOME_TOPIC=topics.events, OTEL_FEEDBACK_JOURNAL_MAX_AGE="86400")


@pytest.mark.brief
def test_one_pass_has_every_window_and_counts_what_is_none(
    kafka_broker: KafkaBroker, flink: Flink, tmp_path: Path
) -> None:
    """With late events, repeats, revisions, a topic with zstd, names that are NULL and empty, and records that do not count."""
    topics = Topics.make(kafka_broker)
    events = made.recent(made.events(4_000, minutes=MINUTES))
    events += [made.changed(event, event_id=f"empty-{place}", tenant_id="") for place, event in enumerate(events[:50])]
    long_ago = datetime.now(timezone.utc) - timedelta(days=8)
    old = [
        made.changed(event, event_id=f"old-{place}", timestamp=long_ago, start_time=long_ago, end_time=long_ago)
        for place, event in enumerate(events[:7])
    ]
    none = [b"no json", b'{"event_id": "x", "action_type": "a", "status": "fine", "timestamp": "2026-01-01T00:00:00Z"}']
    topics.send([*events, *old], *none)
    done = subprocess.run(
        stream(topics, flink, tmp_path, "windows", "--once", "--ttl", "2d"),
        env=variables(topics, flink), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = topics.windows()
    assert_equal(found, made.windows(events))
    assert_equal(found, of_duckdb(events, tmp_path))
    assert {key[1] for key in found} >= {None, "", "acme"}
    refused = topics.refused.newest()
    assert {row["reason"]: 0 for row in refused} == {"too_old": 0, "no_event": 0}
    assert sum(row["records"] for row in refused if row["reason"] == "too_old") == 7
    assert sum(row["records"] for row in refused if row["reason"] == "no_event") == 1, "what is no JSON has no row"
    assert not list((tmp_path / "state").rglob("run.sql"))


@pytest.mark.timeout(500)
def test_a_process_that_ends_is_gone_on_from_its_checkpoint(
    kafka_broker: KafkaBroker, flink: Flink, tmp_path: Path
) -> None:
    """Stopped by a signal, its Java killed, and killed itself, with which its Java ends, too.

    What arrives meanwhile is counted once, with what was there before.
    """
    topics = Topics.make(kafka_broker)
    events = made.recent(made.events(4_000, minutes=MINUTES))
    checkpoints = tmp_path / "state" / "windows" / "checkpoints"
    ends = (("stopped", 1_000), ("Java killed", 2_000), ("killed", 3_000), ("stopped", 4_000))
    for end, number in ends:
        topics.send(events[number - 1_000 : number])
        expected = len(made.outcomes(events[:number]))
        before = newest_checkpoint(checkpoints)
        with subprocess.Popen(
            stream(topics, flink, tmp_path, "windows"), env=variables(topics, flink), stdout=subprocess.PIPE, text=True,
            start_new_session=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert (str(before) if before else "the beginning of the topic") in process.stdout.readline()
            wait_until(lambda: topics.counted() == expected, timeout_s=90, what=f"{expected} actions", poll_s=1)  # noqa: B023
            seen = newest_checkpoint(checkpoints)
            wait_until(lambda: newest_checkpoint(checkpoints) != seen, timeout_s=60, what="a checkpoint")  # noqa: B023
            pid = java_of(process.pid)
            if end == "stopped":
                process.send_signal(signal.SIGTERM)
                assert process.wait() == 0
            elif end == "killed":
                process.kill()
                wait_until(lambda: not is_running(pid), timeout_s=30, what="the end of its Java")  # noqa: B023
            else:
                os.kill(pid, signal.SIGKILL)
                assert process.wait() == 1
            assert not is_running(pid)
            assert not list((tmp_path / "state").rglob("run.sql"))
    assert_equal(topics.windows(), made.windows(events))


def java_of(pid: int) -> int:
    """Return the Java below what the command launches."""
    for _ in range(2):
        pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    assert Path(f"/proc/{pid}/comm").read_text() == "java\n"
    return pid


@pytest.mark.timeout(600)
def test_200_000_events_with_two_kills_and_a_savepoint(kafka_broker: KafkaBroker, flink: Flink, tmp_path: Path) -> None:
    """Windows equal to DuckDB's and to a recomputation, on a cluster whose TaskManager is killed twice."""
    topics = Topics.make(kafka_broker)
    events = made.recent(made.events(200_000))
    topics.send(events[:100_000])
    expected = len(made.outcomes(events))
    with FlinkCluster(flink) as cluster:
        cluster.start()
        job = cluster.submit(text("windows", topics.options(settings={"parallelism.default": "2"})))
        for _ in range(2):
            done = cluster.checkpoints(job)
            wait_until(lambda: cluster.checkpoints(job) > done, timeout_s=120, what="a checkpoint")  # noqa: B023
            cluster.kill_worker()
            wait_until(lambda: cluster.jobs()[job] == "RUNNING", timeout_s=120, what="the job to run again")
        topics.send(events[100_000:150_000])
        before = topics.counted()
        wait_until(lambda: topics.counted() > before, timeout_s=120, what="more windows", poll_s=1)
        savepoint = cluster.stop_with_savepoint(job)
        topics.send(events[150_000:])
        settings = {"parallelism.default": "2", "execution.state-recovery.path": savepoint}
        job = cluster.submit(text("windows", topics.options(settings=settings)))
        wait_until(lambda: topics.counted() == expected, timeout_s=300, what="every action to be counted", poll_s=2)
        # all are counted; a window whose last revisions are on their way is not the last one yet
        right = made.windows(events)
        wait_until(lambda: is_equal(topics.windows(), right), timeout_s=120, what="the last revisions", poll_s=2)
        found = topics.windows()
        assert_equal(found, of_duckdb(events, tmp_path))
        assert_equal(found, made.windows(events))


@pytest.mark.parametrize("job", ["outcomes_latest", "alerts"])
def test_the_other_jobs(kafka_broker: KafkaBroker, flink: Flink, tmp_path: Path, job: str) -> None:
    topics = Topics.make(kafka_broker)
    events = made.recent(made.events(4_000, minutes=30))
    topics.send(events)
    done = subprocess.run(
        stream(topics, flink, tmp_path, job, "--once"), env=variables(topics, flink), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert_right(topics, job, events)
    if job == "outcomes_latest":
        return
    conditions = [row for row in topics.rows.newest() if row["conditions"]]
    for row in topics.rows.newest():
        ended = row["executions"]
        holds = [
            *(["errors"] if ended >= 20 and (row["failures"] + row["timeouts"]) / ended > 0.1 else []),
            *(["slow"] if ended >= 20 and row["p95_latency_ms"] > 1_000 else []),
        ]  # fmt: skip
        assert (row["conditions"] or "") == ",".join(holds)
    assert conditions


def assert_right(topics: Topics, job: str, events: Sequence[OutcomeEvent]) -> None:
    if job == "outcomes_latest":
        found = {row["event_id"]: (row["revision"], row["status"], row["own_cost"]) for row in topics.rows.newest()}
        assert found == {e.event_id: (e.revision, e.status, e.own_cost) for e in made.outcomes(events)}
    else:
        assert_equal(topics.windows(), made.windows(events))


@pytest.mark.parametrize("job", JOBS)
def test_topics_of_all_tenants_are_read_and_an_event_counts_on_its_own(
    kafka_broker: KafkaBroker, flink: Flink, tmp_path: Path, job: str
) -> None:
    """With the shared one; without dead letters, and without what somebody says of another on a topic of his."""
    topics = Topics.make(kafka_broker)
    events = made.recent(made.events(2_000, minutes=30))
    by_tenant = send_by_tenant(topics, events)
    acme = topic_for(f"{topics.events}.{{tenant}}", "acme")
    topics.send([made.changed(by_tenant["acme"][0], event_id="not-theirs", tenant_id="globex")], topic=acme)
    kafka_broker.create_topic(f"{acme}-dlq", 1)
    topics.send([made.changed(by_tenant["acme"][0], event_id="dead")], topic=f"{acme}-dlq")
    done = subprocess.run(
        stream(topics, flink, tmp_path, job, "--once"), env=of_tenants(topics, flink), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert_right(topics, job, events)
    refused = [(row["reason"], row["tenant_id"], row["records"]) for row in topics.refused.newest()]
    assert refused == [("other_tenant", "globex", 1)]


def test_a_tenant_that_comes_later_is_read_from_the_beginning(
    kafka_broker: KafkaBroker, flink: Flink, tmp_path: Path
) -> None:
    topics = Topics.make(kafka_broker)
    events = made.recent(made.events(2_000, minutes=30))
    others = [event for event in events if event.tenant_id != "initech"]
    send_by_tenant(topics, others)
    with subprocess.Popen(stream(topics, flink, tmp_path, "windows"), env=of_tenants(topics, flink)) as process:
        try:
            expected = len(made.outcomes(others))
            wait_until(lambda: topics.counted() == expected, timeout_s=90, what=f"{expected} actions", poll_s=1)
            send_by_tenant(topics, [event for event in events if event.tenant_id == "initech"])
            expected = len(made.outcomes(events))
            wait_until(lambda: topics.counted() == expected, timeout_s=60, what="those of the tenant", poll_s=1)
        finally:
            process.terminate()
    assert_equal(topics.windows(), made.windows(events))


def send_by_tenant(topics: Topics, events: Sequence[OutcomeEvent]) -> dict[str | None, list[OutcomeEvent]]:
    """Send each event to the topic of its tenant, which is made, or to the shared one."""
    found: dict[str | None, list[OutcomeEvent]] = {}
    for event in events:
        found.setdefault(event.tenant_id, []).append(event)
    for tenant, its in found.items():
        name = topic_for(f"{topics.events}.{{tenant}}", tenant)
        if tenant is not None:
            topics.broker.create_topic(name, 2)
        topics.send(its, topic=name)
    return found


def of_tenants(topics: Topics, flink: Flink) -> dict[str, str]:
    return variables(topics, flink) | {"KAFKA_OUTCOME_TOPIC": f"{topics.events}.{{tenant}}"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("is_filtered", [True, False])
def test_an_event_later_than_state_is_kept_changes_no_finished_window(
    kafka_broker: KafkaBroker, flink: Flink, is_filtered: bool
) -> None:
    """What the filter is for: without it the late event begins its window anew, with 1 action in place of 1,000."""
    topics = Topics.make(kafka_broker)
    ttl_s = 60
    options = topics.options(window_s=10, ttl_s=ttl_s + MARGIN_S, retention_s=1)
    # state for a minute, and not for the hour more, which nobody would wait for
    job = text("windows", options).replace(f"'{options.ttl_s} s'", f"'{ttl_s} s'")
    if not is_filtered:
        job = job.replace(f"CURRENT_TIMESTAMP) - {options.oldest_s} THEN", f"CURRENT_TIMESTAMP) - {options.ttl_s} THEN")
    assert job != text("windows", options)
    with FlinkCluster(flink) as cluster:
        cluster.start()
        number = cluster.submit(job)
        wait_until(lambda: cluster.checkpoints(number) > 0, timeout_s=120, what="a checkpoint")
        at = datetime.now(timezone.utc)
        events = [
            made.changed(
                event,
                event_id=f"event-{place}",
                timestamp=at,
                end_time=at,
                tenant_id="a",
                agent_name="b",
                action_type="c",
            )
            for place, event in enumerate(made.recent(made.events(1)) * 1_001)
        ]
        topics.send(events[:1_000])
        wait_until(lambda: topics.counted() == 1_000, timeout_s=60, what="the window", poll_s=0.5)
        gone = datetime.now(timezone.utc) + timedelta(seconds=ttl_s + 5)
        wait_until(
            lambda: datetime.now(timezone.utc) > gone, timeout_s=ttl_s + 30, what="the end of the state", poll_s=1
        )
        topics.send(events[1_000:])
        if is_filtered:
            wait_until(lambda: bool(topics.refused.newest()), timeout_s=60, what="the late event", poll_s=0.5)
            assert [(row["reason"], row["records"]) for row in topics.refused.newest()] == [("too_old", 1)]
            assert topics.counted() == 1_000
        else:
            wait_until(lambda: topics.counted() == 1, timeout_s=60, what="the window that begins anew", poll_s=0.5)
