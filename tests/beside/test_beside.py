"""Beside the real SDKs: their spans are our events, and they go on exporting. Nothing leaves this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.beside.running import PROGRAMS, Ran, run
from tests.model.answers import INPUT_TOKENS, OUTPUT_TOKENS
from tests.model.server import ModelServer
from tests.support import ROOT

VENDORS = {
    "logfire": "/v1/traces",
    "traceloop": "/v1/traces",
    "phoenix": "/v1/traces",
    "langfuse": "/api/public/otel/v1/traces",
    "mlflow": "/v1/traces",
}
"""Where each one sends its spans."""

SHARED = {"MLFLOW_USE_DEFAULT_TRACER_PROVIDER": "false"}
ORDERS = ("vendor first", "vendor last", "hook")


def assert_calls(ran: Ran, *, answers: int = 2) -> None:
    """Calls that were answered, and one that was not, each an event with its numbers."""
    assert ran.code == 0, ran.err
    assert "Traceback" not in ran.err
    calls = ran.of_type("llm")
    answered = [call for call in calls if call.get("input_tokens")]
    assert [numbers(call) for call in answered] == [("success", "gpt-4o", INPUT_TOKENS, OUTPUT_TOKENS)] * answers
    [failed] = [call for call in calls if call["status"] == "failure"]
    assert failed["error_type"] == "NotFoundError"


def numbers(call: dict[str, Any]) -> tuple[Any, ...]:
    return call["status"], call["model"], call["input_tokens"], call["output_tokens"]


@pytest.mark.brief
def test_an_agent_that_knows_nothing_of_telemetry(genai: Path, server: ModelServer, log: Path) -> None:
    """opentelemetry-instrument, OpenTelemetry's instrumentation of openai, and variables."""
    ran = run(
        genai, [str(PROGRAMS / "agent.py")], log, hook=True, OTEL_FEEDBACK_ENABLED="true", MODEL_SERVER=server.url
    )
    assert_calls(ran, answers=3)
    [embedding] = ran.of_type("embedding")
    assert (embedding["model"], embedding["input_tokens"]) == ("text-embedding-3-small", INPUT_TOKENS)
    assert len(ran.events) == 5


def test_an_agent_whose_traces_are_sampled_away(genai: Path, server: ModelServer, log: Path) -> None:
    ran = run(
        genai, [str(PROGRAMS / "agent.py")], log, hook=True, OTEL_FEEDBACK_ENABLED="true", MODEL_SERVER=server.url,
        OTEL_TRACES_SAMPLER="otel_feedback", OTEL_TRACES_SAMPLER_ARG="0",
    )  # fmt: skip
    assert_calls(ran, answers=3)


def run_beside(vendors: Path, vendor: str, order: str, server: ModelServer, log: Path, **more: str) -> Ran:
    variables = {"MODEL_SERVER": server.url, "ORDER": order, **more}
    if order == "hook":
        # three instrumentations of openai are installed here; each program turns its own on
        variables |= {"OTEL_FEEDBACK_ENABLED": "true", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*"}
    if vendor == "mlflow":
        variables |= {
            "MLFLOW_TRACKING_URI": server.url,
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{server.url}/v1/traces",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        }
    ran = run(vendors, [str(PROGRAMS / f"with_{vendor}.py")], log, hook=order == "hook", **variables)
    assert_calls(ran)
    assert VENDORS[vendor] in server.vendor_paths, "the vendor has its spans no more"
    return ran


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("vendor", "more"),
    [
        pytest.param("logfire", {}, id="logfire"),
        pytest.param("traceloop", {}, id="traceloop"),
        pytest.param("phoenix", {}, id="phoenix"),
        pytest.param("langfuse", {}, id="langfuse"),
        pytest.param("mlflow", SHARED, id="mlflow-shared"),
    ],
)
def test_beside_a_vendor(
    vendors: Path, vendor: str, order: str, more: dict[str, str], server: ModelServer, log: Path
) -> None:
    ran = run_beside(vendors, vendor, order, server, log, **more)
    [answer] = ran.of_type("answer")
    assert {call["trace_id"] for call in ran.of_type("llm")} == {answer["trace_id"]}


@pytest.mark.brief
@pytest.mark.parametrize("order", ORDERS)
def test_beside_mlflow_with_a_provider_of_its_own(vendors: Path, order: str, server: ModelServer, log: Path) -> None:
    """MLflow's default. Its spans are in traces of their own."""
    run_beside(vendors, "mlflow", order, server, log)


def test_the_lines_that_the_page_shows_are_in_the_programs() -> None:
    page = (ROOT / "docs" / "zero-code.md").read_text("utf-8")
    [table] = re.findall(r"^\| Beside \|.*?(?=^$)", page, re.MULTILINE | re.DOTALL)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert {row[0].split()[-1].lower() for row in rows} == set(VENDORS)
    for vendor, in_code, with_hook, _ in rows:
        program = (PROGRAMS / f"with_{vendor.split()[-1].lower()}.py").read_text("utf-8")
        shown = re.findall(r"`([^`]+)`", f"{in_code} {with_hook}")
        words = [word for line in shown for word in re.findall(r"[\w.=]+", line)]
        assert [word for word in words if word not in program] == [], vendor
