"""What an agent says of its action while it runs: usage, scores, tags, metadata, and how it ended, by hand.

Input: whatever callers hand in; it is cleaned here. Output: the state that `Action` turns into attributes at the end.
Threads: usage may be added from several threads at once; of the rest the last one to say it wins.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from otel_feedback import semconv
from otel_feedback.capture.ending import Ending, ErrorInfo, describe
from otel_feedback.capture.runtime import runtime
from otel_feedback.capture.usage import MAX_COUNT, Usage, clean_amount, clean_count
from otel_feedback.events.model import SEVERITY_OF, MetadataValue, OutcomeStatus
from otel_feedback.redaction.limits import (
    MAX_ITEMS,
    MAX_TEXT,
    Problems,
    clean_metadata,
    clean_tags,
    clean_text,
    is_plain,
)

__all__ = ["Said", "usage_lock"]

logger = logging.getLogger(__name__)


class _Shared:
    """One lock for all actions: it is held for nanoseconds, and a lock per action costs more.

    Re-entrant, since a finaliser may end an action in the middle of another one's end.
    """

    usage_lock = threading.RLock()


def _renew_lock() -> None:
    _Shared.usage_lock = threading.RLock()  # a thread that is not here may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def usage_lock() -> AbstractContextManager[object]:
    """Return the lock under which any action's usage is read and changed."""
    return _Shared.usage_lock


class Said:
    """The part of an action's handle that its agent talks to."""

    __slots__ = (
        "_declared_metadata", "_ended", "_forced", "_metadata", "_problems", "_scores", "_tags", "_usage",
    )  # fmt: skip

    def __init__(self) -> None:
        self._ended = False
        self._problems: Problems | None = None
        self._usage: Usage | None = None
        self._forced: tuple[Ending, ErrorInfo | None, str | None] | None = None
        self._scores: tuple[float | None, float | None] | None = None
        self._tags: tuple[str, ...] = ()
        self._metadata: dict[str, MetadataValue] = {}

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
        # only what was given costs anything
        given: dict[str, Any] = {semconv.OUTCOME_LLM_CALLS: 1}
        if input_tokens is not None:
            given[semconv.GEN_AI_USAGE_INPUT_TOKENS] = self._count(input_tokens, "input_tokens")
        if output_tokens is not None:
            given[semconv.GEN_AI_USAGE_OUTPUT_TOKENS] = self._count(output_tokens, "output_tokens")
        if total_tokens is not None and input_tokens is None and output_tokens is None:
            given[semconv.OUTCOME_OWN_TOKENS] = self._count(total_tokens, "total_tokens")
        if cached_input_tokens is not None:
            given[semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS] = self._count(
                cached_input_tokens, "cached_input_tokens"
            )
        if reasoning_tokens is not None:
            given[semconv.GEN_AI_USAGE_REASONING_TOKENS] = self._count(reasoning_tokens, "reasoning_tokens")
        if cost is not None:
            given[semconv.OUTCOME_OWN_COST] = self._amount(cost, "cost")
        if llm_latency_ms is not None:
            given[semconv.OUTCOME_LLM_LATENCY_MS] = self._amount(llm_latency_ms, "llm_latency_ms")
        model = None if model is None else self._text(model, "model")
        provider = None if provider is None else self._text(provider, "provider")
        with _Shared.usage_lock:
            usage = self._usage
            if usage is None:
                usage = self._usage = Usage()
            usage.add(given)
            if model is not None:
                usage.own[semconv.GEN_AI_REQUEST_MODEL] = model
            if provider is not None:
                usage.own[semconv.GEN_AI_PROVIDER_NAME] = provider

    def _text(self, value: object, field: str) -> str:
        return value if is_plain(value) else clean_text(value, field, self._notes())

    def _count(self, value: int | None, field: str) -> int | None:
        if value is None or (value.__class__ is int and 0 <= value <= MAX_COUNT):
            return value
        return clean_count(value, field, self._notes())

    def _amount(self, value: float | None, field: str, maximum: float = math.inf) -> float | None:
        return None if value is None else clean_amount(value, field, self._notes(), maximum)

    def score(self, *, quality: float | None = None, confidence: float | None = None) -> None:
        """Say how good the result is and how sure the agent is, each from 0 to 1."""
        if self._is_over("score"):
            return
        old_quality, old_confidence = self._scores or (None, None)
        new_quality = self._amount(quality, "quality_score", 1.0)
        new_confidence = self._amount(confidence, "confidence_score", 1.0)
        self._scores = (
            old_quality if new_quality is None else new_quality,
            old_confidence if new_confidence is None else new_confidence,
        )

    def tag(self, *tags: str) -> None:
        """Add tags to those it has. Actions that are already open below keep theirs."""
        if not self._is_over("tag"):
            merged = dict.fromkeys((*self._tags, *clean_tags(tags, self._notes())))
            if len(merged) > MAX_ITEMS:
                self._notes().truncated.append("tags")
            self._tags = tuple(merged)[:MAX_ITEMS]

    def set_metadata(self, metadata: Mapping[str, Any] | str | None = None, value: Any = None, /, **more: Any) -> None:
        """Add or replace metadata: a mapping, one key and its value, or keywords."""
        if self._is_over("set_metadata"):
            return
        notes = self._notes()
        known = dict(self._metadata)
        for part in ({metadata: value} if isinstance(metadata, str) else metadata, more):
            if part is not None:
                known.update(clean_metadata(part, notes))
        if len(known) > MAX_ITEMS:
            notes.truncated.append("metadata")
            known = dict(list(known.items())[:MAX_ITEMS])
        self._metadata = known

    def partial(self, reason: str | None = None) -> None:
        """End as PARTIAL: part of the work was done. `reason` goes to the metadata as `status_reason`."""
        self._force(OutcomeStatus.PARTIAL, None, reason)

    def fail(self, error: BaseException | str | None = None) -> None:
        """End as FAILURE, though no exception leaves the block."""
        if isinstance(error, BaseException):
            self._force(OutcomeStatus.FAILURE, describe(error, self._notes()), None)
        else:
            text = "" if error is None else clean_text(error, "error_message", self._notes(), MAX_TEXT)
            self._force(OutcomeStatus.FAILURE, ErrorInfo(semconv.ERROR_TYPE_OTHER, text, None), None)

    def cancel(self, reason: str | None = None) -> None:
        """End as CANCELLED: somebody no longer wants the result."""
        self._force(OutcomeStatus.CANCELLED, None, reason)

    def _force(self, status: OutcomeStatus, error: ErrorInfo | None, reason: str | None) -> None:
        if not self._is_over(status.value):
            text = None if reason is None else clean_text(reason, "status_reason", self._notes(), MAX_TEXT)
            self._forced = (Ending(status, SEVERITY_OF[status]), error, text)

    def _is_over(self, method: str) -> bool:
        if self._ended and runtime().enabled:
            logger.warning("%s() on an action that has ended changes nothing", method)
        return self._ended
