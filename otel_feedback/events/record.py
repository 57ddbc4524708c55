"""One entry of the journal: an encoded event with what a destination needs besides the payload.

Immutable by convention (not frozen, since building it is on the agent's thread); shared by all workers.
"""

from __future__ import annotations

import msgspec

from otel_feedback.events.model import OutcomeEvent

__all__ = ["Record"]


class Record(msgspec.Struct, gc=False):
    """An outcome event on its way to its destinations.

    `sequence` counts the exported records of one producer from 0. `key` decides the Kafka partition and
    stays the same for all revisions of an event. `sampled` is the W3C flag of the event's trace.
    """

    sequence: int
    key: str
    payload: bytes
    event: OutcomeEvent
    sampled: bool
