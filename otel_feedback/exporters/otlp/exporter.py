"""Outcome events as OTLP log records: event name `agent.outcome`, flattened attributes, trace and span ids.

Input: leases on the worker's thread. Output: an account of each record: delivered, refused for good, or to be sent
again. The SDK's own log exporter throws the server's answer away, so the requests are made here; the encoding
follows opentelemetry-proto v1 and the OTLP specification, sections "Failures", "Partial success" and "Throttling".

A refusal is about a record only where the server takes something else at the same time. Where it takes nothing, the key
or the address is wrong, and events wait:

    lease ──refused──► one record ──taken──► the others in halves, down to the one that it refuses
                           └──refused──► nothing at all, unless the answer is about who sends ──taken──► the same
                                             └──refused──► wait, and say what to do
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from otel_feedback.errors import ExportError
from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import LEASE_BYTES, Receipt, Refusal, Settled
from otel_feedback.exporters.otlp.advice import advice_on
from otel_feedback.exporters.otlp.encoding import encode_request
from otel_feedback.exporters.otlp.transport import (
    Answer,
    OtlpEndpoint,
    RequestRefusedError,
    Transport,
    open_transport,
    without_login,
)
from otel_feedback.sdk.forks import import_guard, import_host_lookup

__all__ = ["OtlpExporter"]

_Result = tuple[Record, Refusal | None]

ALONE_TIMES = 3
"""Times that a record may be refused alone, with others taken in between, before it is about the record."""
ALONE_KEPT = 100


class OtlpExporter:
    """Sends outcome events to an OTLP endpoint, one request a lease: with large events below the 4 MiB that a server by gRPC takes."""

    name = "otlp"
    durable = True
    lease_events = 512
    lease_bytes = LEASE_BYTES // 2
    linger_s = 0.2
    max_leases = 1

    def __init__(self, endpoint: OtlpEndpoint, service_name: str) -> None:
        self._endpoint = endpoint
        self._service_name = service_name
        self._transport: Transport | None = None
        self._taken = 0  # requests
        self._alone: dict[tuple[str, int], tuple[int, int]] = {}  # records refused with no company: how often, and when
        self.destination = without_login(endpoint.url)

    @classmethod
    def from_environment(cls, service_name: str) -> OtlpExporter:
        """Make the exporter that the standard OTEL_EXPORTER_OTLP_* variables describe.

        Raises:
            ConfigError: One of them cannot be used.
        """
        return cls(OtlpEndpoint.from_environment(), service_name)

    def export(self, lease: Sequence[Record]) -> Receipt:
        # what came as a log record is on its way as that, and a second one would count twice
        results: list[_Result] = [(record, None) for record in lease if record.is_echo]
        if results:
            lease = [record for record in lease if not record.is_echo]
            if not lease:
                return Settled(results)
        try:
            try:
                results += self._send(lease)
            except RequestRefusedError as refused:
                self._sort_out(lease, refused, results)
        except ExportError as exc:
            if not results:
                raise
            return Settled(results, exc)
        return Settled(results)

    def _sort_out(self, lease: Sequence[Record], refused: RequestRefusedError, results: list[_Result]) -> None:
        """Find what is refused of a lease that was refused, or raise that everything has to wait."""
        left = list(lease)
        is_taking = False
        if len(left) > 1:
            one = left.pop(random.randrange(len(left)))  # noqa: S311 - another one each time, should this be refused, too
            try:
                results += self._send([one])
                is_taking = True
            except RequestRefusedError:
                left = list(lease)
        if not is_taking and len(lease) == 1:  # what is left of a dead process may never have company
            is_taking = self._took_others_since(lease[0])
        if not is_taking and (refused.about_sender or not self._takes_nothing()):
            todo = advice_on(refused.detail) or "look at the server's log"
            raise ExportError("refused", f"{refused.detail}; {todo}", retryable=True) from refused
        if len(lease) == 1:
            results.append((lease[0], Refusal(refused.reason, refused.detail)))
        else:
            self._send_apart(left, results)

    def _took_others_since(self, record: Record) -> bool:
        """Tell whether a record was refused alone again and again, and others were taken each time in between."""
        name = record.origin.producer_id, record.sequence
        times, taken = self._alone.pop(name, (0, -1))
        times += self._taken > taken
        if times > ALONE_TIMES:
            return True
        self._alone[name] = times, self._taken
        while len(self._alone) > ALONE_KEPT:
            del self._alone[next(iter(self._alone))]
        return False

    def _send_apart(self, records: Sequence[Record], results: list[_Result]) -> None:
        """Send records that were refused together in halves, and those that are refused again likewise, down to one."""
        middle = len(records) // 2
        for part in (records[:middle], records[middle:]):
            try:
                results += self._send(part) if part else ()
            except RequestRefusedError as refused:
                if len(part) > 1:
                    self._send_apart(part, results)
                else:
                    results.append((part[0], Refusal(refused.reason, refused.detail)))

    def _takes_nothing(self) -> bool:
        """Tell whether the server takes a request with nothing in it."""
        try:
            self._connected().send(encode_request((), self._service_name))
        except RequestRefusedError:
            return False
        return True

    def _send(self, records: Sequence[Record]) -> list[_Result]:
        transport = self._connected()
        request = encode_request(records, self._service_name)
        try:
            answer = transport.send(request)
        except ExportError:
            raise
        except Exception as exc:
            raise _unusable(exc) from exc
        self._taken += 1
        return _account(records, answer)

    def _connected(self) -> Transport:
        if self._transport is None:
            try:
                with import_guard:
                    import_messages()
                    import_host_lookup()
                    self._transport = open_transport(self._endpoint)
            except Exception as exc:
                raise _unusable(exc) from exc
        return self._transport

    def abandon(self) -> None:
        """A request is answered or has failed when `export` returns."""

    def close(self, timeout_s: float) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def after_fork(self) -> None:
        self._transport = None


def import_messages() -> None:
    """Import the generated messages, which takes 50 ms: not at configure()."""
    from google.rpc import error_details_pb2, status_pb2
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

    del error_details_pb2, status_pb2, logs_service_pb2


def _unusable(exc: Exception) -> ExportError:
    """Return what keeps everything from being sent: a file that is not there, a header that is none, a library."""
    # others' messages may have the headers in them
    said = f": {exc}"[:300] if isinstance(exc, (OSError, ImportError)) else ""
    detail = f"{type(exc).__name__}{said}"
    todo = advice_on(detail) or "correct the OTEL_EXPORTER_OTLP_… settings"
    return ExportError("unusable", f"{detail}; {todo}", retryable=True)


def _account(lease: Sequence[Record], answer: Answer) -> list[_Result]:
    if answer.rejected > len(lease) or answer.rejected < 0:
        raise ExportError("protocol_error", f"{answer.rejected} of {len(lease)} records rejected", retryable=True)
    # the server says how many, not which
    refusal = Refusal("partially_rejected", answer.message or "the server gave no reason")
    kept = len(lease) - answer.rejected
    return [(record, None if index < kept else refusal) for index, record in enumerate(lease)]
