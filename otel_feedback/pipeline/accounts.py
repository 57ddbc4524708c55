"""What became of the records of each way out: for `metrics()`, and for the log at the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from otel_feedback.exporters.interface import Redirecting
from otel_feedback.logger import get_logger, number_of
from otel_feedback.pipeline.destinations import address_of, shown
from otel_feedback.pipeline.worker import Worker

if TYPE_CHECKING:
    from otel_feedback.pipeline.delivery import Delivery

__all__ = ["account_of", "say_what_is_left"]

logger = get_logger(__name__)


def account_of(delivery: Delivery) -> dict[str, Any]:
    """Return the account of one way out, as `FeedbackPipeline.metrics()` shows it."""
    return {
        "producer_id": delivery.journal.origin.producer_id,
        "recorded": delivery.journal.end,
        "exporters": _by_exporter(delivery.workers),
        "journal": delivery.journal.health()._asdict(),
        "adopted": delivery.ledger.adopted(),
        "elsewhere": delivery.elsewhere.as_data(),
    }


def _by_exporter(workers: Iterable[Worker]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for worker in workers:
        exporter, account = worker.exporter, worker.cursor.account()
        told[exporter.name] = {
            "destination": exporter.destination,
            "appended": account.appended,
            "delivered": account.delivered,
            "pending": account.pending,
            "lost": dict(account.lost),
            "retries": worker.retries,
            "healthy": worker.healthy,
            "last_error": worker.trouble,
        }
        if isinstance(exporter, Redirecting) and (redirected := exporter.redirected) is not None:
            told[exporter.name]["redirected"] = dict(redirected)
    return told


def say_what_is_left(worker: Worker, given_up: int, pending: int, place: str | None) -> None:
    """Say at the end how many records were given up, and how many are kept in the journal that is there."""
    why = worker.trouble or "time ran out"
    name, destination = worker.exporter.name, shown(worker.exporter.destination, address_of(worker.exporter))
    if given_up:
        logger.warning(
            "%s not delivered to %s (%s) before shutdown, and lost: %s",
            number_of(given_up, "event"), name, destination, why,
        )  # fmt: skip
    if pending:
        logger.warning(
            "%s not delivered to %s (%s) before shutdown (%s), and kept in the journal %s: the next process of this "
            "service delivers what is there",
            number_of(pending, "event"), name, destination, why, place,
        )  # fmt: skip
