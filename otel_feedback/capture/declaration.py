"""What a caller says of an action before it runs, cleaned once: a decorated function is declared once, called often.

Input: the arguments of `action()`, whatever they are. Output: span name and attributes. Pure, and never raises.
"""

from __future__ import annotations

from typing import Any

from otel_feedback import semconv
from otel_feedback.capture.usage import clean_amount
from otel_feedback.events.model import MetadataValue
from otel_feedback.redaction.limits import (
    Problems,
    clean_metadata,
    clean_tags,
    clean_text,
    is_plain,
    plain_metadata,
    plain_tags,
)

__all__ = ["Declaration"]

_NOTHING: dict[str, Any] = {}


class Declaration:
    """The arguments of one `action()`.

    `own` are attributes of this action only, `identity` those that actions below inherit; `tags` is None when
    none were given, which means "inherit".
    """

    __slots__ = ("deadline_ns", "emit_pending", "identity", "metadata", "own", "problems", "span_name", "tags")

    def __init__(self, action_type: object, agent: object, agent_type: object) -> None:
        self.problems: Problems | None = None
        self.identity = _NOTHING
        self.tags: tuple[str, ...] | None = None
        self.metadata: dict[str, MetadataValue] = _NOTHING
        self.deadline_ns: float | None = None
        self.emit_pending: bool | None = None  # None: as the setting says
        name = self.span_name = self._text(action_type, "action_type")
        self.own: dict[str, Any] = {semconv.OUTCOME_ACTION_TYPE: name}
        if agent is not None:
            agent_name = self.own[semconv.GEN_AI_AGENT_NAME] = self._text(agent, "agent_name")
            self.span_name = f"{name} {agent_name}"
        if agent_type is not None:
            self.own[semconv.OUTCOME_AGENT_TYPE] = self._text(agent_type, "agent_type")

    def identify(self, attribute: str, field: str, value: object) -> None:
        """Add an identifier that actions below inherit; an empty one is none."""
        if value != "":
            self.identity = {**self.identity, attribute: self._text(value, field)}

    def tag(self, tags: object) -> None:
        """Set the tags."""
        self.tags = plain_tags(tags) or clean_tags(tags, self._notes())

    def describe(self, metadata: object) -> None:
        """Set the metadata."""
        self.metadata = plain_metadata(metadata) or clean_metadata(metadata, self._notes())
        for key, value in self.metadata.items():
            self.own[semconv.OUTCOME_METADATA_PREFIX + key] = value

    def limit(self, timeout_s: object) -> None:
        """Set the deadline."""
        limit_s = clean_amount(timeout_s, "timeout_s", self._notes())
        self.deadline_ns = None if limit_s is None else limit_s * 1e9

    def _notes(self) -> Problems:
        if self.problems is None:
            self.problems = Problems()
        return self.problems

    def _text(self, value: object, field: str) -> str:
        return value if is_plain(value) else clean_text(value, field, self._notes())
