"""`otel-feedback alerts …`: the page's first alert, as it is written there, and what each command says."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.downstream.alerts.commands import alerts
from tests.downstream.alerts.standins import Everybody
from tests.examples.blocks import blocks
from tests.support import ROOT, environment

PAGE = ROOT / "docs" / "alerting.md"


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """Return the folder of somebody who has followed the page so far."""
    program = blocks(PAGE, "python")[0].text
    (tmp_path / "agents.py").write_text(program)
    subprocess.run([sys.executable, "agents.py"], cwd=tmp_path, env=environment(PYTHONPATH=str(ROOT)), check=True)
    return tmp_path


def test_the_first_alert_of_the_page(first: Path, others: Everybody) -> None:
    commands = [shlex.split(line) for line in blocks(PAGE, "sh")[0].text.splitlines()]
    assert [words[:3] for words in commands] == [["otel-feedback", "alerts", name] for name in ("check", "run", "list")]
    check, run, listed = (alerts(first, *words[2:]) for words in commands)
    assert (check.returncode, check.stderr) == (0, "")
    assert "10 rules, nothing wrong" in check.stdout
    shown = blocks(PAGE, "text")[0].text.split(" since ")
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith(shown[0])
    assert run.stdout.endswith(", of 30\n")
    assert listed.returncode == 1, "one is open"
    assert "firing" in listed.stdout
    again = alerts(first, *commands[1][2:])
    assert again.stdout == "", "it was said"


def test_the_file_of_the_page_tells_slack(first: Path, others: Everybody) -> None:
    (first / "alerts.toml").write_text(blocks(PAGE, "toml")[0].text)
    tokens = {"SLACK_TOKENS": "T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", **others.variables}
    missing = alerts(first, "check")
    assert missing.returncode == 1
    assert "channel team: SLACK_TOKENS is not in the environment" in missing.stderr
    assert alerts(first, "check", **tokens).returncode == 0
    tried = alerts(first, "test", **tokens)
    assert (tried.returncode, tried.stderr) == (0, "")
    assert "team: firing and resolved were taken" in tried.stdout
    assert len(others.to("hooks.slack.com")) == 2
    too_early = alerts(first, "run", "--once", "--from", "outcomes.log")
    assert too_early.returncode == 0
    assert "channel team: SLACK_TOKENS is not in the environment; what it is told waits" in too_early.stderr
    assert "1 notification for team not sent yet" in alerts(first, "list").stdout
    assert alerts(first, "run", "--once", "--from", "outcomes.log", **tokens).returncode == 0
    assert "agent planner" in str(others.to("hooks.slack.com")[2].body)


def test_a_mistake_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "alerts.toml").write_text('[[rule]]\nname = "a"\nkind = "eror"\n')
    done = alerts(tmp_path, "check")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: alerts.toml:3: rule.kind: 'eror'\n  -> did you mean 'errors'?\n"


def test_acknowledged_silenced_and_listed(first: Path) -> None:
    assert alerts(first, "ack", "errors").returncode == 1, "none is open yet"
    silenced = alerts(first, "silence", "err*", "--agent", "plan*", "--for", "2h", "--why", "load test", "--who", "ann")
    assert silenced.stdout.startswith("silence 1: err*, agent plan* until ")
    assert silenced.stdout.endswith("; 0 alerts of it open now\notel-feedback alerts silence --end 1 ends it\n")
    listed = alerts(first, "list").stdout
    assert listed.startswith("nothing was looked at yet: otel-feedback alerts run\nsilence 1: err*, agent plan* until ")
    assert listed.endswith(", by ann: load test\n")
    run = alerts(first, "run", "--once", "--from", "outcomes.log")
    assert (run.returncode, run.stdout) == (0, ""), "it is silenced"
    acknowledged = alerts(first, "ack", "errors", "--why", "known", "--who", "ann")
    assert acknowledged.stdout == "acknowledged: errors (agent planner, action plan)\n"
    told = json.loads(alerts(first, "list", "--json").stdout)
    (alert,) = told["alerts"]
    assert (alert["phase"], alert["is_silenced"]) == ("firing", True)
    assert alert["acknowledged"] == {"who": "ann", "why": "known"}
    assert [(each["number"], each["why"]) for each in told["silences"]] == [(1, "load test")]
    assert alerts(first, "silence", "--end", "1").returncode == 0
    assert alerts(first, "silence", "--end", "1").returncode == 1
    assert "firing: errors" in alerts(first, "run", "--once", "--from", "outcomes.log").stdout


def test_backtest_says_when(first: Path) -> None:
    done = alerts(first, "backtest", "--since", "1h", "--from", "outcomes.*", "--json")
    (said,) = json.loads(done.stdout)
    assert (said["told"], said["rule"], said["agent"], said["value"], said["count"]) == (
        "opened",
        "errors",
        "planner",
        0.8,
        30,
    )
    assert "1 alert since" in alerts(first, "backtest", "--since", "1h", "--from", "outcomes.log").stdout


def test_events_that_are_not_there_are_said(tmp_path: Path) -> None:
    done = alerts(tmp_path, "backtest", "--from", "nowhere.log")
    assert done.returncode == 1
    assert "nowhere.log" in done.stderr
    nothing = alerts(tmp_path, "run")
    assert nothing.returncode == 1
    assert "  -> name a store or log files with --from" in nothing.stderr


def test_a_dot_env_counts_also_where_the_events_are_named(first: Path) -> None:
    (first / ".env").write_text("KAFKA_BOOTSTRAP_SERVERS=kafka:port\n")
    done = alerts(first, "run", "--once", "--from", "outcomes.log")
    assert done.returncode == 1
    assert "KAFKA_BOOTSTRAP_SERVERS" in done.stderr


def test_run_once_that_could_not_look_fails(first: Path) -> None:
    done = alerts(first, "run", "--once", "--from", "nowhere.log")
    assert done.returncode == 1
    assert "alerts could not be looked at, and will be again: cannot read nowhere.log" in done.stderr
