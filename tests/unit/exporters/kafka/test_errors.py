"""What `last_error` says of a producer that cannot be built: the cause, and never a setting's value."""

from __future__ import annotations

from typing import Any

import pytest
from kafka.errors import (
    NotLeaderForPartitionError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

import otel_feedback as feedback
from otel_feedback.errors import ExportError
from otel_feedback.exporters.kafka.connection import KafkaConnection
from otel_feedback.exporters.kafka.receipt import unavailable
from tests.stack.processes import free_port


def error_of(**options: Any) -> str:
    config = feedback.KafkaConfig(bootstrap_servers=(f"127.0.0.1:{free_port()}",), client_options=options)
    connection = KafkaConnection(config, lambda: None, {"bootstrap_timeout_ms": 300})
    with pytest.raises(ExportError) as caught:
        connection.producer()
    assert caught.value.retryable
    return f"{caught.value.reason}: {caught.value.detail}"


def test_nothing_listens() -> None:
    """kafka-python's exception says "Unable to bootstrap" whatever it was; the cause stands in its log only."""
    error = error_of()
    assert error.startswith("unavailable: KafkaTimeoutError: Unable to bootstrap")
    assert error.endswith("ECONNREFUSED)")


def test_an_option_that_kafka_python_does_not_know_is_named_without_its_value() -> None:
    error = error_of(ssl_keypassword="hunter3")
    assert "ssl_keypassword" in error
    assert "hunter3" not in error


@pytest.mark.parametrize(
    ("error", "todo"),
    [
        (TopicAuthorizationFailedError("outcomes"), "otel-feedback doctor"),
        (SaslAuthenticationFailedError("no"), "KAFKA_SASL_PLAIN_PASSWORD"),
        (UnknownTopicOrPartitionError("outcomes"), "otel-feedback topics"),
    ],
)
def test_what_somebody_has_to_do_is_said(error: Exception, todo: str) -> None:
    said = unavailable(error)
    assert said.retryable, "it is a state of the destination, and records wait"
    assert todo in said.detail


def test_what_passes_by_itself_comes_without_advice() -> None:
    assert ";" not in unavailable(NotLeaderForPartitionError("moved")).detail
