"""Objectives on the page: those of the file, as they stand, of all or of one tenant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.downstream.store.folder import StoreFolder
from otel_feedback.downstream.ui.access import Token
from otel_feedback.downstream.ui.goals import Goals
from tests.downstream.ui.serve import TOKEN, Server, served, token_of, write

NOW = datetime.now(timezone.utc)
TEXT = """
[[objective]]
name = "answers"
kind = "success"
target = 0.9
by = ["agent"]
"""


def event(number: int, tenant: str, agent: str, status: OutcomeStatus) -> OutcomeEvent:
    at = NOW - timedelta(minutes=number + 1)
    return OutcomeEvent(
        event_id=f"{tenant}-{agent}-{number}", action_type="answer", agent_name=agent, tenant_id=tenant, status=status,
        timestamp=at, end_time=at, run_id=f"run-{number}",
    )  # fmt: skip


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Server]:
    good, bad = OutcomeStatus.SUCCESS, OutcomeStatus.FAILURE
    events = [event(number, "acme", "planner", bad if number % 5 == 0 else good) for number in range(100)]
    events += [event(number, "globex", "planner", good) for number in range(100)]
    events += [event(0, "globex", "writer", good)]
    write(StoreFolder(tmp_path / "store"), events)
    tokens = [Token(TOKEN, None), Token(token_of("globex"), "globex")]
    with served(tmp_path / "store", tokens, objectives=Goals(tmp_path / "slo.toml", tmp_path / "store").told) as server:
        yield server


def test_they_are_those_of_the_file_as_soon_as_there_is_one(page: Server, tmp_path: Path) -> None:
    assert "slo.toml" in page.get("api/objectives", TOKEN)["remedy"]
    (tmp_path / "slo.toml").write_text("[[objective]]\nname = 5\n")
    assert "slo check" in page.get("api/objectives", TOKEN)["remedy"]
    (tmp_path / "slo.toml").write_text(TEXT)
    told = page.get("api/objectives", TOKEN)
    assert told["remedy"] is None
    planner, writer = told["objectives"]
    assert (planner["name"], planner["group"], planner["target"]) == ("answers", "agent planner", 0.9)
    assert (planner["count"], planner["good"], planner["budget_left"]) == (200, 0.9, 0.0)
    assert planner["note"] is None
    assert (writer["group"], writer["state"], writer["good"]) == ("agent writer", "not enough yet", None)
    assert writer["note"].startswith("1 of the ")


def test_a_tenant_sees_how_its_own_stand(page: Server, tmp_path: Path) -> None:
    (tmp_path / "slo.toml").write_text(TEXT)
    assert page.get("api/objectives", TOKEN)["objectives"][0]["count"] == 200
    planner, _ = page.get("api/objectives", token_of("globex"))["objectives"]
    assert (planner["count"], planner["good"], planner["budget_left"]) == (100, 1.0, 1.0)
