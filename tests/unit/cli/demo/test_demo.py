"""`otel-feedback demo`: what an evaluator sees first, with no service at all."""

from __future__ import annotations

import functools
import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.text import Text

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.cli.console import open_console
from otel_feedback.cli.demo.feed import PlainFeed
from otel_feedback.cli.demo.report import Report
from otel_feedback.cli.demo.summary import summarize
from otel_feedback.cli.main import main
from tests.pace import slowness
from tests.stack.waiting import wait_until
from tests.support import environment, run_cli
from tests.terminal import Terminal, needs_pty

COMMAND = [sys.executable, "-m", "otel_feedback", "demo"]
QUICK = ["--seconds", "0.4"]
ESCAPE = "\x1b"
BY_STATUS = {"success": 34, "failure": 6, "partial": 2, "timeout": 2, "cancelled": 2, "pending": 0}


def demo(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the demo with its output in a pipe."""
    return run_cli("demo", *arguments, variables=variables)


@pytest.fixture(scope="module")
def text() -> str:
    done = demo(*QUICK, COLUMNS="80")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    done = demo(*QUICK, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def section(text: str, title: str) -> list[str]:
    """Return the lines below a heading of the summary, up to the next blank one."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if re.match(rf"{title}(  |$)", line)) + 1
    end = next((number for number in range(start, len(lines)) if not lines[number]), len(lines))
    return lines[start:end]


def test_every_status_arrives_as_a_line(text: str) -> None:
    rows = Counter(re.findall(r"^  run-\d  \w+ +\w+ +\S (\w+) ", text, flags=re.MULTILINE))
    assert rows == {status: number for status, number in BY_STATUS.items() if number}


def test_the_json_has_the_same_outcomes_as_the_text(text: str, document: dict[str, Any]) -> None:
    """Two runs: the picture is the same each time apart from timings."""
    assert document["summary"]["by_status"] == BY_STATUS
    shown = {line.split()[1]: int(line.split()[2]) for line in section(text, "Outcomes")}
    assert shown == {status: number for status, number in BY_STATUS.items() if number}
    agents = {line.split()[0]: line.split() for line in section(text, "Agents")[1:]}
    assert list(agents) == [*(line["agent"] for line in document["summary"]["by_agent"]), "all"]
    for line in document["summary"]["by_agent"]:
        cells = agents[line["agent"]]
        tokens = f"{line['tokens']:,}" if line["tokens"] else "-"
        cost = f"${line['cost']:.4f}" if line["cost"] else "-"
        assert (*cells[1:4], *cells[-2:]) == (
            str(line["actions"]), f"{line['success_rate'] * 100:.0f}", "%", tokens, cost,
        )  # fmt: skip
    total = document["summary"]
    assert agents["all"] == [
        "all", str(total["actions"]), "74", "%", f"{total['tokens']:,}", f"${total['cost']:.4f}"
    ]  # fmt: skip


def test_the_json_summary_is_the_sum_of_its_events(document: dict[str, Any]) -> None:
    events = [OutcomeEvent.from_json(json.dumps(event)) for event in document["events"]]
    summary = document["summary"]
    assert len(events) == summary["actions"] == sum(summary["by_status"].values()) == 46
    assert Counter(event.status.value for event in events) == {s: n for s, n in BY_STATUS.items() if n}
    assert sum(event.own_tokens or 0 for event in events) == summary["tokens"] > 0
    assert sum(event.own_cost or 0 for event in events) == pytest.approx(summary["cost"])
    # the same counted from the top: what a run's first action includes
    roots = [event for event in events if event.parent_event_id is None]
    assert len(roots) == summary["runs"] == 6
    assert sum(event.tokens_used or 0 for event in roots) == summary["tokens"]
    assert sum(event.cost_estimate or 0 for event in roots) == pytest.approx(summary["cost"])


def test_the_actions_really_failed_as_they_say(document: dict[str, Any]) -> None:
    errors = {(event["status"], event.get("error_type")) for event in document["events"]}
    assert {
        ("failure", "CrmError"), ("failure", "RateLimitError"), ("failure", "_OTHER"), ("timeout", "TimeoutError"),
        ("cancelled", "CancelledError"), ("success", None), ("partial", None),
    } == errors  # fmt: skip
    crm = next(event for event in document["events"] if event.get("error_type") == "CrmError")
    assert "raise CrmError(" in crm["stack_trace"]


def test_the_account_balances(text: str, document: dict[str, Any]) -> None:
    account = document["account"]
    assert account["recorded"] == 46
    assert account["not_recorded"] == {}
    log = account["exporters"]["log"]
    assert (log["appended"], log["delivered"], log["pending"], log["lost"]) == (46, 46, 0, {})
    recorded, log_line = section(text, "Account")
    assert recorded.split()[:2] == ["recorded", "46"]
    assert re.search(r"46  delivered 46, pending 0, lost 0", log_line)


def test_trouble_is_told_where_it_began(text: str, document: dict[str, Any]) -> None:
    lines = section(text, "Where it went wrong")
    assert len(lines) == len(document["went_wrong"]["first"]) == 7
    assert document["went_wrong"]["followed"] == 3
    assert [line.split()[2] for line in lines] == [
        "web_search", "fetch_page", "order_lookup", "order_lookup", "write_answer", "check_policy", "evaluate",
    ]  # fmt: skip


def test_one_run_is_shown_as_a_tree(text: str) -> None:
    tree = section(text, "One run as it was nested")
    shape = [re.sub(r"  +\d.*", "", line) for line in tree]
    assert shape == [
        "  ◐ coordinator answer_customer",
        "  ├─ ✓ planner plan",
        "  ├─ ◐ researcher research",
        "  │  ├─ ✓ researcher fetch_page",
        "  │  └─ ◷ researcher fetch_page",
        "  ├─ ✓ researcher research",
        "  │  ├─ ✗ researcher web_search",
        "  │  └─ ✓ researcher web_search",
        "  ├─ ✓ writer write_answer",
        "  ├─ ✓ guard check_policy",
        "  └─ ✓ evaluator evaluate",
    ]


def test_in_60_columns_nothing_that_counts_is_cut() -> None:
    told = demo(*QUICK, COLUMNS="60").stdout
    feed, _, rest = told.partition("Outcomes")
    assert "Took\n" in feed
    assert "…" not in feed
    agents, following = rest.partition("Agents")[2].partition("Where")[0], rest.partition("\nNext\n")[2]
    assert "Tokens     Cost\n" in agents
    assert "  coordinator  " in agents
    assert "…" not in agents + following
    assert 'with feedback.action("plan", agent="planner") as act:' in following


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_lines_fit_the_width_and_end_without_blanks(columns: int) -> None:
    lines = demo(*QUICK, COLUMNS=str(columns)).stdout.splitlines()
    assert max(map(len, lines)) <= columns
    assert [line for line in lines if line != line.rstrip()] == []
    # there is room for the reason only in the wide one
    assert any("RateLimitError" in line and line.startswith("  run-2") for line in lines) == (columns == 120)


@pytest.mark.parametrize("variables", [{}, {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "TERM": "xterm-256color"}])
def test_a_pipe_gets_no_control_codes(variables: dict[str, str]) -> None:
    done = demo(*QUICK, **variables)
    assert ESCAPE not in done.stdout
    assert "\r" not in done.stdout


def test_an_encoding_without_the_symbols_gets_others() -> None:
    done = subprocess.run(
        [*COMMAND, *QUICK], env=environment(PYTHONIOENCODING="ascii"), capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"+ success" in done.stdout
    assert b"`- + evaluator evaluate" in done.stdout


def test_without_a_terminal_it_is_quick() -> None:
    began = time.monotonic()
    assert demo().returncode == 0
    elapsed_s = time.monotonic() - began
    assert 1.0 <= elapsed_s < 4.0 * slowness()  # 1 s of work, and the start of the interpreter


def test_no_setting_of_the_machine_changes_it() -> None:
    done = demo(
        *QUICK, "--json", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1", KAFKA_BATCH_SIZE="many", OTEL_TRACES_SAMPLER="always_off",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", OTEL_FEEDBACK_DISABLED="true", OTEL_SDK_DISABLED="true",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    read = json.loads(done.stdout)
    assert read["summary"]["by_status"] == BY_STATUS
    assert list(read["account"]["exporters"]) == ["log"]


def test_it_leaves_no_file(tmp_path: Path) -> None:
    assert demo(*QUICK, TMPDIR=str(tmp_path), HOME=str(tmp_path)).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_demo_that_was_killed_is_none_of_the_next_one_s_business(tmp_path: Path) -> None:
    own = {"TMPDIR": str(tmp_path / "tmp"), "HOME": str(tmp_path / "home")}
    for folder in own.values():
        Path(folder).mkdir()
    arrived = functools.partial((tmp_path / "tmp").glob, "*/outcomes.jsonl")
    with subprocess.Popen(
        [*COMMAND, "--json", "--seconds", "20"], env=environment(**own), stdout=subprocess.PIPE
    ) as killed:
        wait_until(lambda: any(arrived()), timeout_s=30, what="the first outcome to reach the log tier")
        killed.kill()
    done = demo(*QUICK, "--json", **own)
    assert (done.returncode, done.stderr) == (0, "")
    assert list((tmp_path / "home").iterdir()) == []


def test_a_second_demo_in_the_same_process(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert main(["demo", "--json", "--seconds", "0.3"]) == 0
        assert json.loads(capsys.readouterr().out)["summary"]["by_status"] == BY_STATUS


def test_a_reader_who_has_seen_enough_is_no_error() -> None:
    pipeline = f"{sys.executable} -m otel_feedback demo --seconds 0.4 --json | head -1"
    done = subprocess.run(["bash", "-c", pipeline], env=environment(), capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("{\n", "")


@needs_pty
def test_on_a_terminal_the_table_lives_and_the_cursor_comes_back() -> None:
    terminal = Terminal([*COMMAND, "--seconds", str(slowness())])
    assert terminal.read_to_end() == 0
    output = terminal.output
    assert output.count("\x1b[?25l") == output.count("\x1b[?25h") == 1
    assert output.index("\x1b[?25l") < output.index("\x1b[?25h") < output.index("Where it went wrong")
    # drawn again and again, in colour
    assert output.count("otel-feedback demo") > 5
    assert "\x1b[32m✓ success" in output
    # never higher than the terminal, or what scrolled away could not be drawn over
    frames = re.findall(r"\x1b\[(\d+)A|((?:\x1b\[1A\x1b\[2K)+)", output)
    assert max(int(number or moves.count("\x1b[1A")) for number, moves in frames) < 24


@needs_pty
@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_that_wants_no_control_codes_gets_none(variables: dict[str, str]) -> None:
    terminal = Terminal([*COMMAND, *QUICK], variables=variables)
    assert terminal.read_to_end() == 0
    assert ESCAPE not in terminal.output
    assert "Where it went wrong" in terminal.output


@needs_pty
def test_ctrl_c_ends_cleanly_with_a_summary_of_what_ran() -> None:
    began = time.monotonic()
    terminal = Terminal([*COMMAND, "--seconds", "20"])
    terminal.read_until("policy_search")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.read_to_end() == 130
    assert time.monotonic() - began < 15 * slowness()
    output = terminal.output
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")
    assert "Traceback" not in output
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output).replace("\r", "")
    summary = plain[plain.index("stopped by Ctrl-C") :]
    # what was under way is cancelled, recorded and accounted for
    outcomes = {line.split()[1]: int(line.split()[2]) for line in section(summary, "Outcomes")}
    assert outcomes["cancelled"] >= 2
    recorded, log = section(summary, "Account")
    number = int(recorded.split()[1])
    again = re.search(r"and (\d+) of them once more", recorded)
    assert number == sum(outcomes.values()) + int(again[1] if again else 0)
    assert f"delivered {number}, pending 0, lost 0" in log


def test_numbers_agree_where_an_action_is_told_once_more(capsys: pytest.CaptureFixture[str]) -> None:
    """As after Ctrl-C: what was above another ended before it, and the event is sent again with what that one used."""
    events = [outcome("a"), outcome("b"), outcome("c")]
    later = [events[1], outcome("d"), msgspec.structs.replace(events[0], revision=2), events[2]]
    console = open_console()
    with PlainFeed(console, Text("title")) as feed:
        feed.show(events, 0.1)
        feed.show(later, 0.2)
    rows = [line.split()[1] for line in capsys.readouterr().out.splitlines()[3:]]
    assert rows == ["a", "b", "c", "d"], "each once"

    exporters = {"log": {"appended": 5, "delivered": 5, "pending": 0, "lost": {}}}
    metrics = {"recorded": 5, "exporters": exporters, "not_recorded": {}}
    Report(console).write(later, summarize(later), metrics, 0.2, "run-1")
    text = capsys.readouterr().out
    assert "4 actions of" in text
    (recorded, *_) = section(text, "Account")
    assert recorded.split()[:4] == ["recorded", "5", "4", "actions,"]
    assert "1 of them once more" in recorded


def outcome(agent: str) -> OutcomeEvent:
    return OutcomeEvent(
        event_id=agent, action_type="work", status=OutcomeStatus.SUCCESS, agent_name=agent, run_id="run-1"
    )


def test_ctrl_c_with_json_still_writes_json(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--json", "--seconds", "20"],
        env=environment(TMPDIR=str(tmp_path)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    arrived = functools.partial(tmp_path.glob, "*/outcomes.jsonl")
    wait_until(lambda: any(arrived()), timeout_s=30, what="the first outcome to reach the log tier")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, err) == (130, "")
    document = json.loads(out)
    assert document["interrupted"] is True
    assert document["summary"]["by_status"]["cancelled"] >= 1
    assert list(tmp_path.iterdir()) == []
