"""How much a journal on disk may take."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DiskLimits"]


class DiskLimits(NamedTuple):
    """How much a journal may take. Sizes in bytes, ages in seconds.

    `memory_bytes` is what may be in memory while the disk does not take it; `tail_bytes` what is kept there anyway.
    """

    max_bytes: int = 4 * 2**30
    max_age_s: float = 7 * 86_400.0
    min_free_bytes: int = 64 * 2**20
    memory_bytes: int = 64 * 2**20
    tail_bytes: int = 4 * 2**20
    segment_bytes: int = 8 * 2**20
