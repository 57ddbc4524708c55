"""How the OTLP sink answers, as one value that both of its transports understand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

Transport = Literal["http", "grpc"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; the default accepts everything.

    Attributes:
        status_code: of HTTP; the gRPC transport translates it as the OTLP specification does.
        retry_after_s: when the sender may try again: `Retry-After`, or `RetryInfo` in gRPC.
        rejected: how many records a partial success does not accept.
        message: why; in the body of a refusal or in the partial success.
        is_dropped: no answer at all, the connection is closed.
    """

    status_code: int = 200
    retry_after_s: float | None = None
    rejected: int = 0
    message: str = ""
    is_dropped: bool = False

    @property
    def is_success(self) -> bool:
        return self.status_code == 200 and not self.is_dropped

    def response(self) -> ExportLogsServiceResponse:
        """Return the body of a successful answer."""
        if not self.rejected and not self.message:
            return ExportLogsServiceResponse()
        partial = ExportLogsPartialSuccess(rejected_log_records=self.rejected, error_message=self.message)
        return ExportLogsServiceResponse(partial_success=partial)


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One export request, whatever it was answered; header names are in lower case."""

    transport: Transport
    headers: Mapping[str, str]
    message: ExportLogsServiceRequest


# Called on a server thread for each request; may block for as long as the sink hangs.
Handler = Callable[[ReceivedRequest], Answer]
