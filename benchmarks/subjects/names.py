"""What the subjects are called, in requests and in the table."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ACTION",
    "AT_START",
    "AWAY",
    "BARE",
    "BESIDE",
    "BY_CONFLUENT",
    "BY_CONFLUENT_BESIDE",
    "CHOICE",
    "CHOICE_IN_CONTEXT",
    "CHOICE_LEARNED",
    "CONFIGURED",
    "CONSUMER",
    "CONTEXT",
    "CONVERTED",
    "DEDUPLICATED",
    "DEEP",
    "DIRECT",
    "DISPATCH",
    "EVENT",
    "EVENT_JSON",
    "FAILING",
    "FORMER_NAMES",
    "FRAME",
    "IN_MEMORY",
    "MIXED",
    "NESTED",
    "NO_EXPORTER",
    "NO_START",
    "OURS",
    "PLAIN",
    "RATED",
    "RAW",
    "RECORDED",
    "SAME_COLUMNS",
    "SET_ATTRIBUTE",
    "SET_ATTRIBUTE_BESIDE",
    "SET_ATTRIBUTE_FAILING",
    "SPAN_OF_NONE",
    "SPAN_OF_SIXTEEN",
    "STABLE_NAMES",
    "STORE",
    "TEN_ATTRIBUTES",
    "THERE",
    "WIDE",
    "WINDOWS",
    "WITH_HOOK",
    "WITH_LIMIT",
    "WITH_SELECTOR",
]  # fmt: skip

SET_ATTRIBUTE: Final = "set_attribute"
SET_ATTRIBUTE_FAILING: Final = "set_attribute, an exception"
SET_ATTRIBUTE_BESIDE: Final = "set_attribute, a plain producer beside"
AT_START: Final = "attributes="
NO_EXPORTER: Final = "no exporter, no journal"
IN_MEMORY: Final = "Kafka away, durability=memory"
NO_START: Final = "Kafka away, emit_start=false"
AWAY: Final = "Kafka away"
NESTED: Final = "Kafka away, one of three nested"
FAILING: Final = "Kafka away, 2 tags, 5 keys of metadata, an exception"
THERE: Final = "Kafka there"

OURS: Final = "ours"
BY_CONFLUENT: Final = "ours, by confluent-kafka"
BESIDE: Final = "ours, from a process of its own"
BY_CONFLUENT_BESIDE: Final = "ours, by confluent-kafka from a process of its own"
RAW: Final = "raw kafka-python"
CONSUMER: Final = "OutcomeConsumer"
STORE: Final = "store"
WINDOWS: Final = "windows of a store"
RATED: Final = "windows of a store with feedback on a tenth"
DEDUPLICATED: Final = "the same SELECT, deduplicated Parquet"
SAME_COLUMNS: Final = "DuckDB, the same columns"

DIRECT: Final = "direct"
ACTION: Final = "action()"
DISPATCH: Final = "dispatch()"
WITH_LIMIT: Final = "dispatch(timeout_s=60)"
WITH_HOOK: Final = "dispatch(), a post hook"
WITH_SELECTOR: Final = "dispatch(), a selector of five"

CHOICE: Final = "choose() of five"
CHOICE_LEARNED: Final = "choose(), learn(event)"
CHOICE_IN_CONTEXT: Final = "choose() in a context"

BARE: Final = "the span itself"
TEN_ATTRIBUTES: Final = "bare span, set_attribute"
CONVERTED: Final = "conversion"
RECORDED: Final = "conversion, JSON, journal"
DEEP: Final = "deep"
WIDE: Final = "wide"
MIXED: Final = "mixed"

PLAIN: Final = "the service without us"
CONFIGURED: Final = "configure()"
STABLE_NAMES: Final = "stable"
FORMER_NAMES: Final = "former"

SPAN_OF_NONE: Final = "SDK span without attributes"
SPAN_OF_SIXTEEN: Final = "SDK span with 16 attributes at its start"
CONTEXT: Final = "context set and reset"
EVENT: Final = "the event, an object"
EVENT_JSON: Final = "its JSON"
FRAME: Final = "its frame in the journal on disk"
