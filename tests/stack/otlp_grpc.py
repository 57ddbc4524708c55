"""The OTLP sink's gRPC side: the LogsService of opentelemetry-proto.

The service is registered by its name and message types, since the generated `_grpc` module has no
type information.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

from tests.stack.otlp_answer import Answer, Handler, ReceivedRequest
from tests.stack.processes import LOOPBACK

_SERVICE = "opentelemetry.proto.collector.logs.v1.LogsService"
# Each hanging request holds one worker.
_WORKERS = 32

# As the OTLP specification pairs them: the retryable ones stay retryable.
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.UNIMPLEMENTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    502: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


class OtlpGrpcServer:
    """Answers on a pool of threads until it is closed."""

    def __init__(self, port: int, handle: Handler) -> None:
        def export(request: ExportLogsServiceRequest, context: grpc.ServicerContext) -> ExportLogsServiceResponse:
            headers = {str(key): str(value) for key, value in context.invocation_metadata()}
            answer = handle(ReceivedRequest("grpc", headers, request))
            if not answer.is_success:
                _refuse(context, answer)
            return answer.response()

        method = grpc.unary_unary_rpc_method_handler(
            export,
            request_deserializer=ExportLogsServiceRequest.FromString,
            response_serializer=ExportLogsServiceResponse.SerializeToString,
        )
        pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="otlp-sink-grpc")
        # Without this a second server on the same port would start and get half of the calls.
        self._server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Export": method}),))
        self._server.add_insecure_port(f"{LOOPBACK}:{port}")
        self._server.start()

    def close(self) -> None:
        """Stop listening and cancel what is going on."""
        self._server.stop(grace=None).wait()


def _refuse(context: grpc.ServicerContext, answer: Answer) -> None:
    if answer.is_dropped:
        context.abort(grpc.StatusCode.UNAVAILABLE, "dropped")
    code = _CODES.get(answer.status_code, grpc.StatusCode.UNKNOWN)
    if answer.retry_after_s is not None:
        delay = Duration()
        delay.FromNanoseconds(int(answer.retry_after_s * 1e9))
        detail = AnyMessage()
        detail.Pack(RetryInfo(retry_delay=delay))
        number: int = code.value[0]
        status = Status(code=number, message=answer.message, details=[detail])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, answer.message)
