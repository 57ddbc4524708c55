"""Where rules look: a store, or log files, opened anew for each look; and all the moments of a time at once, for a backtest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta, timezone
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, TypeVar

import duckdb

from otel_feedback.downstream.alerts.advancing import Said, advance, newest
from otel_feedback.downstream.alerts.observing import Observation, moments_of, observe, reach_s
from otel_feedback.downstream.alerts.rules import AlertFile, Options, Rule
from otel_feedback.downstream.alerts.state import Hand, State
from otel_feedback.downstream.objectives import standings
from otel_feedback.downstream.objectives.alerting import ObjectiveRule, due, observe_objectives, since_of
from otel_feedback.downstream.objectives.counting import COLUMNS
from otel_feedback.downstream.objectives.objective import Objective
from otel_feedback.downstream.objectives.standings import Standing
from otel_feedback.downstream.tables.opening import open_log
from otel_feedback.downstream.tables.stored import open_store, read_until
from otel_feedback.downstream.tables.tables import SourceError, Tables, columns_of
from otel_feedback.logger import get_logger
from otel_feedback.throttle import ThrottledLog

__all__ = ["Source", "backtest", "check_queries", "look", "look_at_objectives"]

T = TypeVar("T")
Failed = Callable[[Rule, Exception], None]
"""Told of a rule that sees nothing, and why."""

_log = ThrottledLog(get_logger(__name__))
TRIES = 3
_KINDS = Path(__file__).parent / "kinds"


class Source(NamedTuple):
    """Where events are: one store's folder, or log files."""

    paths: tuple[Path, ...]

    @property
    def is_store(self) -> bool:
        """Whether it is a store's folder."""
        return len(self.paths) == 1 and self.paths[0].is_dir()

    def until(self) -> datetime | None:
        """Return until when all is in it that there was to be read; None where nobody knows, as of log files, read just now.

        Raises:
            SourceError: It cannot be read.
        """
        return read_until(self.paths[0]) if self.is_store else None

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
        wanted = None if own else columns_of(" ".join(texts)) | _OF_RULES | COLUMNS
        return open_log(self.paths, wanted)

    def __str__(self) -> str:
        return ", ".join(map(str, self.paths))


_OF_RULES = frozenset({
    "tenant_id", "agent_name", "action_type", "service_name", "latency_ms", "duration_ms", "own_cost", "quality_score",
    "run_id", "start_time", "producer_id", "sequence",
})  # fmt: skip


def look(file: AlertFile, source: Source, now: datetime, failed: Failed | None = None) -> list[Observation]:
    """Return what all rules see of windows that ended lately, and that the source has wholly: while it is behind its own
    source nobody knows of a window that something is missing in it. What is behind says so itself.

    Args:
        file: The rules.
        source: Where events are.
        now: The time.
        failed: Called with a rule that sees nothing, and why; the others go on. None: it is raised.

    Raises:
        SourceError: The events cannot be read.
        QueryError: A rule's own SQL does not run, and there is no `failed`.
    """
    settings = file.settings
    read = source.until()  # before the events, or they might lack some of what it says
    until = now if read is None else min(now, read)
    after, until = now - timedelta(seconds=settings.recent), until - timedelta(seconds=settings.settle)
    return _between(file, source, after, until, now, failed)


def backtest(file: AlertFile, source: Source, since: datetime, until: datetime) -> Iterator[Said]:
    """Yield what would have been told from one time to another, with the events as they are known now.

    Raises:
        SourceError: The events cannot be read.
        QueryError: A rule's own SQL does not run.
    """
    settings = file.settings
    file = AlertFile(settings, (), file.rules)
    read = source.until()
    until = until if read is None else min(until, read)
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


def look_at_objectives(
    file: AlertFile, source: Source, objectives: Sequence[Objective], now: datetime
) -> list[Standing]:
    """Return how objectives stand.

    Raises:
        SourceError: The events cannot be read.
    """
    since = standings.since_of(objectives, now)
    return _read(file, source, since, lambda tables: standings.standings(tables, objectives, now))


def check_queries(file: AlertFile) -> None:
    """See that the rules' SQL runs, on no events.

    Raises:
        QueryError: One does not.
    """
    with Tables() as tables:
        tables.make_table()
        for rule in file.rules:
            if not isinstance(rule, ObjectiveRule):
                observe(tables, rule, file.settings, (300, 300))


def _between(
    file: AlertFile,
    source: Source,
    after: datetime,
    until: datetime,
    now: datetime | None = None,
    failed: Failed | None = None,
) -> list[Observation]:
    """Return what is seen from one time to another, and of what there is now; of each rule no more days are read than it looks at."""
    own = [rule for rule in file.rules if not isinstance(rule, ObjectiveRule)]
    moments = {rule.name: _moments(rule, after, until, now) for rule in own}
    reaches = [(rule, timedelta(seconds=reach_s(rule, file.settings))) for rule in own if moments[rule.name]]
    reaches.sort(key=lambda each: each[1], reverse=True)

    def begin(each: tuple[Rule, timedelta]) -> date:
        """Return the first day of a rule: those of one day have the same files."""
        return (after - each[1]).date()

    def see(rules: Sequence[Rule]) -> Callable[[Tables], list[Observation]]:
        chosen = {rule: at for rule in rules if (at := moments[rule.name]) is not None}
        return lambda tables: [
            each for rule, at in chosen.items() for each in _seen(tables, rule, file.settings, at, failed)
        ]

    asked = [
        (datetime(day.year, day.month, day.day, tzinfo=timezone.utc), see([rule for rule, _ in several]))
        for day, several in groupby(reaches, begin)
    ]
    objectives = due(file.rules, after, until)
    if objectives:
        asked.append((since_of(objectives), lambda tables: observe_objectives(tables, objectives)))
    if not asked:
        return []
    if source.is_store:
        seen = [each for since, ask in asked for each in _read(file, source, since, ask)]
    else:  # log files are read once
        seen = _read(file, source, asked[0][0], lambda tables: [each for _, ask in asked for each in ask(tables)])
    places = {rule.name: place for place, rule in enumerate(file.rules)}
    return sorted(seen, key=lambda each: places[each.key.rule])


def _moments(rule: Rule, after: datetime, until: datetime, now: datetime | None) -> tuple[int, int] | None:
    if rule.kind == "behind":
        return None if now is None else (int(now.timestamp()), int(now.timestamp()))
    return moments_of(rule, after, until)


def _read(file: AlertFile, source: Source, since: datetime, see: Callable[[Tables], list[T]]) -> list[T]:
    for tried in range(1, TRIES + 1):
        try:
            with source.open(file, since) as tables:
                seen = see(tables)
                for path, why in tables.left_out.items():
                    _log.warning(str(path), "%s cannot be read (%s): alerts do not see its rows", path, why)
                return seen
        except duckdb.Error as exc:
            # a file was made into another meanwhile, or is no Parquet any more
            if tried == TRIES or not isinstance(exc, duckdb.IOException):
                raise SourceError(f"cannot read {source}: {str(exc).splitlines()[0]}") from exc
    raise AssertionError


def _seen(
    tables: Tables,
    rule: Rule,
    options: Options,
    moments: tuple[int, int],
    failed: Failed | None,
) -> list[Observation]:
    try:
        return observe(tables, rule, options, moments)
    except duckdb.IOException:
        raise
    except Exception as exc:  # of somebody's SQL, or a file that is no Parquet any more
        if failed is None:
            raise
        failed(rule, exc)
        return []
