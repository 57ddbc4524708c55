"""What is known of an action before its event is made: enough to say what became of it should its process die."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["StartedAction"]


class StartedAction(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An action that began, or somebody else's span that has ended and is converted later.

    `attributes` are those of its span; `start_ns` is in nanoseconds since 1970; `key` decides the Kafka partition, and is
    the trace id where it is empty. `ended` is what the span left (`convert.noted`), when it began included, or, of a process
    that died, what all such spans left, by `event_id`. That is no event's then, so it is kept until it is forgotten.
    """

    event_id: str
    start_ns: int = 0
    key: str = ""
    attributes: Mapping[str, object] = {}
    sampled: bool = False
    ended: Any = None
