"""How much a journal on disk may take, and how much of it is done or kept at once."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MOST_HELD", "SHRINK_BY", "WRITE_AT_ONCE", "DiskLimits"]

MOST_HELD = 2_048
"""Records in memory that are on disk, too, however small: memory that is new to the processor costs an agent time."""

SHRINK_BY = 32
"""Records that are on disk, forgotten together: one for each append would take as long as its frame."""

WRITE_AT_ONCE = 64
"""Records that were in memory only, written in one holding of the lock."""


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
