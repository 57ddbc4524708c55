"""Send log records by OTLP with nothing but HTTP and gRPC, so that no exporter hides an answer."""

from __future__ import annotations

import gzip
import http.client
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

_EXPORT = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What an OTLP endpoint answered; header names in lower case."""

    status_code: int
    headers: Mapping[str, str]
    body: bytes


def logs_request(body: str, *, service: str = "stack") -> ExportLogsServiceRequest:
    """Return a request with one log record that has random trace and span ids."""
    record = LogRecord(
        time_unix_nano=time.time_ns(),
        trace_id=os.urandom(16),
        span_id=os.urandom(8),
        body=AnyValue(string_value=body),
        attributes=[KeyValue(key="outcome.status", value=AnyValue(string_value="success"))],
    )
    scope = ScopeLogs(scope=InstrumentationScope(name="stack"), log_records=[record])
    name = KeyValue(key="service.name", value=AnyValue(string_value=service))
    resource = ResourceLogs(resource=Resource(attributes=[name]), scope_logs=[scope])
    return ExportLogsServiceRequest(resource_logs=[resource])


def export_by_http(
    endpoint: str,
    request: ExportLogsServiceRequest,
    *,
    is_gzipped: bool = False,
    timeout_s: float = 10.0,
) -> HttpAnswer:
    """POST a request below the base URL.

    Raises:
        OSError: when no answer comes.
        HTTPException: when the connection is closed instead.
    """
    payload = request.SerializeToString()
    headers = {"Content-Type": "application/x-protobuf"}
    if is_gzipped:
        payload = gzip.compress(payload)
        headers["Content-Encoding"] = "gzip"
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=timeout_s)
    try:
        connection.request("POST", "/v1/logs", payload, headers)
        answer = connection.getresponse()
        return HttpAnswer(
            answer.status,
            {name.lower(): value for name, value in answer.getheaders()},
            answer.read(),
        )
    finally:
        connection.close()


def export_by_grpc(
    endpoint: str, request: ExportLogsServiceRequest, *, timeout_s: float = 10.0
) -> ExportLogsServiceResponse:
    """Call the LogsService at the base URL.

    Raises:
        grpc.RpcError: for every answer but OK.
    """
    with grpc.insecure_channel(urlsplit(endpoint).netloc) as channel:
        export = channel.unary_unary(
            _EXPORT,
            request_serializer=ExportLogsServiceRequest.SerializeToString,
            response_deserializer=ExportLogsServiceResponse.FromString,
        )
        return export(request, timeout=timeout_s)
