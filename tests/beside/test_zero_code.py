"""`opentelemetry-instrument python agent.py`, with variables only: what a program gets that says nothing of us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.beside.running import run, surroundings
from tests.logs import lines_in, newest
from tests.stack.processes import free_port
from tests.stack.waiting import wait_until

HERE = Path(sys.executable).parent
ON = {"OTEL_FEEDBACK_ENABLED": "true"}

# what an instrumentation of an agent's library does, without the library
AGENT = """
import sys
from opentelemetry import trace

tracer = trace.get_tracer("some.instrumentation")
with tracer.start_as_current_span("call", attributes={"outcome.action_type": "tool"}) as span:
    pass
print(span.get_span_context().trace_flags.sampled, any(name.startswith("otel_feedback.b") for name in sys.modules))
"""


@pytest.fixture
def agent(tmp_path: Path) -> str:
    (tmp_path / "agent.py").write_text(AGENT, "utf-8")
    return "agent.py"


@pytest.mark.brief
def test_spans_of_others_become_events_with_nothing_but_variables(log: Path, agent: str) -> None:
    ran = run(HERE, [agent], log, hook=True, **ON, OTEL_SERVICE_NAME="agents")
    assert (ran.code, ran.out, ran.err) == (0, "True True\n", "")
    assert [(event["action_type"], event["status"], event["service_name"]) for event in ran.events] == [
        ("tool", "success", "agents")
    ]


@pytest.mark.parametrize(
    "variables", [{}, {"OTEL_FEEDBACK_ENABLED": "false"}, {**ON, "OTEL_FEEDBACK_DISABLED": "true"}]
)
def test_nothing_is_recorded_unless_it_is_asked_for(log: Path, agent: str, variables: dict[str, str]) -> None:
    ran = run(HERE, [agent], log, hook=True, **variables)
    assert (ran.code, ran.err, ran.events) == (0, "", [])


def test_without_the_variable_the_program_is_not_even_slowed_by_an_import(log: Path, agent: str) -> None:
    assert run(HERE, [agent], log, hook=True).out == "True False\n"


def test_the_switch_of_the_sdk_turns_it_off_too(log: Path, agent: str) -> None:
    ran = run(HERE, [agent], log, hook=True, **ON, OTEL_SDK_DISABLED="true")
    assert (ran.code, ran.err, ran.events) == (0, "", [])


def test_a_setting_that_cannot_be_used_is_one_line_and_the_program_runs(log: Path, agent: str) -> None:
    ran = run(HERE, [agent], log, hook=True, **ON, KAFKA_BATCH_SIZE="many")
    assert (ran.code, ran.events) == (0, [])
    assert ran.err == "no outcomes are recorded: KAFKA_BATCH_SIZE='many': expected a whole number from 1 to 10000\n"


@pytest.mark.parametrize("argument", ["0", "always_off", "parentbased_traceidratio/0"])
def test_with_our_sampler_there_are_events_of_spans_that_are_not_exported(log: Path, agent: str, argument: str) -> None:
    ran = run(
        HERE, [agent], log, hook=True, **ON, OTEL_TRACES_SAMPLER="otel_feedback", OTEL_TRACES_SAMPLER_ARG=argument
    )
    assert (ran.out, ran.err) == ("False True\n", "")
    assert len(ran.of_type("tool")) == 1


def test_a_wrong_argument_of_our_sampler_is_named_and_the_sdk_takes_its_default(log: Path, agent: str) -> None:
    ran = run(
        HERE, [agent], log, hook=True, **ON, OTEL_TRACES_SAMPLER="otel_feedback", OTEL_TRACES_SAMPLER_ARG="sometimes"
    )
    assert "OTEL_TRACES_SAMPLER_ARG='sometimes': expected a ratio" in ran.err
    assert len(ran.of_type("tool")) == 1


def test_without_a_configurator_the_provider_is_ours(log: Path, agent: str) -> None:
    """As where opentelemetry-instrumentation is installed and opentelemetry-distro is not."""
    ran = run(HERE, [agent], log, hook=True, **ON, OTEL_PYTHON_CONFIGURATOR="none", OTEL_TRACES_SAMPLER="always_off")
    assert ran.out == "False True\n"
    assert len(ran.of_type("tool")) == 1


def test_a_span_that_began_before_the_hook_ran_breaks_nothing(log: Path, tmp_path: Path) -> None:
    """An instrumentation may make spans as soon as it is loaded."""
    (tmp_path / "early.py").write_text(
        "from opentelemetry import trace\n"
        "from otel_feedback.sdk.autoload import configure_if_enabled\n"
        "tracer = trace.get_tracer('early')\n"
        "early = tracer.start_span('early', attributes={'outcome.action_type': 'agent'})\n"
        "import os; os.environ['OTEL_FEEDBACK_ENABLED'] = 'true'; configure_if_enabled()\n"
        "with trace.use_span(early), tracer.start_as_current_span('in', attributes={'outcome.action_type': 'tool'}):\n"
        "    pass\n"
        "early.end()\n"
    )
    ran = run(HERE, ["early.py"], log, hook=True)
    assert (ran.code, ran.err) == (0, "")
    assert sorted(event["action_type"] for event in ran.events) == ["agent", "tool"]


def test_every_python_process_below_has_its_own(log: Path, agent: str, tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(f"import subprocess, sys\nsubprocess.run([sys.executable, {agent!r}])\n{AGENT}")
    ran = run(HERE, ["parent.py"], log, hook=True, **ON)
    assert (ran.code, ran.err) == (0, "")
    assert len(ran.of_type("tool")) == 2


def test_configure_in_the_program_changes_nothing_and_says_so(log: Path, tmp_path: Path, agent: str) -> None:
    (tmp_path / "own.py").write_text(f"import otel_feedback as feedback\nfeedback.configure(service_name='x')\n{AGENT}")
    ran = run(HERE, ["own.py"], log, hook=True, **ON)
    assert ran.err.startswith("configure() was called again and changes nothing")
    assert len(ran.of_type("tool")) == 1


def test_ctrl_c_ends_the_program_and_loses_nothing(log: Path, tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text(f"{AGENT}\nimport time\ntime.sleep(60)\n")
    command = [str(HERE / "opentelemetry-instrument"), sys.executable, "-u", "waits.py"]
    variables = {**ON, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "OTEL_FEEDBACK_SHUTDOWN_TIMEOUT": "0.5"}
    with subprocess.Popen(
        command,
        env=surroundings(log, **variables),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True True\n"
        # at its end it gives up on Kafka quickly, and the log may need longer than that on a busy machine
        wait_until(lambda: log.exists() and log.read_text("utf-8").endswith("\n"), timeout_s=30, what="the event")
        process.send_signal(signal.SIGINT)
        # CPython forgets that it was an interrupt if a library that is imported at the end runs exec() on a text
        assert process.wait() in (-signal.SIGINT, 1)
    assert len(newest(lines_in(log))) == 1


@pytest.mark.brief
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_gunicorn_with_a_preloaded_application(log: Path, tmp_path: Path) -> None:
    """The hook runs in the master; its workers are forks."""
    (tmp_path / "application.py").write_text(
        "import os\nfrom opentelemetry import trace\n"
        "def application(environ, start_response):\n"
        "    with trace.get_tracer('x').start_as_current_span('r', attributes={'outcome.action_type': 'request'}):\n"
        "        start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [str(os.getpid()).encode()]\n"
    )
    address = f"127.0.0.1:{free_port()}"
    command = [
        str(HERE / "opentelemetry-instrument"), sys.executable, "-W", "ignore", "-m", "gunicorn", "--preload", "--workers",
        "2", "--bind", address, "application:application",
    ]  # fmt: skip

    def ask() -> bool:
        try:
            with urllib.request.urlopen(
                f"http://{address}/"
            ) as answer:  # one that is given up is recorded all the same
                return bool(answer.read())
        except OSError:
            return False

    with subprocess.Popen(command, env=surroundings(log, **ON), cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(ask, timeout_s=30, what="gunicorn to answer")
            asked = 1 + sum(ask() for _ in range(9))
        finally:
            process.terminate()
            process.wait()
    assert len([event for event in newest(lines_in(log)) if event["action_type"] == "request"]) == asked
