"""Deliver what dead processes left, by the same adoption as a living process of the service.

    survey ──► plan: for us, for others, for nobody ──► a pipeline that adopts a portion ──► the next portion …

A journal is locked while it is delivered and let go of at the end, however that comes: what is not acknowledged by then
stays in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from otel_feedback.assembly import build_pipeline
from otel_feedback.cli.journal.ours import Ours
from otel_feedback.cli.journal.survey import CursorView, Owner, Survey, owner_of, survey
from otel_feedback.journal.interface import Account
from otel_feedback.pipeline.ledger import FINISHED_KEPT
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.settings.settings import Settings

__all__ = ["Foreign", "Outcome", "Plan", "Row", "Said", "deliver", "make_plan"]

POLL_S = 0.1
GRACE_S = 1.0
"""What the end may take when time is up, in seconds."""
TAKEN_S = 5.0
"""A journal that is locked, and not in our hands after so long, another process has."""

Said = Callable[[int, int, Mapping[str, str]], None]
"""Told, now and then: events delivered or lost, events pending, and the last error of each exporter that has one."""


class Foreign(NamedTuple):
    """What is there for a destination that is not ours."""

    exporter: str
    destination: str
    journals: int
    events: int
    address: str = ""


class Plan(NamedTuple):
    """What is to be done: journals to deliver, those with nothing left in them, and what is not ours to touch."""

    todo: Sequence[Survey]
    empty: Sequence[Survey]
    foreign: Sequence[Foreign]
    living: int
    unknown: Sequence[Survey]


class Row(NamedTuple):
    """What became of one journal's events for one destination."""

    producer_id: str
    service_name: str | None
    exporter: str
    destination: str
    delivered: int
    lost: dict[str, int]
    left: int
    note: str | None = None


class Outcome(NamedTuple):
    """How a delivery ended. `errors` are the last ones of the exporters that did not get everything."""

    rows: Sequence[Row]
    errors: Mapping[str, str]
    is_interrupted: bool


def make_plan(surveys: Sequence[Survey], ours: Ours) -> Plan:
    """Sort journals by what is to be done with them."""
    dead = [seen for seen in surveys if seen.owner is Owner.DEAD and seen.problem is None]
    todo = [seen for seen in dead if any(_expected(seen, cursor) for cursor in _for_us(seen, ours))]
    empty = [
        seen
        for seen in dead
        if seen.cursors is not None and not seen.open_actions and not any(c.account.pending for c in seen.cursors)
    ]
    foreign: dict[tuple[str, str], Foreign] = {}
    for seen in dead:
        for cursor in seen.cursors or ():
            name = (cursor.exporter, cursor.destination)
            waiting = _expected(seen, cursor)
            if waiting and not _is_ours(cursor, ours):
                known = foreign.get(name, Foreign(*name, 0, 0, cursor.address))
                foreign[name] = known._replace(journals=known.journals + 1, events=known.events + waiting)
    living = sum(seen.owner is Owner.ALIVE for seen in surveys)
    unknown = [seen for seen in surveys if seen.owner is Owner.UNKNOWN or seen.problem is not None]
    return Plan(todo, empty, list(foreign.values()), living, unknown)


def _for_us(seen: Survey, ours: Ours) -> list[CursorView]:
    if seen.cursors is None:  # who adopts it believes that nobody has anything
        events = 0 if seen.first is None or seen.last is None else seen.last + 1 - seen.first
        nothing_yet = Account(events, 0, events, {})
        return [CursorView(exporter, there, nothing_yet, seen.first or 0) for exporter, there in ours.names.items()]
    return [cursor for cursor in seen.cursors if _is_ours(cursor, ours)]


def _is_ours(cursor: CursorView, ours: Ours) -> bool:
    return ours.has(cursor.exporter, cursor.destination, cursor.address)


def _expected(seen: Survey, cursor: CursorView) -> int:
    # each action that never ended becomes an event at adoption
    return cursor.account.pending + seen.open_actions


def deliver(
    settings: Settings, plan: Plan, ours: Ours, timeout_s: float, said: Said, *, tells_account: bool = True
) -> Outcome:
    """Deliver until nothing is left for our destinations, time is up, or Ctrl-C; remove what is empty.

    In portions, so that a thousand journals need neither a thousand open locks nor more accounts than are kept.
    """
    deadline = time.monotonic() + timeout_s
    journals = [*plan.todo, *plan.empty]
    size = max(1, FINISHED_KEPT // max(1, len(ours)))
    work = _Work(settings, ours, deadline, said, sum(_waiting(seen, ours) for seen in plan.todo))
    work.tells_account = tells_account
    for first in range(0, len(journals), size):
        work.do(journals[first : first + size])
    return Outcome(work.rows, work.errors, work.is_interrupted)


def _waiting(seen: Survey, ours: Ours) -> int:
    return sum(_expected(seen, cursor) for cursor in _for_us(seen, ours))


class _Work:
    """Goes through the portions."""

    def __init__(self, settings: Settings, ours: Ours, deadline: float, said: Said, waiting: int) -> None:
        self.rows: list[Row] = []
        self.errors: dict[str, str] = {}
        self.is_interrupted = False
        self.tells_account = True
        self._settings = settings
        self._ours = ours
        self._deadline = deadline
        self._said = said
        self._waiting = waiting  # in portions that were not begun

    def do(self, portion: Sequence[Survey]) -> None:
        """Deliver one portion, if there is time for it."""
        self._waiting -= sum(_waiting(seen, self._ours) for seen in portion)
        adopted: Mapping[str, Any] = {}
        if not self.is_interrupted and time.monotonic() < self._deadline:
            adopted = self._deliver(portion)
        for seen in portion:
            self.rows += self._rows(seen, adopted, survey(seen.path))

    def _deliver(self, portion: Sequence[Survey]) -> Mapping[str, Any]:
        pipeline = build_pipeline(
            self._settings, adopts=frozenset(seen.producer_id for seen in portion), tells_account=self.tells_account
        )
        is_done = False
        try:
            is_done = self._wait(pipeline, portion)
        except KeyboardInterrupt:
            self.is_interrupted = True
        pipeline.shutdown(max(GRACE_S, self._settings.shutdown_timeout_s) if is_done else GRACE_S)
        return pipeline.metrics()["adopted"]

    def _wait(self, pipeline: FeedbackPipeline, portion: Sequence[Survey]) -> bool:
        """Wait until the portion is delivered; False when time was up first."""
        began = time.monotonic()
        while True:
            told = pipeline.metrics()
            self._tell(told, portion)
            is_late = time.monotonic() >= began + TAKEN_S
            if all(_is_over(seen, told["adopted"], self._ours, is_late=is_late) for seen in portion):
                return True
            if time.monotonic() >= self._deadline:
                return False
            time.sleep(POLL_S)

    def _tell(self, told: Mapping[str, Any], portion: Sequence[Survey]) -> None:
        exporters: Mapping[str, Any] = told["exporters"]
        self.errors = {name: exporter["last_error"] for name, exporter in exporters.items() if exporter["last_error"]}
        rows = [*self.rows, *(row for seen in portion for row in self._rows(seen, told["adopted"], seen))]
        done = sum(row.delivered + sum(row.lost.values()) for row in rows)
        self._said(done, sum(row.left for row in rows) + self._waiting, self.errors)

    def _rows(self, seen: Survey, adopted: Mapping[str, Any], now: Survey | None) -> list[Row]:
        """Return what became of a journal, of which so much was adopted, and which now lies there so."""
        accounts: Mapping[str, Any] = adopted.get(seen.producer_id, {"exporters": {}})["exporters"]
        rows: list[Row] = []
        for cursor in _for_us(seen, self._ours):
            waiting = _expected(seen, cursor)
            if not waiting:
                continue
            row = Row(seen.producer_id, seen.service_name, cursor.exporter, cursor.destination, 0, {}, waiting)
            if cursor.exporter in accounts:
                row = _after(row, cursor.account, accounts[cursor.exporter])
                if now is not None and now is not seen and now.owner is Owner.DEAD:  # a full disk takes no outcomes
                    row = row._replace(left=row.left + now.open_actions)
            elif now is None or now.owner is Owner.ALIVE:
                row = row._replace(left=0, note="a living process has taken it over")
            rows.append(row)
        return rows


def _after(row: Row, before: Account, account: Mapping[str, Any]) -> Row:
    lost = {reason: number - before.lost.get(reason, 0) for reason, number in account["lost"].items()}
    return row._replace(
        delivered=account["delivered"] - before.delivered,
        lost={reason: number for reason, number in lost.items() if number},
        left=account["pending"],
    )


def _is_over(seen: Survey, adopted: Mapping[str, Any], ours: Ours, *, is_late: bool) -> bool:
    if seen.producer_id in adopted:
        return all(account["finished"] for account in adopted[seen.producer_id]["exporters"].values())
    if not _waiting(seen, ours):  # the end looks after it
        return True
    owner, _ = owner_of(seen.path)
    return not seen.path.is_dir() or (is_late and owner is Owner.ALIVE)
