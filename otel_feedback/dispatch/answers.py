"""What an agent's answer says of tokens, cost and quality, without the agent knowing this package.

A mapping's `tokens_used`, `usage`, `cost`, `model`, `provider`, `quality_score` and `confidence` are read; a user's
extractor may return such a mapping for answers of any other shape. The numbers are the agent's own, without those of
actions inside it. What the agent said of its action itself goes before what its answer says.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from otel_feedback.capture.handle import Action
from otel_feedback.logger import get_logger
from otel_feedback.throttle import ThrottledLog

__all__ = ["Extractor", "take_metrics"]

logger = get_logger(__name__)
_log = ThrottledLog(logger)

Extractor = Callable[[Any], "Mapping[str, Any] | None"]
"""Gets the answer; returns a mapping with the names above, or None where it says nothing."""

_SCORES = {"quality_score": "quality", "confidence": "confidence", "confidence_score": "confidence"}
"""Names in an answer, and the arguments of `score()` that they are. Of two names of one its own is believed."""

_SAID = {"tokens_used": "total_tokens", "cost": "cost", "model": "model", "provider": "provider", **_SCORES}
"""All of these; those of the first line are of `add_usage()`."""

_USAGE = {
    "input_tokens": "input_tokens",
    "prompt_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "completion_tokens": "output_tokens",
    "total_tokens": "total_tokens",
    "cached_input_tokens": "cached_input_tokens",
    "cache_read_input_tokens": "cached_input_tokens",
    "reasoning_tokens": "reasoning_tokens",
}
"""The same of its `usage`, for `add_usage()`."""

_BESIDE = ("cache_read_input_tokens", "cache_creation_input_tokens")
"""Anthropic's names: input that its `input_tokens` does not include; ours does."""

_CACHED, _REASONING = {"cached_tokens": "cached_input_tokens"}, {"reasoning_tokens": "reasoning_tokens"}
_PARTS = {
    "input_tokens_details": _CACHED,
    "prompt_tokens_details": _CACHED,
    "output_tokens_details": _REASONING,
    "completion_tokens_details": _REASONING,
}
"""OpenAI's names: mappings in the usage that say how much of it was cached, or reasoning."""

MOST_LOOKED_AT = 10
"""Names in an answer that are looked at one by one."""

_SELDOM = frozenset({*_BESIDE, *_PARTS})


def take_metrics(act: Action, answer: Any, extractor: Extractor | None) -> None:
    """Tell the action what the answer says. Never raises."""
    try:
        told: Any = answer if extractor is None else extractor(answer)
        if told.__class__ is not dict and not isinstance(told, Mapping):
            return
        given, scores, usage = _read(told, _SAID), None, told.get("usage")
        if "quality" in given or "confidence" in given:
            scores = given.pop("quality", None), given.pop("confidence", None)
        if usage is not None and (usage.__class__ is dict or isinstance(usage, Mapping)):
            used = _read(usage, _USAGE)
            if not _SELDOM.isdisjoint(usage):
                used = _with_parts(used, usage)
            given = {**used, **given}  # what it says beside its usage goes before that
        # an agent that counted its calls and returns their sum as well must not be counted twice
        if given and (act._usage is None or act._usage.calls is None):
            act.add_usage(**given)
        if scores is not None:
            quality, confidence = scores
            act.score(
                quality=quality if act._quality is None else None,
                confidence=confidence if act._confidence is None else None,
            )
    except Exception as exc:  # an extractor's, or a mapping's that is not what it seems
        _log.warning("extractor", "the metrics in an agent's answer could not be read: %r", exc)


def _read(said: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    # to find the few that are in both costs as much again as to look at some
    for name in said if len(said) <= MOST_LOOKED_AT else names.keys() & said.keys():
        if name in names and (value := said[name]) is not None:
            argument = names[name]
            if name == argument or argument not in given:
                given[argument] = value
    return given


def _with_parts(given: dict[str, Any], usage: Mapping[str, Any]) -> dict[str, Any]:
    for name in _BESIDE:
        if isinstance(more := usage.get(name), int) and isinstance(given.get("input_tokens"), int):
            given["input_tokens"] += more
    for name, parts in _PARTS.items():
        if isinstance(details := usage.get(name), Mapping):
            given = {**_read(details, parts), **given}
    return given
