"""Where rules look: a store, or log files, opened anew for each look; and all the moments of a time at once, for a backtest."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb

from otel_feedback.downstream.alerts.advancing import Said, advance, newest
from otel_feedback.downstream.alerts.observing import Observation, moments_of, observe, reach_s
from otel_feedback.downstream.alerts.rules import AlertFile
from otel_feedback.downstream.alerts.state import Hand, State
from otel_feedback.downstream.tables.opening import open_log
from otel_feedback.downstream.tables.stored import open_store
from otel_feedback.downstream.tables.tables import SourceError, Tables, columns_of

__all__ = ["Source", "backtest", "check_queries", "look"]

TRIES = 3
_KINDS = Path(__file__).parent / "kinds"


class Source(NamedTuple):
    """Where events are: one store's folder, or log files."""

    paths: tuple[Path, ...]

    @property
    def is_store(self) -> bool:
        """Whether it is a store's folder."""
        return len(self.paths) == 1 and self.paths[0].is_dir()

    def open(self, file: AlertFile, since: datetime) -> Tables:
        """Return the tables of the events from then on.

        Raises:
            SourceError: They cannot be read.
        """
        if self.is_store:
            return open_store(self.paths[0], since)
        texts = [path.read_text(encoding="utf-8") for path in _KINDS.glob("*.sql")]
        own = [rule.sql for rule in file.rules if rule.sql is not None]
        # a rule's own SQL may name any view, whose columns it does not name
        wanted = None if own else columns_of(" ".join(texts)) | _OF_RULES
        return open_log(self.paths, wanted)

    def __str__(self) -> str:
        return ", ".join(map(str, self.paths))


_OF_RULES = frozenset({
    "tenant_id", "agent_name", "action_type", "service_name", "latency_ms", "duration_ms", "own_cost", "quality_score",
    "run_id", "start_time", "producer_id", "sequence",
})  # fmt: skip


def look(file: AlertFile, source: Source, now: datetime) -> list[Observation]:
    """Return what all rules see of windows that ended lately.

    Raises:
        SourceError: The events cannot be read.
        QueryError: A rule's own SQL does not run.
    """
    settings = file.settings
    after, until = now - timedelta(seconds=settings.recent), now - timedelta(seconds=settings.settle)
    return _between(file, source, after, until)


def backtest(file: AlertFile, source: Source, since: datetime, until: datetime) -> Iterator[Said]:
    """Yield what would have been told from one time to another, with the events as they are known now.

    Raises:
        SourceError: The events cannot be read.
        QueryError: A rule's own SQL does not run.
    """
    settings = file.settings
    file = AlertFile(settings, (), file.rules)
    found = sorted(_between(file, source, since, until), key=lambda each: each.at)
    every = timedelta(seconds=min(300.0, *(rule.window for rule in file.rules)) if file.rules else 300)
    recent, settle = timedelta(seconds=settings.recent), timedelta(seconds=settings.settle)
    state, now = State(), since + settle
    first = end = 0
    while now <= until + settle:
        while end < len(found) and found[end].at <= now - settle:
            end += 1
        while first < end and found[first].at <= now - recent:
            first += 1
        state, said = advance(file, state, newest(found[first:end]), Hand(), now)
        yield from said
        now += every


def check_queries(file: AlertFile) -> None:
    """See that the rules' SQL runs, on no events.

    Raises:
        QueryError: One does not.
    """
    with Tables() as tables:
        tables.make_table()
        for rule in file.rules:
            observe(tables, rule, file.settings, (300, 300))


def _between(file: AlertFile, source: Source, after: datetime, until: datetime) -> list[Observation]:
    if not file.rules:
        return []
    back_s = max(reach_s(rule, file.settings) for rule in file.rules)
    for tried in range(1, TRIES + 1):
        try:
            with source.open(file, after - timedelta(seconds=back_s)) as tables:
                return [
                    each
                    for rule in file.rules
                    if (moments := moments_of(rule, after, until)) is not None
                    for each in observe(tables, rule, file.settings, moments)
                ]
        except duckdb.IOException as exc:  # a file was made into another, meanwhile
            if tried == TRIES:
                raise SourceError(f"cannot read {source}: {exc}") from exc
    raise AssertionError
