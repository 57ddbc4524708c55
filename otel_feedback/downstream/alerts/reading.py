"""`alerts.toml` from text to rules; what is wrong with it, all at once: line, field, value, and what would be right.

Input: TOML. Output: an `AlertFile`, or a `RulesError` with every mistake. Nothing of a channel's URL is in a message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from otel_feedback.downstream.alerts.fitting import misfits, of_settings
from otel_feedback.downstream.alerts.places import Place, places_of
from otel_feedback.downstream.alerts.rules import DEFAULTS, KINDS, AlertFile, Channel, Duration, Options, Rule, Share
from otel_feedback.errors import FeedbackError

__all__ = ["Problem", "RulesError", "parse", "read", "seconds_of"]

T = TypeVar("T", Options, Channel, Rule)

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_NAME = re.compile(r"[\w.\-]{1,64}")
_RIGHT = {
    "above": "a number", "below": "a number", "rise": "a number above 1, such as 3", "min_count": "a whole number",
    "severity": 'one of "warning", "critical"', "by": 'some of ["tenant", "agent", "action"]', "by_chance": "true or false",
    "sql": "a text of SQL", "link": "a text with {run_id}", "at_most": "a whole number of at least 1",
    "flap_count": "a whole number of at least 2",
}  # fmt: skip
_PATTERNS = frozenset({"tenant", "agent", "action", "service", "reason", "agents", "channels"})
_TABLES: Mapping[str, type[msgspec.Struct]] = {"settings": Options, "channel": Channel, "rule": Rule}


class Problem(NamedTuple):
    """One mistake: where, what it is, and what to do."""

    line: int | None
    field: str
    found: str
    remedy: str

    def __str__(self) -> str:
        where = "" if self.line is None else f"line {self.line}: "
        return f"{where}{self.field}: {self.found}; {self.remedy}"


class RulesError(FeedbackError, ValueError):
    """A file of alerts has mistakes: `problems` has them all."""

    def __init__(self, path: str, problems: list[Problem]) -> None:
        self.path = path
        self.problems = problems
        super().__init__("\n".join(f"{path}: {problem}" for problem in problems))


def read(path: Path | None) -> AlertFile:
    """Return what a file says; None: the defaults.

    Raises:
        RulesError: It has mistakes, or is not there.
    """
    chosen = DEFAULTS if path is None else path
    try:
        text = chosen.read_bytes().decode("utf-8")
    except OSError as exc:
        found = exc.strerror or str(exc)
        raise RulesError(str(path), [Problem(None, "file", found, "name one that can be read")]) from exc
    except UnicodeDecodeError as exc:
        raise RulesError(str(path), [Problem(None, "file", "is not UTF-8", "save it as UTF-8")]) from exc
    return parse(text, str(chosen))


def parse(text: str, path: str = "alerts.toml") -> AlertFile:
    """Return what a text says.

    Raises:
        RulesError: It has mistakes.
    """
    try:
        tables = msgspec.toml.decode(text.encode())
    except msgspec.DecodeError as exc:
        told = re.search(r"\(at line (\d+), column (\d+)\)", str(exc))
        line, found = (int(told[1]), str(exc)[: told.start()].strip()) if told else (None, str(exc))
        raise RulesError(path, [Problem(line, "TOML", found, "correct the line")]) from exc
    reading = _Reading(places_of(text))
    settings = reading.one("settings", tables.get("settings", {}), Options)
    channels = reading.several("channel", tables.get("channel", []), Channel)
    rules = reading.several("rule", tables.get("rule", []), Rule)
    for name in tables.keys() - _TABLES.keys():
        reading.unknown("", 0, name, _TABLES)
    reading.check_names(channels, rules)
    if reading.problems:
        raise RulesError(path, sorted(reading.problems, key=lambda problem: problem.line or 0))
    assert settings is not None
    return AlertFile(
        settings,
        tuple(made for made in channels if made is not None),
        tuple(made for made in rules if made is not None),
    )


class _Reading:
    """Reads tables, and notes what is wrong with them."""

    def __init__(self, places: Mapping[Place, int]) -> None:
        self._places = places
        self.problems: list[Problem] = []

    def one(self, table: str, told: Any, kind: type[T], number: int = 0) -> T | None:
        """Return what a table says, as far as nothing is wrong with it."""
        if not isinstance(told, dict):
            self._note(table, number, "", f"{_said(told)} is no table", f"write [{table}], and its fields below it")
            return None
        before = len(self.problems)
        given = self._with_defaults(number, told) if kind is Rule else told
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        values: dict[str, Any] = {}
        for name, value in given.items():
            field = fields.get(name)
            if field is None:
                self.unknown(table, number, name, fields)
                continue
            alone = _PATTERNS if kind is Rule else frozenset[str]()
            if name in alone and isinstance(value, str):
                value = [value]  # noqa: PLW2901  # one pattern is as a list of one
            try:
                values[field.name] = msgspec.convert(value, field.type, dec_hook=_decode)
            except msgspec.ValidationError:
                self._note(table, number, name, _hidden(name, value), _right(name, field.type))
        for field in fields.values():
            if field.required and field.encode_name not in given:
                self._note(table, number, field.encode_name, "is missing", f"add {field.encode_name} = …")
        if kind is Rule and len(self.problems) == before:
            self._check_rule(number, values, told)
        if kind is Channel and len(self.problems) == before:
            self._check_channel(number, values)
        if kind is Options and len(self.problems) == before:
            self._at_least(table, number, values, {"every": 1, "recent": 60, "flap_count": 2})
            for misfit in of_settings(Options(**values)):
                self._note(table, number, *misfit)
        return kind(**values) if len(self.problems) == before else None

    def several(self, table: str, told: Any, kind: type[T]) -> list[T | None]:
        """Return what the tables of a name say."""
        if not isinstance(told, list):
            self._note(table, 0, "", "is one table", f"write [[{table}]], with two brackets")
            return []
        return [self.one(table, each, kind, number) for number, each in enumerate(told)]

    def unknown(self, table: str, number: int, name: str, known: Iterable[str]) -> None:
        """Note a field, or a table, that there is not."""
        near = get_close_matches(name, list(known), 1, 0.6)
        remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        place = (table, number, name) if table else (name, 0, "")
        self._note(*place, "there is no such field" if table else "there is no such table", remedy)

    def check_names(self, channels: list[Channel | None], rules: list[Rule | None]) -> None:
        """Note names that two have, and channels of rules that there are not."""
        for table, made in (("channel", channels), ("rule", rules)):
            seen: set[str] = set()
            for number, each in enumerate(made):
                if each is None:
                    continue
                if not _NAME.fullmatch(each.name):
                    self._note(table, number, "name", _said(each.name), "use letters, digits and . - _, at most 64")
                if each.name in seen:
                    self._note(table, number, "name", f"{each.name!r} is there already", "give it another name")
                seen.add(each.name)
        names = {channel.name for channel in channels if channel is not None}
        for number, rule in enumerate(rules):
            unknown = set(rule.channels) - names - {"*"} if rule is not None and None not in channels else set[str]()
            for name in sorted(unknown):
                near = get_close_matches(name, names, 1, 0.6)
                remedy = f"did you mean {near[0]!r}?" if near else f"add a [[channel]] with name = {name!r}"
                self._note("rule", number, "channels", f"there is no channel {name!r}", remedy)

    def _with_defaults(self, number: int, told: dict[str, Any]) -> dict[str, Any]:
        kind = told.get("kind")
        if not isinstance(kind, str) or kind not in KINDS:
            if "kind" in told:
                near = get_close_matches(str(kind), KINDS, 1, 0.6)
                remedy = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(KINDS)}"
                self._note("rule", number, "kind", _said(kind), remedy)
            return told
        conditions = {"above", "below", "rise", "drop"}
        defaults = dict(KINDS[kind].defaults)
        if conditions & told.keys():
            defaults = {name: value for name, value in defaults.items() if name not in conditions}
        return {"by": list(KINDS[kind].parts), **defaults, **told}

    def _check_rule(self, number: int, values: dict[str, Any], told: dict[str, Any]) -> None:
        kind = values["kind"]
        if not {"above", "below", "rise", "drop"} & values.keys():
            self._note("rule", number, "kind", "nothing says when it is too much", "add above, below, rise or drop")
        if kind == "errors" and not 0 <= values.get("above", 0) < 1:
            self._note("rule", number, "above", _said(told["above"]), "use a share from 0 to 1: 10 % are 0.10")
        if kind == "sql" and "sql" not in values:
            self._note("rule", number, "sql", "is missing", 'add sql = """SELECT …"""')
        for misfit in misfits(values, told):
            self._note("rule", number, *misfit)
        if values.get("rise", 2) <= 1:
            self._note("rule", number, "rise", _said(told["rise"]), f"use {_RIGHT['rise']}")
        if values.get("window", 300) > 300 and values["window"] % 300:
            self._note("rule", number, "window", _said(told["window"]), "use at most 5m, or a multiple of it")
        self._at_least("rule", number, values, {"window": 1, "compare": 1, "min_count": 0, "overdue": 1})

    def _check_channel(self, number: int, values: dict[str, Any]) -> None:
        self._at_least("channel", number, values, {"at_most": 1})
        if "://" not in values["url"] and "${" not in values["url"]:
            remedy = 'use one of Apprise, such as "slack://${SLACK_TOKENS}", or "${ALERTS_URL}"'
            self._note("channel", number, "url", "is no URL", remedy)

    def _at_least(self, table: str, number: int, values: Mapping[str, Any], least: Mapping[str, float]) -> None:
        for name, smallest in least.items():
            if values.get(name, smallest) < smallest:
                self._note(table, number, name, "is too little", f"use at least {smallest}")

    def _note(self, table: str, number: int, name: str, found: str, remedy: str) -> None:
        line = self._places.get((table, number, name)) or self._places.get((table, number, ""))
        self.problems.append(Problem(line, f"{table}.{name}" if name and table else table or name, found, remedy))


def seconds_of(text: str) -> float | None:
    """Return how many seconds a text means, such as `90s`, `5m`, `2h` or `7d`; None: it means none."""
    told = _DURATION.fullmatch(text.strip())
    return None if told is None else float(told[1]) * _UNITS[told[2]]


def _decode(kind: type, value: object) -> object:
    if kind is Duration:
        seconds = seconds_of(value) if isinstance(value, str) else None
        if seconds is not None:
            return Duration(seconds)
    elif kind is Share and isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1:
        return Share(value)
    raise ValueError(value)


def _right(name: str, kind: Any) -> str:
    if name in _RIGHT:
        return f"use {_RIGHT[name]}"
    said = str(kind)
    for part, right in (
        ("Duration", "a text such as 90s, 5m, 2h or 7d"),
        ("Share", "a share from 0 to 1"),
        ("tuple", "a list of texts"),
    ):
        if part in said:
            return f"use {right}"
    return "use a text in quotes"


def _hidden(name: str, value: object) -> str:
    return "cannot be used" if name == "url" else _said(value)


def _said(value: object) -> str:
    said: Callable[[object], str] = repr
    return said(value)[:80]
