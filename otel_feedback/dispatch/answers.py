"""What an agent's answer says of tokens, cost and quality, without the agent knowing this package.

A mapping's `tokens_used`, `usage`, `cost`, `model`, `provider`, `quality_score` and `confidence` are read; a user's
extractor may return such a mapping for answers of any other shape. The numbers are the agent's own, without those of
actions inside it. What the agent said of its action itself goes before what its answer says.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from otel_feedback.capture.handle import Action
from otel_feedback.logger import get_logger
from otel_feedback.throttle import ThrottledLog

__all__ = ["Extractor", "take_metrics"]

logger = get_logger(__name__)
_log = ThrottledLog(logger)

Extractor = Callable[[Any], "Mapping[str, Any] | None"]
"""Gets the answer; returns a mapping with the names above, or None where it says nothing."""

_INPUT = ("input_tokens", "prompt_tokens")
_OUTPUT = ("output_tokens", "completion_tokens")
_BESIDE = ("cache_read_input_tokens", "cache_creation_input_tokens")
"""Anthropic's names: input that its `input_tokens` does not include; ours does."""
_CACHED = ("cached_input_tokens", _BESIDE[0])
_INPUT_PARTS = ("input_tokens_details", "prompt_tokens_details")
_OUTPUT_PARTS = ("output_tokens_details", "completion_tokens_details")
"""OpenAI's names: mappings that say how much of it was cached, or reasoning."""


def take_metrics(act: Action, answer: Any, extractor: Extractor | None) -> None:
    """Tell the action what the answer says. Never raises."""
    try:
        told = extractor(answer) if extractor is not None else answer
        if isinstance(told, Mapping):
            _take(act, cast("Mapping[str, Any]", told))
    except Exception as exc:  # an extractor's, or a mapping's that is not what it seems
        _log.warning("extractor", "the metrics in an agent's answer could not be read: %r", exc)


def _take(act: Action, told: Mapping[str, Any]) -> None:
    given = {**_tokens(told), "cost": told.get("cost"), "model": told.get("model"), "provider": told.get("provider")}
    given = {name: value for name, value in given.items() if value is not None}
    # an agent that counted its calls and returns their sum as well must not be counted twice
    if given and (act._usage is None or act._usage.calls is None):
        act.add_usage(**given)
    quality, confidence = told.get("quality_score"), _first(told, ("confidence", "confidence_score"))
    if quality is not None or confidence is not None:
        act.score(
            quality=quality if act._quality is None else None,
            confidence=confidence if act._confidence is None else None,
        )


def _tokens(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tokens of an answer, by the arguments of `add_usage()`."""
    total, usage = told.get("tokens_used"), _mapping(told.get("usage"))
    if not usage:
        return {"total_tokens": total}
    tokens_in, tokens_out = _first(usage, _INPUT), _first(usage, _OUTPUT)
    for name in _BESIDE:
        if isinstance(tokens_in, int) and isinstance(more := usage.get(name), int):
            tokens_in += more
    cached, reasoning = _first(usage, _CACHED), usage.get("reasoning_tokens")
    if cached is None:
        cached = _mapping(_first(usage, _INPUT_PARTS)).get("cached_tokens")
    if reasoning is None:
        reasoning = _mapping(_first(usage, _OUTPUT_PARTS)).get("reasoning_tokens")
    return {
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "cached_input_tokens": cached,
        "reasoning_tokens": reasoning,
        # not looked at where the parts are known
        "total_tokens": usage.get("total_tokens") if total is None else total,
    }


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _first(told: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((told[name] for name in names if told.get(name) is not None), None)
