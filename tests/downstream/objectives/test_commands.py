"""The page's first objective, as it is written there; the view, the screens, what `check` says, and the alerts beside it."""

from __future__ import annotations

import csv
import io
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from otel_feedback.cli.slo.showing import share
from tests.downstream.tables import made
from tests.examples.blocks import blocks
from tests.support import ROOT, environment, run_cli
from tests.terminal import Terminal, needs_pty

PAGE = ROOT / "docs" / "objectives.md"
FROM = ("--from", "outcomes.log")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of somebody who has followed the page so far."""
    folder = tmp_path_factory.mktemp("first")
    (folder / "agents.py").write_text(blocks(PAGE, "python")[0].text)
    subprocess.run([sys.executable, "agents.py"], cwd=folder, env=environment(PYTHONPATH=str(ROOT)), check=True)
    (folder / "slo.toml").write_text(blocks(PAGE, "toml")[0].text)
    return folder


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    places = {"XDG_STATE_HOME": str(folder / "state"), "XDG_DATA_HOME": str(folder / "data"), "COLUMNS": "80"}
    return run_cli(*arguments, variables={**places, **variables}, folder=folder)


def test_the_first_objective_of_the_page(first: Path) -> None:
    check, slo = ([*shlex.split(line)[1:]] for line in blocks(PAGE, "sh")[0].text.splitlines())
    checked = run(first, *check)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "1 objective, nothing wrong" in checked.stdout
    assert "alerts: when the budget is used up (burn rates are for targets of 0.99" in checked.stdout
    shown = run(first, *slo)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.splitlines()[2:] == blocks(PAGE, "text")[0].text.splitlines()


def test_json_csv_and_the_view_have_the_same_numbers(first: Path) -> None:
    whole = json.loads(run(first, "slo", "--json", *FROM).stdout)
    assert [(each["agent_name"], each["counted"], each["bad"], each["state"]) for each in whole] == [
        ("planner", 400, 14, "at risk"),
        ("researcher", 8, 0, "not enough yet"),
    ]
    assert (whole[0]["budget_remaining"], whole[1]["budget_remaining"]) == (0.3, None)
    rows = list(csv.DictReader(io.StringIO(run(first, "slo", "--csv", *FROM).stdout)))
    assert [row["state"] for row in rows] == ["at risk", "not enough yet"]
    viewed = json.loads(run(first, "sql", "--json", *FROM, "SELECT * FROM objectives").stdout)
    assert viewed[0].keys() == whole[0].keys() == rows[0].keys()
    changing = {"used_up_at"}  # is of the moment in which it is asked
    assert [{name: row[name] for name in row.keys() - changing} for row in viewed] == [
        {name: row[name] for name in row.keys() - changing} for row in whole
    ]
    assert "objectives" in run(first, "sql").stdout


def test_it_can_be_asked_how_it_stood(first: Path) -> None:
    told = json.loads(run(first, "slo", "--json", *FROM, "--at", "36h").stdout)
    assert (told[0]["agent_name"], told[0]["state"], told[0]["bad"]) == ("planner", "met", 2)
    told = json.loads(run(first, "slo", "--json", *FROM, "--at", "2020-01-01").stdout)
    assert [(each["agent_name"], each["state"], each["attained"]) for each in told] == [(None, "not enough yet", None)]


def test_of_one_tenant_others_do_not_count(first: Path, tmp_path: Path) -> None:
    """As if there were no others: whatever the objective is by; the same as the view says of that tenant."""
    events = [
        made.changed(event, event_id=f"{tenant}-{place}", tenant_id=tenant, status=status)
        for tenant, number, status in (("acme", 30, "success"), ("globex", 20, "failure"), (None, 25, "timeout"))
        for place, event in enumerate(made.recent(made.events(1)) * number)
    ]
    (tmp_path / "outcomes.log").write_text("".join(event.to_json() + "\n" for event in events))
    (tmp_path / "slo.toml").write_text(
        '[[objective]]\nname = "all"\nkind = "success"\ntarget = 0.9\nby = []\n'
        '[[objective]]\nname = "each"\nkind = "success"\ntarget = 0.9\nby = ["tenant"]\n'
        '[[objective]]\nname = "theirs"\nkind = "success"\ntarget = 0.9\ntenant = "glo*"\nby = []\n'
    )

    def counts(*arguments: str) -> list[tuple[str, str | None, int, int]]:
        told = json.loads(run(tmp_path, *arguments, "--json", *FROM).stdout)
        return [(each["objective"], each["tenant_id"], each["counted"], each["bad"]) for each in told]

    assert counts("slo")[0] == ("all", None, 75, 45)
    acme = [("all", None, 30, 0), ("each", "acme", 30, 0), ("theirs", None, 0, 0)]
    assert counts("slo", "--tenant", "acme") == acme
    assert counts("sql", "--tenant", "acme", "SELECT * FROM objectives") == acme
    assert counts("slo", "--tenant", "-")[:2] == [("all", None, 25, 25), ("each", None, 25, 25)]
    both = counts("slo", "--tenant", "acme", "--tenant", "globex")
    assert both[0] == ("all", None, 50, 20)
    assert both[-1] == ("theirs", None, 20, 20)
    shown = run(tmp_path, "slo", "--tenant", "acme", *FROM)
    assert shown.stdout.splitlines()[0].endswith(", tenant acme")


def test_without_a_file_or_with_a_wrong_one_it_is_said_what_to_do(first: Path, tmp_path: Path) -> None:
    done = run(tmp_path, "slo")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: there is no slo.toml in this directory\n  -> write one")
    asked = run(tmp_path, "sql", "--from", str(first / "outcomes.log"), "SELECT * FROM objectives")
    assert asked.returncode == 1
    assert "  -> write slo.toml in this directory" in asked.stderr
    (tmp_path / "slo.toml").write_text('[[objective]]\nname = "a"\nkind = "success"\ntarget = 0.9\nalerts = "burn"\n')
    for command in (["slo"], ["slo", "check"], ["alerts", "check"], ["sql", "SELECT * FROM objectives"]):
        done = run(tmp_path, *command, *(["--from", str(first / "outcomes.log")] if command[-1] != "check" else []))
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(
            "error: slo.toml:5: objective.alerts: 'burn': burn rates can never fire: 14.4 times"
        )
        assert done.stderr.endswith('  -> use "budget"\n')


def test_objectives_are_among_the_alerts(first: Path) -> None:
    """Beside the rules, in whose states and by whose commands they go."""
    checked = run(first, "alerts", "check", COLUMNS="160")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "slo.answers.budget" in checked.stdout
    assert "more than 1 times the budget in 30d, of 200 at least" in checked.stdout
    strict = first / "strict"
    strict.mkdir()
    (strict / "slo.toml").write_text('[[objective]]\nname = "answers"\nkind = "success"\ntarget = 0.99\n')
    told = run(strict, "alerts", "run", "--once", "--from", "../outcomes.log")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.splitlines()[0].startswith("firing: slo.answers.burn-3d (agent planner): ")
    assert "times the budget since" in told.stdout
    listed = json.loads(run(strict, "alerts", "list", "--json").stdout)
    assert [(each["rule"], each["phase"]) for each in listed["alerts"]] == [("slo.answers.burn-3d", "firing")]
    assert run(strict, "alerts", "ack", "slo.*").stdout == "acknowledged: slo.answers.burn-3d (agent planner)\n"


@needs_pty
@pytest.mark.parametrize("columns", [60, 80, 100, 140])
def test_the_table_fits(columns: int, first: Path) -> None:
    (first / "more.toml").write_text(
        (first / "slo.toml").read_text()
        + '[[objective]]\nname = "fast"\nkind = "latency"\nthreshold_ms = 900\ntarget = 0.995\nby = []\n'
        + '[[objective]]\nname = "strict"\nkind = "success"\ntarget = 0.999\nagent = "p*"\nmin_count = 20\n'
    )
    command = [sys.executable, "-m", "otel_feedback", "slo", "--slo", "more.toml", *FROM]
    terminal = Terminal(command, columns, first)
    assert terminal.read_to_end() == 0, terminal.output
    lines = terminal.screen.splitlines()
    assert max(map(len, lines)) <= columns
    assert len(lines) == 2 + 1 + 4, "nothing is folded"
    for text in ("at risk", "not enough yet", "missed", "-3,400 %"):
        assert text in terminal.screen
    assert ("0 of 200, 0 % known" in terminal.screen) == (columns >= 80)
    assert ("Burn 24h" in terminal.screen) == (columns >= 100)


@pytest.mark.parametrize(
    ("value", "target", "shown"),
    [(None, 0.95, "-"), (1.0, 0.95, "100.0 %"), (0.99999, 0.95, "99.9 %"), (0.95, 0.95, "95.0 %"), (0.99949, 0.995, "99.94 %"),
     (0.29, 0.5, "29.0 %"), (0.0435, 0.995, "4.35 %")],
)  # fmt: skip
def test_a_share_is_100_percent_only_where_all_are_good(value: float | None, target: float, shown: str) -> None:
    assert share(value, target) == shown
