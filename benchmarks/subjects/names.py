"""What the subjects are called, in requests and in the table."""

from __future__ import annotations

from typing import Final

__all__ = ["AT_START", "AWAY", "IN_MEMORY", "NO_EXPORTER", "NO_START", "OURS", "RAW", "SET_ATTRIBUTE", "THERE"]

SET_ATTRIBUTE: Final = "set_attribute"
AT_START: Final = "attributes="
NO_EXPORTER: Final = "no exporter, no journal"
IN_MEMORY: Final = "Kafka away, durability=memory"
NO_START: Final = "Kafka away, emit_start=false"
AWAY: Final = "Kafka away"
THERE: Final = "Kafka there"

OURS: Final = "ours"
RAW: Final = "raw kafka-python"
