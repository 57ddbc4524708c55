"""Tokens of one model call, counted in one way, whatever the provider's way of counting is."""

from __future__ import annotations

import msgspec

__all__ = ["TokenUsage", "normalise"]


class TokenUsage(msgspec.Struct, gc=False):
    """What one span says was used. None: it does not say.

    `input` includes what was read from and written to a cache, `output` includes reasoning, as the OpenTelemetry
    conventions have it.
    """

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


def normalise(usage: TokenUsage, total: int | None) -> TokenUsage:
    """Return the usage with cached tokens inside of `input`, as far as the numbers tell where they are.

    Some providers count them inside, some beside; the total tells, and that a part is not larger than the whole.
    """
    cache = (usage.cached or 0) + (usage.cache_write or 0)
    given, gotten = usage.input, usage.output
    if given is None or not cache:
        return usage
    is_beside = cache > given or (total is not None and total == given + (gotten or 0) + cache)
    if not is_beside:
        return usage
    return TokenUsage(given + cache, gotten, usage.cached, usage.cache_write, usage.reasoning)
