"""What each module here gives: an SDK that is set up."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Ready"]


class Ready(NamedTuple):
    """An SDK that sends to the sink."""

    call: Callable[[], None]
    """Records one action with ten facts."""

    flush: Callable[[], object]
    """Returns when everything was sent."""
