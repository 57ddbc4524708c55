"""Erasure as a kept rule: whose rows go, and up to when; whatever writes rows obeys it, today and when all is read again.

    {"version": 1, "rules": [{"id": "…", "field": "user_id", "value": "u-17", "until": "2026-03-02T09:30:00Z"}]}

A rule is about events up to its moment, by the time of the event: also those that a journal brings later, or a topic that
is read from its beginning. `until: null` means for good. It is about feedback, too: of that tenant, or by that user, up to then,
and whatever was said of an event that a rule has erased, or of a run with one, whenever it comes.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from otel_feedback.downstream.store.folder import EVENTS, StoreError, StoreFolder, replace_file

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


_OF_FEEDBACK = {"tenant_id": "tenant_id", "user_id": '"by"'}


def matching(rules: Sequence[Rule], table: str = EVENTS) -> tuple[str, list[object]]:
    """Return an SQL condition for the rows that the rules erase by what is in them, never NULL, and its parameters.

    Args:
        rules: Which.
        table: Whose rows: those of events, or of feedback.
    """
    if not rules:
        return "false", []
    parts: list[str] = []
    given: list[object] = []
    for rule in rules:
        part = f"coalesce({rule.field if table == EVENTS else _OF_FEEDBACK[rule.field]} = ?, false)"
        given.append(rule.value)
        if rule.until is not None:
            part += f" AND {'coalesce(end_time, timestamp)' if table == EVENTS else 'timestamp'} <= CAST(? AS TIMESTAMP WITH TIME ZONE)"
            given.append(rule.until.isoformat())
        parts.append(f"({part})")
    return f"({' OR '.join(parts)})", given
