"""`alerts run` that is killed (SIGKILL) at any point: no notification is lost, none comes twice after its success was noted, and
`agent-alerts` comes to say what is kept."""

from __future__ import annotations

import json
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.downstream.alerts.machine import Told
from otel_feedback.downstream.alerts.publishing import ALERTS_TOPIC, Publication, key_of, value_of
from otel_feedback.downstream.alerts.state import State
from tests.downstream.alerts.commands import Running
from tests.downstream.alerts.standins import Everybody
from tests.downstream.store.stores import append, line
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.processes import free_port
from tests.stack.waiting import wait_until
from tests.support import run_cli

RULES = """
[settings]
every = "1s"
settle = "0s"
recent = "1h"
[[channel]]
name = "hook"
url = "jsons://hooks.example/"
at_most = 100000
[[rule]]
name = "killed"
kind = "errors"
min_count = 3
by_chance = true
window = "1s"
keep_firing_for = "0s"
by = ["agent"]
"""
SAID = re.compile(r"^(firing|resolved): agent (agent-\d+)$", re.MULTILINE)
WORD = {Told.OPENED: "firing", Told.RESOLVED: "resolved"}


class Agents:
    """Agents that write a log as time goes by: two begin each second, fail for two, and are well from then on."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._is_over = threading.Event()
        self._count = 0

    def run(self) -> None:
        """Go on until `end()`."""
        while not self._is_over.wait(1.0):
            first, self._count = self._count, self._count + 2
            self._act(range(max(0, first - 2), self._count), OutcomeStatus.FAILURE)
            self._act(range(max(0, first - 6), max(0, first - 2)), OutcomeStatus.SUCCESS)

    def end(self) -> None:
        """Begin no more of them."""
        self._is_over.set()

    def be_well(self) -> None:
        """Let each of them succeed now."""
        self._act(range(self._count), OutcomeStatus.SUCCESS)

    def _act(self, numbers: range, status: OutcomeStatus) -> None:
        now = datetime.now(timezone.utc)
        events = [
            OutcomeEvent(
                action_type="plan", agent_name=f"agent-{number}", status=status, revision=1, timestamp=now, end_time=now
            )
            for number in numbers
            for _ in range(3)
        ]
        append(self._log, b"".join(map(line, events)))


@contextmanager
def acting(agents: Agents) -> Generator[None, None, None]:
    thread = threading.Thread(target=agents.run)
    thread.start()
    try:
        yield
    finally:
        agents.end()
        thread.join()


def published(broker: KafkaBroker, rule: str) -> dict[bytes, Any]:
    """Return the last value of each key of a rule."""
    records = kafka_clients.read_to_end(broker.bootstrap_servers, ALERTS_TOPIC)
    return {
        record.key: None if record.value is None else json.loads(record.value)
        for record in records
        if record.key is not None and json.loads(record.key)[0] == rule
    }


def wanted(state: State) -> dict[bytes, Any]:
    """Return what the topic should say of what is kept."""
    values = {key_of(alert.key): value_of(Publication(alert.key, alert)) for alert in state.alerts}
    return {key: json.loads(value) for key, value in values.items() if value is not None}


CHANGES = ("rule", "agent_name", "phase", "told", "since", "changed", "is_flapping")
"""What makes a change: figures go on in between."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "kills", [pytest.param(3, id="3", marks=pytest.mark.brief), pytest.param(20, id="20", marks=pytest.mark.thorough)]
)
def test_killed_at_any_moment_nothing_is_lost_nor_sent_again(
    tmp_path: Path, others: Everybody, kafka_broker: KafkaBroker, kills: int
) -> None:
    servers = kafka_broker.bootstrap_servers
    assert run_cli("topics", variables={"KAFKA_BOOTSTRAP_SERVERS": servers}, folder=tmp_path).returncode == 0
    (tmp_path / "alerts.toml").write_text(RULES.replace('"killed"', f'"killed-{kills}"'))
    log = tmp_path / "outcomes.log"
    log.touch()
    lot = random.Random(kills)
    owed: set[tuple[str, str]] = set()
    noted: dict[tuple[str, str], int] = {}

    def received() -> Counter[tuple[str, str]]:
        bodies = [request.body["message"] for request in list(others.received)]
        return Counter(said for body in bodies for said in SAID.findall(body))

    def run(brokers: str = servers) -> Running:
        return Running(tmp_path, "--from", str(log), "--bootstrap-servers", brokers, **others.variables)

    def look_at_what_is_kept(running: Running) -> None:
        counts, state = received(), running.state
        waiting = {(WORD[notice.told], str(notice.alert.key.agent)) for notice in state.outbox}
        owed.update(waiting)
        for alert in state.alerts:
            if alert.told is not None:
                said = (WORD[alert.told], str(alert.key.agent))
                owed.add(said)
                if said not in waiting:
                    noted.setdefault(said, counts[said])

    agents = Agents(log)
    with acting(agents):
        for number in range(kills):
            # of what happens in some lives the topic hears in a later one only
            with run(f"127.0.0.1:{free_port()}" if number % 5 == 2 else servers) as running:
                if number % 5 == 1:  # some end while the first is sent, some while they begin
                    running.wait_for("firing: ")
                elif number % 5 == 2:
                    running.wait_for("resolved: ")
                    running.wait_for(f"{ALERTS_TOPIC} did not take")
                elif number % 5 != 4:
                    before = len(others.received)
                    wait_until(lambda before=before: len(others.received) > before, timeout_s=60, what="a notification")
                time.sleep(lot.uniform(0.0, 2.0))  # the moment of the kill is what is tried
                running.end(signal.SIGKILL)
            look_at_what_is_kept(running)
    with run() as running:
        running.wait_for("looking at ")

        def is_over() -> bool:
            agents.be_well()
            state = running.state
            return not state.outbox and not state.changes and not any(alert.is_open for alert in state.alerts)

        wait_until(is_over, timeout_s=60, what="all of it sent", poll_s=0.5)
        assert running.end(signal.SIGTERM) == 0
    counts, state = received(), running.state
    assert len(noted) > kills
    assert {said for said in owed if not counts[said]} == set(), "lost"
    assert {said: counts[said] for said in noted} == noted, "sent again after its success was noted"
    told, kept = published(kafka_broker, f"killed-{kills}"), wanted(state)
    assert {key: {name: value[name] for name in CHANGES} for key, value in told.items() if value is not None} == {
        key: {name: value[name] for name in CHANGES} for key, value in kept.items()
    }
    phases = [
        json.loads(each.value)["phase"] for each in kafka_clients.read_to_end(servers, ALERTS_TOPIC) if each.value
    ]
    assert {"firing", "resolved"} <= set(phases)
