"""Events from programs through a real broker to the views: of the topic, of a store that follows it, and of the log files.

    a program ──────────────────────► topic ──► `otel-feedback store`
    a program without a broker, killed ──► journal ──► `otel-feedback journal replay` ──► topic: late
    both ──► log files

All three are held to a plain recomputation of what was recorded.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from otel_feedback import OutcomeEvent
from otel_feedback.cli.main import main
from tests.downstream.store.stores import Store, ended, line
from tests.downstream.tables import made
from tests.downstream.topics import Topic
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.support import run_cli, run_python

AWAY = "127.0.0.1:1"
PROGRAM = """
    import os, signal
    import otel_feedback as feedback
    pipeline = feedback.configure()
    with open(os.environ["EVENTS"], "rb") as lines:
        for line in lines:
            assert pipeline.record_outcome(feedback.OutcomeEvent.from_json(line))
    if "KILLED" in os.environ:
        os.kill(os.getpid(), signal.SIGKILL)
    assert pipeline.shutdown(100)
"""
KEYS = {
    "windows": ("window_start", "tenant_id", "agent_name", "action_type"),
    "runs": ("run_id",),
    "costs": ("tenant_id", "workflow_id", "agent_name", "model", "provider"),
    "failures": ("agent_name", "action_type", "error_type", "status"),
}
EXPECTED: Mapping[str, Callable[[Sequence[OutcomeEvent]], Mapping[Any, Any]]] = {
    "windows": made.windows, "runs": made.runs, "costs": made.costs, "failures": made.failures,
}  # fmt: skip


def record(
    events: Sequence[OutcomeEvent], folder: Path, name: str, variables: Mapping[str, str], code: int = 0
) -> None:
    """Record events in a program of their own, which logs to a file of its own, too."""
    path = folder / f"{name}.events"
    path.write_bytes(b"".join(map(line, events)))
    killed = {"KILLED": "1"} if code else {}
    done = run_python(PROGRAM, {**variables, **_of(folder, name), **killed, "EVENTS": str(path)})
    assert done.returncode == code, done.stderr


def _of(folder: Path, name: str) -> dict[str, str]:
    return {
        "OTEL_FEEDBACK_LOG_FILE": str(folder / f"{name}.jsonl"), "OTEL_FEEDBACK_JOURNAL_DIR": str(folder / f"{name}.journal"),
        "OTEL_FEEDBACK_LOG_BACKUPS": "100", "OTEL_TRACES_EXPORTER": "none",
    }  # fmt: skip


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main([*arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return made.rounded(json.loads(out))


def view(capsys: pytest.CaptureFixture[str], name: str, where: Sequence[str]) -> dict[Any, Any]:
    """Return the rows of a view by its keys, as the recomputation has them."""
    found: dict[Any, Any] = {}
    # of feedback there is none: tables/test_feedback.py
    for row in asked(capsys, "sql", "--json", f"SELECT * FROM {name}", *where):
        told = {
            key: _moment(value) if key in ("window_start", "first", "last") else value
            for key, value in row.items()
            if not key.startswith("feedback_")
        }
        key = [told.pop(each) for each in KEYS[name]]
        found[tuple(key) if len(key) > 1 else key[0]] = told
    return found


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _comparable(name: str, expected: Mapping[Any, Any]) -> dict[Any, Any]:
    if name == "windows":  # by the moment, in place of its seconds
        expected = {(datetime.fromtimestamp(at, made.BEGIN.tzinfo), *key): row for (at, *key), row in expected.items()}
    return {key: {each: _about(each, value) for each, value in row.items()} for key, row in expected.items()}


def _about(name: str, value: Any) -> Any:
    if name == "duration_ms":  # a whole number there
        return pytest.approx(value, abs=1.0)
    return pytest.approx(value, rel=1e-9) if isinstance(value, float) else value


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("count", [pytest.param(2_000, marks=pytest.mark.brief), 100_000])
def test_the_views_of_topic_store_and_log_equal_what_was_recorded(
    count: int,
    kafka_broker: KafkaBroker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    topic = Topic.make(kafka_broker)
    records = made.recent(made.events(count))
    late = records[::17]  # some records of an event, and not the others
    in_time = [event for number, event in enumerate(records) if number % 17]
    settings = {"KAFKA_BOOTSTRAP_SERVERS": kafka_broker.bootstrap_servers, "KAFKA_OUTCOME_TOPIC": topic.name}
    store = Store.of(topic, tmp_path / "store")
    writer = store.follow("--flush-interval", "0.2", "--flush-rows", str(count // 20))

    record(late, tmp_path, "late", {**settings, "KAFKA_BOOTSTRAP_SERVERS": AWAY}, -signal.SIGKILL)
    record(in_time, tmp_path, "in-time", settings)
    store.wait_for_rows(len(in_time))
    for _ in range(2):  # it finds nothing the second time
        replayed = run_cli(
            "journal",
            "replay",
            "--json",
            "--take",
            f"{AWAY}/{topic.name}",
            variables={**settings, **_of(tmp_path, "late")},
        )
        assert replayed.returncode == 0, replayed.stderr
    store.wait_for_rows(count)
    assert ended(writer, signal.SIGTERM)[0] == 0
    there = kafka_clients.read_to_end(kafka_broker.bootstrap_servers, topic.name, timeout_s=600)
    placed = sorted((each.partition, each.offset) for each in there)
    assert sorted(store.places()) == placed, "a row for each record of the topic"
    assert len(placed) >= count

    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    logs = ["--from", str(tmp_path / "in-time.jsonl*"), "--from", str(tmp_path / "late.jsonl*")]
    sources = {"topic": ["--from", "topic"], "store": ["--from", str(store.path)], "log": logs}
    for name, recompute in EXPECTED.items():
        expected = _comparable(name, recompute(records))
        for source, where in sources.items():
            found = view(capsys, name, where)
            assert found.keys() == expected.keys(), (source, name)
            for key, row in expected.items():
                assert found[key] == row, (source, name, key)
    told = [asked(capsys, "stats", "--json", "--by", "model,status", *where) for where in sources.values()]
    assert told[0] == told[1] == told[2]
    producers = "SELECT * FROM producers ORDER BY producer_id"
    two = asked(capsys, "sql", "--json", producers, *sources["topic"])
    assert two == asked(capsys, "sql", "--json", producers, *sources["store"])
    assert [len(two), sum(each["sequences"] for each in two)] == [2, count]
    assert asked(capsys, "verify", "--json")["missing"] == 0
