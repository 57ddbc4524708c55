"""A real OTLP endpoint for spans by gRPC, in this process, that remembers: what a collector sends on."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans
from typing_extensions import Self

from tests.stack.processes import LOOPBACK, free_port
from tests.stack.waiting import wait_until

_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"


class TraceSink:
    """Accepts everything; thread-safe; a context manager that stops it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received: list[ResourceSpans] = []  # guarded by self._lock
        method = grpc.unary_unary_rpc_method_handler(
            self._export,
            request_deserializer=ExportTraceServiceRequest.FromString,
            response_serializer=ExportTraceServiceResponse.SerializeToString,
        )
        port = free_port()
        pool = ThreadPoolExecutor(4, thread_name_prefix="trace-sink")
        self._server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Export": method}),))
        self._server.add_insecure_port(f"{LOOPBACK}:{port}")
        self._server.start()
        self.grpc_endpoint = f"http://{LOOPBACK}:{port}"
        """The base URL."""

    def wait_for_spans(self, count: int, *, timeout_s: float = 15.0) -> list[ResourceSpans]:
        """Return what has come, once there are `count` spans or more.

        Raises:
            NotReadyError: when the deadline has passed.
        """
        wait_until(lambda: self._count() >= count, timeout_s=timeout_s, what=f"{count} span(s) at the trace sink")
        with self._lock:
            return list(self._received)

    def reset(self) -> None:
        """Forget everything that was received."""
        with self._lock:
            self._received.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.stop(grace=None).wait()

    def _count(self) -> int:
        with self._lock:
            return sum(len(scope.spans) for resource in self._received for scope in resource.scope_spans)

    def _export(self, request: ExportTraceServiceRequest, context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        with self._lock:
            self._received.extend(request.resource_spans)
        return ExportTraceServiceResponse()
