"""Reading of setting values: from the text of an environment variable or a Python value, to the type wanted.

Each reader returns the value or raises ValueError with what would be right; `config` turns that into a
`ConfigError` that names the variable.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from otel_feedback.errors import ConfigError

__all__ = [
    "Reader",
    "a_flag",
    "a_number",
    "a_path",
    "a_provider",
    "a_text",
    "a_topic",
    "addresses",
    "one_of",
    "patterns",
    "price_list",
    "require",
    "some_of",
    "whole",
]

Reader = Callable[[Any], Any]

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,240}|[A-Za-z0-9._-]{1,180}\.\{tenant\}")
_IMPORT_PATH = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")
_HOST = re.compile(r"[^\s:;,/?#@\[\]'\"]+|\[[0-9A-Fa-f:.]+(%\w+)?\]")
"""A host by name or address; of IPv6 in brackets. Whatever may have been meant to part two is in none."""


def require(name: str, value: object, kind: type, expected: str) -> None:
    """Check the type of an argument.

    Raises:
        ConfigError: It is of another.
    """
    if not isinstance(value, kind):
        raise ConfigError(name, value, expected)


def a_flag(value: Any) -> bool:
    """Read true or false."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("true or false")


def whole(minimum: int, maximum: int) -> Reader:
    """Make a reader of whole numbers in a range."""
    expected = f"a whole number from {minimum} to {maximum}"

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise ValueError(expected)
        try:
            number = int(value)
        except ValueError:
            raise ValueError(expected) from None
        if not minimum <= number <= maximum:
            raise ValueError(expected)
        return number

    return read


def a_number(minimum: float, maximum: float) -> Reader:
    """Make a reader of finite numbers in a range."""
    expected = f"a number from {minimum:g} to {maximum:g}"

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ValueError(expected)
        try:
            number = float(value)
        except ValueError:
            raise ValueError(expected) from None
        if not (math.isfinite(number) and minimum <= number <= maximum):
            raise ValueError(expected)
        return number

    return read


def a_text(value: Any) -> str:
    """Read text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("text that is not empty")
    return value.strip()


def a_topic(value: Any) -> str:
    """Read the name of a Kafka topic; those for refused events and for the account have five or six letters more.

    One for each tenant ends with `.{tenant}`, in place of which there is the tenant's name.
    """
    if not (isinstance(value, str) and _TOPIC.fullmatch(value.strip())):
        raise ValueError("the name of a topic, up to 240 of A-Z a-z 0-9 . _ -, or up to 180 and then .{tenant}")
    return value.strip()


def a_path(value: Any) -> str:
    """Read the path of a file or folder."""
    return a_text(os.fspath(value) if isinstance(value, os.PathLike) else value)


def a_provider(value: Any) -> Any:
    """Read `package.module:function`, or take what is not text as it is: what it names, which is looked at when it is used."""
    if isinstance(value, str):
        if not _IMPORT_PATH.fullmatch(value.strip()):
            raise ValueError("package.module:function")
        return value.strip()
    if not (callable(value) or callable(getattr(value, "token", None))):
        raise ValueError("package.module:function, or a function")
    return value


def one_of(*words: str) -> Reader:
    """Make a reader of one of several words, in any case."""

    def read(value: Any) -> str:
        word = value.strip().lower() if isinstance(value, str) else value
        if word not in words:
            raise ValueError("one of " + ", ".join(words))
        return str(word)

    return read


def some_of(*words: str) -> Reader:
    """Make a reader of any of several words, separated by commas, or a list of them; none is all right."""
    expected = "any of " + ", ".join(words) + ", separated by commas"

    def read(value: Any) -> tuple[str, ...]:
        given = value.split(",") if isinstance(value, str) else value
        if not isinstance(given, (list, tuple)):
            raise ValueError(expected)
        chosen: list[str] = []
        for item in given:
            word = item.strip().lower() if isinstance(item, str) else item
            if word == "":
                continue
            if word not in words:
                raise ValueError(expected)
            chosen.append(str(word))
        return tuple(dict.fromkeys(chosen))

    return read


def patterns(value: Any) -> tuple[str, ...]:
    """Read names separated by commas, or a list of them; `*` stands for any text."""
    expected = "names separated by commas, with * for any text"
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, (list, tuple)) or not all(isinstance(name, str) for name in given):
        raise ValueError(expected)
    names: list[str] = [str(name).strip() for name in given]
    # `a;b` as one name would deny nothing, and say nothing
    if not any(names) or (isinstance(value, str) and ";" in value):
        raise ValueError(expected)
    return tuple(dict.fromkeys(name for name in names if name))


def addresses(value: Any) -> tuple[str, ...]:
    """Read `host:port` pairs: separated by commas, or a list of them."""
    expected = "host:port, several separated by commas, IPv6 in brackets"
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, Iterable):
        raise ValueError(expected)
    read: list[str] = []
    for item in value:
        text = item.strip() if isinstance(item, str) else ""
        if not text and isinstance(item, str):
            continue
        host, colon, port = text.rpartition(":")
        if not (colon and _HOST.fullmatch(host) and port.isdecimal() and 0 < int(port) < 65_536):
            raise ValueError(expected)
        read.append(text)
    if not read:
        raise ValueError(expected)
    return tuple(read)


def price_list(value: Any) -> Any:
    """Read prices of models: a table, the path of a JSON file with one, or a function.

    Raises:
        ConfigError: Something in the table cannot be used; it names the model and the field.
    """
    if callable(value) and not isinstance(value, type):
        return value
    if isinstance(value, Mapping):
        return _checked_prices(cast("Mapping[Any, Any]", value), "prices")
    try:
        path = a_path(value)
    except ValueError:
        raise ValueError("the path of a JSON file; as an argument also a table or a function") from None
    try:
        table = json.loads(Path(path).expanduser().read_text("utf-8"))
    except OSError as exc:
        raise ValueError(f"the path of a file that can be read, and not: {exc.strerror}") from None
    except ValueError as exc:
        raise ValueError(f"the path of a JSON file, and not: {exc}") from None
    if not isinstance(table, Mapping):
        raise ValueError("the path of a JSON file with an object in it")
    return _checked_prices(table, path)


_PRICES = ("input", "output", "cached_input", "cache_write")
_HIGHEST_PRICE = 1e9


def _checked_prices(table: Mapping[Any, Any], named: str) -> dict[str, dict[str, float]]:
    read: dict[str, dict[str, float]] = {}
    for model, fields in table.items():
        row = f"{named}[{model!r}]"
        if not isinstance(model, str) or not model.strip():
            raise ConfigError(row, fields, "the name of a model as the key")
        if not isinstance(fields, Mapping) or not {"input", "output"} <= set(fields) <= set(_PRICES):
            expected = (
                "input, output and, where they differ from input, cached_input and cache_write, "
                "each in USD per million tokens"
            )
            raise ConfigError(row, fields, expected)
        read[model] = {}
        for field, price in fields.items():
            number = not isinstance(price, bool) and isinstance(price, (int, float))
            if not (number and 0 <= price <= _HIGHEST_PRICE):
                raise ConfigError(f"{row}[{field!r}]", price, "USD per million tokens, 0 or more")
            read[model][field] = float(price)
    return read
