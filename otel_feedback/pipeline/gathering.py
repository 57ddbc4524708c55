"""How long records wait for company before a worker leases them.

    append ──► wait, at most the exporter's linger ──► a round: all that is there, lease by lease ──► wait …

A round begins no sooner than a linger after the last one began, so there is a bound on how often a worker wakes, however
many events come. While rounds have one record each, waiting brings nothing: then the first append after a pause is a round
of its own. Used on the worker's thread.
"""

from __future__ import annotations

import sys
import time

from otel_feedback.exporters.interface import Exporter

__all__ = ["SOON_S", "Gathering"]

SOON_S = 0.1
"""A linger of up to this is not cut short by full leases: all that have become full by then go together."""


class Gathering:
    """When records of this process go to one exporter.

    `has_company`: the last round had more than one record. `wakes_at`: an append wakes a worker that waits for company when
    it makes the journal's end a multiple of this.
    """

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter
        self._is_soon = exporter.linger_s <= SOON_S
        self.wakes_at = sys.maxsize if self._is_soon else exporter.lease_events
        self.has_company = True
        self._until = 0.0  # monotonic: no round before
        self._round = 0  # records that are still to be leased in it

    def begin(self) -> None:
        """Records have come after a pause: they wait for company, unless lately none came."""
        if self.has_company:
            self._until = time.monotonic() + self._exporter.linger_s

    def look(self, available: int) -> float:
        """Begin a round if it is time; return how many seconds to wait for the next one."""
        now = time.monotonic()
        if available <= 0:  # also when the journal had to forget some
            self._round = 0
        elif self._round <= 0 and now >= self._until:
            self._round, self._until = available, now + self._exporter.linger_s
            self.has_company = available > 1
        return self._until - now

    def is_due(self, available: int) -> bool:
        """Tell whether a lease is to be made of so many records."""
        return self._round > 0 or (not self._is_soon and available >= self._exporter.lease_events)

    def took(self, records: int) -> None:
        """A lease of so many records was made."""
        if self._round > 0:
            self._round -= records
        else:  # it was full, or in a hurry: what comes now waits anew
            self._until = time.monotonic() + self._exporter.linger_s

    def again(self) -> None:
        """What was leased goes back, and has waited."""
        self._round, self._until = 0, 0.0
