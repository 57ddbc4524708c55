"""Erasure as a kept rule: whose rows go, and up to when; whatever writes rows obeys it, today and when all is read again.

    {"version": 1, "rules": [{"id": "…", "field": "user_id", "value": "u-17", "until": "2026-03-02T09:30:00Z"}]}

A rule is about events up to its moment, by the time of the event: also those that a journal brings later, or a topic that
is read from its beginning. `until: null` means for good.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Literal

import msgspec

from otel_feedback.downstream.store.folder import StoreError, StoreFolder, replace_file

__all__ = ["Rule", "RuleFile", "add", "load", "matching"]


class Rule(msgspec.Struct, frozen=True):
    """Whose events are erased; `until` None: also those that are still to come."""

    id: str
    field: Literal["tenant_id", "user_id"]
    value: str
    until: datetime | None
    made: datetime


class RuleFile(msgspec.Struct):
    """All rules, in the order in which they were made."""

    version: int = 1
    rules: list[Rule] = msgspec.field(default_factory=list[Rule])


_decode = msgspec.json.Decoder(RuleFile).decode
_encode = msgspec.json.Encoder().encode


def load(folder: StoreFolder) -> list[Rule]:
    """Return the rules.

    Raises:
        StoreError: They cannot be read: then nothing may be written that they might forbid.
        OSError: The disk does not give them.
    """
    try:
        return _decode(folder.erasures.read_bytes()).rules
    except FileNotFoundError:
        return []
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise StoreError(f"{folder.erasures} holds no rules of erasure: {exc}") from exc


def add(
    folder: StoreFolder, field: Literal["tenant_id", "user_id"], value: str, until: datetime | None, now: datetime
) -> Rule:
    """Keep a rule.

    Raises:
        StoreError: Those that are there cannot be read.
        OSError: It cannot be written.
    """
    with folder.changing_rules():
        rule = Rule(secrets.token_hex(8), field, value, until, now)
        replace_file(folder.erasures, _encode(RuleFile(rules=[*load(folder), rule])))
    return rule


def matching(rules: list[Rule]) -> tuple[str, list[object]]:
    """Return an SQL condition for the rows that the rules erase, never NULL, and its parameters."""
    if not rules:
        return "false", []
    parts: list[str] = []
    given: list[object] = []
    for rule in rules:
        part = f"coalesce({rule.field} = ?, false)"
        given.append(rule.value)
        if rule.until is not None:
            part += " AND coalesce(end_time, timestamp) <= CAST(? AS TIMESTAMP WITH TIME ZONE)"
            given.append(rule.until.isoformat())
        parts.append(f"({part})")
    return f"({' OR '.join(parts)})", given
