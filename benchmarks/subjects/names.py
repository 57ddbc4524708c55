"""What the subjects are called, in requests and in the table."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ACTION", "AT_START", "AWAY", "BARE", "CONFIGURED", "CONVERTED", "DEEP", "DIRECT", "DISPATCH", "FORMER_NAMES",
    "IN_MEMORY", "MIXED", "NO_EXPORTER", "NO_START", "OURS", "PLAIN", "RAW", "RECORDED", "SET_ATTRIBUTE", "STABLE_NAMES",
    "THERE", "WIDE", "WITH_HOOK", "WITH_LIMIT",
]  # fmt: skip

SET_ATTRIBUTE: Final = "set_attribute"
AT_START: Final = "attributes="
NO_EXPORTER: Final = "no exporter, no journal"
IN_MEMORY: Final = "Kafka away, durability=memory"
NO_START: Final = "Kafka away, emit_start=false"
AWAY: Final = "Kafka away"
THERE: Final = "Kafka there"

OURS: Final = "ours"
RAW: Final = "raw kafka-python"

DIRECT: Final = "direct"
ACTION: Final = "action()"
DISPATCH: Final = "dispatch()"
WITH_LIMIT: Final = "dispatch(timeout_s=60)"
WITH_HOOK: Final = "dispatch(), a post hook"

BARE: Final = "the span itself"
CONVERTED: Final = "conversion"
RECORDED: Final = "conversion, JSON, journal"
DEEP: Final = "deep"
WIDE: Final = "wide"
MIXED: Final = "mixed"

PLAIN: Final = "the service without us"
CONFIGURED: Final = "configure()"
STABLE_NAMES: Final = "stable"
FORMER_NAMES: Final = "former"
