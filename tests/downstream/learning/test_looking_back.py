"""`gaps` and `evaluate-policy` from a log file and from a store: what somebody sees, what programs read, what is said of mistakes."""

from __future__ import annotations

import csv
import io
import json
import random
import shlex
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.cli.main import main
from tests.downstream.learning.policies.learners import AGENTS, CASES, learned_log
from tests.downstream.tables import made
from tests.support import run_cli
from tests.terminal import Terminal, needs_pty

COMMAND = [sys.executable, "-m", "otel_feedback"]
PAIR = "agent researcher, model small"


def write(path: Path, records: list[OutcomeEvent]) -> Path:
    path.write_bytes(b"".join(record.to_json().encode() + b"\n" for record in records))
    return path


def with_gaps() -> list[OutcomeEvent]:
    """Return actions of which those of a researcher with the small model fail often; some come twice, and as revisions."""
    lot = random.Random(4)
    records: list[OutcomeEvent] = []
    for number in range(4_000):
        agent, model, plan = (
            lot.choice(["planner", "researcher", "writer"]), lot.choice(["large", "small"]), lot.choice(["free", "pro"]),
        )  # fmt: skip
        fails = lot.random() < (0.3 if (agent, model) == ("researcher", "small") else 0.08)
        at = made.BEGIN + timedelta(seconds=number)
        event = OutcomeEvent(
            event_id=f"{number // 4:032x}-{number:016x}", run_id=f"run-{number // 4}", timestamp=at, end_time=at,
            action_type={"researcher": "search"}.get(agent, agent), agent_name=agent, model=model, tenant_id=lot.choice(["acme", "globex"]),
            status=OutcomeStatus.FAILURE if fails else OutcomeStatus.SUCCESS, error_type="CrmError" if fails else None,
            error_message="the customer is Jane" if fails else None, own_cost=0.01, latency_ms=1_000.0, user_id=f"u-{number % 7}",
            quality_score=min(1.0, max(0.0, lot.gauss(0.6 if plan == "free" else 0.8, 0.1))),
            tags=("beta",) if lot.random() < 0.5 else (), metadata={"plan": plan, "request": f"q-{number}", "content.input": "hello"},
        )  # fmt: skip
        pending = made.changed(event, revision=0, status=OutcomeStatus.PENDING, error_type=None, quality_score=None)
        records += [pending, event] if number % 10 == 0 else [event, event] if number % 10 == 5 else [event]
    return records


def with_choices() -> list[OutcomeEvent]:
    """Return what a selector chose that learned, and some actions that nobody chose an agent for."""
    log, _ = learned_log(CASES["by context"], 5)
    records: list[OutcomeEvent] = []
    for number, decision in enumerate(log):
        at = made.BEGIN + timedelta(seconds=number)
        common: dict[str, Any] = {"timestamp": at, "end_time": at, "run_id": decision.run, "latency_ms": 500.0}
        event = OutcomeEvent(
            event_id=f"{number:032x}-{0:016x}", action_type="answer", agent_name=decision.agent, cost_estimate=0.01,
            status=OutcomeStatus.SUCCESS if decision.reward else OutcomeStatus.FAILURE, quality_score=decision.reward or None,
            choice_candidates=decision.candidates, choice_policy="thompson:7", choice_propensity=decision.propensity,
            metadata={"choice.kind": decision.context}, **common,
        )  # fmt: skip
        other = OutcomeEvent(
            event_id=f"{number:032x}-{1:016x}", action_type="look_up", status=OutcomeStatus.SUCCESS, **common
        )
        records += [event, other]
    return records


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a log of each, and a store of each."""
    folder = tmp_path_factory.mktemp("looking-back")
    for name, records in (("gaps", with_gaps()), ("choices", with_choices())):
        log = write(folder / f"{name}.jsonl", records)
        done = run_cli("store", "--store", str(folder / f"{name}-store"), "--from", str(log), "--once")
        assert done.returncode == 0, done.stderr
    return folder


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main([*arguments]) == code
    out, err = capsys.readouterr()
    assert (err == "") == (code == 0)
    return out if code == 0 else err


def test_gaps_of_a_log_and_of_its_store_are_the_same(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, store = (
        json.loads(told(capsys, "gaps", "--json", "--from", str(logs / name))) for name in ("gaps.jsonl", "gaps-store")
    )
    assert made.rounded(log) == made.rounded(store)
    assert log["actions"] == 4_000, "each once, and none that is under way"
    quality, pair = log["gaps"]
    assert [(one["metric"], [each["value"] for each in one["slices"]]) for one in (quality, pair)] == [
        ("quality", ["free"]), ("success", ["researcher", "small"]),
    ]  # fmt: skip
    own = [e for e in made.outcomes(with_gaps()) if (e.agent_name, e.model) == ("researcher", "small")]
    others = [e for e in made.outcomes(with_gaps()) if (e.agent_name, e.model) != ("researcher", "small")]
    failed, elsewhere = sum(e.status == "failure" for e in own), sum(e.status == "failure" for e in others)
    excess = failed - len(own) * elsewhere / len(others)
    assert (pair["actions"], pair["runs"]) == (len(own), len({e.run_id for e in own}))
    assert (pair["here"], pair["lost"]) == (pytest.approx(1 - failed / len(own)), pytest.approx(excess))
    assert (pair["cost"], pair["took_ms"]) == (pytest.approx(0.01 * excess), pytest.approx(1_000 * excess))
    assert pair["same_as"] == [[{"dimension": "action", "value": "search"}, {"dimension": "model", "value": "small"}]]
    runs = {e.run_id for e in own if e.status == "failure"}
    assert {example["run_id"] for example in pair["examples"]} <= runs


def test_gaps_for_a_spreadsheet_and_in_another_order(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = ("gaps", "--csv", "--from", str(logs / "gaps.jsonl"))
    rows = list(csv.DictReader(io.StringIO(told(capsys, *source))))
    assert [row["slice"] for row in rows] == ["metadata.plan free", PAIR]
    assert rows[1]["example_run_ids"].count("run-") == 3
    some = list(csv.DictReader(io.StringIO(told(capsys, *source, "--agent", "researcher", "--sort", "time"))))
    assert {row["slice"] for row in some} == {"metadata.plan free", "model small"}, "among those that were selected"
    assert [row["took_ms"] for row in some] == sorted((row["took_ms"] for row in some), key=float, reverse=True)
    assert told(capsys, *source, "--agent", "planner", "--model", "large", "--tag", "beta", "--tenant", "x") == (
        "slice,metric,number,actions,runs,here,elsewhere,lost,cost,took_ms,p,same_as,example_run_ids\n"
    )


def test_gaps_are_exported_for_a_data_set(logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gaps.out.jsonl"
    assert main(["gaps", "--json", "--from", str(logs / "gaps-store"), "--export", str(file)]) == 0
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert err == f"{file}: {len(lines):,} actions, at most 1,000 of a gap\n"
    by_metric = {gap["metric"]: gap for gap in json.loads(out)["gaps"]}
    failed = [line for line in lines if line["gap"]["metric"] == "success"]
    assert {(line["agent_name"], line["model"], line["status"]) for line in failed} == {
        ("researcher", "small", "failure")
    }
    assert len(failed) == round(by_metric["success"]["actions"] * (1 - by_metric["success"]["here"]))
    assert len({line["event_id"] for line in failed}) == len(failed)
    low = [line["quality_score"] for line in lines if line["gap"]["metric"] == "quality"]
    assert low == sorted(low), "those that lost most come first"
    assert max(low) < by_metric["quality"]["elsewhere"]
    assert failed[0]["metadata"]["content.input"] == "hello", "as it was recorded"
    assert not {"error_message", "user_id", "stack_trace"} & failed[0].keys()


def test_policies_of_a_log_and_of_its_store_are_worth_the_same(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, store = (
        json.loads(told(capsys, "evaluate-policy", "--json", "--from", str(logs / name)))
        for name in ("choices.jsonl", "choices-store")
    )
    assert made.rounded(log) == made.rounded(store)
    assert (log["decisions"], log["unknown"]) == (1_500, 0)
    _, truth = learned_log(CASES["by context"], 5)
    policies = {policy["policy"]: policy for policy in log["policies"]}
    assert list(policies) == [*(f"always:{name}" for name in AGENTS), "uniform"]
    for name, value in zip(AGENTS, truth, strict=True):
        estimate = policies[f"always:{name}"]
        if estimate["refused"] is None:
            assert estimate["doubly_robust"]["low"] <= value <= estimate["doubly_robust"]["high"]
    mean = sum(decision.reward for decision in learned_log(CASES["by context"], 5)[0]) / 1_500
    assert policies["uniform"]["logged"]["value"] == pytest.approx(mean)


def test_policies_for_a_spreadsheet_and_by_another_reward(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state.json").write_text('{"agents": {"writer": {"probability": 1.0}}}')
    command = ("evaluate-policy", "--csv", "--from", str(logs / "choices.jsonl"), "--policy")
    (state,) = csv.DictReader(io.StringIO(told(capsys, *command, f"state:{tmp_path}/state.json")))
    (always,) = csv.DictReader(io.StringIO(told(capsys, *command, "always:writer")))
    names = [name for name in always if name != "policy"]
    assert [state[name] for name in names] == [always[name] for name in names]
    (dearer,) = csv.DictReader(
        io.StringIO(told(capsys, *command, "always:writer", "--cost-weight", "10", "--latency-weight", "0.2"))
    )
    assert float(dearer["logged"]) < float(always["logged"]) - 0.1
    assert dearer["effective"] == always["effective"]


def test_mistakes_are_told_with_what_would_be_right(
    logs: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = ("--from", str(logs / "gaps.jsonl"))
    err = told(capsys, "evaluate-policy", *source, code=1)
    assert err.startswith("error: no event says how its agent was chosen: choice_candidates and choice_propensity")
    assert "  -> choose agents by an AgentSelector" in err
    half = [made.changed(e, choice_propensity=None) if n % 4 else e for n, e in enumerate(with_choices()) if n % 2 == 0]
    err = told(capsys, "evaluate-policy", "--from", str(write(tmp_path / "half.jsonl", half)), code=1)
    assert err.startswith("error: 750 of 1,500 choices do not say how probable they were (choice_propensity")
    err = told(capsys, "gaps", *source, "--export", str(tmp_path / "none" / "out"), code=1)
    assert (
        err
        == f"error: --export {tmp_path}/none/out: there is no folder {tmp_path}/none\n  -> name a file in a folder that is there\n"
    )
    assert told(capsys, "gaps", *source, "--export", str(tmp_path), code=1).startswith(
        f"error: --export {tmp_path}: it is a folder"
    )
    with pytest.raises(SystemExit) as exit_:
        main(["evaluate-policy", *source, "--policy", "planner"])
    assert exit_.value.code == 2
    assert "argument --policy: 'planner' is no policy: expected always:AGENT, uniform" in capsys.readouterr().err
    assert main(["evaluate-policy", "--from", str(logs / "choices.jsonl"), "--policy", "always:nobody"]) == 1
    assert "always:nobody: none of its agents could be chosen: candidates were planner, researcher" in " ".join(
        capsys.readouterr().out.split()
    )


@needs_pty
@pytest.mark.parametrize("columns", [60, 80, 120])
def test_what_somebody_sees_fits(columns: int, logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal([*COMMAND, "gaps", "--from", "gaps.jsonl"], columns, logs)
    assert terminal.read_to_end() == 0, terminal.output
    lines = terminal.screen.splitlines()
    copied = [line.strip() for line in lines if line.strip().startswith("otel-feedback ")]
    assert len(copied) == 2
    assert max(len(line) for line in lines if line.strip() not in copied) <= columns
    whole = " ".join(terminal.screen.split())
    for text in (
        "2 gaps (4,000 actions,", f"{PAIR} ", "more failures than elsewhere, for $1.", "success, elsewhere 9", "p < 0.0001",
        "points of quality less than elsewhere", "quality 0.60, elsewhere 0.80", "the same actions: action search, model small",
        "not all looked at: metadata.request (0 of 4,000)",
    ):  # fmt: skip
        assert text in whole, f"{text!r} is not in\n{terminal.screen}"
    assert main([*shlex.split(copied[0])[1:-1], str(logs / "gaps.jsonl")]) == 0
    assert "run run-" in capsys.readouterr().out

    policies = ["always:writer", "uniform", "weights:planner=0.7,researcher=0.2,writer=0.1", "always:nobody"]
    options = [option for policy in policies for option in ("--policy", policy)]
    terminal = Terminal([*COMMAND, "evaluate-policy", "--from", "choices.jsonl", *options], columns, logs)
    assert terminal.read_to_end() == 0, terminal.output
    lines = terminal.screen.splitlines()
    assert max(map(len, lines)) <= columns
    assert "1,500 decisions; reward: success * quality, 0 to 1" in lines
    (head,) = (line.split() for line in lines if line.startswith("Policy"))
    assert {"Policy", "Value", "Logged", "Effective"} <= set(head)
    assert ("SNIPS" in head) == ("Change" in head) == (columns == 120)
    (uniform,) = (line for line in lines if line.startswith("uniform"))
    assert uniform.rstrip().endswith(("better", "worse", "not told apart"))


def test_a_log_without_gaps_and_one_without_enough_say_so(
    logs: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    even = [made.changed(e, quality_score=None, status=OutcomeStatus.SUCCESS, error_type=None) for e in with_gaps()]
    said = told(capsys, "gaps", "--from", str(write(tmp_path / "even.jsonl", even[:2_000])))
    assert "nothing is lower than elsewhere by more than chance (" in " ".join(said.split())
    said = told(capsys, "gaps", "--from", str(write(tmp_path / "few.jsonl", even[:60])))
    assert "too few actions to tell a gap from chance: a slice has 50 at least" in " ".join(said.split())
