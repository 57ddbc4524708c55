"""`otel-feedback selector`: what it shows and writes; programs that run take up what it did."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest

from otel_feedback import AgentSelector, OutcomeEvent, OutcomeStatus, Reward
from otel_feedback.learning.selector.state import FOLLOWER, State, StateFile
from tests.downstream.tables.test_opening import StoreFolder
from tests.downstream.topics import Topic
from tests.fault.small_disk import SmallDisk
from tests.pace import Patience
from tests.stack.kafka import KafkaBroker
from tests.support import environment, run_cli


def selector_of(path: Path) -> AgentSelector:
    return AgentSelector(["planner", "writer"], Reward(cost_weight=0.5), state=path, refresh_s=None, seed=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "selector.json"
    selector = selector_of(path)
    for _ in range(60):
        choice = selector.choose()
        choice.learn(0.9 if choice.name == "planner" else 0.2)
    selector.refresh()
    return path


def state_in(path: Path) -> State:
    state = StateFile(path).read()
    assert state is not None
    return state


def event(name: str, place: int, *, success: bool, at: datetime) -> OutcomeEvent:
    return OutcomeEvent(
        event_id=f"{place:032x}-{place:016x}", action_type="answer", agent_name=name, timestamp=at, end_time=at,
        status=OutcomeStatus.SUCCESS if success else OutcomeStatus.FAILURE, choice_policy="thompson:0",
        choice_candidates=("planner", "writer"), choice_propensity=0.5,
    )  # fmt: skip


def test_it_shows_whom_it_chooses_and_why(path: Path) -> None:
    done = run_cli("selector", "show", str(path), variables={"COLUMNS": "200"})
    assert (done.returncode, done.stderr) == (0, "")
    title, worth, _, head, first, second = done.stdout.splitlines()
    assert title.startswith(f"{path}, version 1, ")
    assert worth == "worth: success x quality - 0.5 x $; half-life 1 h; floor 5 %; learned by programs"
    assert head.split() == ["Agent", "Chosen", "Reward", "95", "%", "Outcomes", "Feedback"]
    state = state_in(path)
    assert first.split()[:4] == [
        "planner",
        f"{state.agents['planner'].probability * 100:.1f}",
        "%",
        f"{state.agents['planner'].mean:.3f}",
    ]
    assert second.split()[0] == "writer"
    assert run_cli("selector", "show", str(path), "--json").stdout == path.read_text()


def test_what_is_exported_is_what_comes_back_and_a_program_that_runs_takes_it_up(path: Path, tmp_path: Path) -> None:
    running = selector_of(path)
    kept = tmp_path / "kept.json"
    kept.write_text(run_cli("selector", "export", str(path)).stdout)
    weights = json.loads(run_cli("selector", "export", str(path), "--weights").stdout)
    assert weights == pytest.approx(running.probabilities, abs=1e-6)

    done = run_cli("selector", "reset", str(path))
    assert (done.returncode, done.stdout) == (0, f"{path} begins anew, with nothing\n")
    running.refresh()
    assert running.probabilities == {"planner": 0.5, "writer": 0.5}
    assert state_in(path).objective == Reward(cost_weight=0.5)

    done = run_cli("selector", "reset", str(path), "--to", str(kept))
    assert (done.returncode, done.stdout) == (0, f"{path} begins anew, with 2 agents of {kept}\n")
    running.refresh()
    assert running.probabilities == pytest.approx(weights, abs=1e-3)
    assert running.policy == "thompson:3"


def test_a_harmed_file_is_named_and_can_be_begun_anew(path: Path) -> None:
    path.write_text("{")
    done = run_cli("selector", "show", str(path))
    assert done.returncode == 1
    assert f"{path} is no state of a selector" in done.stderr
    assert run_cli("selector", "reset", str(path), "--to", str(path)).returncode == 1
    assert run_cli("selector", "reset", str(path)).returncode == 0
    assert state_in(path).agents == {}
    done = run_cli("selector", "show", "no-such.json")
    assert "there is no no-such.json" in done.stderr


@pytest.mark.parametrize("kept", [False, True])
def test_a_file_that_is_not_there_is_not_made(kept: bool, path: Path, tmp_path: Path) -> None:
    selector = selector_of(path)
    selector.choose().learn(1.0)
    selector.refresh()
    missing = tmp_path / "elsewhere" / "mistyped.json"
    done = run_cli("selector", "reset", str(missing), *(["--to", str(path)] if kept else []))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: there is no {missing}\n  -> name the file that an AgentSelector was given")
    assert not missing.parent.exists()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with SmallDisk(tmp_path / "disk") as disk:
        (disk.path / "selector.json").write_text("{")
        disk.fill()
        done = run_cli("selector", "reset", str(disk.path / "selector.json"))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"error: {disk.path}/selector.json cannot be written: No space left on device",
        "  -> see that it may be written, or name another file",
    ]


def test_it_learns_from_what_there_is_and_programs_go_on_from_there(tmp_path: Path) -> None:
    path, log, now = tmp_path / "selector.json", tmp_path / "outcomes.jsonl", datetime.now(timezone.utc)
    events = [event("planner", place, success=place % 10 > 0, at=now) for place in range(40)]
    events += [event("writer", 100 + place, success=place % 2 > 0, at=now) for place in range(40)]
    log.write_text("".join(f"{each.to_json()}\n" for each in events))
    done = run_cli("selector", "learn", str(path), "--from", str(log), "--cost-weight", "0.5")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("80 outcomes of 2 agents, 0 with feedback, since ")
    selector = selector_of(path)
    assert selector.probabilities["planner"] > 0.95
    selector.choose().learn(1.0)
    selector.refresh()
    assert sum(known.outcomes for known in state_in(path).agents.values()) == 81
    # again, from the same: begun anew, not added
    assert run_cli("selector", "learn", str(path), "--from", str(log)).returncode == 0
    assert sum(known.outcomes for known in state_in(path).agents.values()) == 80
    assert state_in(path).objective == Reward(cost_weight=0.5)


def test_a_follower_keeps_it_up_to_date_is_alone_and_may_be_killed(tmp_path: Path) -> None:
    path, log, now = tmp_path / "selector.json", tmp_path / "outcomes.jsonl", datetime.now(timezone.utc)
    log.write_text(event("planner", 0, success=True, at=now).to_json() + "\n")
    command = [sys.executable, "-m", "otel_feedback", "selector", "learn", str(path), "--from", str(log)]
    command += ["--follow", "--every", "0.2"]

    def follow_until(outcomes: int, *, tries_another: bool = False) -> None:
        with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert "Ctrl-C ends" in process.stdout.readline()
            patience = Patience(60.0)
            while sum(each.outcomes for each in state_in(path).agents.values()) < outcomes and not patience.is_over:
                time.sleep(0.05)
            if tries_another:
                second = run_cli(*command[3:])
                assert second.returncode == 1
                assert "another follower has" in second.stderr
            process.kill()

    follow_until(1, tries_another=True)
    with log.open("a") as lines:
        lines.writelines(event("writer", place, success=True, at=now).to_json() + "\n" for place in range(1, 6))
    follow_until(6)
    state = state_in(path)
    assert (state.learned_from, state.agents["planner"].outcomes, state.agents["writer"].outcomes) == (FOLLOWER, 1, 5)
    selector = selector_of(path)
    selector.choose().learn(1.0)
    selector.refresh()
    assert sum(each.outcomes for each in state_in(path).agents.values()) == 6


def test_from_a_topic_a_log_file_and_a_store_it_learns_the_same(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    now = datetime.now(timezone.utc)
    events = [
        event("planner" if place % 3 else "writer", place, success=place % 4 > 0, at=now - timedelta(seconds=place))
        for place in range(300)
    ]
    events += [msgspec.structs.replace(each, revision=2, status=OutcomeStatus.PARTIAL) for each in events[::10]]
    topic = Topic.make(kafka_broker, partitions=3)
    topic.send(events)
    log = tmp_path / "outcomes.jsonl"
    log.write_text("".join(f"{each.to_json()}\n" for each in events))
    store = StoreFolder(tmp_path / "store")
    store.add(events)
    variables = {"KAFKA_BOOTSTRAP_SERVERS": topic.broker.bootstrap_servers, "KAFKA_OUTCOME_TOPIC": topic.name}
    found: list[dict[str, float]] = []
    for place, source in enumerate(("topic", str(log), str(store.folder))):
        path = tmp_path / f"{place}.json"
        done = run_cli("selector", "learn", str(path), "--from", source, variables=variables)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        found.append({name: known.mean for name, known in state_in(path).agents.items()})
    assert found[0].keys() == {"planner", "writer"}
    assert found[0] == pytest.approx(found[1], abs=1e-3)
    assert found[1] == pytest.approx(found[2], abs=1e-3)
