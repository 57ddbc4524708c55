"""Which attributes of a span say something, by their names: spans of one instrumentation have the same ones again and again.

    names of its attributes ──► Shape ──► the values that conventions read, and the texts in them

So what a span that has ended leaves to be read later is taken out in one go, and the rest of it, content above all, may go.
Not thread-safe, but for what is looked up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import zip_longest
from operator import itemgetter
from typing import Any, Final, NamedTuple

import msgspec

from otel_feedback import semconv
from otel_feedback.convert.conventions.own import FIELDS
from otel_feedback.convert.doubles import IDS
from otel_feedback.convert.evaluations import FIRST_EVALUATED, is_evaluated
from otel_feedback.convert.span import Convention, Reads
from otel_feedback.convert.values import SAYING, unquoted

__all__ = ["LOGFIRE_TYPE", "Left", "Shape", "Shapes", "attributes_of"]

LOGFIRE_TYPE: Final = "logfire.span_type"
MOST: Final = 512
MOST_TEXT: Final = 256
MOST_JSON: Final = 2_048
"""Characters of a JSON text that is written down as it is."""

_LONG: Final = object()
_SEPARATOR: Final = "\n"
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_NUMBERS: Final = frozenset({int, float, bool, type(None)})
_NO_METADATA: Final[Mapping[str, Any]] = {}
_ALWAYS: Final = frozenset({semconv.OUTCOME_ACTION_TYPE, LOGFIRE_TYPE, "mcp.method.name", *IDS, *FIRST_EVALUATED})
_OWN: Final = Reads(values=frozenset(FIELDS), prefixes=(semconv.OUTCOME_METADATA_PREFIX,))


class Left(msgspec.Struct, gc=False):
    """What is to be written down of a span, and what of it may hold a secret.

    `kind`: Of which it is; None of one with our own attributes. `texts` are the caller's to add to.
    """

    kind: str | None
    values: tuple[Any, ...]
    texts: list[str | None]
    metadata: Mapping[str, Any]


class _Plan(NamedTuple):
    """What is to be looked at of values of these types: at which places texts are, and what may be unusual."""

    texts: Callable[[tuple[Any, ...]], tuple[Any, ...]]
    others: tuple[int, ...]


class Shape:
    """What the names of a span's attributes tell.

    `is_marked`: a convention may have something to say of it. `is_own`: its attributes are our own. `is_quick`: what is
    read of it may be taken out and read later. `names` are those of what `left()` returns, and of what only has to be there.
    """

    __slots__ = (
        "_at_json",
        "_at_lists",
        "_at_more",
        "_keys",
        "_kinds",
        "_plans",
        "_take",
        "_tell",
        "_unless",
        "id_name",
        "is_marked",
        "is_mcp",
        "is_own",
        "is_quick",
        "log_type",
        "names",
    )  # fmt: skip

    def __init__(self, names: tuple[str, ...], is_marked: bool, reads: Reads | None, telling: frozenset[str]) -> None:
        self.is_marked = is_marked
        self.is_own = semconv.OUTCOME_ACTION_TYPE in names
        self.is_mcp = "mcp.method.name" in names
        self.log_type = LOGFIRE_TYPE in names
        self.id_name = next((name for name in IDS if name in names), None)
        self._kinds: dict[tuple[Any, ...], str] = {}
        self._plans: dict[tuple[type, ...], _Plan] = {}
        self._tell = _getter([name for name in names if name in telling])
        reads = _OWN if self.is_own else reads
        self.is_quick = (
            is_marked
            and reads is not None
            and not is_evaluated(dict.fromkeys(names))
            and all(name.__class__ is str and _SEPARATOR not in name for name in names)
        )
        if reads is None or not self.is_quick:
            reads = Reads()
        prefixes = (*reads.prefixes, *reads.json_prefixes)
        more = [name for name in names if name.startswith(prefixes)] if prefixes else []
        json = [name for name in names if name in reads.json and name not in more]
        lists = [name for name in names if name in reads.lists and name not in (*more, *json)]
        read = [name for name in names if name in reads.values and name not in (*more, *json, *lists)]
        taken = (*read, *lists, *json, *more)
        shown = [name for name in names if name in reads.shown and name not in taken]
        self.names = _SEPARATOR.join((*taken, *shown))
        self._take = _getter(taken)
        self._at_lists, self._at_json = len(read), len(read) + len(lists)
        self._at_more = self._at_json + len(json)
        self._keys = tuple(
            (name[len(prefix) :], prefix in reads.json_prefixes)
            for name in more
            for prefix in [next(prefix for prefix in prefixes if name.startswith(prefix))]
        )
        self._unless = tuple(
            tuple(name for name in answers if name in names) for content, answers in reads.unless if content in names
        )

    def remember(self, attributes: Mapping[str, Any], name: str, scope: str, kind: str) -> None:
        """Remember of which kind such a span is."""
        decides = (scope, name, *self._tell(attributes))
        if self.is_quick and all(value.__class__ is str and len(value) <= MOST_TEXT for value in decides):
            if len(self._kinds) >= MOST:
                self._kinds.clear()
            self._kinds[decides] = kind

    def has_end(self, attributes: Mapping[str, Any]) -> bool:
        """Tell whether attributes of a model call say how it ended, so that its content is not looked at."""
        for answers in self._unless:
            for name in answers:
                value = attributes[name]
                if value.__class__ is tuple:
                    value = value[0] if len(value) == 1 else None
                if value.__class__ is str and value in SAYING:
                    break
            else:
                return False
        return True

    def left(self, attributes: Mapping[str, Any], name: str, scope: str) -> Left | None:
        """Return what is to be written down of a span that is as one was before.

        None where it is to be read first: it is of a kind that nobody knows yet, how it ended is told by its content, or a
        value is of another kind than is usual.
        """
        if not self.is_quick:
            return None
        kind = None
        if not self.is_own:
            try:
                kind = self._kinds.get((scope, name, *self._tell(attributes)))
            except TypeError:  # a value that is not usual
                return None
            if kind is None or (kind == "llm" and self._unless and not self.has_end(attributes)):
                return None
        values, at = self._take(attributes), self._at_json
        read = values if len(values) == at else values[:at]
        types = tuple(map(type, read))
        plan = self._plans.get(types) or self._plan_of(types)
        texts: list[str | None] = [*plan.texts(read)]
        for place in plan.others:
            if not _add(texts, read[place]):
                return None
        if self._at_lists < at:
            for value in values[self._at_lists : at]:
                if value.__class__ is str and "\\" in value:  # a list in JSON, which may hide what is in it
                    return None
        metadata = _NO_METADATA if len(values) == at else self._metadata_of(values, texts)
        return None if metadata is None else Left(kind, values, texts, metadata)

    def _plan_of(self, types: tuple[type, ...]) -> _Plan:
        if len(self._plans) >= MOST:
            self._plans.clear()
        texts = [place for place, kind in enumerate(types) if kind is str]
        others = [place for place, kind in enumerate(types) if kind not in (str, int)]
        plan = self._plans[types] = _Plan(_getter(texts), tuple(others))
        return plan

    def _metadata_of(self, values: tuple[Any, ...], texts: list[str | None]) -> Mapping[str, Any] | None:
        """Return what may become metadata, or is as little known; add the other texts to these."""
        found: dict[str, Any] = {}
        for given in values[self._at_json : self._at_more]:
            value = _read(given)
            if value.__class__ is dict:
                if not _SCALARS.issuperset(map(type, value.values())) or (found and _hides(found, value)):
                    return None
                found.update(value)
            elif value is _LONG or not _add(texts, value):
                return None
        for given, (key, is_json) in zip(values[self._at_more :], self._keys):  # noqa: B905 - as many
            value = _read(given) if is_json else list(given) if given.__class__ is tuple else given
            if value.__class__ is not str and (is_json or value.__class__ is not list) and not _add([], value):
                return None
            if key in found and _hides(found, (key,)):
                return None
            found[key] = value
        return found


def _read(value: Any) -> Any:
    """Return what a JSON text holds; what is none, as it is."""
    if value.__class__ is not str:
        return value
    return unquoted(value) if len(value) <= MOST_JSON else _LONG


def _add(texts: list[str | None], value: Any) -> bool:
    """Add the texts in a value; False where it is of a kind that is not usual."""
    kind = value.__class__
    if kind is str or value is None:
        texts.append(value)
        return True
    if kind is tuple or kind is list:
        for item in value:
            if item.__class__ is not str:
                return False
        texts += value
        return True
    return kind is int or kind is bool or (kind is float and math.isfinite(value))


def _hides(found: Mapping[str, Any], keys: Collection[str]) -> bool:
    """Tell whether values of these keys would take the place of texts that have to be looked at."""
    return not found.keys().isdisjoint(keys) and not all(
        found[key].__class__ in _NUMBERS for key in keys if key in found
    )


def _getter(keys: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what takes the values of these names, or at these places, out of something."""
    if len(keys) > 1:
        return itemgetter(*keys)
    if keys:
        key = keys[0]
        return lambda given: (given[key],)
    return lambda given: ()


def attributes_of(names: str, values: Sequence[Any], call: tuple[str, str] | None) -> dict[str, Any]:
    """Return the attributes that were written down, and the one that names the call.

    Of those that have no value here it only has to be known that they are there.
    """
    known = names.split(_SEPARATOR) if names else []
    attributes: dict[str, Any] = dict(zip_longest(known, values))
    if call is not None:
        attributes[call[0]] = call[1]
    return attributes


class Shapes:
    """The shapes of one reader.

    Args:
        conventions: Nothing is taken out to be read later unless each says what it reads, in `reads`, and by which
            attributes' values it tells the kind, in `telling`. A user's own does not.
        markers: A span with none of these is passed over.
    """

    def __init__(self, conventions: Sequence[Convention], markers: frozenset[str]) -> None:
        self._markers = markers
        all_reads: list[Reads | None] = [getattr(known, "reads", None) for known in conventions]
        telling: list[frozenset[str] | None] = [getattr(known, "telling", None) for known in conventions]
        is_on = bool(all_reads) and None not in all_reads and None not in telling
        self._reads = _together([one for one in all_reads if one is not None]) if is_on else None
        self._telling = frozenset[str]().union(*(names for names in telling if names is not None))
        reads = [_OWN] if self._reads is None else [_OWN, self._reads]
        self._prefixes = tuple(prefix for one in reads for prefix in (*one.prefixes, *one.json_prefixes))
        self._known = frozenset({*_ALWAYS, *markers, *self._telling}).union(
            *(one.values | one.lists | one.json | one.shown | {content for content, _ in one.unless} for one in reads)
        )
        self._shapes: dict[tuple[str, ...], Shape] = {}  # by all names of a span, and by those that are known

    def of(self, attributes: Mapping[str, Any]) -> Shape:
        """Return the shape of a span with these attributes."""
        names = tuple(attributes)
        return self._shapes.get(names) or self._found(names)

    def _found(self, names: tuple[str, ...]) -> Shape:
        # messages in attributes of their own make ever new names, which few shapes have
        known = tuple(name for name in names if name in self._known or name.startswith(self._prefixes))
        shapes = self._shapes
        shape = shapes.get(known)
        if len(shapes) >= MOST:
            shapes.clear()
        if shape is None:
            shape = Shape(known, not self._markers.isdisjoint(known), self._reads, self._telling)
        shapes[known] = shapes[names] = shape
        return shape


def _together(all_reads: Sequence[Reads]) -> Reads:
    return Reads(
        frozenset[str]().union(*(reads.values for reads in all_reads)),
        frozenset[str]().union(*(reads.lists for reads in all_reads)),
        frozenset[str]().union(*(reads.json for reads in all_reads)),
        tuple(prefix for reads in all_reads for prefix in reads.prefixes),
        tuple(prefix for reads in all_reads for prefix in reads.json_prefixes),
        frozenset[str]().union(*(reads.shown for reads in all_reads)),
        tuple({one: None for reads in all_reads for one in reads.unless}),
    )
