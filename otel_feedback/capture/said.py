"""What an agent says of its action while it runs: usage, scores, tags, metadata, and how it ended, by hand.

Input: whatever callers hand in; it is cleaned, limited and freed of secrets here, once. Output: the state that `Action`
turns into its event.
Threads: usage may be added from several threads at once; of the rest the last one to say it wins.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from otel_feedback import semconv
from otel_feedback.capture.ending import Ending, ErrorInfo, describe
from otel_feedback.capture.numbers import MAX_COUNT, clean_amount, clean_count
from otel_feedback.capture.runtime import runtime
from otel_feedback.events.model import SEVERITY_OF, MetadataValue, OutcomeStatus
from otel_feedback.events.usage import Usage
from otel_feedback.logger import get_logger
from otel_feedback.redaction.limits import MAX_ITEMS, MAX_TEXT, Problems, clean_text, flat_metadata
from otel_feedback.redaction.redaction import Redaction

__all__ = ["LATER", "Said", "usage_lock"]

logger = get_logger(__name__)

LATER: Any = None
"""What is there once the action has begun."""


class _Shared:
    """One lock for all actions: it is held for nanoseconds, and a lock per action costs more.

    Re-entrant, since a finaliser may end an action in the middle of another one's end.
    """

    __slots__ = ("usage_lock",)

    def __init__(self) -> None:
        self.usage_lock = threading.RLock()


_shared = _Shared()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.__init__)  # a thread that is not here may have held it


def usage_lock() -> AbstractContextManager[object]:
    """Return the lock under which any action's usage is read and changed."""
    return _shared.usage_lock


class Said(msgspec.Struct, eq=False, weakref=True):
    """The part of an action's handle that its agent talks to."""

    # a struct, since it begins with all its defaults in one step, in C
    redaction: Redaction
    """What everything that is said goes through."""
    _ended: bool = False
    _problems: Problems | None = None
    _usage: Usage | None = None
    _forced: tuple[Ending, ErrorInfo | None, str | None] | None = None
    _quality: float | None = None
    _confidence: float | None = None
    _tags: tuple[str, ...] = ()
    _metadata: dict[str, MetadataValue] = LATER  # never changed, but replaced

    def __repr__(self) -> str:
        """Show none of what was said."""
        return object.__repr__(self)

    def _notes(self) -> Problems:
        problems = self._problems
        if problems is None:
            problems = self._problems = Problems()
        return problems

    def add_usage(
        self,
        *,
        model: str | None = None,
        provider: str | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_input_tokens: int | None = None,
        reasoning_tokens: int | None = None,
        cost: float | None = None,
        llm_latency_ms: float | None = None,
        total_tokens: int | None = None,
    ) -> None:
        """Count one model call of this action; calls add up.

        Args:
            model: The model that answered; the last one given stands.
            provider: Who ran it, for example `"openai"`.
            input_tokens: Tokens read, cached ones included.
            output_tokens: Tokens written, reasoning included.
            cached_input_tokens: Those of the input that came from the provider's cache.
            reasoning_tokens: Those of the output that were reasoning.
            cost: US dollars.
            llm_latency_ms: How long the call took, in milliseconds.
            total_tokens: Read and written together, where nobody says how many of each; else it is not looked at.

        A value that is not a number of at least 0 is left out and named in the event's metadata.
        """
        if self._ended and self._is_over("add_usage"):
            return
        known = self.redaction.known
        with _shared.usage_lock:
            usage = self._usage
            if usage is None:
                usage = self._usage = Usage()
            usage.calls = 1 if usage.calls is None else usage.calls + 1
            if input_tokens is None and output_tokens is None:
                if total_tokens is not None and (total := self._count(total_tokens, "total_tokens")) is not None:
                    usage.total = total + (usage.total or 0)
            else:
                given, gotten = input_tokens, output_tokens
                if type(given) is not int or not 0 <= given <= MAX_COUNT:
                    given = self._count(given, "input_tokens")
                if type(gotten) is not int or not 0 <= gotten <= MAX_COUNT:
                    gotten = self._count(gotten, "output_tokens")
                if given is not None:
                    usage.input = given if usage.input is None else usage.input + given
                if gotten is not None:
                    usage.output = gotten if usage.output is None else usage.output + gotten
            if cached_input_tokens is not None:
                cached = self._count(cached_input_tokens, "cached_input_tokens")
                usage.cached = usage.cached if cached is None else cached + (usage.cached or 0)
            if reasoning_tokens is not None:
                reasoning = self._count(reasoning_tokens, "reasoning_tokens")
                usage.reasoning = usage.reasoning if reasoning is None else reasoning + (usage.reasoning or 0)
            if cost is not None and (usd := self._amount(cost, "cost")) is not None:
                usage.said_cost = usd + (usage.said_cost or 0.0)
            if llm_latency_ms is not None and (took_ms := self._amount(llm_latency_ms, "llm_latency_ms")) is not None:
                usage.latency_ms = took_ms + (usage.latency_ms or 0.0)
            if model is not None:
                is_known = model.__class__ is str and model in known
                usage.model = model if is_known else self.redaction.name(model, "model", self._notes)
            if provider is not None:
                is_known = provider.__class__ is str and provider in known
                usage.provider = provider if is_known else self.redaction.name(provider, "provider", self._notes)

    def _count(self, value: int | None, field: str) -> int | None:
        return None if value is None else clean_count(value, field, self._notes())

    def _amount(self, value: float, field: str, maximum: float = math.inf) -> float | None:
        if value.__class__ is float and 0.0 <= value <= maximum and value != math.inf:
            return value
        return clean_amount(value, field, self._notes(), maximum)

    def score(self, *, quality: float | None = None, confidence: float | None = None) -> None:
        """Say how good the result is and how sure the agent is, each from 0 to 1."""
        if self._ended and self._is_over("score"):
            return
        if quality is not None and (clean := self._amount(quality, "quality_score", 1.0)) is not None:
            self._quality = clean
        if confidence is not None and (clean := self._amount(confidence, "confidence_score", 1.0)) is not None:
            self._confidence = clean

    def tag(self, *tags: str) -> None:
        """Add tags to those it has. Actions that are already open below keep theirs."""
        if not self._is_over("tag"):
            merged = dict.fromkeys((*self._tags, *self.redaction.tags(tags, self._notes)))
            if len(merged) > MAX_ITEMS:
                self._notes().truncated.append("tags")
            self._tags = tuple(merged)[:MAX_ITEMS]

    def set_metadata(self, metadata: Mapping[str, Any] | str | None = None, value: Any = None, /, **more: Any) -> None:
        """Add or replace metadata: a mapping, one key and its value, or keywords."""
        if self._is_over("set_metadata"):
            return
        known = dict(self._metadata)
        for part in ({metadata: value} if isinstance(metadata, str) else metadata, more):
            if part is not None:
                known.update(self.redaction.metadata(flat_metadata(part, self._notes), self._notes))
        if len(known) > MAX_ITEMS:
            self._notes().truncated.append("metadata")
            known = dict(list(known.items())[:MAX_ITEMS])
        self._metadata = known

    def partial(self, reason: str | None = None) -> None:
        """End as PARTIAL: part of the work was done. `reason` goes to the metadata as `status_reason`."""
        self._force(OutcomeStatus.PARTIAL, None, reason)

    def fail(self, error: BaseException | str | None = None) -> None:
        """End as FAILURE, though no exception leaves the block."""
        if isinstance(error, BaseException):
            self._force(OutcomeStatus.FAILURE, self._without_secrets(describe(error, self._notes())), None)
        else:
            said = self.redaction.said
            text = "" if error is None else said(error, "error_message", MAX_TEXT, self._notes())
            self._force(OutcomeStatus.FAILURE, ErrorInfo(semconv.ERROR_TYPE_OTHER, text, None), None)

    def cancel(self, reason: str | None = None) -> None:
        """End as CANCELLED: somebody no longer wants the result."""
        self._force(OutcomeStatus.CANCELLED, None, reason)

    def _force(self, status: OutcomeStatus, error: ErrorInfo | None, reason: str | None) -> None:
        if not self._is_over(status.value):
            self._forced = (Ending(status, SEVERITY_OF[status]), error, self._reason(reason))

    def _reason(self, reason: str | None) -> str | None:
        if reason is None:
            return None
        problems = self._notes()
        text = clean_text(reason, "status_reason", problems, MAX_TEXT)
        return self.redaction.said(text, "metadata.status_reason", MAX_TEXT, problems)

    def _without_secrets(self, error: ErrorInfo) -> ErrorInfo:
        return ErrorInfo(*self.redaction.error(*error, self._notes()))

    def _is_over(self, method: str) -> bool:
        if self._ended and runtime().enabled:
            logger.warning("%s() on an action that has ended changes nothing", method)
        return self._ended
