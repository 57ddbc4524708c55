"""`otel-feedback ui` and `demo --ui` as people run them: log files that are rotated, a topic, a store; what cannot be."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.downstream.store.stores import append, lines
from tests.downstream.topics import Topic, event
from tests.stack.kafka import KafkaBroker
from tests.stack.waiting import wait_until
from tests.support import environment, run_cli


class Command:
    """A command that serves the page."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.said = process.stdout.readline()
        self.address = self.said.split()[0] if self.said else ""

    def get(self, path: str, **headers: str) -> Any:
        return httpx.get(self.address + path, headers=headers, timeout=60).json()

    def wait_for_rows(self, number: int) -> None:
        wait_until(lambda: self.get("api/state")["rows"] >= number, timeout_s=60, what=f"{number} rows")

    def end(self, number: int = signal.SIGINT) -> tuple[int, str, str]:
        self.process.send_signal(number)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        # not by communicate(), which does not know what came with the first line
        with self.process:
            out, err = self.process.stdout.read(), self.process.stderr.read()
        return self.process.returncode, out, err


@contextlib.contextmanager
def command(folder: Path, *arguments: str, **variables: str) -> Generator[Command, None, None]:
    places = {"XDG_DATA_HOME": str(folder / "data"), "XDG_STATE_HOME": str(folder / "state"), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "otel_feedback", *arguments, "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=environment(**places, **variables),
    )  # fmt: skip
    try:
        yield Command(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.mark.brief
def test_a_log_that_is_rotated_while_somebody_looks(tmp_path: Path) -> None:
    log = tmp_path / "outcomes.jsonl"
    append(tmp_path / "outcomes.jsonl.1", lines(range(10)))
    append(log, lines(range(10, 20)))
    with command(tmp_path, "ui", "--from", "outcomes.jsonl") as page:
        assert page.said == f"{page.address}  outcomes.jsonl\n"
        page.wait_for_rows(20)
        append(log, lines(range(20, 25)))
        log.rename(tmp_path / "outcomes.jsonl.2")
        append(log, lines(range(25, 30)))
        page.wait_for_rows(30)
        assert page.get("api/now")["totals"]["actions"] == 30
        assert page.get("api/state")["kind"] == "log"
        assert page.end() == (0, "  Ctrl-C ends\n", "")
    assert not (tmp_path / "data").exists(), "nothing stays"


def test_a_log_may_be_given_with_what_was_rotated(tmp_path: Path) -> None:
    append(tmp_path / "outcomes.jsonl.1", lines(range(10)))
    append(tmp_path / "outcomes.jsonl", lines(range(10, 20)))
    with command(tmp_path, "ui", "--from", "outcomes.jsonl*", "--store", "kept") as page:
        page.wait_for_rows(20)
        assert page.end(signal.SIGTERM)[0] == 0
    with command(tmp_path, "ui", "--from", "kept") as page:
        page.wait_for_rows(20)
        assert page.get("api/state")["rows"] == 20, "each once"


def test_ctrl_c_while_somebody_looks(tmp_path: Path) -> None:
    append(tmp_path / "outcomes.jsonl", lines(range(10)))
    with command(tmp_path, "ui", "--from", "outcomes.jsonl") as page:
        with httpx.stream("GET", f"{page.address}api/live", timeout=60) as stream:
            lines_of = stream.iter_lines()
            next(lines_of)
            page.process.send_signal(signal.SIGINT)
            for _ in lines_of:
                pass  # to its end, which is one that the protocol knows
        out, err = page.process.communicate()
        assert (page.process.returncode, err) == (0, ""), out


@pytest.mark.brief
def test_a_topic(tmp_path: Path, kafka_broker: KafkaBroker) -> None:
    """It writes the store of the settings itself; a second page on the same store reads what the first one writes."""
    topic = Topic.make(kafka_broker)
    topic.send([event(number) for number in range(50)])
    variables = {"KAFKA_BOOTSTRAP_SERVERS": kafka_broker.bootstrap_servers, "KAFKA_OUTCOME_TOPIC": topic.name}
    with command(tmp_path, "ui", **variables) as first:
        first.wait_for_rows(50)
        with command(tmp_path, "ui", **variables) as second:
            second.wait_for_rows(50)
            topic.send([event(number) for number in range(50, 60)])
            first.wait_for_rows(60)
            second.wait_for_rows(60)
            wait_until(lambda: first.get("api/state")["behind_s"] == 0, timeout_s=60, what="the end of the topic")
            wait_until(lambda: first.get("api/pipeline")["appended"] == 60, timeout_s=90, what="the account")
            told = first.get("api/pipeline")
            assert (told["balances"], told["delivered"], told["gaps"], len(told["producers"])) == (True, 60, 0, 2)
            assert first.end()[0] == 0
            topic.send([event(number) for number in range(60, 70)])
            second.wait_for_rows(70)
    assert (tmp_path / "data/otel-feedback/store/manifest.json").exists()


def test_a_broker_that_is_away_is_said_on_the_page(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with command(tmp_path, "ui", KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{port}") as page:
        wait_until(lambda: page.get("api/state")["problem"] is not None, timeout_s=60, what="the problem")
        assert f"127.0.0.1:{port}" in page.get("api/state")["problem"]
        assert page.get("api/feed")["events"] == []


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    append(tmp_path / "outcomes.jsonl", lines(range(1)))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_cli("ui", "--from", "outcomes.jsonl", "--port", str(port), folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"error: cannot listen on 127.0.0.1:{port}: something listens there already",
        "  -> end what listens there, or take another port: --port 0 takes one that is free",
    ]


@pytest.mark.parametrize(
    ("arguments", "variables", "found"),
    [
        (["--host", "0.0.0.0"], {}, "host='0.0.0.0'"),
        (["--host", "0.0.0.0", "--token"], {}, "OTEL_FEEDBACK_UI_TOKEN"),
        (["--token", "short"], {}, "16 characters"),
        (["--token-file", "nowhere"], {}, "nowhere"),
        (["--port", "70000"], {}, "70000"),
        ([], {"OTEL_FEEDBACK_UI_PORT": "no"}, "OTEL_FEEDBACK_UI_PORT"),
        (["--from", "nowhere.jsonl"], {}, "nowhere.jsonl"),
    ],
)
def test_what_it_does_not_begin_with(
    tmp_path: Path, arguments: list[str], variables: dict[str, str], found: str
) -> None:
    append(tmp_path / "outcomes.jsonl", lines(range(1)))
    done = run_cli("ui", "--from", "outcomes.jsonl", *arguments, variables=variables, folder=tmp_path)
    assert done.returncode == 1
    assert found in done.stderr
    assert len(done.stderr.splitlines()) == 2, "what is wrong, and what to do"
    if "--port" in arguments:
        assert done.stderr.splitlines()[1].endswith("among the arguments")


@pytest.mark.brief
def test_tokens_from_everywhere(tmp_path: Path) -> None:
    append(tmp_path / "outcomes.jsonl", lines(range(4), tenant_id="acme") + lines(range(4, 10), tenant_id="globex"))
    (tmp_path / "tokens").write_text("# people\n\ntenant=acme:0123456789abcdef-file\n")
    tokens = "tenant=globex:0123456789abcdef-environment 0123456789abcdef-all"
    asked = ["--token", "--token-file", "tokens", "--token", "tenant=acme:0123456789abcdef-argument"]
    with command(tmp_path, "ui", "--from", "outcomes.jsonl", *asked, OTEL_FEEDBACK_UI_TOKEN=tokens) as page:

        def rows(token: str) -> Any:
            return page.get("api/state", authorization=f"Bearer {token}").get("rows")

        wait_until(lambda: rows("0123456789abcdef-all") == 10, timeout_s=60, what="rows")
        assert [rows(f"0123456789abcdef-{name}") for name in ("file", "argument", "environment", "nobody")] == [
            4,
            4,
            6,
            None,
        ]
        httpx.get(f"{page.address}?token=0123456789abcdef-file")
        code, out, err = page.end()
        assert code == 0
        assert "0123456789abcdef" not in out + err


def test_the_demo_on_the_page(tmp_path: Path) -> None:
    with command(tmp_path, "demo", "--ui", "--seconds", "0.5") as page:
        wait_until(lambda: page.get("api/now")["totals"]["actions"] > 20, timeout_s=60, what="actions of the team")
        agents = {agent["agent"] for agent in page.get("api/now")["agents"]}
        assert {"coordinator", "planner", "researcher", "writer"} <= agents
        assert set(page.get("api/values?field=tenant")["values"]) <= {"acme", "globex", "initech"}
        wait_until(lambda: page.get("api/pipeline")["balances"] is True, timeout_s=30, what="the account")
        assert {group["status"] for group in page.get("api/failures")["groups"]} >= {"failure"}
        code, _, err = page.end()
        assert (code, err) == (0, "")


def test_the_demo_that_learns_on_the_page(tmp_path: Path) -> None:
    with command(tmp_path, "demo", "--learn", "--seconds", "4", TMPDIR=str(tmp_path)) as page:
        assert page.process.stdout is not None
        said = ""
        while "the page stays until Ctrl-C" not in said:
            line = page.process.stdout.readline()
            assert line, said
            said += line
        links = [line.strip() for line in said.splitlines() if line.strip().startswith("http://")]
        assert [link.partition("?")[0] for link in links] == [
            f"{page.address}{view}" for view in ("choices", "experiments", "gaps")
        ]
        assert [httpx.get(link, timeout=60).status_code for link in links] == [200] * 3
        decided = re.search(r"([0-9,]+) decisions, by how good", said)
        assert decided is not None
        page.wait_for_rows(2 * int(decided[1].replace(",", "")))
        [policy] = page.get("api/choices?since=15m")["policies"]
        assert set(policy["candidates"]) == {"researcher", "writer", "template"}
        assert policy["belief"] is not None, "what the selector believes stands beside it"
        agents = {agent["agent"] for agent in page.get("api/now")["agents"]}
        assert agents == {"coordinator", "researcher", "writer", "template"}
        assert page.end() == (0, "", "")
    assert "what was possible" in said


def test_the_demo_that_learns_is_stopped_on_the_page(tmp_path: Path) -> None:
    with command(tmp_path, "demo", "--learn", "--seconds", "60", TMPDIR=str(tmp_path)) as page:
        page.wait_for_rows(50)
        code, out, err = page.end()
        assert (code, err) == (0, "")
        assert "stopped by Ctrl-C" in out
        assert "worth: success x quality" in out, "what the last command says"


def test_whoever_has_seen_enough_of_the_demo_ends_its_page(tmp_path: Path) -> None:
    pipeline = f"{sys.executable} -m otel_feedback demo --learn --port 0 --seconds 20 | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", pipeline], env=environment(TMPDIR=str(tmp_path)), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (141, "")
    assert done.stdout.startswith("http://127.0.0.1:")


def test_a_page_without_what_it_needs(tmp_path: Path) -> None:
    """In an environment that has not got the extra it says what to do."""
    (tmp_path / "starlette.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'starlette'\", name='starlette')\n"
    )
    done = run_cli("ui", variables={"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}, folder=tmp_path)
    assert done.returncode == 1
    assert "pip install 'otel-feedback[ui]'" in done.stderr
