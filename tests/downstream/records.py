"""A record of a consumer, without one."""

from __future__ import annotations

from typing import NamedTuple


class Read(NamedTuple):
    """A record, as far as it is looked at."""

    value: bytes | None
    headers: list[tuple[str, bytes]]
    topic: str = "agent-outcomes"
    partition: int = 3
    offset: int = 17
