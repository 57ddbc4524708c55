"""The OTLP sink stands in for a backend, so it must answer as the OTLP specification says."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterable, Iterator
from typing import cast

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from tests.integration.otlp_clients import export_by_grpc, export_by_http, logs_request
from tests.stack.otlp_sink import OtlpSink


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink.launch() as running:
        yield running


def test_sink_keeps_what_comes_by_either_transport(sink: OtlpSink) -> None:
    requests = [logs_request(name) for name in ("plain", "gzipped", "grpc")]
    assert export_by_http(sink.http_endpoint, requests[0]).status_code == 200
    assert export_by_http(sink.http_endpoint, requests[1], is_gzipped=True).status_code == 200
    export_by_grpc(sink.grpc_endpoint, requests[2])
    assert sink.resource_logs() == [request.resource_logs[0] for request in requests]
    assert [request.transport for request in sink.requests()] == ["http", "http", "grpc"]
    assert sink.requests()[1].headers["content-encoding"] == "gzip"


def test_refusal_by_http_names_its_status_and_when_to_retry(sink: OtlpSink) -> None:
    sink.respond_with(503, retry_after=1.5, message="busy", times=1)
    answer = export_by_http(sink.http_endpoint, logs_request("x"))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert Status.FromString(answer.body).message == "busy"
    assert sink.log_records() == []
    assert len(sink.requests()) == 1
    assert export_by_http(sink.http_endpoint, logs_request("x")).status_code == 200
    assert len(sink.log_records()) == 1


def test_refusal_by_grpc_has_the_paired_code_and_retry_info(sink: OtlpSink) -> None:
    sink.respond_with(429, retry_after=1.5, message="busy")
    with pytest.raises(grpc.RpcError) as caught:
        export_by_grpc(sink.grpc_endpoint, logs_request("x"))
    call = caught.value
    assert isinstance(call, grpc.Call)
    assert call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    trailers = dict(cast("Iterable[tuple[str, bytes]]", call.trailing_metadata()))
    status = Status.FromString(trailers["grpc-status-details-bin"])
    retry = RetryInfo()
    assert status.details[0].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 1_500
    assert sink.log_records() == []


def test_partial_success_is_told_on_both_transports(sink: OtlpSink) -> None:
    sink.respond_partial(rejected=1, message="too old")
    by_http = export_by_http(sink.http_endpoint, logs_request("x"))
    by_grpc = export_by_grpc(sink.grpc_endpoint, logs_request("x"))
    for response in (ExportLogsServiceResponse.FromString(by_http.body), by_grpc):
        assert response.partial_success.rejected_log_records == 1
        assert response.partial_success.error_message == "too old"


def test_hanging_sink_outlasts_the_client(sink: OtlpSink) -> None:
    sink.hang()
    with pytest.raises(TimeoutError):
        export_by_http(sink.http_endpoint, logs_request("x"), timeout_s=0.2)
    with pytest.raises(grpc.RpcError):
        export_by_grpc(sink.grpc_endpoint, logs_request("x"), timeout_s=0.2)
    sink.respond_ok()
    assert export_by_http(sink.http_endpoint, logs_request("x")).status_code == 200
    assert len(sink.requests()) == 3
    assert len(sink.log_records()) == 1


def test_request_that_hangs_gets_no_answer_when_the_sink_recovers(sink: OtlpSink) -> None:
    sink.hang()

    def recover() -> None:
        while not sink.requests():
            time.sleep(0.01)
        sink.respond_ok()

    helper = threading.Thread(target=recover, daemon=True)
    helper.start()
    with pytest.raises(http.client.RemoteDisconnected):
        export_by_http(sink.http_endpoint, logs_request("x"))
    helper.join()
    assert sink.log_records() == []


def test_stopped_sink_refuses_connections_and_comes_back_on_its_ports(sink: OtlpSink) -> None:
    address = sink.http_endpoint
    sink.stop()
    with pytest.raises(ConnectionError):
        export_by_http(address, logs_request("x"))
    sink.start()
    assert sink.http_endpoint == address
    assert export_by_http(address, logs_request("x")).status_code == 200


@pytest.mark.parametrize("body", [b"\xff\xff", b"not gzip"])
def test_undecodable_request_is_a_bad_request(sink: OtlpSink, body: bytes) -> None:
    connection = http.client.HTTPConnection(sink.http_endpoint.removeprefix("http://"), timeout=5)
    headers = {"Content-Encoding": "gzip"} if body == b"not gzip" else {}
    connection.request("POST", "/v1/logs", body, headers)
    assert connection.getresponse().status == 400
    connection.close()
    assert sink.requests() == []
