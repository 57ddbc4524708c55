"""On which line of a TOML file a key stands: what its parser does not tell."""

from __future__ import annotations

import re

__all__ = ["places_of"]

_TABLE = re.compile(r"\s*(\[\[?)\s*([\w.\-\"']+)\s*\]")
_KEY = re.compile(r"\s*[\"']?([\w\-]+)[\"']?\s*=(.*)")
_LONG = ('"""', "'''")

Place = tuple[str, int, str]


def places_of(text: str) -> dict[Place, int]:
    """Return the line, from 1, of each key of each table, and of each table itself.

    Returns:
        By the table's name, its number among those of the name from 0, and the key; the table's own key is empty. Keys
        above the first table are those of the table "".
    """
    places: dict[Place, int] = {}
    seen: dict[str, int] = {}
    table, number, within = "", 0, ""
    for line, content in enumerate(text.splitlines(), 1):
        if within:
            within = "" if content.count(within) % 2 else within
            continue
        header = _TABLE.match(content)
        if header is not None:
            table = header[2].strip("\"'")
            number = seen[table] = seen.get(table, -1) + 1
            places[table, number, ""] = line
            continue
        key = _KEY.match(content)
        if key is not None:
            places.setdefault((table, number, key[1]), line)
            within = next((quotes for quotes in _LONG if key[2].count(quotes) % 2), "")
    return places
