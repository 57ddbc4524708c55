"""Experiments, and any two values of something, compared: as `otel-feedback compare` says it, and how that came about.

    GET /api/experiments ──Slowly──► the store's files, a connection of their own ──► each experiment: variants, as drawn?
    GET /api/compare     ──Slowly──►                                             ──► compare ──► numbers, words; points

Apart from the mirror, which has neither variants nor metadata; so live views wait for none of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Generator, Hashable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import anyio
import msgspec
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from otel_feedback.downstream.learning.compare import words
from otel_feedback.downstream.learning.compare.balance import assignment
from otel_feedback.downstream.learning.compare.comparing import Comparison, MetricOf, OfAction, compare
from otel_feedback.downstream.learning.compare.counting import choose
from otel_feedback.downstream.learning.compare.lines import HEAD, lines
from otel_feedback.downstream.learning.compare.picture import drawn
from otel_feedback.downstream.learning.compare.question import BY, Question
from otel_feedback.downstream.tables.selection import Selection
from otel_feedback.downstream.tables.stored import open_store
from otel_feedback.downstream.tables.tables import Tables, quoted
from otel_feedback.downstream.ui.asking import Asked, RefusedError, asked_of, choice_of
from otel_feedback.downstream.ui.learning.slowly import Slowly
from otel_feedback.downstream.ui.reader import Reader
from otel_feedback.downstream.ui.rows import milliseconds
from otel_feedback.logger import number_of

__all__ = ["NAMES", "Compared", "compared", "listed", "question_of", "table"]

NAMES = ("experiment", "compare", "value", "baseline")
"""What a query string says of a comparison: an experiment, or what is compared, and two values of it."""
MOST_LISTED = 50
MOST_DRAWN, MOST_LINES = 3, 8
"""Types of actions, and variants, that are drawn; all are told in words."""
MEMORY = "1GB"
_METADATA = "metadata."
_POINT = ("actions", "units", "estimate", "low", "high")

Told = dict[str, Any]
Asks = Callable[[Request, Callable[[Reader], Any], anyio.CapacityLimiter], Awaitable[Any]]


class Compared:
    """The endpoints.

    Args:
        work: Does work with what the asker may see, on a thread.
    """

    def __init__(self, work: Asks) -> None:
        self._work = work
        self._list = Slowly()
        self._comparisons = Slowly()

    def by_name(self) -> dict[str, Callable[[Request], Any]]:
        """Return them by their addresses."""
        return {"experiments": self.experiments, "compare": self.compare}

    async def experiments(self, request: Request) -> Response:
        asked = asked_of(request.query_params.multi_items())
        return await self._answer(self._list, request, lambda reader: listed(reader, asked))

    async def compare(self, request: Request) -> Response:
        given = request.query_params
        asked, question = asked_of(given.multi_items(), others=NAMES), question_of(given)
        return await self._answer(self._comparisons, request, lambda reader: compared(reader, asked, question))

    async def _answer(self, kind: Slowly, request: Request, work: Callable[[Reader], Told]) -> Response:
        key: Hashable = (request.scope["tenant"], tuple(sorted(request.query_params.multi_items())))

        async def made(limiter: anyio.CapacityLimiter) -> bytes:
            return msgspec.json.encode(await self._work(request, work, limiter))

        return await kind.answer(request, key, made)


def table(reader: Reader, asked: Asked, given: QueryParams) -> Iterator[Sequence[Any]]:
    """Yield the head of a file and its rows: of a comparison, or of the list where none is named."""
    if any(name in given for name in NAMES):
        question = question_of(given)
        with _opened(reader, asked) as tables:
            rows = list(lines(compare(tables, question, asked.selection)))
        yield HEAD
        yield rows
        return
    told = listed(reader, asked)["experiments"]
    yield ("experiment", *_Variant._fields)
    yield [(one["name"], *variant.values()) for one in told for variant in one["variants"]]


def question_of(given: QueryParams) -> Question:
    """Return what is compared.

    Raises:
        RefusedError: It cannot be.
    """
    name, by, values, baseline = (
        given.get("experiment"),
        given.get("compare"),
        given.getlist("value"),
        given.get("baseline"),
    )
    if name is not None and by is None:
        return Question(experiment=name, baseline=baseline)
    if by is None or name is not None:
        raise RefusedError(400, "what is compared is not said", "name experiment=…, or compare=model&value=…&value=…")
    is_key = by.startswith(_METADATA) and len(by) > len(_METADATA) and '"' not in by
    if not is_key:
        choice_of(given, "compare", (*BY, "tag", f"{_METADATA}KEY"), "agent")
    if len(values) != 2 or values[0] == values[1]:
        raise RefusedError(
            400, f"{number_of(len(set(values)), 'value')} of {by}", "name two that differ: value=…&value=…"
        )
    if baseline is not None and baseline not in values:
        raise RefusedError(400, f"baseline={baseline[:80]!r}", "name one of the two values")
    return Question(by=by, values=tuple(values), baseline=baseline)


@contextlib.contextmanager
def _opened(reader: Reader, asked: Asked) -> Generator[Tables, None, None]:
    """Give the store's events of a time that an asker may see, with half of this machine's strength at most."""
    with open_store(reader.mirror.folder.path, asked.since) as tables, reader.mirror.running(tables.connection):
        tables.connection.execute("SET threads = 1")
        tables.connection.execute(f"SET memory_limit = '{MEMORY}'")
        if reader.tenant is not None:
            tables.choose(f"tenant_id = {quoted(reader.tenant)}")
        yield tables


# -- the list ------------------------------------------------------------------------------------------------------


class _Variant(NamedTuple):
    """`drawn` is the share that it is to have, `counted` how many were, of what was drawn for."""

    variant: str
    drawn: float | None
    counted: int
    actions: int
    units: int


def listed(reader: Reader, asked: Asked) -> Told:
    """Return the experiments of a time, the newest first."""
    nothing = {"experiments": list[Told](), "is_all": True}
    if not reader.mirror.manifest.files:
        return nothing
    selection = asked.selection
    times = Selection(selection.since, selection.until).condition()
    with _opened(reader, asked) as tables:
        columns = Question(experiment="").columns | selection.columns
        tables.choose(f"experiment IS NOT NULL AND {times}", columns)
        tables.connection.execute("CREATE TABLE of_experiments AS FROM outcomes")
        names = tables.query(
            "SELECT experiment FROM of_experiments GROUP BY experiment ORDER BY max(event_time) DESC, experiment"
            f" LIMIT {MOST_LISTED + 1}"
        )
        found = [_one(tables, name, selection) for (name,) in names[:MOST_LISTED]]
    return {"experiments": [one for one in found if one is not None], "is_all": len(names) <= MOST_LISTED}


def _one(tables: Tables, name: str, selection: Selection) -> Told | None:
    tables.connection.execute("CREATE OR REPLACE VIEW outcomes AS FROM of_experiments")
    choose(tables, Question(experiment=name), selection)
    rows = tables.query("SELECT grp, count(*), count(DISTINCT unit) FROM seen GROUP BY grp ORDER BY grp")
    is_filtered = bool(selection.values or selection.tags or selection.texts)
    if not rows and is_filtered:
        return None
    [(units, first, last)] = tables.query("SELECT count(DISTINCT unit), min(event_time), max(event_time) FROM seen")
    told = assignment(tables)
    counted = {} if told is None else told.counted
    variants = [
        _Variant(grp, None if told is None else told.expected.get(grp), counted.get(grp, 0), actions, of_units)
        for grp, actions, of_units in rows
    ]
    return {
        "name": name, "variants": [one._asdict() for one in variants], "actions": sum(one.actions for one in variants),
        "units": units, "first": milliseconds(first), "last": milliseconds(last),
        "counted_by": None if told is None else told.counted_by,
        "is_checked": told is not None and told.p_value is not None,
        "is_mismatch": told is not None and told.is_mismatch,
        "weights_changed": told is not None and told.weights_changed,
    }  # fmt: skip


# -- a comparison --------------------------------------------------------------------------------------------------


def compared(reader: Reader, asked: Asked, question: Question) -> Told:
    """Return a comparison, in numbers, words and points."""
    with _opened(reader, asked) as tables:
        found = compare(tables, question, asked.selection)
        picture = drawn(tables, question, found.level)
        left_out = len(tables.left_out)
    remarks = [one._asdict() for one in words.remarks(question, found)]
    if left_out:
        text = f"{number_of(left_out, 'file')} of the store cannot be read: what they have is not counted."
        remarks.append(words.Remark(text, "wrong")._asdict())
    points = {each["action_type"]: each["metrics"] for each in picture["actions"]}
    shown = [each for each in found.actions if len(each.units) > 1]
    return {
        "experiment": question.experiment, "compare": question.by, "values": list(question.values),
        "baseline": found.baseline, "is_drawn": found.is_drawn, "variants": [*found.units], "remarks": remarks,
        "basis": words.basis(found), "alone": words.compared_only(found),
        "actions": [
            _action(each, found, points[each.action_type] if place < MOST_DRAWN else {})
            for place, each in enumerate(shown)
        ],
    }  # fmt: skip


def _action(action: OfAction, found: Comparison, points: Mapping[str, Any]) -> Told:
    variants = sorted(action.units, key=lambda name: (name != found.baseline, -action.units[name]))[:MOST_LINES]
    return {
        "action_type": action.action_type, "units": action.units, "actions": action.actions,
        "remarks": list(words.remarks_on(action, found)),
        "metrics": [
            {
                "metric": metric.metric, "unit": metric.unit, "better": metric.better,
                "rows": _rows(metric, found), "picture": _picture(points[metric.metric], variants) if points else None,
            }
            for metric in action.metrics
        ],
    }  # fmt: skip


def _rows(metric: MetricOf, found: Comparison) -> list[Told]:
    coverage = {one.variant: one.coverage for one in metric.variants}
    return [{**row._asdict(), "coverage": coverage[row.variant]} for row in words.rows(metric, found)]


def _picture(points: Mapping[str, Any], variants: Sequence[str]) -> Told:
    return {
        part: {name: _points(points[part][name]) for name in variants if name in points[part]}
        for part in ("variants", "differences")
    }


def _points(points: Sequence[Mapping[str, Any]]) -> Told:
    """Return points as columns, which is shorter."""
    moments = [milliseconds(datetime.fromisoformat(point["until"].replace("Z", "+00:00"))) for point in points]
    return {"until": moments, **{name: [point[name] for point in points] for name in _POINT}}
