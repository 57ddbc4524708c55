"""`alerts.toml` from text to rules; what is wrong with it, all at once: line, field, value, and what would be right.

Input: TOML. Output: an `AlertFile`, or a `RulesError` with every mistake. Nothing of a channel's URL is in a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from otel_feedback.downstream.alerts.fitting import misfits, of_settings
from otel_feedback.downstream.alerts.rules import DEFAULTS, KINDS, AlertFile, Channel, Options, Rule
from otel_feedback.downstream.declared.reading import FileError, Reading, said, tables_of, text_of

__all__ = ["RulesError", "parse", "read"]

_URL = 'one of Apprise, such as "slack://${SLACK_TOKENS}", or "${ALERTS_URL}"'
_TABLES: Mapping[str, type[msgspec.Struct]] = {"settings": Options, "channel": Channel, "rule": Rule}


class RulesError(FileError):
    """A file of alerts has mistakes: `problems` has them all."""


def read(path: Path | None) -> AlertFile:
    """Return what a file says; None: the defaults.

    Raises:
        RulesError: It has mistakes, or is not there.
    """
    chosen = DEFAULTS if path is None else path
    return parse(text_of(chosen, RulesError), str(chosen))


def parse(text: str, path: str = "alerts.toml") -> AlertFile:
    """Return what a text says.

    Raises:
        RulesError: It has mistakes.
    """
    tables = tables_of(text, path, RulesError)
    reading = _Reading(text)
    settings = reading.one("settings", tables.get("settings", {}), Options)
    channels = reading.several("channel", tables.get("channel", []), Channel)
    rules = reading.several("rule", tables.get("rule", []), Rule)
    for name in tables.keys() - _TABLES.keys():
        reading.unknown("", 0, name, _TABLES)
    reading.check_names("channel", (each and each.name for each in channels))
    reading.check_names("rule", (each and each.name for each in rules))
    reading.check_channels(channels, rules)
    if reading.problems:
        raise RulesError(path, sorted(reading.problems, key=lambda problem: problem.line or 0))
    assert settings is not None
    return AlertFile(
        settings,
        tuple(made for made in channels if made is not None),
        tuple(made for made in rules if made is not None),
    )


class _Reading(Reading):
    """Reads the tables of a file of alerts."""

    right: ClassVar[Mapping[str, str]] = {
        "above": "a number", "below": "a number", "rise": "a number above 1, such as 3", "min_count": "a whole number",
        "severity": 'one of "warning", "critical"', "by": 'some of ["tenant", "agent", "action"]', "by_chance": "true or false",
        "sql": "a text of SQL", "link": "a text with {run_id}", "at_most": "a whole number of at least 1",
        "flap_count": "a whole number of at least 2", "kind": f"one of {', '.join(KINDS)}", "url": _URL,
    }  # fmt: skip
    lists = frozenset({"tenant", "agent", "action", "service", "reason", "agents", "channels"})
    secrets = frozenset({"url"})

    def completed(self, kind: type[msgspec.Struct], number: int, told: dict[str, Any]) -> dict[str, Any]:
        """Return a rule with the defaults of its kind."""
        return self._with_defaults(number, told) if kind is Rule else told

    def check(self, kind: type[msgspec.Struct], number: int, values: dict[str, Any], told: dict[str, Any]) -> None:
        """Note what is wrong beside types."""
        if kind is Rule:
            self._check_rule(number, values, told)
        elif kind is Channel:
            self._check_channel(number, values)
        else:
            self.at_least("settings", number, values, {"every": 1, "recent": 60, "flap_count": 2})
            for misfit in of_settings(Options(**values)):
                self.note("settings", number, *misfit)

    def check_channels(self, channels: list[Channel | None], rules: list[Rule | None]) -> None:
        """Note channels of rules that there are not."""
        names = {channel.name for channel in channels if channel is not None}
        for number, rule in enumerate(rules):
            unknown = set(rule.channels) - names - {"*"} if rule is not None and None not in channels else set[str]()
            for name in sorted(unknown):
                near = get_close_matches(name, names, 1, 0.6)
                remedy = f"did you mean {near[0]!r}?" if near else f"add a [[channel]] with name = {name!r}"
                self.note("rule", number, "channels", f"there is no channel {name!r}", remedy)

    def _with_defaults(self, number: int, told: dict[str, Any]) -> dict[str, Any]:
        kind = told.get("kind")
        if not isinstance(kind, str) or kind not in KINDS:
            if "kind" in told:
                near = get_close_matches(str(kind), KINDS, 1, 0.6)
                remedy = f"did you mean {near[0]!r}?" if near else f"use {self.right['kind']}"
                self.note("rule", number, "kind", said(kind), remedy)
            return told
        conditions = {"above", "below", "rise", "drop"}
        defaults = dict(KINDS[kind].defaults)
        if conditions & told.keys():
            defaults = {name: value for name, value in defaults.items() if name not in conditions}
        return {"by": list(KINDS[kind].parts), **defaults, **told}

    def _check_rule(self, number: int, values: dict[str, Any], told: dict[str, Any]) -> None:
        kind = values["kind"]
        if not {"above", "below", "rise", "drop"} & values.keys():
            self.note("rule", number, "kind", "nothing says when it is too much", "add above, below, rise or drop")
        if kind == "errors" and not 0 <= values.get("above", 0) < 1:
            self.note("rule", number, "above", said(told["above"]), "use a share from 0 to 1: 10 % are 0.10")
        if kind == "sql" and "sql" not in values:
            self.note("rule", number, "sql", "is missing", 'add sql = """SELECT …"""')
        for misfit in misfits(values, told):
            self.note("rule", number, *misfit)
        if values.get("rise", 2) <= 1:
            self.note("rule", number, "rise", said(told["rise"]), f"use {self.right['rise']}")
        if values.get("window", 300) > 300 and values["window"] % 300:
            self.note("rule", number, "window", said(told["window"]), "use at most 5m, or a multiple of it")
        self.at_least("rule", number, values, {"window": 1, "compare": 1, "min_count": 0, "overdue": 1})

    def _check_channel(self, number: int, values: dict[str, Any]) -> None:
        self.at_least("channel", number, values, {"at_most": 1})
        if "://" not in values["url"] and "${" not in values["url"]:
            self.note("channel", number, "url", "is no URL", f"use {_URL}")
