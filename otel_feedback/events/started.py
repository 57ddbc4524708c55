"""What is known of an action when it starts: enough to say what became of it should its process die."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

__all__ = ["StartedAction"]


class StartedAction(msgspec.Struct, frozen=True, gc=False):
    """An action that began.

    `attributes` are those of its span; `start_ns` is in nanoseconds since 1970; `key` decides the Kafka partition.
    """

    event_id: str
    start_ns: int
    key: str
    attributes: Mapping[str, object]
    sampled: bool = False
