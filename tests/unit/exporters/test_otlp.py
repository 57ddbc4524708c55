"""OTLP against a real server that misbehaves as told: what is delivered, lost, or sent again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

import otel_feedback as feedback
from otel_feedback.exporters.otlp.transport import OtlpEndpoint
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.journals.command import dead
from tests.stack.otlp_sink import OtlpSink
from tests.stack.processes import free_port
from tests.stack.waiting import wait_for


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink.launch() as running:
        yield running


@pytest.fixture(params=["http/protobuf", "grpc"])
def to_sink(request: pytest.FixtureRequest, sink: OtlpSink, monkeypatch: pytest.MonkeyPatch) -> FeedbackPipeline:
    """A pipeline that sends to the sink, by either protocol."""
    endpoint = sink.grpc_endpoint if request.param == "grpc" else sink.http_endpoint
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", request.param)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a%20b")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    return _configured()


def _configured() -> FeedbackPipeline:
    from opentelemetry.sdk.trace import TracerProvider

    return feedback.configure(
        tracer_provider=TracerProvider(shutdown_on_exit=False), service_name="svc", enable_outcome_logging=False
    )


def act(count: int) -> None:
    for i in range(count):
        with feedback.action("work", agent=f"a{i}", tags=["t"], metadata={"k": i}):
            pass


def otlp(pipeline: FeedbackPipeline) -> dict[str, object]:
    account = pipeline.metrics()["exporters"]["otlp"]
    return {key: account[key] for key in ("appended", "delivered", "pending", "lost")}


def test_events_arrive_as_log_records(to_sink: FeedbackPipeline, sink: OtlpSink) -> None:
    with (
        pytest.raises(ValueError, match="no"),
        feedback.action("work", agent="a", tags=["t"], metadata={"k": [1, 2]}) as act_,
    ):
        act_.add_usage(model="m", input_tokens=3, cost=0.5)
        raise ValueError("no")
    assert to_sink.force_flush(10) is True
    [record] = sink.log_records()
    event = act_.event
    assert event is not None
    assert record.event_name == "agent.outcome"
    assert (record.trace_id.hex(), record.span_id.hex(), record.flags) == (event.trace_id, event.span_id, 1)
    assert (record.severity_number, record.severity_text) == (17, "ERROR")
    assert (
        datetime.fromtimestamp(0, timezone.utc) + timedelta(microseconds=record.time_unix_nano / 1000)
        == event.timestamp
    )
    attributes = {pair.key: pair.value for pair in record.attributes}
    assert attributes["outcome.status"].string_value == "failure"
    assert attributes["gen_ai.agent.name"].string_value == "a"
    assert attributes["error.type"].string_value == "ValueError"
    assert attributes["exception.message"].string_value == "no"
    assert attributes["gen_ai.usage.input_tokens"].int_value == 3
    assert attributes["outcome.cost_estimate"].double_value == 0.5
    assert [v.int_value for v in attributes["outcome.metadata.k"].array_value.values] == [1, 2]
    assert [v.string_value for v in attributes["outcome.tags"].array_value.values] == ["t"]
    assert attributes["outcome.event_id"].string_value == event.event_id
    [resource] = sink.resource_logs()
    assert {p.key: p.value.string_value for p in resource.resource.attributes} == {"service.name": "svc"}
    assert sink.requests()[0].headers["x-tenant"] == "a b"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_retryable_answers_are_tried_again(status: int, to_sink: FeedbackPipeline, sink: OtlpSink) -> None:
    # gRPC says "try again" of an exhausted resource only by naming a time
    sink.respond_with(status, retry_after=0 if status == 429 else None, times=2)
    act(3)
    assert to_sink.force_flush(15) is True
    assert otlp(to_sink) == {"appended": 3, "delivered": 3, "pending": 0, "lost": {}}
    assert len(sink.log_records()) == 3
    assert to_sink.metrics()["exporters"]["otlp"]["retries"] == 2


def says(*values: str, key: str = "gen_ai.agent.name") -> Callable[[ExportLogsServiceRequest], bool]:
    """Tell whether a request has an event of one of these agents, or with another attribute like that."""

    def is_said(message: ExportLogsServiceRequest) -> bool:
        return any(
            pair.key == key and pair.value.string_value in values
            for resource in message.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
            for pair in record.attributes
        )

    return is_said


@pytest.mark.parametrize("status", [400, 403, 500])
def test_what_is_refused_for_good_is_counted_and_the_others_go_on(
    status: int, to_sink: FeedbackPipeline, sink: OtlpSink, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the server answers: it takes the others, so this is about the record, as where a firewall reads it."""
    sink.refuse_where(says("a3", "a7"), status)
    act(10)
    to_sink.force_flush(30)
    wait_for(lambda: otlp(to_sink)["pending"] == 0 or None, timeout_s=60, what="the others to be taken")
    assert otlp(to_sink) == {"appended": 10, "delivered": 8, "pending": 0, "lost": {"rejected": 2}}
    assert "otlp refused event" in caplog.text
    assert len(sink.log_records()) == 8
    assert len(sink.requests()) < 40, "bounded"
    act(2)
    assert to_sink.force_flush(10) is True
    assert to_sink.metrics()["exporters"]["otlp"]["healthy"] is True


def test_a_refusal_of_one_request_loses_nothing(to_sink: FeedbackPipeline, sink: OtlpSink) -> None:
    """A request can be too large, and no record in it be."""
    sink.refuse_where(lambda message: len(message.SerializeToString()) > 4_000, 413)
    act(30)
    assert to_sink.force_flush(30) is True
    assert otlp(to_sink) == {"appended": 30, "delivered": 30, "pending": 0, "lost": {}}


@pytest.mark.parametrize("count", [2, 3, 5])
def test_what_is_not_refused_again_is_not_lost(count: int, to_sink: FeedbackPipeline, sink: OtlpSink) -> None:
    sink.respond_with(400, times=1)
    act(count)
    assert to_sink.force_flush(30) is True
    assert otlp(to_sink) == {"appended": count, "delivered": count, "pending": 0, "lost": {}}
    assert len(sink.log_records()) == count, "each once"


def test_a_record_that_is_refused_alone(to_sink: FeedbackPipeline, sink: OtlpSink) -> None:
    sink.refuse_where(says("a0"))
    act(1)
    assert to_sink.force_flush(10) is False
    assert otlp(to_sink) == {"appended": 1, "delivered": 0, "pending": 0, "lost": {"rejected": 1}}
    told = to_sink.metrics()["exporters"]["otlp"]
    assert (told["healthy"], told["last_error"][:9]) == (False, "rejected:"), "nothing of it was taken"


def test_a_record_that_never_has_company(sink: OtlpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a dead process left is leased by itself; that others are taken in between tells that it is the record."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.http_endpoint)
    directory = feedback.get_settings(service_name="svc").journal_dir
    left = dead(directory, ("otlp", f"{sink.http_endpoint}/v1/logs"), events=1)
    sink.refuse_where(says("e0", key="outcome.event_id"), 403)
    pipeline = _configured()

    def act_until_it_is_over() -> bool | None:
        act(1)
        pipeline.force_flush(5)
        return True if not left.folder.exists() else None

    wait_for(act_until_it_is_over, timeout_s=100, what="the journal of the dead process to be through")
    (adopted,) = pipeline.metrics()["adopted"].values()
    assert adopted["exporters"]["otlp"]["lost"] == {"rejected": 1}
    assert otlp(pipeline)["lost"] == {}


@pytest.mark.parametrize(
    ("status", "todo"),
    [
        (401, "OTEL_EXPORTER_OTLP_HEADERS"),
        (403, "OTEL_EXPORTER_OTLP_HEADERS"),
        (404, "address"),
        (400, "log"),
        (500, "log"),
    ],
)
@pytest.mark.parametrize("count", [1, 5])
def test_a_wrong_key_or_address_loses_nothing(
    status: int, todo: str, count: int, to_sink: FeedbackPipeline, sink: OtlpSink, caplog: pytest.LogCaptureFixture
) -> None:
    """Where nothing is taken, it is not about the records: they wait, and one line says what to do."""
    sink.respond_with(status)
    act(count)
    wait_for(lambda: to_sink.metrics()["exporters"]["otlp"]["retries"] >= 2 or None, timeout_s=30, what="a second try")
    told = to_sink.metrics()["exporters"]["otlp"]
    assert (told["healthy"], told["pending"], told["lost"]) == (False, count, {})
    assert todo in told["last_error"]
    said = [line for line in caplog.messages if "otlp did not take events" in line]
    assert len(said) == 1, "a minute has not passed"
    assert todo in said[0]
    assert len(sink.requests()) <= 3 * (told["retries"] + 1), "bounded, however many wait"
    sink.respond_ok()
    assert to_sink.force_flush(60) is True
    assert otlp(to_sink) == {"appended": count, "delivered": count, "pending": 0, "lost": {}}
    assert to_sink.metrics()["exporters"]["otlp"]["healthy"] is True


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("CERTIFICATE", "/nowhere/ca.pem", "ca.pem"),
        ("HEADERS", "authorization=Bearer%20s3cr%C3%A9t%0A", "OTEL_EXPORTER_OTLP_"),
    ],
)
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_settings_that_cannot_be_used_lose_nothing(
    name: str, value: str, shown: str, protocol: str, sink: OtlpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = sink.grpc_endpoint if protocol == "grpc" else sink.http_endpoint
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.replace("http:", "https:"))
    monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    if name == "HEADERS":
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    pipeline = _configured()
    act(3)
    wait_for(lambda: pipeline.metrics()["exporters"]["otlp"]["retries"] >= 4 or None, timeout_s=30, what="four tries")
    told = pipeline.metrics()["exporters"]["otlp"]
    assert (told["healthy"], told["pending"], told["lost"]) == (False, 3, {})
    assert shown in told["last_error"]
    assert "s3cr" not in told["last_error"]
    pipeline.shutdown(0)


def test_partial_success_is_accounted_for(to_sink: FeedbackPipeline, sink: OtlpSink) -> None:
    sink.respond_partial(2, "too old", times=1)
    act(5)
    assert to_sink.force_flush(10) is False
    assert otlp(to_sink) == {"appended": 5, "delivered": 3, "pending": 0, "lost": {"partially_rejected": 2}}


def test_a_warning_in_a_success_loses_nothing(to_sink: FeedbackPipeline, sink: OtlpSink) -> None:
    sink.respond_partial(0, "deprecated field", times=1)
    act(2)
    assert to_sink.force_flush(10) is True


def test_a_server_that_hangs_and_comes_back(to_sink: FeedbackPipeline, sink: OtlpSink) -> None:
    sink.hang()
    act(2)
    wait_for(lambda: to_sink.metrics()["exporters"]["otlp"]["retries"] or None, timeout_s=10, what="a first failure")
    assert otlp(to_sink)["pending"] == 2
    sink.respond_ok()
    assert to_sink.force_flush(15) is True


def test_a_server_that_is_away_and_comes_back(to_sink: FeedbackPipeline, sink: OtlpSink) -> None:
    sink.stop()
    act(2)
    wait_for(lambda: to_sink.metrics()["exporters"]["otlp"]["retries"] or None, timeout_s=10, what="a first failure")
    account = to_sink.metrics()["exporters"]["otlp"]
    assert (account["healthy"], account["pending"]) == (False, 2)
    sink.start()
    assert to_sink.force_flush(30) is True


def test_a_password_in_the_address_is_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://user:s3cret@127.0.0.1:{free_port()}")
    pipeline = _configured()
    act(1)
    assert pipeline.force_flush(1) is False
    assert pipeline.shutdown(0) is False
    assert "s3cret" not in caplog.text + str(pipeline.metrics())
    assert "127.0.0.1" in pipeline.metrics()["exporters"]["otlp"]["destination"]


def test_gzip(sink: OtlpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sink.http_endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    pipeline = _configured()
    act(2)
    assert pipeline.force_flush(10) is True
    assert sink.requests()[0].headers["content-encoding"] == "gzip"
    assert len(sink.log_records()) == 2


@pytest.mark.parametrize(
    ("environ", "url", "protocol"),
    [
        ({}, "http://localhost:4318/v1/logs", "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http://localhost:4317", "grpc"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:1/"}, "http://c:1/v1/logs", "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://c:1/x"}, "http://c:1/x", "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "c:1", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc"}, "https://c:1", "grpc"),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "c:1",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_INSECURE": "true",
            },
            "http://c:1",
            "grpc",
        ),
    ],
)
def test_the_standard_variables_are_obeyed(environ: dict[str, str], url: str, protocol: str) -> None:
    endpoint = OtlpEndpoint.from_environment(environ)
    assert (endpoint.url, endpoint.protocol) == (url, protocol)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "udp"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://x"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"),  # events would arrive, and the SDK's spans would not
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://host:abc"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "brotli"),
    ],
)
def test_bad_standard_variables_are_named(variable: str, value: str) -> None:
    with pytest.raises(feedback.ConfigError, match=variable):
        OtlpEndpoint.from_environment({variable: value})


def test_a_password_in_an_address_without_a_scheme_is_not_shown_either() -> None:
    with pytest.raises(feedback.ConfigError) as raised:
        OtlpEndpoint.from_environment({"OTEL_EXPORTER_OTLP_ENDPOINT": "user:s3cret@host:4318"})
    assert "host:4318" in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_feedback_is_an_evaluation_of_its_events_span(to_sink: FeedbackPipeline, sink: OtlpSink) -> None:
    with feedback.action("work") as act_:
        pass
    assert feedback.give(act_, score=0, label="bad", source="rule")
    assert feedback.give("run-1", score=0.5)
    assert to_sink.force_flush(10) is True
    records = {record.event_name: record for record in sink.log_records() if record.trace_id}
    record = records["gen_ai.evaluation.result"]
    assert f"{record.trace_id.hex()}-{record.span_id.hex()}" == act_.event_id
    assert (record.severity_text, record.flags) == ("INFO", 1)
    said = {pair.key: pair.value for pair in record.attributes}
    assert said["gen_ai.evaluation.score.value"].WhichOneof("value") == "double_value"
    assert (said["gen_ai.evaluation.score.label"].string_value, said["outcome.feedback.source"].string_value) == (
        "bad", "rule"
    )  # fmt: skip
    (of_run,) = [record for record in sink.log_records() if not record.trace_id]
    assert {pair.key: pair.value.string_value for pair in of_run.attributes}["outcome.run_id"] == "run-1"


def test_what_came_as_a_log_record_is_not_sent_as_one_again(to_sink: FeedbackPipeline, sink: OtlpSink) -> None:
    from otel_feedback.events.feedback import Echo

    told = feedback.give("run-1", score=0.5)
    assert told is not None
    fields: dict[str, Any] = {name: getattr(told, name) for name in feedback.Feedback.__struct_fields__}
    assert to_sink.feedback.accept(Echo(**fields), "run-1")
    assert to_sink.force_flush(10) is True
    account = to_sink.metrics()["feedback"]["exporters"]["otlp"]
    assert (account["appended"], account["delivered"], account["lost"]) == (2, 2, {})
    assert [record.event_name for record in sink.log_records()] == ["gen_ai.evaluation.result"]
