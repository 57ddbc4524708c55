"""What an agent's answer says of tokens, cost and quality, without the agent knowing this package.

A mapping's `tokens_used`, `usage`, `cost`, `model`, `provider`, `quality_score` and `confidence` are read; a user's
extractor may return such a mapping for answers of any other shape. The numbers are the agent's own, without those of
actions inside it. What the agent said of its action itself goes before what its answer says.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, cast

from otel_feedback.capture.handle import Action
from otel_feedback.throttle import ThrottledLog

__all__ = ["Extractor", "take_metrics"]

_log = ThrottledLog(logging.getLogger(__name__))

Extractor = Callable[[Any], "Mapping[str, Any] | None"]
"""Gets the answer; returns a mapping with the names above, or None where it says nothing."""

_INPUT = ("input_tokens", "prompt_tokens")
_OUTPUT = ("output_tokens", "completion_tokens")
_CACHED = ("cached_input_tokens", "cache_read_input_tokens")


def take_metrics(act: Action, answer: Any, extractor: Extractor | None) -> None:
    """Tell the action what the answer says. Never raises."""
    try:
        told = extractor(answer) if extractor is not None else answer
        if isinstance(told, Mapping):
            _take(act, cast("Mapping[str, Any]", told))
    except Exception as exc:  # an extractor's, or a mapping's that is not what it seems
        _log.warning("extractor", "the metrics in an agent's answer could not be read: %r", exc)


def _take(act: Action, told: Mapping[str, Any]) -> None:
    usage = told.get("usage")
    numbers: Mapping[str, Any] = cast("Mapping[str, Any]", usage) if isinstance(usage, Mapping) else {}
    given = {
        "input_tokens": _first(numbers, _INPUT),
        "output_tokens": _first(numbers, _OUTPUT),
        "cached_input_tokens": _first(numbers, _CACHED),
        "reasoning_tokens": numbers.get("reasoning_tokens"),
        "cost": told.get("cost"),
        "model": told.get("model"),
        "provider": told.get("provider"),
    }
    given = {name: value for name, value in given.items() if value is not None}
    if "input_tokens" not in given and "output_tokens" not in given:
        total = _first({**numbers, **told}, ("tokens_used", "total_tokens"))
        if total is not None:
            given["total_tokens"] = total
    # an agent that counted its calls and returns their sum as well must not be counted twice
    if given and (act._usage is None or not act._usage.own):
        act.add_usage(**given)
    quality, confidence = act._scores or (None, None)
    act.score(
        quality=told.get("quality_score") if quality is None else None,
        confidence=_first(told, ("confidence", "confidence_score")) if confidence is None else None,
    )


def _first(numbers: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((numbers[name] for name in names if numbers.get(name) is not None), None)
