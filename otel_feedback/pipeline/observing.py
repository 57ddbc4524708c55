"""What became of the events, and how their way out is, as OpenTelemetry metrics: `otel_feedback.*`.

Asked for by a reader of a MeterProvider when it collects, on its thread; nothing is paid for elsewhere. Of several pipelines
in one process, one after the other, counters tell the sum, since a counter never goes back; the state is that of the newest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from otel_feedback.exporters.interface import Notices
from otel_feedback.journal.interface import Account
from otel_feedback.pipeline.delivery import Delivery
from otel_feedback.pipeline.ledger import add_account
from otel_feedback.version import VERSION

__all__ = ["Observed", "observe"]

Told = Iterator[Observation]
Callback = Callable[[CallbackOptions], Told]


class Observed(NamedTuple):
    """A pipeline. A forked child has other deliveries."""

    deliveries: Callable[[], Sequence[Delivery]]
    not_recorded: Callable[[], Mapping[str, int]]
    notices: Notices | None


_all: list[Observed] = []


def observe(pipeline: Observed) -> None:
    """Offer a pipeline to OpenTelemetry metrics."""
    _all.append(pipeline)
    if len(_all) == 1:  # an SDK takes the callbacks of a name once
        _offer()


def _offer() -> None:
    meter = metrics.get_meter("otel_feedback", VERSION)
    counter, gauge = meter.create_observable_counter, meter.create_observable_gauge
    name, unit = "otel_feedback.events", "{event}"
    counter(f"{name}.appended", [_of(lambda a: a.appended)], unit, "Events that a destination is to get.")
    counter(f"{name}.delivered", [_of(lambda a: a.delivered)], unit, "Events that it has acknowledged.")
    counter(f"{name}.lost", [_lost], unit, "Events that it will not get, by reason.")
    gauge(f"{name}.pending", [_of(lambda a: a.pending)], unit, "Events that wait for it.")
    counter(f"{name}.not_recorded", [_not_recorded], unit, "Outcomes that never came in, by reason.")

    name = "otel_feedback.exporter"
    counter(f"{name}.retries", [_retries], "{retry}", "Times that a destination failed and was to be tried again.")
    # no unit: Prometheus would call a gauge of unit 1 a ratio
    gauge(f"{name}.healthy", [_healthy], "", "1 where nothing stands in the way of delivery, else 0.")

    name = "otel_feedback.journal"
    gauge(f"{name}.size", [_size], "By", "What the journal holds, on disk or in memory.")
    gauge(f"{name}.open_actions", [_open_actions], "{action}", "Actions under way that it has noted.")

    name, unit = "otel_feedback.notices", "{notice}"
    counter(f"{name}.sent", [_notices("sent")], unit, "Dead letters and records of the account that Kafka has.")
    counter(f"{name}.lost", [_notices("lost")], unit, "Those that it will not get.")
    gauge(f"{name}.pending", [_notices("pending")], unit, "Those that wait for it.")


def _totals() -> dict[str, Account]:
    sums: dict[str, Account] = {}
    for pipeline in _all:
        for delivery in pipeline.deliveries():
            for name, more in delivery.ledger.totals().items():
                add_account(sums, name, more)
    return sums


def _of(pick: Callable[[Account], int]) -> Callback:
    return lambda options: (Observation(pick(account), {"exporter": name}) for name, account in _totals().items())


def _lost(_options: CallbackOptions) -> Told:
    for name, account in _totals().items():
        for reason, count in account.lost.items():
            yield Observation(count, {"exporter": name, "reason": reason})


def _not_recorded(_options: CallbackOptions) -> Told:
    sums: Counter[str] = Counter()
    for pipeline in _all:
        sums.update(pipeline.not_recorded())
    for reason, count in sums.items():
        yield Observation(count, {"reason": reason})


def _retries(_options: CallbackOptions) -> Told:
    sums: Counter[str] = Counter()
    for pipeline in _all:
        for delivery in pipeline.deliveries():
            sums.update({worker.exporter.name: worker.retries for worker in delivery.workers})
    for name, count in sums.items():
        yield Observation(count, {"exporter": name})


def _healthy(_options: CallbackOptions) -> Told:
    healthy: dict[str, bool] = {}
    for delivery in _all[-1].deliveries():
        for worker in delivery.workers:
            healthy[worker.exporter.name] = healthy.get(worker.exporter.name, True) and worker.healthy
    for name, is_healthy in healthy.items():
        yield Observation(int(is_healthy), {"exporter": name})


def _size(_options: CallbackOptions) -> Told:
    sums: Counter[str] = Counter()
    for delivery in _all[-1].deliveries():
        health = delivery.journal.health()
        sums[health.kind] += health.bytes
    for kind, size in sums.items():
        yield Observation(size, {"kind": kind})


def _open_actions(_options: CallbackOptions) -> Told:
    yield Observation(sum(delivery.journal.health().open_actions for delivery in _all[-1].deliveries()))


def _notices(what: str) -> Callback:
    def told(_options: CallbackOptions) -> Told:
        counts = [pipeline.notices.account()[what] for pipeline in _all if pipeline.notices is not None]
        if counts:
            yield Observation(counts[-1] if what == "pending" else sum(counts))

    return told
