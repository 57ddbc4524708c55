"""A real OTLP endpoint for log records, in this process, that remembers and can misbehave.

    collector or exporter ──HTTP or gRPC──► OtlpSink ──► resource_logs(), log_records(), requests()
                                               ▲
                                respond_with(), respond_partial(), refuse_where(), hang()

Only records of a successful answer count as received; `requests()` has the refused ones too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs
from typing_extensions import Self

from tests.stack.otlp_answer import Answer, ReceivedRequest
from tests.stack.otlp_grpc import OtlpGrpcServer
from tests.stack.otlp_http import OtlpHttpServer
from tests.stack.processes import LOOPBACK, free_port
from tests.stack.waiting import wait_for

_OK = Answer()
# Longer than any client waits, but a sink that nobody stopped must not keep Python from ending.
_LONGEST_HANG_S = 120.0


class OtlpSink:
    """An OTLP endpoint that has started; thread-safe; a context manager that stops it.

    `stop` and `start` keep the ports, so a test can have a server that comes back.
    """

    def __init__(self) -> None:
        """Pick the ports; nothing listens until `start`."""
        self._http_port = free_port()
        self._grpc_port = free_port()
        self._http: OtlpHttpServer | None = None
        self._grpc: OtlpGrpcServer | None = None
        self._lock = threading.Lock()
        self._requests: list[ReceivedRequest] = []  # guarded by self._lock
        self._accepted: list[ResourceLogs] = []  # guarded by self._lock
        self._answer = _OK  # guarded by self._lock
        self._times: int | None = None  # guarded by self._lock; None: until told otherwise
        self._where: Callable[[ExportLogsServiceRequest], bool] = lambda message: True  # guarded by self._lock
        self._released: threading.Event | None = None  # guarded by self._lock; set: stop hanging

    def __repr__(self) -> str:
        return f"<OtlpSink {self.http_endpoint} {self.grpc_endpoint} {self._answer}>"

    @classmethod
    def launch(cls) -> OtlpSink:
        """Return a sink that listens."""
        sink = cls()
        sink.start()
        return sink

    @property
    def http_endpoint(self) -> str:
        """The base URL for OTLP by HTTP; requests go to `/v1/logs` below it."""
        return f"http://{LOOPBACK}:{self._http_port}"

    @property
    def grpc_endpoint(self) -> str:
        """The base URL for OTLP by gRPC."""
        return f"http://{LOOPBACK}:{self._grpc_port}"

    def start(self) -> None:
        """Listen, also again after `stop`."""
        self._http = OtlpHttpServer(self._http_port, self._handle)
        self._grpc = OtlpGrpcServer(self._grpc_port, self._handle)

    def stop(self) -> None:
        """Stop listening; what was received stays."""
        self.respond_ok()
        if self._http is not None:
            self._http.close()
        if self._grpc is not None:
            self._grpc.close()
        self._http = self._grpc = None

    def requests(self) -> list[ReceivedRequest]:
        """Return every request so far, accepted or not, in the order of arrival."""
        with self._lock:
            return list(self._requests)

    def resource_logs(self) -> list[ResourceLogs]:
        """Return what was accepted so far, with resource and scope."""
        with self._lock:
            return list(self._accepted)

    def log_records(self) -> list[LogRecord]:
        """Return the log records that were accepted so far."""
        return [
            record for resource in self.resource_logs() for scope in resource.scope_logs for record in scope.log_records
        ]

    def wait_for_records(self, count: int = 1, *, timeout_s: float = 15.0) -> list[LogRecord]:
        """Return the accepted log records, once there are `count` or more.

        Raises:
            NotReadyError: when the deadline has passed.
        """

        def enough() -> list[LogRecord] | None:
            records = self.log_records()
            return records if len(records) >= count else None

        return wait_for(enough, timeout_s=timeout_s, what=f"{count} record(s) at the OTLP sink")

    def reset(self) -> None:
        """Forget everything that was received, and accept again."""
        self.respond_ok()
        with self._lock:
            self._requests.clear()
            self._accepted.clear()

    def respond_ok(self) -> None:
        """Accept from now on; requests that hang are dropped without an answer."""
        self._respond(_OK)

    def respond_with(
        self,
        status_code: int,
        *,
        retry_after: float | None = None,
        message: str = "refused by the test",
        times: int | None = None,
    ) -> None:
        """Refuse from now on.

        Args:
            status_code: of HTTP, 400 to 599; gRPC gets the code that OTLP pairs with it.
            retry_after: seconds until the sender may try again; HTTP rounds them up.
            message: in the body of the answer.
            times: accept again after so many requests; None is for good.
        """
        answer = Answer(status_code=status_code, retry_after_s=retry_after, message=message)
        self._respond(answer, times=times)

    def refuse_where(self, refused: Callable[[ExportLogsServiceRequest], bool], status_code: int = 400) -> None:
        """Refuse the requests of which this is true, from now on, and accept the others."""
        self._respond(Answer(status_code=status_code, message="refused by the test"), where=refused)

    def respond_partial(self, rejected: int, message: str = "", times: int | None = None) -> None:
        """Answer with a partial success from now on.

        OTLP does not say which records were rejected, so all of them stay in `log_records()`.

        Args:
            rejected: how many records the answer calls rejected; 0 with a message is a warning.
            message: why.
            times: accept everything again after so many requests; None is for good.
        """
        self._respond(Answer(rejected=rejected, message=message), times=times)

    def hang(self) -> None:
        """Take requests and answer none, until told otherwise."""
        self._respond(Answer(is_dropped=True), released=threading.Event())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _respond(
        self,
        answer: Answer,
        times: int | None = None,
        released: threading.Event | None = None,
        where: Callable[[ExportLogsServiceRequest], bool] = lambda message: True,
    ) -> None:
        with self._lock:
            if self._released is not None:
                self._released.set()
            self._answer, self._times, self._released, self._where = answer, times, released, where

    def _handle(self, request: ReceivedRequest) -> Answer:
        """Record a request and decide on its answer; runs on the servers' threads."""
        with self._lock:
            self._requests.append(request)
            answer = self._answer if self._where(request.message) else _OK
            released = self._released
            if self._times is not None:
                self._times -= 1
                if self._times <= 0:
                    self._answer, self._times = _OK, None
            if answer.is_success:
                self._accepted.extend(request.message.resource_logs)
        if released is not None:
            released.wait(_LONGEST_HANG_S)
        return answer
