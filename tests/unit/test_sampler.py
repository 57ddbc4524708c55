"""Which spans are recorded though a sampler drops them, and what `OTEL_TRACES_SAMPLER=otel_feedback` makes of its argument."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, ParentBasedTraceIdRatio, Sampler

import otel_feedback as feedback
from otel_feedback.sdk.sampling import OutcomeSampler, make_sampler, sampler_of_environment
from tests.support import run_python


@pytest.mark.parametrize(
    ("attributes", "decision"),
    [
        (None, Decision.RECORD_ONLY),
        ({}, Decision.RECORD_ONLY),
        ({"gen_ai.operation.name": "chat"}, Decision.RECORD_ONLY),
        ({"http.method": "GET", "gen_ai.operation.name": "chat"}, Decision.RECORD_ONLY),
        ({"http.method": "GET", "url.full": "x", "server.address": "y"}, Decision.DROP),
        ({"db.system": "postgresql"}, Decision.DROP),
        ({"rpc.system": "grpc"}, Decision.DROP),
        ({"messaging.system": "kafka"}, Decision.DROP),
        ({"http.request.method": "GET", "client.address": "x", "user_agent.original": "y"}, Decision.DROP),
        ({"db.system": "postgresql", "db.statement": "SELECT", "net.peer.name": "x"}, Decision.DROP),
        ({"http.method": "GET", "net.peer.ip": "x", "acme.kind": "llm"}, Decision.RECORD_ONLY),
    ],
)
def test_what_the_sampler_drops_is_recorded_unless_it_is_plainly_infrastructure(
    attributes: Mapping[str, str] | None, decision: Decision
) -> None:
    assert OutcomeSampler(ALWAYS_OFF).should_sample(None, 1, "span", attributes=attributes).decision is decision


def test_a_name_of_infrastructure_that_is_known_does_not_speak_for_others() -> None:
    sampler = OutcomeSampler(ALWAYS_OFF)

    def decision(**attributes: str) -> Decision:
        named = {name.replace("_", "."): value for name, value in attributes.items()}
        return sampler.should_sample(None, 1, "span", attributes=named).decision

    for _ in range(2):
        assert decision(http_method="GET") is Decision.DROP
        assert decision(http_method="GET", acme_kind="llm") is Decision.RECORD_ONLY
        assert decision(acme_kind="llm") is Decision.RECORD_ONLY
        assert decision(http_method="GET", http_route="/") is Decision.DROP


def test_names_beyond_those_that_are_remembered_are_of_infrastructure_too() -> None:
    sampler = OutcomeSampler(ALWAYS_OFF)
    for number in range(1_100):
        attributes = {f"http.request.header.x-{number}": "1"}
        assert sampler.should_sample(None, 1, "span", attributes=attributes).decision is Decision.DROP


def test_what_the_sampler_keeps_is_kept() -> None:
    result = OutcomeSampler(ALWAYS_ON).should_sample(None, 1, "span", attributes={"http.method": "GET"})
    assert result.decision is Decision.RECORD_AND_SAMPLE


@pytest.mark.parametrize("root", [ALWAYS_OFF, ParentBasedTraceIdRatio(0)], ids=lambda root: root.get_description()[:12])
def test_what_is_recorded_has_the_attributes_that_it_started_with(root: Sampler) -> None:
    """The SDK's samplers empty them for a span that they drop, and its AlwaysRecordSampler leaves it at that."""
    provider = TracerProvider(sampler=OutcomeSampler(root))
    pipeline = feedback.configure(tracer_provider=provider)
    with provider.get_tracer("other").start_as_current_span("call", attributes={"outcome.action_type": "tool"}):
        pass
    [event] = pipeline.get_recent_events()
    assert event.action_type == "tool"
    provider.shutdown()


@pytest.mark.parametrize(
    ("argument", "root"),
    [
        (None, "ParentBased{root:AlwaysOnSampler"),
        ("", "ParentBased{root:AlwaysOnSampler"),
        ("0.25", "ParentBased{root:TraceIdRatioBased{0.25}"),
        ("1", "ParentBased{root:TraceIdRatioBased{1.0}"),
        ("parentbased_traceidratio/0.1", "ParentBased{root:TraceIdRatioBased{0.1}"),
        (" traceidratio/0.5 ", "TraceIdRatioBased{0.5}"),
        ("always_off", "AlwaysOffSampler"),
        ("parentbased_always_off", "ParentBased{root:AlwaysOffSampler"),
    ],
)
def test_the_argument_names_the_sampler_that_decides_what_is_exported(argument: str | None, root: str) -> None:
    assert make_sampler(argument).get_description().startswith(f"OutcomeSampler{{{root}")


@pytest.mark.parametrize(
    "argument",
    ["sometimes", "2", "-0.1", "nan", "traceidratio", "traceidratio/", "traceidratio/2", "traceidratio/x", "otel_feedback/0.1", "/0.1"],
)  # fmt: skip
def test_an_argument_that_names_no_sampler_is_an_error_that_names_it(argument: str) -> None:
    with pytest.raises(feedback.ConfigError, match="OTEL_TRACES_SAMPLER_ARG") as caught:
        make_sampler(argument)
    assert caught.value.value == argument


def test_the_environment_counts_only_where_it_names_our_sampler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
    assert sampler_of_environment() is None
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    assert sampler_of_environment() is None
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "otel_feedback")
    sampler = sampler_of_environment()
    assert sampler is not None
    assert "0.5" in sampler.get_description()


def test_a_provider_that_configure_makes_knows_the_name_of_our_sampler() -> None:
    """The SDK knows names of others only where it configures itself, and complains."""
    done = run_python(
        """
        import otel_feedback as feedback
        from opentelemetry import trace

        feedback.configure()
        print(trace.get_tracer_provider().sampler.get_description()[:54])
        """,
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_TRACES_SAMPLER": "otel_feedback", "OTEL_TRACES_SAMPLER_ARG": "0.5"},
    )
    assert (done.stdout, done.stderr) == ("OutcomeSampler{ParentBased{root:TraceIdRatioBased{0.5}\n", "")
