"""A file of TOML from text to typed values; what is wrong with it, all at once: line, field, value, and what would be right.

Whose file it is derives from `Reading`, and says what is besides right and wrong about its tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import msgspec

from otel_feedback.downstream.declared.places import places_of
from otel_feedback.errors import FeedbackError

__all__ = ["Duration", "FileError", "Problem", "Reading", "Share", "said", "seconds_of", "tables_of", "text_of"]

T = TypeVar("T", bound=msgspec.Struct)

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_NAME = re.compile(r"[\w.\-]{1,64}")


class Duration(float):
    """Seconds; in a file `90s`, `5m`, `2h` or `7d`."""


class Share(float):
    """From 0 to 1."""


class Problem(NamedTuple):
    """One mistake: where, what it is, and what to do."""

    line: int | None
    field: str
    found: str
    remedy: str

    def __str__(self) -> str:
        where = "" if self.line is None else f"line {self.line}: "
        return f"{where}{self.field}: {self.found}; {self.remedy}"


class FileError(FeedbackError, ValueError):
    """A file has mistakes: `problems` has them all."""

    def __init__(self, path: str, problems: list[Problem]) -> None:
        self.path = path
        self.problems = problems
        super().__init__("\n".join(f"{path}: {problem}" for problem in problems))


def text_of(path: Path, error: type[FileError]) -> str:
    """Return what is in a file.

    Raises:
        FileError: It is not there, or no text; as `error`.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as exc:
        found = exc.strerror or str(exc)
        raise error(str(path), [Problem(None, "file", found, "name one that can be read")]) from exc
    except UnicodeDecodeError as exc:
        raise error(str(path), [Problem(None, "file", "is not UTF-8", "save it as UTF-8")]) from exc


def tables_of(text: str, path: str, error: type[FileError]) -> Mapping[str, Any]:
    """Return what a text of TOML says.

    Raises:
        FileError: It is none; as `error`.
    """
    try:
        return msgspec.toml.decode(text.encode())
    except msgspec.DecodeError as exc:
        told = re.search(r"\(at line (\d+), column (\d+)\)", str(exc))
        line, found = (int(told[1]), str(exc)[: told.start()].strip()) if told else (None, str(exc))
        raise error(path, [Problem(line, "TOML", found, "correct the line")]) from exc


class Reading:
    """Reads tables, and notes what is wrong with them in `problems`.

    Args:
        text: Of the file.
    """

    right: ClassVar[Mapping[str, str]] = {}
    """What would be right, by field, where its type does not say it."""
    lists: ClassVar[Collection[str]] = ()
    """Fields of which one value is as a list of one."""
    secrets: ClassVar[Collection[str]] = ()
    """Fields whose value no message shows."""

    def __init__(self, text: str) -> None:
        self._places = places_of(text)
        self.problems: list[Problem] = []

    def completed(self, kind: type[msgspec.Struct], number: int, told: dict[str, Any]) -> dict[str, Any]:
        """Return a table with what it does not say; to be overridden."""
        return told

    def check(self, kind: type[msgspec.Struct], number: int, values: dict[str, Any], told: dict[str, Any]) -> None:
        """Note what is wrong beside types; to be overridden. `values` are by the fields' names in Python."""

    def one(self, table: str, told: Any, kind: type[T], number: int = 0) -> T | None:
        """Return what a table says, as far as nothing is wrong with it."""
        if not isinstance(told, dict):
            self.note(table, number, "", f"{said(told)} is no table", f"write [{table}], and its fields below it")
            return None
        before = len(self.problems)
        given = self.completed(kind, number, told)
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        values: dict[str, Any] = {}
        for name, value in given.items():
            field = fields.get(name)
            if field is None:
                self.unknown(table, number, name, fields)
                continue
            if name in self.lists and isinstance(value, str):
                value = [value]  # noqa: PLW2901
            try:
                values[field.name] = msgspec.convert(value, field.type, dec_hook=_decode)
            except msgspec.ValidationError:
                shown = "cannot be used" if name in self.secrets else said(value)
                self.note(table, number, name, shown, self._right(name, field.type))
        for field in fields.values():
            if field.required and field.encode_name not in given:
                name = field.encode_name
                known = f", {self.right[name]}" if name in self.right else ""
                self.note(table, number, name, "is missing", f"add {name} = …{known}")
        if len(self.problems) == before:
            self.check(kind, number, values, told)
        return kind(**values) if len(self.problems) == before else None

    def several(self, table: str, told: Any, kind: type[T]) -> list[T | None]:
        """Return what the tables of a name say."""
        if not isinstance(told, list):
            self.note(table, 0, "", "is one table", f"write [[{table}]], with two brackets")
            return []
        return [self.one(table, each, kind, number) for number, each in enumerate(told)]

    def unknown(self, table: str, number: int, name: str, known: Iterable[str]) -> None:
        """Note a field, or a table, that there is not."""
        near = get_close_matches(name, list(known), 1, 0.6)
        remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        place = (table, number, name) if table else (name, 0, "")
        self.note(*place, "there is no such field" if table else "there is no such table", remedy)

    def check_names(self, table: str, names: Iterable[str | None]) -> None:
        """Note names that cannot be, or that two have; None: a table that is wrong."""
        seen: set[str] = set()
        for number, name in enumerate(names):
            if name is None:
                continue
            if not _NAME.fullmatch(name):
                self.note(table, number, "name", said(name), "use letters, digits and . - _, at most 64")
            if name in seen:
                self.note(table, number, "name", f"{name!r} is there already", "give it another name")
            seen.add(name)

    def at_least(self, table: str, number: int, values: Mapping[str, Any], least: Mapping[str, float]) -> None:
        """Note what is too little."""
        for name, smallest in least.items():
            if values.get(name, smallest) < smallest:
                self.note(table, number, name, "is too little", f"use at least {smallest}")

    def note(self, table: str, number: int, name: str, found: str, remedy: str) -> None:
        """Note a mistake; an empty `name` means the table."""
        line = self._places.get((table, number, name)) or self._places.get((table, number, ""))
        self.problems.append(Problem(line, f"{table}.{name}" if name and table else table or name, found, remedy))

    def _right(self, name: str, kind: Any) -> str:
        if name in self.right:
            return f"use {self.right[name]}"
        for part, right in (
            ("Duration", "a text such as 90s, 5m, 2h or 7d"),
            ("Share", "a share from 0 to 1"),
            ("tuple", "a list of texts"),
        ):
            if part in str(kind):
                return f"use {right}"
        return "use a text in quotes"


def seconds_of(text: str) -> float | None:
    """Return how many seconds a text means, such as `90s`, `5m`, `2h` or `7d`; None: it means none."""
    told = _DURATION.fullmatch(text.strip())
    return None if told is None else float(told[1]) * _UNITS[told[2]]


def said(value: object) -> str:
    """Return a value as a message shows it."""
    shown: Callable[[object], str] = repr
    return shown(value)[:80]


def _decode(kind: type, value: object) -> object:
    if kind is Duration:
        seconds = seconds_of(value) if isinstance(value, str) else None
        if seconds is not None:
            return Duration(seconds)
    elif kind is Share and isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1:
        return Share(value)
    raise ValueError(value)
