"""Tokens of one model call, counted in one way, whatever the provider's way of counting is."""

from __future__ import annotations

import msgspec

__all__ = ["TokenUsage", "normalise"]


class TokenUsage(msgspec.Struct, array_like=True, gc=False):
    """What one span says was used. None: it does not say.

    `input` includes what was read from and written to a cache, `output` includes reasoning, as the OpenTelemetry
    conventions have it.
    """

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


def normalise(usage: TokenUsage, total: int | None, *, is_beside: bool = False) -> TokenUsage:
    """Return the usage with cached tokens inside of `input`, and reasoning inside of `output`.

    Some providers count them inside, some beside; the total tells, and that a part is not larger than the whole. What a
    total has beyond all parts is output that no part tells, such as thoughts.

    Args:
        is_beside: The cache is beside, whatever the total says.
    """
    given, gotten = usage.input or 0, usage.output or 0
    cache, reasoning = (usage.cached or 0) + (usage.cache_write or 0), usage.reasoning or 0
    more = 0 if total is None else total - given - gotten
    if not (cache or reasoning or more > 0):
        return usage
    if cache and (is_beside or cache > given or (more > 0 and more in (cache, cache + reasoning))):
        given, more = given + cache, more - cache
    if reasoning > gotten or (reasoning and more == reasoning):
        gotten, more = gotten + reasoning, more - reasoning
    if more > 0:
        gotten += more
    return TokenUsage(given or usage.input, gotten or usage.output, usage.cached, usage.cache_write, usage.reasoning)
