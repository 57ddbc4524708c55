"""What is wrong in a call is said at once, by the checker or by the first line that runs, with what would be right."""

from __future__ import annotations

import asyncio
import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_feedback as feedback
from otel_feedback.errors import ConfigError
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.settings.options import SettingsOptions
from otel_feedback.settings.table import SETTINGS
from otel_feedback.testing import captured_events
from tests.support import run_python

any_configure: Any = feedback.configure  # for arguments that no type checker would let pass


async def async_redact(event: feedback.OutcomeEvent) -> feedback.OutcomeEvent:
    return event


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("kafka", "host:9092", "a KafkaConfig; brokers alone are kafka_bootstrap_servers='host:9092'"),
        ("kafka", ["host:9092"], "a KafkaConfig"),
        ("settings", {"service_name": "x"}, r"what get_settings\(\) returns"),
        ("redact", 5, "a function that is given an event and returns one"),
        ("redact", async_redact, "not an async one"),
        ("filter", "no", "a function that is given an event and returns whether to record it"),
        ("conventions", 5, "a list of conventions"),
        ("conventions", [5], "an object with name, markers"),
        ("tracer_provider", "x", "a TracerProvider"),
        ("prices", 5, "the path of a JSON file"),
        ("servce_name", "x", "did you mean service_name"),
    ],
)
def test_configure_names_what_cannot_be_used_and_what_would_be_right(name: str, value: object, right: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name}.*: expected .*{right}"):
        any_configure(**{name: value})


@pytest.mark.parametrize("status", ["failur", "FAILURE", 5, ""])
def test_a_status_that_no_event_has_is_no_empty_list(pipeline: FeedbackPipeline, status: Any) -> None:
    right = "expected one of success, failure, partial, timeout, cancelled, pending$"
    with pytest.raises(ConfigError, match=f"^status={status!r}: {right}"):
        pipeline.get_recent_events(status=status)
    with captured_events() as events, pytest.raises(ConfigError, match=right):
        events.of(status=status)
    assert pipeline.get_recent_events(status="failure") == []


def test_a_count_that_is_none_is_named(pipeline: FeedbackPipeline) -> None:
    wrong: Any = "10"
    with pytest.raises(ConfigError, match=r"^count='10': expected a whole number"):
        pipeline.get_recent_events(wrong)


def test_the_typed_settings_are_the_table() -> None:
    assert sorted(get_type_hints(SettingsOptions)) == sorted(setting.name for setting in SETTINGS)


# each line below is an error of the checker where `# wrong` stands, and none elsewhere
PROGRAM = """
import otel_feedback as feedback

feedback.configure(servce_name="x")  # wrong
feedback.configure(ring_size="many")  # wrong
feedback.configure(kafka="host:9092")  # wrong
feedback.configure(redact=5)  # wrong
feedback.get_settings(durabilty="fsync")  # wrong
feedback.get_settings(durability="sometimes")  # wrong
feedback.create_dispatcher(retry=1)  # wrong
feedback.create_dispatcher("k:9092", retries=1, service_name="x", filter=lambda event: True, max_concurrency=None)
feedback.action("plan", agnt="planner")  # wrong
pipeline = feedback.configure(service_name="x", durability="fsync", kafka_bootstrap_servers=["a:1"], log_file=None)


@feedback.action("plan", agent="planner", tool_name="search")
def plan(task: str) -> int:
    return len(task)


@feedback.action
def bare(task: str) -> int:
    return len(task)


plan(5)  # wrong
bare(5)  # wrong
plan("a") + bare("b")
with feedback.action("plan") as act:
    act.score(quality=0.5)
    act.scores(quality=0.5)  # wrong
"""


def test_a_type_checker_sees_what_is_misspelt(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, "utf-8")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    found = json.loads(done.stdout)["generalDiagnostics"]
    wrong = [number for number, line in enumerate(PROGRAM.splitlines()) if line.endswith("# wrong")]
    assert [one["range"]["start"]["line"] for one in found if one["severity"] == "error"] == wrong, done.stdout


# -- a decorator without parentheses ------------------------------------------------------------------------


def test_action_without_parentheses_takes_the_functions_name(pipeline: FeedbackPipeline) -> None:
    @feedback.action
    def plain(task: str) -> str:
        return task

    @feedback.action
    async def waits(task: str) -> str:
        return task

    @feedback.action
    def gives() -> Any:
        yield 1

    class Agent:
        @feedback.action
        def method(self) -> Agent:
            return self

        @feedback.action
        @classmethod
        def of_class(cls) -> type[Agent]:
            return cls

        @staticmethod
        @feedback.action
        def static() -> str:
            return "static"

        @feedback.action
        def __call__(self) -> int:
            return 1

    agent = Agent()
    assert (plain("a"), asyncio.run(waits("b")), [*gives()]) == ("a", "b", [1])
    assert (agent.method(), agent.of_class(), agent.static(), agent()) == (agent, Agent, "static", 1)
    assert feedback.action(functools.partial(plain, "c"))() == "c"
    assert plain.__name__ == "plain"
    assert [event.action_type for event in pipeline.get_recent_events(20)] == [
        "plain", "waits", "gives", "method", "of_class", "static", "__call__", "plain", "partial",
    ]  # fmt: skip


def test_the_tool_of_an_action(pipeline: FeedbackPipeline, spans: InMemorySpanExporter) -> None:
    wrong: Any = 5
    for name in ("web_search", "Bearer abcdefghijklmnopqrstuvwxyz012345", wrong, "x" * 300):
        with feedback.action("tool", agent="researcher", tool_name=name):
            pass
    told = [event.tool_name for event in pipeline.get_recent_events()]
    assert told[0] == "web_search"
    assert "abcdefghijklm" not in str(told[1])
    assert (told[2], len(told[3] or "")) == ("5", 256)
    assert [(span.attributes or {})["gen_ai.tool.name"] for span in spans.get_finished_spans()] == told


def test_the_tool_of_a_function_that_was_decorated_before_configure() -> None:
    program = """
        import otel_feedback as feedback
        @feedback.action("tool", tool_name="web_search")
        def search(): pass
        pipeline = feedback.configure(metadata_deny="x")
        search()
        print(pipeline.get_recent_events()[0].tool_name)
    """
    done = run_python(program, {"OTEL_TRACES_EXPORTER": "none", "ENABLE_OUTCOME_LOGGING": "false"})
    assert (done.stdout, done.stderr) == ("web_search\n", "")
