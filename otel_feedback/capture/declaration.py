"""What a caller says of an action before it runs, cleaned once: a decorated function is declared once, called often.

Input: the arguments of `action()`, whatever they are. Output: span name and attributes, limited and without secrets.
Pure, and never raises.
"""

from __future__ import annotations

from typing import Any

from otel_feedback import semconv
from otel_feedback.capture.usage import clean_amount
from otel_feedback.events.model import MetadataValue
from otel_feedback.redaction.limits import Problems, flat_metadata
from otel_feedback.redaction.redaction import Redaction

__all__ = ["Declaration"]

_NOTHING: dict[str, Any] = {}


class Declaration:
    """The arguments of one `action()`.

    `own` are attributes of this action only, `identity` those that actions below inherit; `tags` is None when
    none were given, which means "inherit".
    """

    __slots__ = (
        "_flat", "action_type", "agent", "agent_type", "deadline_ns", "emit_pending", "identity", "metadata", "own",
        "problems", "redaction", "span_name", "tags",
    )  # fmt: skip

    def __init__(self, redaction: Redaction, action_type: object, agent: object, agent_type: object) -> None:
        self.redaction = redaction
        self.problems: Problems | None = None
        self.identity = _NOTHING
        self.tags: tuple[str, ...] | None = None
        self.metadata: dict[str, MetadataValue] = _NOTHING
        self._flat: dict[str, MetadataValue] = _NOTHING
        self.deadline_ns: float | None = None
        self.emit_pending: bool | None = None  # None: as the setting says
        clean, notes = redaction.name, self._notes
        name = self.span_name = self.action_type = clean(action_type, "action_type", notes)
        self.agent = self.agent_type = None
        own: dict[str, Any] = {semconv.OUTCOME_ACTION_TYPE: name}
        if agent is not None:
            known = self.agent = own[semconv.GEN_AI_AGENT_NAME] = clean(agent, "agent_name", notes)
            self.span_name = f"{name} {known}"
        if agent_type is not None:
            self.agent_type = own[semconv.OUTCOME_AGENT_TYPE] = clean(agent_type, "agent_type", notes)
        self.own = own

    def identify(self, attribute: str, field: str, value: object) -> None:
        """Add an identifier that actions below inherit; an empty one is none."""
        if value != "":
            if self.identity is _NOTHING:
                self.identity = {}
            self.identity[attribute] = self.redaction.name(value, field, self._notes)

    def tag(self, tags: object) -> None:
        """Set the tags."""
        self.tags = self.redaction.tags(tags, self._notes)

    def describe(self, metadata: object) -> None:
        """Set the metadata."""
        self._keep(flat_metadata(metadata, self._notes))

    def _keep(self, flat: dict[str, MetadataValue]) -> None:
        self._flat = flat
        self.metadata = self.redaction.metadata(flat, self._notes)
        for key, value in self.metadata.items():
            self.own[semconv.OUTCOME_METADATA_PREFIX + key] = value

    def limit(self, timeout_s: object) -> None:
        """Set the deadline."""
        limit_s = clean_amount(timeout_s, "timeout_s", self._notes())
        self.deadline_ns = None if limit_s is None else limit_s * 1e9

    def under(self, redaction: Redaction) -> Declaration:
        """Return the same under other rules: a function may be decorated before `configure()` says which metadata stays."""
        other = Declaration(redaction, self.action_type, self.agent, self.agent_type)
        other.identity, other.tags, other.deadline_ns, other.emit_pending = (
            self.identity, self.tags, self.deadline_ns, self.emit_pending,
        )  # fmt: skip
        if self.problems is not None:
            other.problems = self.problems.copy()
            other.problems.redacted = [field for field in other.problems.redacted if not field.startswith("metadata.")]
        if self._flat:
            other._keep(self._flat)
        return other

    def _notes(self) -> Problems:
        if self.problems is None:
            self.problems = Problems()
        return self.problems
