"""Find gaps: which slices lose more than elsewhere, each once, by the slice that explains it.

    outcomes ──► actions ──► values with enough of them ──► facts ──► cells ──► slices ─┬─► the least likely by chance ──► a gap
                 what ended     the others are left out                 ▲               └─► none: done
                                                                        └── without the actions of that gap ◄──┘

A pair of values is told only where it is worse than what else either of them has; else one value says it. What a gap explains
is taken out, and all is asked again of the rest: so slices within it, around it and beside it are told only where they are
worse without it, too. The queries are files in `sql/`; they leave tables `gap_…` in the connection.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from otel_feedback.downstream.learning.asking import Asks, with_feedback
from otel_feedback.downstream.learning.gaps.chance import FALSE_SHARE, Counted, adjusted, log_p
from otel_feedback.downstream.learning.gaps.gap import METRICS, Example, Gap, Gaps, LeftOut, Metric, Slice, gap_of
from otel_feedback.downstream.tables.tables import columns_of, quoted

__all__ = ["COLUMNS", "LEAST_ACTIONS", "LEAST_RUNS", "MOST_DIMENSIONS", "MOST_VALUES", "find"]

LEAST_ACTIONS, LEAST_RUNS = 50, 20
"""How many actions, of how many runs, a slice has at least."""
MOST_VALUES, MOST_DIMENSIONS = 30, 30
"""How many values of a dimension are looked at, the most frequent ones, and how many dimensions; all own ones are among them."""
MOST_GAPS = 20
"""By metric."""
EXAMPLES = 3
_OWN = ("agent", "action", "tool", "model", "tenant", "variant", "tag")
_WORSE_THAN_EITHER = math.log(0.01)
_NEARLY = 0.9
"""How much two slices have in common, of what either has, to be called the same."""


def _text_of(name: str) -> str:
    return (Path(__file__).parent / "sql" / f"{name}.sql").read_text(encoding="utf-8")


COLUMNS = columns_of(_text_of("actions")) | {"trace_id", "span_id", "root_event_id", "start_time", "error_type"}
"""The columns of events that are asked for: by this, by the export, and by what joins feedback."""

Key = tuple[str, str]  # two words, or one twice


class _Looked(NamedTuple):
    """One look at all slices of a metric."""

    whole: Counted
    slices: Mapping[Key, Counted]


def find(tables: Asks) -> Gaps:
    """Return the gaps among the outcomes, those first that lost most.

    Raises:
        duckdb.Error: They cannot be read.
    """
    _make(tables, "gap_actions", with_feedback(tables, _text_of("actions")))
    ((actions,),) = tables.query("SELECT count(*) FROM gap_actions")
    words, left_out = _chosen(tables, actions)
    if not words:
        return Gaps([], actions, 0, left_out)
    for text in ("DROP TABLE IF EXISTS gap_cells", "DROP TABLE IF EXISTS gap_facts", "DROP TYPE IF EXISTS gap_item"):
        tables.query(text)
    tables.query(f"CREATE TEMP TYPE gap_item AS ENUM ({', '.join(map(quoted, words))})")
    _make(tables, "gap_facts", f"SELECT *, NULL::INTEGER AS explained_by FROM ({_text_of('facts')})")
    factors = {(metric, item): factor or 1.0 for metric, item, factor in tables.query(_text_of("clusters"))}
    gaps: list[Gap] = []
    tests = 0
    for metric in METRICS:
        search = _Search(tables, metric, lambda item, metric=metric: factors.get((metric, item), 1.0))
        gaps += search.gaps()
        tests += search.tests
    gaps.sort(key=lambda gap: -gap.lost)
    return Gaps(gaps, actions, tests, left_out)


def _make(tables: Asks, name: str, text: str, parameters: Sequence[object] = ()) -> None:
    tables.query(f"CREATE OR REPLACE TEMP TABLE {name} AS {text}", parameters)


def _chosen(tables: Asks, actions: int) -> tuple[list[str], list[LeftOut]]:
    """Return the values that are looked at, and of which dimensions not all are; what all actions have is no dimension."""
    rows = tables.query(_text_of("values"), [LEAST_ACTIONS, LEAST_RUNS, MOST_VALUES])
    rows.sort(key=lambda row: row[0] not in _OWN)  # the rest stays in the order of how many actions have it
    chosen = {
        dimension: those if place < MOST_DIMENSIONS else [] for place, (dimension, _, _, those) in enumerate(rows)
    }
    left_out = [
        LeftOut(dimension, values, len(chosen[dimension]))
        for dimension, values, having, _ in rows
        if values > len(chosen[dimension]) and (values > 1 or having < actions)
    ]
    words = [word for those in chosen.values() for word in those]
    return sorted(words, key=lambda word: _rank(_slice(word))), left_out


def _slice(word: str) -> Slice:
    return Slice(*word.split(chr(31), 1))


def _rank(one: Slice) -> tuple[int, str, str]:
    """Order slices: of two that are the same actions the first one is told."""
    own = _OWN.index(one.dimension) if one.dimension in _OWN else len(_OWN)
    return own, one.dimension, one.value


class _Search:
    """The gaps of one metric, one after the other."""

    def __init__(self, tables: Asks, metric: Metric, factor_of: Callable[[str], float]) -> None:
        self._tables = tables
        self._metric: Metric = metric
        self._factor_of = factor_of
        self.tests = 0
        """How many slices were tested at first."""

    def gaps(self) -> list[Gap]:
        _make(self._tables, "gap_cells", _text_of("cells"), [self._metric])
        found: list[Gap] = []
        while len(found) < MOST_GAPS and (gap := self._next(len(found))) is not None:
            found.append(gap)
        return found

    def _next(self, number: int) -> Gap | None:
        looked = self._look([])
        if looked.whole.actions < 2 * LEAST_ACTIONS:
            return None
        keys = [key for key, here in looked.slices.items() if looked.whole.actions - here.actions >= LEAST_ACTIONS]
        self.tests = self.tests or len(keys)
        log_ps = {key: self._log_p(key, looked.slices[key], looked.whole) for key in keys}
        ps = dict(zip(keys, adjusted(list(log_ps.values())), strict=True))
        unlikely = [key for key in keys if ps[key] <= FALSE_SHARE]
        at_most = max((log_ps[key] for key in unlikely), default=-math.inf)
        for key in sorted(unlikely, key=lambda key: (log_ps[key], _order(key))):
            here = looked.slices[key]
            if not self._says_more(key, looked):
                continue
            runs, factor = self._run_by_run(key)
            if runs >= LEAST_RUNS and log_p(self._metric, here, looked.whole, factor) <= at_most:
                return self._told(number, key, here, looked, runs, ps[key])
        return None

    def _look(self, of: Sequence[str]) -> _Looked:
        rows = self._tables.query(_text_of("slices"), [list(of), LEAST_ACTIONS])
        counted = {row[:2]: Counted(*(each or 0 for each in row[2:])) for row in rows}
        return _Looked(counted.pop((None, None), Counted(0, 0, 0, 0, 0, 0)), counted)

    def _log_p(self, key: Key, here: Counted, whole: Counted) -> float:
        if here.mean_loss <= whole.mean_loss:
            return 0.0
        return log_p(self._metric, here, whole, max(1.0, *map(self._factor_of, key)))

    def _says_more(self, key: Key, looked: _Looked) -> bool:
        """Tell whether a pair is worse than what else either value has; one value always says what it says."""
        if key[0] == key[1]:
            return True
        here = looked.slices[key]
        return all(self._log_p(key, here, looked.slices[word, word]) <= _WORSE_THAN_EITHER for word in key)

    def _run_by_run(self, key: Key) -> tuple[int, float]:
        """Return how many runs a slice is of, and as how many times fewer its actions count."""
        ((runs, factor),) = self._tables.query(_text_of("one"), [self._metric, _words(key)])
        return runs, max(1.0, factor or 1.0, *map(self._factor_of, key) if key[0] == key[1] else ())

    def _told(self, number: int, key: Key, here: Counted, looked: _Looked, runs: int, p: float) -> Gap:
        words = _words(key)
        within = self._look(words).slices
        same = [
            other
            for other, part in within.items()
            if other != key
            and not set(words) < set(other)
            and part.actions >= _NEARLY * (here.actions + looked.slices[other].actions - part.actions)
        ]
        same = [other for other in same if len(set(other)) == 1 or not any((each, each) in same for each in other)]
        rest = looked.whole.without(here)
        examples = self._tables.query(_text_of("examples"), [self._metric, words, rest.mean_loss, EXAMPLES])
        gap = gap_of(
            self._metric, number, _slices(key), here, rest, runs, p,
            tuple(_slices(other) for other in sorted(same, key=_order)), tuple(Example(*row) for row in examples),
        )  # fmt: skip
        query = self._tables.query
        query("DELETE FROM gap_cells WHERE list_has_all(items, $1::gap_item[])", [words])
        query(
            "UPDATE gap_facts SET explained_by = $1 WHERE metric = $2 AND list_has_all(items, $3::gap_item[])"
            " AND explained_by IS NULL",
            [number, self._metric, words],
        )
        return gap


def _words(key: Key) -> list[str]:
    return list(dict.fromkeys(key))


def _slices(key: Key) -> tuple[Slice, ...]:
    return tuple(map(_slice, _words(key)))


def _order(key: Key) -> tuple[int, list[tuple[int, str, str]]]:
    return len(_words(key)), [_rank(each) for each in _slices(key)]
