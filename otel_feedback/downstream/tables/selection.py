"""Which events: a time and filters, as a condition of SQL and as a test of one event, which agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import NamedTuple

import msgspec

from otel_feedback.events.model import OutcomeEvent, OutcomeStatus

__all__ = ["SAID", "WORDS", "Selection", "literal"]

TEXTS = ("agent_name", "action_type", "tool_name", "error_type", "error_message", "model")
"""Where `--text` looks, beside tags and metadata."""
WORDS = "lower(concat_ws(chr(31), agent_name, action_type, model))"
SAID = (
    "lower(concat_ws(chr(31), tool_name, error_type, error_message, array_to_string(tags, chr(31)), metadata::VARCHAR))"
)
"""With WORDS all of it, in small letters, of `outcomes`; apart, since of the one many events have the same."""


class Selection(NamedTuple):
    """What an event has to be like: all of it."""

    since: datetime | None = None
    until: datetime | None = None
    values: Mapping[str, Sequence[str | None]] = {}  # by column: one of these; None: it has none
    tags: Sequence[str] = ()
    texts: Sequence[str] = ()

    @property
    def columns(self) -> set[str]:
        """The columns that the condition names."""
        texts = {*TEXTS, "tags", "metadata"} if self.texts else set[str]()
        return {*self.values, *texts, *({"tags"} if self.tags else ())}

    def condition(self, words: str = WORDS, said: str = SAID) -> str:
        """Return it as SQL.

        Args:
            words: What has WORDS.
            said: What has SAID.
        """
        parts = [f"event_time >= {literal(self.since)}"] if self.since else []
        parts += [f"event_time < {literal(self.until)}"] if self.until else []
        for column, wanted in self.values.items():
            named = ", ".join(literal(value) for value in wanted if value is not None)
            either = [f"{column} IN ({named})"] if named else []
            either += [f"{column} IS NULL"] if None in wanted else []
            parts.append(f"({' OR '.join(either)})")
        parts += [f"list_contains(tags, {literal(tag)})" for tag in self.tags]
        for text in self.texts:
            wanted = f"lower({literal(text)})"
            parts.append(f"(contains({words}, {wanted}) OR contains({said}, {wanted}))")
        return " AND ".join(parts) or "true"

    def matches(self, event: OutcomeEvent) -> bool:
        """Tell whether an event is like that."""
        at = event.end_time or event.timestamp
        if (self.since and at < self.since) or (self.until and at >= self.until):
            return False
        if any(getattr(event, column) not in wanted for column, wanted in self.values.items()):
            return False
        if not set(self.tags) <= set(event.tags):
            return False
        if self.texts:
            said = [getattr(event, name) for name in TEXTS]
            metadata = msgspec.json.encode(event.metadata).decode() if event.metadata else None
            fields = [each.lower() for each in (*said, *event.tags, metadata) if each is not None]
            return all(any(text.lower() in field for field in fields) for text in self.texts)
        return True

    def before(self) -> Selection | None:
        """Return the same of a period as long, right before this one; None where this one has no beginning."""
        if self.since is None:
            return None
        end = self.until or datetime.now(timezone.utc)
        return self._replace(since=self.since - (end - self.since), until=self.since)


def literal(value: str | datetime | None) -> str:
    """Return a value as SQL has it."""
    if value is None:
        return "NULL"
    if isinstance(value, OutcomeStatus):
        value = value.value
    if isinstance(value, datetime):
        return f"TIMESTAMPTZ '{value.astimezone(timezone.utc).isoformat()}'"
    escaped = value.replace("'", "''")
    return f"'{escaped}'"
