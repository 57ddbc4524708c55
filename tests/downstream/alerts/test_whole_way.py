"""The whole way, each part the real one: agents, their events on a broker, the store's own writer, `alerts run`, a message in Slack."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import otel_feedback as feedback
from otel_feedback.downstream.alerts.machine import Phase
from otel_feedback.downstream.alerts.publishing import ALERTS_TOPIC
from tests.downstream.alerts.commands import Running, alerts
from tests.downstream.alerts.standins import Everybody
from tests.downstream.store.stores import Store
from tests.downstream.topics import Topic
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.processes import free_port
from tests.stack.waiting import wait_until
from tests.support import run_cli, run_python

RULES = """
[settings]
every = "1s"
settle = "1s"
[[channel]]
name = "team"
url = "slack://${SLACK_TOKENS}"
at_most = 1000
[[rule]]
name = "RULE"
kind = "errors"
window = "2s"
min_count = 1
by_chance = true
keep_firing_for = "0s"
by = ["agent"]
[[rule]]
name = "silent"
kind = "silent"
agents = ["night-job"]
"""
TOKENS = {"SLACK_TOKENS": "T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"}


class Agents:
    """Agents that act all the time, recorded as in any program: by name, whether each is well."""

    def __init__(self, topic: Topic, *names: str) -> None:
        self.is_well = dict.fromkeys(names, False)
        self._is_over = threading.Event()
        self._pipeline = feedback.configure(kafka=topic.config, enable_outcome_logging=False, durability="memory")

    def run(self) -> None:
        while not self._is_over.wait(0.1):
            for name, is_well in list(self.is_well.items()):
                with feedback.action("plan", agent=name, run_id=f"run-of-{name}") as act:
                    if not is_well:
                        act.fail("no luck")

    @contextmanager
    def acting(self) -> Generator[Agents, None, None]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield self
        finally:
            self._is_over.set()
            thread.join()
            assert self._pipeline.shutdown(30)


class Way(NamedTuple):
    """All of it, running."""

    topic: Topic
    store: Store
    agents: Agents
    running: Running
    others: Everybody
    folder: Path
    rule: str

    def titles(self, of: str = "") -> list[str]:
        """Return the titles of what Slack got of a rule, or that has such a word."""
        texts = [request.body["attachments"][0] for request in self.others.to("hooks.slack.com")]
        return [text["title"] for text in texts if of in text["title"]]

    def texts(self) -> str:
        return json.dumps([request.body for request in self.others.to("hooks.slack.com")])

    def is_firing(self, agent: str) -> bool:
        return any(
            alert.key.agent == agent and alert.phase is Phase.FIRING and alert.key.rule == self.rule
            for alert in self.running.state.alerts
        )

    def make(self, agent: str, *, well: bool) -> None:
        """Let an agent fail, or be well, and wait until that is seen."""
        self.agents.is_well[agent] = well
        self.wait(lambda: self.is_firing(agent) is not well, f"{agent} to be {'well' if well else 'wrong'}")

    def wait(self, condition: Any, what: str) -> None:
        wait_until(condition, timeout_s=60, what=f"{what}; {self.running.lines}")

    def phases(self) -> dict[str, list[str]]:
        """Return the phases that the topic tells, by agent."""
        found: dict[str, list[str]] = {}
        for record in kafka_clients.read_to_end(self.topic.broker.bootstrap_servers, ALERTS_TOPIC):
            assert record.key is not None
            rule, _, agent, _ = json.loads(record.key)
            if rule == self.rule and record.value is not None:
                found.setdefault(agent, []).append(json.loads(record.value)["phase"])
        return found


@contextmanager
def whole_way(broker: KafkaBroker, others: Everybody, folder: Path, *agents: str) -> Generator[Way, None, None]:
    topic = Topic.make(broker)
    store = Store.of(topic, folder / "store")
    rule = f"errors-{topic.name[-12:]}"
    (folder / "alerts.toml").write_text(RULES.replace("RULE", rule))
    made = run_cli("topics", variables={"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}, folder=folder)
    assert made.returncode == 0, made.stdout
    writer = store.follow("--flush-interval", "0.2")
    try:
        with Agents(topic, *agents).acting() as acting:
            store.wait_for_rows(10 * len(agents))
            arguments = ("--from", str(store.path), "--bootstrap-servers", broker.bootstrap_servers)
            with Running(folder, *arguments, **TOKENS, **others.variables) as running:
                yield Way(topic, store, acting, running, others, folder, rule)
    finally:
        writer.terminate()
        writer.communicate()


def bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # the store goes on: it was joined, or has its name now
        return b""


def assert_opens_grouped_and_resolves(way: Way) -> None:
    """Two agents that fail are one message; when both are well that is told, and the topic has it all."""
    way.wait(lambda: way.titles(way.rule), "the first message")
    assert way.titles(way.rule) == [f"{way.rule}: 2 firing"]
    for part in ("agent planner", "agent writer", "100.0 % since ", "otel-feedback trace run-of-planner"):
        assert part in way.texts()
    way.make("planner", well=True)
    way.make("writer", well=True)
    way.wait(lambda: way.texts().count("resolved: agent") == 2, "the end of both")
    way.wait(lambda: not way.running.state.changes, "the topic")
    assert way.phases() == {"planner": ["firing", "resolved"], "writer": ["firing", "resolved"]}
    secret = TOKENS["SLACK_TOKENS"].rpartition("/")[2]
    files = [path for place in ("state", "store", "data") for path in (way.folder / place).rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if secret.encode() in bytes_of(path)] == []
    assert secret not in "".join(way.running.lines)


@pytest.mark.brief
def test_agents_that_fail_are_told_together_and_that_they_are_well_again(
    kafka_broker: KafkaBroker, others: Everybody, tmp_path: Path
) -> None:
    with whole_way(kafka_broker, others, tmp_path, "planner", "writer") as way:
        assert_opens_grouped_and_resolves(way)
        assert way.titles("silent") == ["firing: silent (agent night-job)"]


@pytest.mark.thorough
@pytest.mark.timeout(600)
def test_flapping_silences_and_what_a_journal_replays(
    kafka_broker: KafkaBroker, others: Everybody, tmp_path: Path
) -> None:
    with whole_way(kafka_broker, others, tmp_path, "planner", "writer") as way:
        assert_opens_grouped_and_resolves(way)
        began = time.monotonic()
        assert_flapping_is_told_once(way)
        took_s = time.monotonic() - began  # where the machine is slow, a silence must be longer, too, to be seen
        assert_a_silence_ends(way, 15 + took_s / 4)
        assert_yesterday_pages_nobody(way)
        assert way.titles("silent") == ["firing: silent (agent night-job)"]


def assert_flapping_is_told_once(way: Way) -> None:
    for _ in range(5):
        way.make("planner", well=False)
        way.make("planner", well=True)
    said = re.findall(r"(firing|resolved|flapping): agent planner", way.texts())
    assert said == ["firing", "resolved", "firing", "resolved", "flapping"]


def assert_a_silence_ends(way: Way, for_s: float) -> None:
    limits = ("--agent", "writer", "--for", f"{for_s:.0f}s")
    command = ("silence", way.rule, *limits, "--who", "ann", "--why", "load test")
    assert alerts(way.folder, *command).returncode == 0
    way.make("writer", well=False)
    before = way.texts().count("firing: agent writer")
    listed = json.loads(alerts(way.folder, "list", "--json").stdout)
    (alert,) = (each for each in listed["alerts"] if (each["rule"], each["agent"]) == (way.rule, "writer"))
    assert (alert["phase"], alert["is_silenced"]) == ("firing", True)
    (silence,) = listed["silences"]
    assert (silence["who"], silence["why"]) == ("ann", "load test")
    assert way.texts().count("firing: agent writer") == before
    wait_until(
        lambda: way.texts().count("firing: agent writer") > before,
        timeout_s=60 + for_s, what=f"the end of the silence; {way.running.lines}",
    )  # fmt: skip
    assert datetime.now(timezone.utc) >= datetime.fromisoformat(silence["until"])
    assert alerts(way.folder, "ack", way.rule, "--agent", "writer", "--who", "bob", "--why", "mine").returncode == 0
    way.wait(
        lambda: any(b'"bob"' in (each.value or b"") for each in kafka_clients.read_to_end(
            way.topic.broker.bootstrap_servers, ALERTS_TOPIC)), "who knows of it, on the topic",
    )  # fmt: skip
    way.make("writer", well=True)


DIES = """
    import os, signal
    from datetime import datetime, timedelta, timezone
    import otel_feedback as feedback
    pipeline = feedback.configure(enable_outcome_logging=False)
    at = datetime.now(timezone.utc) - timedelta(days=1)
    for number in range(50):
        assert pipeline.record_outcome(feedback.OutcomeEvent(
            action_type="plan", agent_name="of-yesterday", status=feedback.OutcomeStatus.FAILURE, timestamp=at, end_time=at,
        ))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def assert_yesterday_pages_nobody(way: Way) -> None:
    """A process died yesterday, while Kafka was away; what it left is replayed into the topic now."""
    away = f"127.0.0.1:{free_port()}"
    variables = {
        "KAFKA_OUTCOME_TOPIC": way.topic.name, "OTEL_FEEDBACK_JOURNAL_DIR": str(way.folder / "journal"),
        "OTEL_TRACES_EXPORTER": "none", "OTEL_SERVICE_NAME": "dies",
    }  # fmt: skip
    died = run_python(DIES, {**variables, "KAFKA_BOOTSTRAP_SERVERS": away})
    assert died.returncode == -9, died.stderr
    told = way.titles()
    replayed = run_cli(
        "journal", "replay", "--take", f"{away}/{way.topic.name}",
        variables={**variables, "KAFKA_BOOTSTRAP_SERVERS": way.topic.broker.bootstrap_servers}, folder=way.folder,
    )  # fmt: skip
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    way.wait(lambda: way.store.select("count(*) FILTER (agent_name = 'of-yesterday')") == [(50,)], "what was replayed")
    stored_at = datetime.now(timezone.utc)
    way.wait(lambda: way.running.looked_at() > stored_at, "a look that sees it")
    assert way.titles() == told
    assert all(alert.key.agent != "of-yesterday" for alert in way.running.state.alerts)
    # and the same today does
    way.agents.is_well["of-yesterday"] = False
    way.wait(lambda: "firing: agent of-yesterday" in way.texts(), "one of today")
