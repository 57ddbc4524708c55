"""What every test gets: the real services, a process that is not configured yet, and the account's law checked."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_feedback as feedback
from otel_feedback.pipeline.pipeline import FeedbackPipeline

# the machine may be busy: how long an example takes says nothing
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

# a shell without job control lets what it starts in the background ignore Ctrl-C, and so would what the tests start
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.stack.fixtures", "tests.limits", "tests.plan"]

Configure = Callable[..., FeedbackPipeline]


@pytest.fixture(autouse=True, scope="session")
def clean_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No journal that somebody left on the machine may change what several tests share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """No setting of the machine that runs the tests may change what they see, but who sends, if that is asked for."""
    for variable in list(os.environ):
        if variable.startswith(("OTEL_", "KAFKA_", "ENABLE_", "SCHEMA_REGISTRY_")):
            monkeypatch.delenv(variable)
    if sender := os.environ.get("TESTS_KAFKA_SENDER"):
        monkeypatch.setenv("KAFKA_SENDER", sender)
    monkeypatch.setenv("OTEL_FEEDBACK_LOG_FILE", str(tmp_path / "outcomes.log"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))  # also of the processes that a test starts


@pytest.fixture(autouse=True)
def pipelines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FeedbackPipeline]]:
    """Every pipeline that the test made; afterwards each is shut down and its account must balance."""
    made: list[FeedbackPipeline] = []
    original = FeedbackPipeline.__init__

    def remember(self: FeedbackPipeline, **kwargs: Any) -> None:
        original(self, **kwargs)
        made.append(self)

    monkeypatch.setattr(FeedbackPipeline, "__init__", remember)
    yield made
    for pipeline in made:
        assert_balanced(pipeline)
        pipeline.shutdown(timeout_s=2)
        assert_balanced(pipeline)
        told = pipeline.metrics()
        for way in (told, told["feedback"]):
            for name, account in way.get("exporters", {}).items():
                is_kept = way["journal"]["kind"] == "disk" and Path(way["journal"]["path"]).is_dir()
                assert account["pending"] == 0 or is_kept, f"{name} has pending events after shutdown: {account}"


def assert_balanced(pipeline: FeedbackPipeline) -> None:
    """The law: appended = delivered + pending + sum(lost), for each exporter."""
    told = pipeline.metrics()
    for name, account in [*told["exporters"].items(), *told["feedback"].get("exporters", {}).items()]:
        right = account["delivered"] + account["pending"] + sum(account["lost"].values())
        assert account["appended"] == right, f"the account of {name} does not balance: {account}"
        assert account["pending"] >= 0, account


@pytest.fixture
def spans() -> InMemorySpanExporter:
    """The finished spans of `provider`."""
    return InMemorySpanExporter()


@pytest.fixture
def provider(spans: InMemorySpanExporter) -> Iterator[TracerProvider]:
    """A TracerProvider that somebody else made."""
    made = TracerProvider(shutdown_on_exit=False)
    made.add_span_processor(SimpleSpanProcessor(spans))
    yield made
    made.shutdown()


@pytest.fixture
def pipeline(provider: TracerProvider) -> FeedbackPipeline:
    """A configured process whose events go to the log tier only."""
    return feedback.configure(tracer_provider=provider, service_name="test-service")
