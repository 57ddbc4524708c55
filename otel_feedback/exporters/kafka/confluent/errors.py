"""What librdkafka's errors are in kafka-python's words, by which everything here tells a refusal from what passes.

A code of the broker's is the same to both. Librdkafka's own codes are negative. Imports kafka-python, which is always there:
itself imported when the first event is to be sent.
"""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError
from kafka import errors

__all__ = ["error_of", "follows_from_another", "translated"]

_FOLLOWS = frozenset({
    "_FATAL", "_GAPLESS_GUARANTEE", "_INCONSISTENT", "_INVALID_DIFFERENT_RECORD", "_PURGE_INFLIGHT", "_PURGE_QUEUE",
})  # fmt: skip
"""What is said of records that do not go because of another one."""

_KINDS: dict[str, Any] = {
    "_AUTHENTICATION": errors.SaslAuthenticationFailedError,
    "_MSG_TIMED_OUT": errors.KafkaTimeoutError,
    "_UNKNOWN_PARTITION": errors.UnknownTopicOrPartitionError,
    "_UNKNOWN_TOPIC": errors.UnknownTopicOrPartitionError,
}


def error_of(exc: BaseException) -> Any:
    """Return the KafkaError that an exception of confluent-kafka's is about; None where it is about none."""
    told = exc.args[0] if exc.args else None
    return told if isinstance(told, KafkaError) else None


def follows_from_another(error: Any) -> bool:
    """Tell whether an error says no more than that there was another one."""
    return error.name() in _FOLLOWS


def translated(error: Any) -> Exception:
    """Return the exception that kafka-python would have for a KafkaError of confluent-kafka's."""
    code, name, text = error.code(), error.name(), error.str()
    if code > 0:
        return errors.for_code(code)(text.removeprefix("Broker: "))
    if name in _FOLLOWS:
        return errors.KafkaError(text)
    return _KINDS.get(name, errors.KafkaConnectionError)(f"{name.removeprefix('_')}: {text}")
