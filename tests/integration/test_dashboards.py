"""Every query of every dashboard, as Grafana asks it, against a real Prometheus that the real collector feeds from a real run."""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
import uuid
from collections.abc import Generator, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import pytest

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.events.model import encode
from tests.integration import grafana
from tests.integration.grafana import Choices, Target
from tests.stack.collector import Collector
from tests.stack.prometheus import Prometheus
from tests.stack.waiting import wait_until
from tests.support import environment

RANGE_S, STEP_S, SCRAPE_S = 60, 5, 1

# Three agents of two tenants, over and over until nobody listens any more: 15 actions a round, one failure, one time limit.
# Kafka is away, and the journal is small.
AGENTS = """
import asyncio, select, sys
import otel_feedback as feedback

dispatcher = feedback.create_dispatcher(service_name=sys.argv[1])
pipeline = feedback.get_feedback_pipeline()

class Writer:
    name = "writer"
    def run(self, task):
        if task == "hard": raise ValueError("no")
        return {"usage": {"input_tokens": 900, "output_tokens": 120}, "model": "gpt-4o", "quality_score": 0.75}

async def round_of_all():
    for task in ("easy", "easy", "easy", "easy", "hard"):
        await dispatcher.dispatch(Writer(), "answer", task, tenant_id="acme")
    for end in ("well", "well", "well", "partial", TimeoutError):
        try:
            with feedback.action("review", agent="critic (2.0)", tenant_id="globex") as act:
                act.add_usage(model="gpt-4o-mini", provider="openai", input_tokens=100, output_tokens=10)
                if end == "partial": act.partial("half of it")
                if end is TimeoutError: raise end
        except TimeoutError:
            pass
    for end in ("well", "well", "well", "well", "cancelled"):
        with feedback.action("plan", agent="planner") as act:
            if end == "cancelled": act.cancel("no longer wanted")
    pipeline.record_outcome("nothing that an outcome could be")

print("ready", flush=True)
with feedback.action("watch", agent="planner"):
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        asyncio.run(round_of_all())
"""


# One answer in five was bad, in the last hour as in any time: of a tenth that may be twice as many.
OBJECTIVES = """
[[objective]]
name = "{service}"
kind = "success"
target = 0.9
by = ["agent"]
"""
RULES = """
[[rule]]
name = "errors"
kind = "errors"
above = 0.1
"""


def _answers() -> list[OutcomeEvent]:
    now = datetime.now(timezone.utc)
    good, bad = OutcomeStatus.SUCCESS, OutcomeStatus.FAILURE
    moments = [now - timedelta(seconds=20 * number + 60) for number in range(100)]
    return [
        OutcomeEvent(
            action_type="answer", agent_name="writer", status=good if number % 5 else bad, timestamp=at, end_time=at
        )
        for number, at in enumerate(moments)
    ]


@contextlib.contextmanager
def _alerts(folder: Path, service: str, endpoint: str) -> Generator[None]:
    """Have `otel-feedback alerts run` say how the objectives of a log stand."""
    (folder / "outcomes.log").write_bytes(b"".join(encode(event) + b"\n" for event in _answers()))
    (folder / "slo.toml").write_text(OBJECTIVES.format(service=service))
    (folder / "alerts.toml").write_text(RULES)
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_METRIC_EXPORT_INTERVAL": "500"}
    command = [sys.executable, "-m", "otel_feedback", "alerts", "run", "--from", "outcomes.log", "--state", "alerts"]
    with subprocess.Popen(command, cwd=folder, env=environment(**variables), stdout=subprocess.DEVNULL) as program:
        try:
            yield
        finally:
            program.terminate()
    assert program.returncode == 0


class Run(NamedTuple):
    """A program that runs."""

    service: str
    prometheus: Prometheus

    def own(self, chosen: Choices | None = None) -> Choices:
        """Return these choices, of this service alone."""
        return {"service": [self.service], "objective": [self.service], **(chosen or {})}

    def ask(self, target: Target, chosen: Choices) -> dict[frozenset[tuple[str, str]], list[float]]:
        """Return what a panel gets: values by labels, where they are numbers."""
        dashboard = grafana.dashboards()[target.dashboard]
        query = grafana.interpolate(
            target.expression, dashboard, chosen, range_s=RANGE_S, step_s=STEP_S, scrape_s=SCRAPE_S
        )
        if target.is_instant:
            found = {labels: [value] for labels, value in self.prometheus.query(query).items()}
        else:
            found = self.prometheus.query_range(query, RANGE_S, STEP_S)
        numbers = {labels: [value for value in values if math.isfinite(value)] for labels, values in found.items()}
        return {labels: values for labels, values in numbers.items() if values}


@pytest.fixture(scope="module")
def run(collector: Collector, prometheus: Prometheus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A service that works, with two ways out that work and one that does not."""
    service = f"dashboards-{uuid.uuid4().hex[:8]}"
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.http_endpoint,
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
        "OTEL_FEEDBACK_LOG_FILE": os.devnull,
        "OTEL_FEEDBACK_JOURNAL_DIR": str(tmp_path_factory.mktemp("journal")),
        "OTEL_FEEDBACK_JOURNAL_MAX_BYTES": "262144",
        "OTEL_FEEDBACK_SHUTDOWN_TIMEOUT": "0.5",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }
    with (
        _alerts(tmp_path_factory.mktemp("alerts"), service, collector.http_endpoint),
        subprocess.Popen(
            [sys.executable, "-c", AGENTS, service],
            env=environment(**variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as program,
    ):
        try:
            # what comes last: a loss that Prometheus has seen grow
            lost = f'sum(increase(otel_feedback_events_lost_total{{job="{service}"}}[{RANGE_S}s])) > 0'
            wait_until(lambda: bool(prometheus.query(lost)), timeout_s=60, what=lost)
            burns = f'count(agent_slo_burn_rate{{objective="{service}"}}) == 4'
            wait_until(lambda: bool(prometheus.query(burns)), timeout_s=60, what=burns)
            yield Run(service, prometheus)
        finally:
            program.communicate()
    assert program.returncode == 0


WRITER = {"tenant": ["acme"], "agent": ["writer"], "model": ["gpt-4o"]}
CHOSEN: dict[str, list[dict[str, list[str]]]] = {
    "fleet": [{}, WRITER, {"tenant": ["acme", "globex"], "agent": ["writer", "critic (2.0)"]}],
    "pipeline": [{}, {"exporter": ["kafka", "log"]}],
    "objectives": [{}, {"agent": ["writer"]}],
}
NEVER = {
    "pipeline: Not recorded a minute, by reason: B": "4,096 outcomes within 100 ms",
    "pipeline: Refused or not passed on, a second: D": "the collector counts what fails from the first time on",
    "pipeline: Refused or not passed on, a second: E": "the same",
}
"""What has no data where all is well, and why that is not otherwise here; Prometheus has to understand it."""


def target_of(dashboard: str, panel: str, name: str = "A") -> Target:
    [target] = [each for each in grafana.targets() if each[:3] == (dashboard, panel, name)]
    return target


@pytest.mark.brief
@pytest.mark.parametrize("dashboard", list(CHOSEN))
def test_every_query_returns_data(dashboard: str, run: Run) -> None:
    targets = [target for target in grafana.targets() if target.dashboard == dashboard]
    for target in targets:
        if str(target) in NEVER:
            run.ask(target, {})
            continue
        for chosen in ({}, *map(run.own, CHOSEN[dashboard])):
            wait_until(
                lambda target=target, chosen=chosen: bool(run.ask(target, chosen)),
                timeout_s=20, what=f"data for {target}, of {chosen}",
            )  # fmt: skip
    assert {target.panel for target in targets if str(target) not in NEVER} == {
        panel["title"] for panel in grafana.panels(grafana.dashboards()[dashboard])
    }, "a panel of which nothing is asked"


SHARES = {"writer": 0.2, "critic (2.0)": 0.2, "planner": 0.0}


@pytest.mark.parametrize(
    ("dashboard", "panel", "wanted"),
    [
        ("fleet", "Failed", {"": 2 / 15}),
        ("fleet", "Quality", {"": 0.75}),
        ("fleet", "Share that failed, by agent", SHARES),
        ("pipeline", "Unexplained", {"": 0}),
        ("pipeline", "In trouble", {"": 1}),
        ("objectives", "Missed", {"": 1}),
        ("objectives", "Least budget left", {"": -1}),
        ("objectives", "Fastest burn", {"": 2}),
    ],
)
def test_numbers_are_what_happened(dashboard: str, panel: str, wanted: dict[str, float], run: Run) -> None:
    found = run.ask(target_of(dashboard, panel), run.own())
    last = {"".join(value for _, value in labels): values[-1] for labels, values in found.items()}
    assert last == {name: pytest.approx(value, abs=0.05) for name, value in wanted.items()}


@pytest.mark.parametrize(
    ("dashboard", "panel", "wanted"),
    [
        ("fleet", "Actions a minute, by status", {"success", "partial", "failure", "timeout", "cancelled"}),
        ("fleet", "Cost by tenant", {"acme", "globex"}),
        ("fleet", "Tokens by model", {"gpt-4o", "gpt-4o-mini"}),
        ("fleet", "Tokens a minute, by type", {"input", "output"}),
        ("pipeline", "Waiting, by destination", {"log", "otlp", "kafka"}),
        ("pipeline", "Lost a minute, by reason", {"kafka retention"}),
        ("pipeline", "Not recorded a minute, by reason", {"invalid"}),
    ],
)
def test_there_is_a_line_for_each(dashboard: str, panel: str, wanted: set[str], run: Run) -> None:
    found = run.ask(target_of(dashboard, panel), run.own())
    lines = {" ".join(value for _, value in sorted(labels)) for labels in found}
    assert lines - {"otlp retention"} == wanted, "a collector that is slow to answer may lose some, too"


@pytest.mark.parametrize(
    ("dashboard", "variable", "chosen", "wanted"),
    [
        ("fleet", "tenant", {}, {"acme", "globex"}),
        ("fleet", "agent", {}, {"writer", "critic (2.0)", "planner"}),
        ("fleet", "agent", {"tenant": ["globex"]}, {"critic (2.0)"}),
        ("fleet", "model", {"agent": ["writer", "critic (2.0)"]}, {"gpt-4o", "gpt-4o-mini"}),
        ("fleet", "model", {"agent": ["planner"]}, set[str]()),
        ("pipeline", "exporter", {}, {"log", "otlp", "kafka"}),
    ],
)
def test_what_can_be_chosen(
    dashboard: str, variable: str, chosen: dict[str, list[str]], wanted: set[str], run: Run
) -> None:
    of = grafana.dashboards()[dashboard]
    assert run.service in grafana.values("service", of, {}, run.prometheus)
    assert grafana.values(variable, of, run.own(chosen), run.prometheus) == wanted


def test_a_choice_narrows_every_panel(run: Run) -> None:
    """Of an agent whose name is full of what means something in a regular expression."""
    found = run.ask(target_of("fleet", "Actions a minute, by status"), run.own({"agent": ["critic (2.0)"]}))
    assert {value for labels in found for _, value in labels} == {"success", "partial", "timeout"}
