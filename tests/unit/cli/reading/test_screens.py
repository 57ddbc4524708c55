"""Every command that reads, on the log of a demo run, on terminals of several widths: what somebody sees."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.cli.main import main
from otel_feedback.events.model import encode
from tests.support import ROOT, environment, run_cli
from tests.terminal import Terminal, needs_pty

COMMAND = [sys.executable, "-m", "otel_feedback"]
ESCAPE = "\x1b"
COMMANDS = {
    "tail": ["tail", "--once", "--lines", "all"],
    "stats": ["stats"],
    "stats against before": ["stats", "--since", "1h", "--by", "agent,action"],
    "windows": ["stats", "--by", "window", "--window", "1h"],
    "failures": ["failures"],
    "trace": ["trace", "run-2"],
    "sql": ["sql", "SELECT agent_name, count(*) AS n, sum(own_cost) AS cost FROM outcomes GROUP BY 1 ORDER BY 1"],
    "tables": ["sql"],
}
SEEN = {
    "tail": ["Time      Agent", "check_policy", "✗ failure", "◷ timeout", "⊘ cancelled"],
    "stats": ["46 actions, 73.9 % success", "Agent        Actions  Success", "researcher        19   68.4 %", "all "],
    "stats against before": ["46 actions", "Agent ", "Action ", "answer_customer"],
    "windows": ["Window ", ":00 ", "all "],
    "failures": ["8 actions went wrong, in 7 ways", "2 x researcher order_lookup  ✗ CrmError", "otel-feedback trace run-3"],
    "trace": [
        "run run-2", "status    ◐ partial", "workflow  market-report", "◐ coordinator answer_customer",
        "│  └─ ◷ researcher fetch_page", "└─ ✓ evaluator evaluate", "What went wrong", "HTTP 429, retry after 0.2 s",
        "http://localhost:16686/trace/",
    ],
    "sql": ["agent_name", "coordinator", "6 rows"],
    "tables": ["windows", "window_start", "producers"],
}  # fmt: skip


def source(name: str, log: Path) -> list[str]:
    return [] if name == "tables" else ["--from", log.name]


@needs_pty
@pytest.mark.parametrize(
    ("name", "columns"),
    # the list of the tables is text that wraps
    [(name, columns) for name in COMMANDS for columns in (60, 80, 120) if name != "tables" or columns == 80],
)
def test_a_demo_run_is_explored_on_a_terminal(name: str, columns: int, demo_log: Path) -> None:
    terminal = Terminal([*COMMAND, *COMMANDS[name], *source(name, demo_log)], columns, demo_log.parent)
    assert terminal.read_to_end() == 0, terminal.output
    lines = terminal.screen.splitlines()
    assert ESCAPE in terminal.output, "colours"
    assert "Traceback" not in terminal.output
    copied = ("http://", "otel-feedback ")
    assert max(len(line) for line in lines if not line.lstrip().startswith(copied)) <= columns
    whole = " ".join(terminal.screen.split())
    for text in SEEN[name]:
        wanted = " ".join(text.split())
        assert wanted in whole or columns < 80, f"{text!r} is not in\n{terminal.screen}"


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_pipe_gets_the_same_words_and_no_control_codes(
    name: str, demo_log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(demo_log.parent)
    assert main([*COMMANDS[name], *source(name, demo_log)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert ESCAPE not in out
    assert [line for line in out.splitlines() if line != line.rstrip()] == []
    for text in SEEN[name]:
        assert " ".join(text.split()) in " ".join(out.split())


def test_a_command_and_a_link_can_be_copied_however_narrow_it_is(
    demo_log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["failures", "--from", str(demo_log)]) == 0
    commands = [line for line in capsys.readouterr().out.splitlines() if "otel-feedback trace" in line]
    assert len(commands) == 7
    assert main(shlex.split(commands[0])[1:]) == 0
    link = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch("http://localhost:16686/trace/[0-9a-f]{32}", link)


@needs_pty
def test_a_terminal_that_wants_no_colours_gets_none(demo_log: Path) -> None:
    terminal = Terminal([*COMMAND, "stats", "--from", str(demo_log)], variables={"NO_COLOR": "1"})
    assert terminal.read_to_end() == 0
    assert ESCAPE not in terminal.output
    assert "Success" in terminal.output


@pytest.mark.parametrize(
    "command",
    [["tail", "--once", "-n", "all", "--json"], ["stats", "--csv", "--by", "session"], ["sql", "--csv", "FROM events"]],
)
def test_a_reader_who_has_seen_enough_is_no_error(command: list[str], log: Path) -> None:
    words = " ".join(f"'{word}'" for word in command)
    line = f"{sys.executable} -m otel_feedback {words} --from '{log}' | head -1"
    done = subprocess.run(["bash", "-c", line], env=environment(), capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_a_run_is_found_by_its_id_by_an_event_and_by_the_beginning_of_one(
    demo_log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def trace(wanted: str, *more: str) -> tuple[int, str, str]:
        code = main(["trace", "--from", str(demo_log), wanted, *more])
        out, err = capsys.readouterr()
        return code, out, err

    code, out, _ = trace("run-3", "--json")
    events = json.loads(out)
    assert code == 0
    assert {event["run_id"] for event in events} == {"run-3"}
    assert len(events) == 5
    failed = next(event for event in events if event["action_type"] == "order_lookup")
    for wanted in (failed["event_id"], failed["event_id"][:40], failed["trace_id"]):
        code, out, _ = trace(wanted)
        assert code == 0
        assert "run run-3\n" in out
        assert "✗ coordinator answer_customer" in out
    code, out, _ = trace(failed["event_id"])
    assert f"event {failed['event_id']}" in out
    assert re.search(r"error_message +HTTP 503 from the CRM, attempt 1 of 2", out)
    assert "raise CrmError(" in out.partition("stack trace")[2]
    code, out, err = trace("nothing-like-it")
    assert (code, out) == (1, "")
    assert "error: there is no run, event or trace nothing-like-it in " in err


def test_a_beginning_that_several_runs_have_is_asked_to_be_longer(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", "--from", str(log), "run-10"]) == 0
    assert "run run-10\n" in capsys.readouterr().out, "exactly this one, though others begin so"
    assert main(["trace", "--from", str(log), "0000000000"]) == 1
    assert "0000000000 is the beginning of " in capsys.readouterr().err


def test_what_is_missing_of_a_run_is_said(demo_log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.loads(line) for line in demo_log.read_text().splitlines()]
    whole = [line for line in lines if line["run_id"] == "run-2"]
    root = next(line for line in whole if line["action_type"] == "answer_customer")
    late = next(line for line in whole if line["action_type"] == "plan")
    late |= {"status": "pending", "revision": 0, "severity": "warning"}
    next(line for line in whole if line["action_type"] == "evaluate")["usage_complete"] = False
    part = tmp_path / "part.jsonl"
    part.write_text("".join(json.dumps(line) + "\n" for line in whole if line is not root) + "half a li")
    assert main(["trace", "--from", str(part), "run-2"]) == 0
    out, err = capsys.readouterr()
    gaps = " ".join(out.partition("What is not there")[2].split())
    assert f"the action {root['event_id']} around 6 of these" in gaps
    assert "the end of planner plan: it is under way, or was killed" in gaps
    assert "tokens and cost of what was still open below evaluator evaluate" in gaps
    assert err == "1 line left out: no outcome event\n"


def test_the_history_of_a_user_and_what_a_client_costs_are_one_command_each(
    records: list[object], log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.downstream.tables import made

    outcomes = made.outcomes(records)  # pyright: ignore[reportArgumentType]
    assert main(["tail", "--from", str(log), "--user", "u-7", "--lines", "all", "--once", "--json"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {event["event_id"] for event in told} == {event.event_id for event in outcomes if event.user_id == "u-7"}
    assert main(["stats", "--from", str(log), "--by", "tenant", "--sort", "cost", "--json"]) == 0
    groups = json.loads(capsys.readouterr().out)["groups"]
    for group in groups:
        own = sum(event.own_cost or 0 for event in outcomes if event.tenant_id == group["tenant"])
        assert group["cost"] == pytest.approx(own)


def test_where_nothing_says_where_the_events_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OTEL_FEEDBACK_LOG_FILE", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for arguments, message in (
        (["stats"], "neither a store, nor Kafka, nor a log file is configured"),
        (["stats", "--from", "nowhere*"], "there is no nowhere*"),
        (["trace", "--from", "folder", "run-1"], "folder is no store: it has no manifest.json"),
        (["tail", "--from", "folder", "--from", "folder"], "folder is a folder: of stores one at a time is read"),
    ):
        assert main(arguments) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert message in err
        assert "  -> say where the events are: --from topic, --from STORE_FOLDER, or --from " in err


def test_the_log_file_of_the_settings_with_what_was_rotated_is_the_default(
    records: list[object],
    log: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import gzip

    lines = log.read_bytes().splitlines(keepends=True)
    monkeypatch.setenv("OTEL_FEEDBACK_LOG_FILE", str(tmp_path / "own.jsonl"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "own.jsonl").write_bytes(b"".join(lines[3_000:]))
    (tmp_path / "own.jsonl.1").write_bytes(b"".join(lines[1_500:3_000]))
    (tmp_path / "own.jsonl.2.gz").write_bytes(gzip.compress(b"".join(lines[:1_500])))
    assert main(["sql", "--csv", "SELECT count(*) AS n FROM events"]) == 0
    assert capsys.readouterr().out == f"n\n{len(records)}\n"


def test_sql_says_what_is_wrong_with_a_query_as_it_was_written(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for query, message in (
        ("selct 1", 'syntax error at or near "selct"'),
        ("SELECT agnt_name FROM outcomes", 'Referenced column "agnt_name" not found'),
        ("SELECT * FROM outcoms", 'Did you mean "outcomes"?'),
    ):
        assert main(["sql", "--from", str(log), query]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert message in err
        assert "EXPLAIN" not in err
        assert "LINE 2" not in err, "no line of ours before it"
    for query, rows in (
        ("SELECT count(*) AS n, count(DISTINCT tenant_id) AS t FROM outcomes", 1),
        ("SELECT o FROM outcomes o WHERE run_id = 'run-4' LIMIT 1", 1), ("SUMMARIZE events", None), ("SELECT 1; SELECT 2", 1),
    ):  # fmt: skip
        assert main(["sql", "--from", str(log), "--tenant", "acme", "--json", query]) == 0
        told = json.loads(capsys.readouterr().out)
        assert rows is None or len(told) == rows
        if "t" in told[0]:
            assert told[0]["t"] == 1


BARE = """
import contextlib, io, json, shlex, sys
sys.modules.update(dict.fromkeys(["duckdb", "starlette", "uvicorn", "anyio", "apprise"]))
from otel_feedback.cli.main import main
told = {}
for command in sys.argv[1:]:
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = main(shlex.split(command))
    told[command] = [code, said.getvalue()]
print(json.dumps(told))
"""
EXTRAS = {
    "demo --ui": "ui", "ui": "ui", "stats": "downstream", "failures": "downstream", "trace run-1": "downstream",
    "sql 'SELECT 1'": "downstream", "store": "downstream", "erase --user u-1": "downstream", "slo": "downstream",
    "gaps": "downstream", "evaluate-policy --policy uniform": "downstream",
    "alerts run --once": "alerts", "alerts check": "alerts", "alerts list": "alerts", "alerts backtest": "alerts",
}  # fmt: skip


def test_what_is_not_installed_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "outcomes.log").write_bytes(
        encode(OutcomeEvent(action_type="step", status=OutcomeStatus.SUCCESS)) + b"\n"
    )
    told = environment(OTEL_FEEDBACK_LOG_FILE="outcomes.log", OTEL_FEEDBACK_STORE_DIR="store", XDG_STATE_HOME="state")
    command = [sys.executable, "-c", BARE, "tail --once", *EXTRAS]
    done = subprocess.run(command, env=told, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    code, shown = said.pop("tail --once")
    assert (code, "step" in shown) == (0, True), "which needs none of it"
    assert said == {
        command: [1, f"error: DuckDB is not installed\n  -> pip install 'otel-feedback[{extra}]'\n"]
        for command, extra in EXTRAS.items()
    }
    assert not (tmp_path / "store").exists(), "nothing was begun"


def test_the_help_of_each_command_teaches_by_examples_in_80_columns() -> None:
    for command in ("tail", "stats", "failures", "gaps", "evaluate-policy", "trace", "sql", "completion"):
        shown = run_cli(command, "--help", variables={"COLUMNS": "80"}).stdout
        assert "examples:" in shown
        assert command == "completion" or max(map(len, shown.splitlines())) <= 80
        if command != "completion":
            assert "where and which" in shown


@pytest.mark.parametrize("page", ["README.md", "docs/terminal.md", "docs/consuming.md"])
def test_the_commands_on_the_pages_work(
    page: str, demo_log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each that reads events, with the log file of the settings: found, and with something to show."""
    monkeypatch.setenv("OTEL_FEEDBACK_LOG_FILE", str(demo_log))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    ran = 0
    for text in re.findall(
        r"^otel-feedback ((?:tail|stats|failures|trace|sql)\b.*)$", (ROOT / page).read_text(), re.MULTILINE
    ):
        words = shlex.split(text, comments=True)
        words = words[: next((place for place, word in enumerate(words) if word in (">", "|")), len(words))]
        words += ["--once"] if words[0] == "tail" and "--once" not in words else []
        if "--from" not in words and "-" not in words:
            assert main(words) == 0, text
            assert capsys.readouterr().out or "--json" in words, text
            ran += 1
    assert ran >= 3


@needs_pty
def test_a_long_read_shows_how_far_it_is_and_ctrl_c_ends_it(log: Path) -> None:
    """Four thousand events, each compared with each, and with each."""
    import signal

    query = "SELECT count(*) FROM events a, events b, events c WHERE a.run_id || b.run_id > c.run_id"
    terminal = Terminal([*COMMAND, "sql", "--from", str(log), query])
    terminal.read_until("counting")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.read_to_end() == 130
    assert "Traceback" not in terminal.output
    assert terminal.output.rindex("\x1b[?25h") > terminal.output.rindex("\x1b[?25l"), "the cursor is back"


HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202etxt"
"""Another title, an empty screen, another colour, and what follows from right to left."""


@needs_pty
@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "tables"])
def test_what_others_wrote_is_shown_and_not_obeyed(name: str, tmp_path: Path) -> None:
    log = tmp_path / "outcomes.jsonl"
    hostile = OutcomeEvent(
        action_type=f"act {HOSTILE}", status=OutcomeStatus.FAILURE, agent_name=f"planner {HOSTILE}", run_id="run-2",
        workflow_id=HOSTILE, error_type="Oops", error_message=f"it says {HOSTILE}", stack_trace=HOSTILE, tags=(HOSTILE,),
        metadata={"said": HOSTILE},
    )  # fmt: skip
    log.write_bytes(encode(hostile) + b"\n")
    command = [*COMMAND, *COMMANDS[name], "--from", str(log)]
    terminal = Terminal(command, 120, tmp_path)
    assert terminal.read_to_end() == 0, terminal.output
    piped = subprocess.run(command, capture_output=True, text=True, check=True, env=environment(COLUMNS="120")).stdout
    for output in (terminal.output, piped):
        assert "planner" in output or name == "windows", output
        assert not re.search("\x1b]|\x07|\x1b\\[2J|\x9b|\u202e", output), ascii(output)
    assert ESCAPE not in piped
