"""The same run in another process: over HTTP, over Kafka, and what does not travel."""

from __future__ import annotations

import contextlib
import contextvars
import http.client
import json
import subprocess
import sys
from collections.abc import Generator
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as context_api
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from otel_feedback.capture.propagation import IDENTITY_FIELDS
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.agents import Doing, run
from tests.support import environment

ALL = tuple(IDENTITY_FIELDS)
IDENTITY: dict[str, Any] = {
    "workflow_id": "wf 1", "run_id": "run/1;a=b,c", "correlation_id": "c-1", "session_id": "s-1", "user_id": "Zoë",
    "tenant_id": "acme",
}  # fmt: skip

SERVICE = """
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
import otel_feedback as feedback

feedback.configure(service_name="second", enable_outcome_logging=False)

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = self.headers
        if self.path == "/kafka":  # as a consumer gives them
            headers = [(name, None if value is None else bytes.fromhex(value)) for name, value in json.loads(body)]
        with feedback.extract(headers):
            with feedback.action("serve", agent="second") as act:
                with feedback.action("inner") as inner:
                    onward = [(name, value.decode()) for name, value in feedback.inject_kafka()]
        answer = json.dumps([act.event.to_dict(), inner.event.to_dict(), onward]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass

server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@contextlib.contextmanager
def second_process(fields: str) -> Generator[http.client.HTTPConnection]:
    variables = {"OTEL_TRACES_EXPORTER": "none", "OTEL_FEEDBACK_BAGGAGE_FIELDS": fields}
    with subprocess.Popen(
        [sys.executable, "-c", SERVICE], env=environment(**variables), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            connection = http.client.HTTPConnection("127.0.0.1", int(process.stdout.readline()), timeout=30)
            yield connection
            connection.close()
        finally:
            process.kill()


def call_by_http(connection: http.client.HTTPConnection) -> list[Any]:
    connection.request("POST", "/http", "", dict(feedback.inject({"X-Other": "kept"})))
    return json.loads(connection.getresponse().read())


def call_by_kafka(connection: http.client.HTTPConnection) -> list[Any]:
    headers = feedback.inject_kafka([("other", b"\xff\x00"), ("empty", None)])
    body = [(name, None if value is None else value.hex()) for name, value in headers]
    connection.request("POST", "/kafka", json.dumps(body))
    return json.loads(connection.getresponse().read())


@pytest.fixture
def configured(provider: TracerProvider) -> FeedbackPipeline:
    """All identifiers may travel."""
    return feedback.configure(tracer_provider=provider, service_name="first", baggage_fields=ALL)


CALLS = {"HTTP": call_by_http, "Kafka": call_by_kafka}


@pytest.mark.parametrize("by", CALLS)
def test_a_run_goes_on_in_another_process(by: str, configured: FeedbackPipeline) -> None:
    with second_process(",".join(ALL)) as connection, feedback.action("call", agent="first", **IDENTITY) as act:
        served, inner, onward = CALLS[by](connection)
    ours = act.event
    assert ours is not None
    assert {field: served[field] for field in ALL} == IDENTITY == {field: inner[field] for field in ALL}
    assert served["trace_id"] == ours.trace_id == inner["trace_id"]
    assert served["service_name"] == "second"
    assert (served["depth"], "parent_event_id" in served) == (0, False), "the outermost action of its process"
    assert inner["parent_event_id"] == served["event_id"]
    names = dict(onward)
    assert names["traceparent"].split("-")[1:3] == [ours.trace_id, inner["span_id"]]
    assert "tenant_id=acme" in names["baggage"]


def test_by_default_the_trace_travels_and_no_identifier(pipeline: FeedbackPipeline) -> None:
    with second_process("") as connection, feedback.action("call", **IDENTITY) as act:
        assert feedback.inject().keys() == {"traceparent"}
        served, _, _ = call_by_http(connection)
    assert act.event is not None
    assert served["trace_id"] == served["run_id"] == act.event.trace_id
    assert not served.keys() & (set(ALL) - {"run_id"})


def test_what_a_process_does_not_name_it_does_not_take_over(configured: FeedbackPipeline) -> None:
    with second_process("tenant_id") as connection, feedback.action("call", **IDENTITY):
        served, _, _ = call_by_http(connection)
    assert served["tenant_id"] == "acme"
    assert not served.keys() & (set(ALL) - {"tenant_id", "run_id"})
    assert served["run_id"] == served["trace_id"]


def test_only_those_that_are_named_are_sent(provider: TracerProvider) -> None:
    feedback.configure(tracer_provider=provider, baggage_fields=["tenant_id", "user_id"])
    with feedback.action("call", tenant_id="acme", run_id="r"):
        assert feedback.inject()["baggage"] == "outcome.tenant_id=acme"


# -- inject ------------------------------------------------------------------------------------------------


def test_headers_are_added_to_those_given(configured: FeedbackPipeline) -> None:
    headers = {"Accept": "text/html"}
    with feedback.action("call", tenant_id="acme"):
        assert feedback.inject(headers) is headers
    assert headers.keys() == {"Accept", "traceparent", "baggage"}


def test_headers_of_a_record_that_is_passed_on_are_replaced(configured: FeedbackPipeline) -> None:
    """Some consumers read the first of a name, others the last."""
    with feedback.action("first", tenant_id="old"):
        consumed = feedback.inject_kafka([("other", b"1")])
    with feedback.action("second", tenant_id="new") as act:
        sent = feedback.inject_kafka(consumed)
    assert [name for name, _ in sent] == ["other", "traceparent", "baggage"]
    assert dict(sent)["baggage"] == b"outcome.tenant_id=new"
    assert act.event is not None
    assert act.event.trace_id is not None
    assert act.event.trace_id.encode() in (dict(sent)["traceparent"] or b"")


def test_somebody_elses_baggage_travels_too(configured: FeedbackPipeline) -> None:
    token = context_api.attach(baggage.set_baggage("theirs", "1"))
    with feedback.action("call", tenant_id="acme"):
        assert feedback.inject()["baggage"] == "theirs=1,outcome.tenant_id=acme"
    context_api.detach(token)


def test_without_an_action_there_is_nothing_to_send(configured: FeedbackPipeline) -> None:
    assert (feedback.inject(), feedback.inject_kafka()) == ({}, [])


def test_what_came_is_passed_on_without_an_action_in_between(configured: FeedbackPipeline) -> None:
    with feedback.action("call", tenant_id="acme"):
        headers = feedback.inject()
    with feedback.extract(headers):
        assert feedback.inject() == headers


# -- extract -----------------------------------------------------------------------------------------------


@pytest.fixture
def headers(configured: FeedbackPipeline) -> dict[str, str]:
    with feedback.action("call", **IDENTITY):
        return dict(feedback.inject())


def event_with(headers: Any) -> feedback.OutcomeEvent:
    with feedback.extract(headers), feedback.action("serve") as act:
        pass
    assert act.event is not None
    return act.event


def test_headers_in_every_form(headers: dict[str, str]) -> None:
    first, second = headers["baggage"].split(",", 1)
    forms: dict[str, Any] = {
        "HTTP's names mean the same in any case": {name.title(): value for name, value in headers.items()},
        "ASGI": [(name.encode(), value.encode()) for name, value in headers.items()],
        "Kafka": [(name, value.encode()) for name, value in headers.items()],
        "a generator": ((name, value) for name, value in headers.items()),
        "a list in two headers": [
            ("traceparent", headers["traceparent"]), ("baggage", first), ("Baggage", second),
        ],
        "with what cannot be read": [*headers.items(), ("x", None), (None, b"y"), ("z", 7), ("bad", b"\xff")],
    }  # fmt: skip
    for form, given in forms.items():
        event = event_with(given)
        assert {field: getattr(event, field) for field in ALL} == IDENTITY, form
        assert event.trace_id == headers["traceparent"].split("-")[1], form


def test_an_argument_goes_before_what_came(headers: dict[str, str]) -> None:
    with feedback.extract(headers), feedback.action("serve", tenant_id="other") as act:
        pass
    assert act.event is not None
    assert (act.event.tenant_id, act.event.user_id) == ("other", "Zoë")


def test_what_came_is_cut_to_its_limit(configured: FeedbackPipeline) -> None:
    assert event_with({"baggage": "outcome.tenant_id=" + "x" * 300}).tenant_id == "x" * 256


def test_an_action_around_it_in_another_trace_is_no_parent(headers: dict[str, str]) -> None:
    with feedback.action("poll", tenant_id="ours") as poll:
        event = event_with(headers)
        assert feedback.current_action() is poll
    assert (event.parent_event_id, event.depth, event.tenant_id) == (None, 0, "acme")


@pytest.mark.parametrize("given", [{}, {"traceparent": "rubbish", "baggage": ";;;"}, []], ids=str)
def test_headers_that_say_nothing_change_nothing(given: Any, configured: FeedbackPipeline) -> None:
    with feedback.action("poll", tenant_id="ours") as poll:
        event = event_with(given)
    assert (event.parent_event_id, event.tenant_id) == (poll.event_id, "ours")
    assert event_with(given).tenant_id is None


def test_workflows_and_dispatches_belong_to_the_run_that_came(headers: dict[str, str]) -> None:
    async def main() -> Any:
        with feedback.extract(headers):
            return await feedback.OrchestrationDispatcher().execute_workflow([Doing("a", str)], "t")

    result = run(main)
    assert (result["workflow_id"], result["run_id"]) == ("wf 1", "run/1;a=b,c")
    events = feedback.get_feedback_pipeline().get_recent_events()[-2:]
    assert [(event.run_id, event.user_id) for event in events] == [("run/1;a=b,c", "Zoë")] * 2


def test_afterwards_everything_is_as_before(headers: dict[str, str]) -> None:
    before = context_api.get_current()
    with contextlib.suppress(ValueError), feedback.extract(headers):
        raise ValueError
    assert context_api.get_current() is before
    with feedback.extract(headers), feedback.extract({"baggage": "outcome.tenant_id=inner"}):
        pass
    assert context_api.get_current() is before


def test_a_block_that_ends_in_another_context_logs_nothing(
    headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """As a dependency of a web framework may, whose two halves run in different threads."""
    block = feedback.extract(headers)
    contextvars.copy_context().run(block.__enter__)
    with feedback.action("other") as act:
        block.__exit__(None, None, None)
        assert feedback.current_action() is act
    assert caplog.records == []


def test_without_an_sdk_the_identity_travels_alone() -> None:
    feedback.configure(tracer_provider=trace.NoOpTracerProvider(), baggage_fields=["tenant_id"])
    with feedback.action("call", tenant_id="acme"):
        headers = feedback.inject()
    assert headers == {"baggage": "outcome.tenant_id=acme"}
    assert event_with(headers).tenant_id == "acme"


# -- experiments -------------------------------------------------------------------------------------------


def test_a_variant_travels_where_it_is_named(provider: TracerProvider) -> None:
    feedback.configure(tracer_provider=provider, baggage_fields=["experiment"])
    with feedback.action("call", tenant_id="acme"):
        assert "baggage" not in feedback.inject()
        drawn = feedback.variant("prompt 7", {"a": 1, "b=,": 2}, unit="u-1")
        headers = feedback.inject()
    event = event_with(headers)
    assert (event.experiment, event.variant, event.tenant_id) == ("prompt 7", drawn, None)
    assert event.propensity == (1 / 3 if drawn == "a" else 2 / 3)
    assert event.metadata == {}, "it did not ask"
    with feedback.extract(headers):
        assert feedback.variant("prompt 7", {"a": 1, "b=,": 1}) == drawn, "also without an action"
        assert feedback.inject() == headers


def test_by_default_no_variant_travels(pipeline: FeedbackPipeline) -> None:
    with feedback.action("call"):
        feedback.variant("prompt-7", {"a": 1})
        assert feedback.inject().keys() == {"traceparent"}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"name": "e", "variant": "a", "propensity": "0.25"}, ("e", "a", 0.25)),
        ({"name": "e", "variant": "a"}, ("e", "a", None)),
        ({"name": "e", "variant": "a", "propensity": "many"}, ("e", "a", None)),
        ({"name": "e", "variant": "a", "propensity": "nan"}, ("e", "a", None)),
        ({"name": "e", "variant": "a", "propensity": "0"}, ("e", "a", None)),
        ({"name": "e", "variant": "a", "propensity": "1.5"}, ("e", "a", None)),
        ({"name": "e", "propensity": "0.5"}, (None, None, None)),
        ({"variant": "a", "propensity": "0.5"}, (None, None, None)),
    ],
)
def test_of_what_comes_that_is_taken_which_can_be(
    told: dict[str, str], expected: tuple[Any, ...], provider: TracerProvider
) -> None:
    feedback.configure(tracer_provider=provider, baggage_fields=["experiment"])
    event = event_with({"baggage": ",".join(f"outcome.experiment.{name}={value}" for name, value in told.items())})
    assert (event.experiment, event.variant, event.propensity) == expected
