"""What dead processes left for destinations that are not ours: said once each, and shown with the command that sends it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_feedback.journal.interface import Elsewhere, Journal
from otel_feedback.logger import get_logger, number_of
from otel_feedback.pipeline.destinations import is_identified, shown, take_command
from otel_feedback.pipeline.worker import Worker

__all__ = ["ElsewhereWatch"]

logger = get_logger(__name__)


class ElsewhereWatch:
    """Looks at what the journal saw when it last looked for journals of dead processes.

    Args:
        workers: By exporter; of destinations that outlive the process.
    """

    def __init__(self, journal: Journal, workers: Mapping[str, Worker]) -> None:
        self._journal = journal
        self._workers = workers
        self._said: set[tuple[str, str]] = set()

    def look(self) -> None:
        """Say what waits, and let it be found out where that is not known yet. By the journal's thread."""
        for waiting in self._journal.elsewhere():
            worker = self._workers.get(waiting.exporter)
            if worker is not None and not is_identified(worker.exporter):
                worker.find_out()
            elif (name := (waiting.exporter, waiting.destination)) not in self._said:
                self._said.add(name)
                self._say(waiting, worker)

    @staticmethod
    def _say(waiting: Elsewhere, worker: Worker | None) -> None:
        if worker is None:
            todo = f"{waiting.exporter} is not switched on here; a process that has this destination delivers them"
        else:
            todo = f"to send them to {worker.exporter.destination}: {take_command(waiting.destination)}"
        logger.warning(
            "%s in %s of dead processes for %s (%s), which is none of the destinations here; %s",
            number_of(waiting.events, "event"), number_of(waiting.journals, "journal"), waiting.exporter, shown(waiting.destination, waiting.address), todo,
        )  # fmt: skip

    def as_data(self) -> list[dict[str, Any]]:
        """Return what waits, as `metrics()` shows it; not what may yet turn out to be ours. Safe from any thread."""
        told: list[dict[str, Any]] = []
        for waiting in self._journal.elsewhere():
            worker = self._workers.get(waiting.exporter)
            if worker is None or is_identified(worker.exporter):
                command = None if worker is None else take_command(waiting.destination)
                told.append({**waiting._asdict(), "command": command})
        return told
