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
    KafkaError._FATAL, KafkaError._GAPLESS_GUARANTEE, KafkaError._INCONSISTENT, KafkaError._INVALID_DIFFERENT_RECORD,
    KafkaError._PURGE_INFLIGHT, KafkaError._PURGE_QUEUE,
})  # fmt: skip
"""What is said of records that do not go because of another one."""

_NAMES: dict[int, Any] = {
    KafkaError._AUTHENTICATION: errors.SaslAuthenticationFailedError,
    KafkaError._MSG_TIMED_OUT: errors.KafkaTimeoutError,
    KafkaError._UNKNOWN_PARTITION: errors.UnknownTopicOrPartitionError,
    KafkaError._UNKNOWN_TOPIC: errors.UnknownTopicOrPartitionError,
}


def error_of(exc: BaseException) -> Any:
    """Return the KafkaError that an exception of confluent-kafka's is about; None where it is about none."""
    told = exc.args[0] if exc.args else None
    return told if isinstance(told, KafkaError) else None


def follows_from_another(error: Any) -> bool:
    """Tell whether an error says no more than that there was another one."""
    return error.code() in _FOLLOWS


def translated(error: Any, more: str = "") -> Exception:
    """Return the exception that kafka-python would have.

    Args:
        error: A KafkaError of confluent-kafka's.
        more: What else is known.
    """
    code: int = error.code()
    text = f"{error.str()}{f': {more}' if more else ''}"
    if code > 0:
        return errors.for_code(code)(text)
    if code in _FOLLOWS:
        return errors.KafkaError(text)
    kind = _NAMES.get(code, errors.KafkaConnectionError)
    return kind(f"{error.name().removeprefix('_')}: {text}")
