"""What the subjects are called, in requests and in the table."""

from __future__ import annotations

from typing import Final

__all__ = ["AT_START", "MEMORY", "OURS", "RAW", "SET_ATTRIBUTE", "UNREACHABLE"]

SET_ATTRIBUTE: Final = "set_attribute"
AT_START: Final = "attributes="
MEMORY: Final = "memory journal"
UNREACHABLE: Final = "Kafka unreachable"

OURS: Final = "ours"
RAW: Final = "raw kafka-python"
