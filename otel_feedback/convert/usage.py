"""Tokens of one model call, counted in one way, whatever the provider's way of counting is."""

from __future__ import annotations

import msgspec

__all__ = ["TokenUsage"]


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
