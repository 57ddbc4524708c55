"""What a caller says of an action before it runs, cleaned once: a decorated function is declared once, called often.

Input: the arguments of `action()`, whatever they are. Output: span name and attributes, limited and without secrets.
Pure, and never raises.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import msgspec

from otel_feedback import semconv
from otel_feedback.capture.numbers import clean_amount
from otel_feedback.events.model import MetadataValue
from otel_feedback.redaction.limits import MAX_ITEMS, Problems, flat_metadata
from otel_feedback.redaction.redaction import Redaction

__all__ = ["Declaration"]

MOST_KEPT = 1_000
MOST_KEPT_TAGS = 8  # of one action


class Declaration(msgspec.Struct, eq=False):
    """The arguments of one `action()`.

    `own` are attributes of this action only, `identity` those that actions below inherit; `tags` is None when
    none were given, which means "inherit". What is known to be clean is asked here, one lookup each; the rest is the
    redaction's.
    """

    redaction: Redaction
    action_type: str
    span_name: str = ""
    own: dict[str, Any] = {}  # its type and agent
    problems: Problems | None = None
    identity: dict[str, Any] | None = None
    tags: tuple[str, ...] | None = None
    metadata: dict[str, MetadataValue] | None = None
    agent: str | None = None
    agent_type: str | None = None
    tool_name: str | None = None
    deadline_ns: float | None = None
    emit_pending: bool | None = None  # None: as the setting says
    _flat: dict[str, MetadataValue] | None = None

    @classmethod
    def of(cls, redaction: Redaction, action_type: Any, agent: Any, agent_type: Any) -> Declaration:
        """Declare an action of this type, by this agent. The same one again is a copy."""
        names = (action_type, agent, agent_type)
        try:
            return redaction.declared[names].__copy__()
        except Exception:  # another one, or whatever cannot be looked up
            self = cls(redaction, "")
        self.action_type = self.span_name = redaction.name(action_type, "action_type", self._notes)
        own = self.own
        own[semconv.OUTCOME_ACTION_TYPE] = self.action_type
        if agent is not None:
            self.agent = own[semconv.GEN_AI_AGENT_NAME] = redaction.name(agent, "agent_name", self._notes)
            self.span_name = f"{self.action_type} {self.agent}"
        if agent_type is not None:
            self.agent_type = own[semconv.OUTCOME_AGENT_TYPE] = redaction.name(agent_type, "agent_type", self._notes)
        if self.problems is None and names == (self.action_type, self.agent, self.agent_type):
            if len(redaction.declared) >= MOST_KEPT:  # names that are made up as it goes
                redaction.declared.clear()
            redaction.declared[names] = copy(self)
        return self

    def use_tool(self, name: Any) -> None:
        """Set the tool that is called."""
        self.tool_name = self.redaction.name(name, "tool_name", self._notes)
        self.own = {**self.own, semconv.GEN_AI_TOOL_NAME: self.tool_name}  # not into that of the next one by this name

    def choose(self, candidates: tuple[str, ...], policy: str, propensity: float) -> None:
        """Set what chose its agent: from whom, by which policy, and how probable that was."""
        known = self.redaction.known
        if not known.issuperset(candidates):
            name = self.redaction.name
            candidates = tuple(name(each, "choice_candidates", self._notes) for each in candidates)
        self.own = {
            **self.own, semconv.OUTCOME_CHOICE_CANDIDATES: candidates, semconv.OUTCOME_CHOICE_POLICY: policy,
            semconv.OUTCOME_CHOICE_PROPENSITY: propensity,
        }  # fmt: skip

    def identify(self, attribute: str, field: str, value: Any) -> None:
        """Add an identifier that actions below inherit; an empty one is none."""
        if value.__class__ is not str or value not in self.redaction.known:
            if value == "":
                return
            value = self.redaction.name(value, field, self._notes)
        if self.identity is None:
            self.identity = {attribute: value}
        else:
            self.identity[attribute] = value

    def tag(self, tags: Any) -> None:
        """Set the tags."""
        if tags.__class__ is list and len(tags) <= MAX_ITEMS:
            known = self.redaction.known
            for tag in tags:
                if tag.__class__ is not str or tag not in known:
                    break
            else:
                made = tuple(tags) if len(tags) == 1 else tuple(dict.fromkeys(tags))
                kept = self.redaction.known_tags
                if len(kept) >= MOST_KEPT:  # tags that are made up as it goes
                    kept.clear()
                # the collector looks at a new tuple, and at each dict that has it; not at one that it knows
                self.tags = kept.setdefault(made, made) if len(made) <= MOST_KEPT_TAGS else made
                return
        self.tags = self.redaction.tags(tags, self._notes)

    def describe(self, metadata: Any) -> None:
        """Set the metadata."""
        if metadata.__class__ is dict and len(metadata) <= MAX_ITEMS:
            known, keys = self.redaction.known, self.redaction.known_keys
            for key, value in metadata.items():
                if value.__class__ is not str or value not in known or key.__class__ is not str or key not in keys:
                    break
            else:
                self.metadata = self._flat = metadata.copy()
                return
        self._keep(flat_metadata(metadata, self._notes))

    def _keep(self, flat: dict[str, MetadataValue]) -> None:
        self._flat = flat
        self.metadata = self.redaction.metadata(flat, self._notes)

    def limit(self, timeout_s: object) -> None:
        """Set the deadline."""
        limit_s = clean_amount(timeout_s, "timeout_s", self._notes())
        self.deadline_ns = None if limit_s is None else limit_s * 1e9

    def under(self, redaction: Redaction) -> Declaration:
        """Return the same under other rules: a function may be decorated before `configure()` says which metadata stays."""
        other = Declaration.of(redaction, self.action_type, self.agent, self.agent_type)
        other.identity, other.tags, other.deadline_ns, other.emit_pending = (
            self.identity, self.tags, self.deadline_ns, self.emit_pending,
        )  # fmt: skip
        if self.tool_name is not None:
            other.use_tool(self.tool_name)
        own = self.own
        if semconv.OUTCOME_CHOICE_POLICY in own:
            other.choose(
                own[semconv.OUTCOME_CHOICE_CANDIDATES], own[semconv.OUTCOME_CHOICE_POLICY],
                own[semconv.OUTCOME_CHOICE_PROPENSITY],
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
