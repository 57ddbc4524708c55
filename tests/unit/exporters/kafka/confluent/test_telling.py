"""What librdkafka says, in the words of the others: its errors, its log, and the tokens that it asks for."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from confluent_kafka import KafkaError
from kafka import errors

from otel_feedback.exporters.kafka.confluent.errors import follows_from_another, translated
from otel_feedback.exporters.kafka.confluent.heard import Heard
from otel_feedback.exporters.kafka.confluent.tokens import UNKNOWN_LIFE_S, token_callback
from otel_feedback.exporters.kafka.receipt import concerns_all, is_about_one_record, is_refusal, refusal_of
from otel_feedback.exporters.kafka.tokens import TokenError


def made(name: str, reason: str | None = None) -> Any:
    return KafkaError(getattr(KafkaError, name), reason)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MSG_SIZE_TOO_LARGE", errors.MessageSizeTooLargeError),
        ("INVALID_RECORD", errors.InvalidRecordError),
        ("INVALID_TIMESTAMP", errors.InvalidTimestampError),
        ("POLICY_VIOLATION", errors.PolicyViolationError),
        ("TOPIC_AUTHORIZATION_FAILED", errors.TopicAuthorizationFailedError),
        ("UNKNOWN_TOPIC_OR_PART", errors.UnknownTopicOrPartitionError),
        ("_UNKNOWN_TOPIC", errors.UnknownTopicOrPartitionError),
        ("_AUTHENTICATION", errors.SaslAuthenticationFailedError),
        ("_TRANSPORT", errors.KafkaConnectionError),
        ("_FATAL", errors.KafkaError),
        ("_INVALID_DIFFERENT_RECORD", errors.KafkaError),
    ],
)
def test_an_error_is_the_one_that_kafka_python_would_have(name: str, expected: type[Exception]) -> None:
    error = made(name, "why")
    exc = translated(error)
    assert type(exc) is expected
    assert "why" in str(exc)
    assert follows_from_another(error) == (expected is errors.KafkaError)


def test_what_is_about_one_record_is_told_from_what_is_not() -> None:
    refused = {name: translated(made(name)) for name in ("MSG_SIZE_TOO_LARGE", "POLICY_VIOLATION")}
    assert {name: refusal_of(exc).reason for name, exc in refused.items()} == {
        "MSG_SIZE_TOO_LARGE": "too_large", "POLICY_VIOLATION": "policy",
    }  # fmt: skip
    nobody_knows = translated(made("_GAPLESS_GUARANTEE"))
    assert (is_about_one_record(nobody_knows), is_refusal(nobody_knows)) == (True, False)
    assert concerns_all(translated(made("CLUSTER_AUTHORIZATION_FAILED")))
    assert concerns_all(translated(made("_AUTHENTICATION")))


def test_of_what_it_says_the_reason_is_told() -> None:
    heard = Heard()
    began_s = time.monotonic()
    assert heard.since(0) is None
    heard.error(made("_ALL_BROKERS_DOWN", "1/1 brokers are down"))
    heard.error(made("_TRANSPORT", "Connection refused"))
    assert heard.since(began_s) == "TRANSPORT: Connection refused"
    heard.log(40, "%s [%s] %s", "FAIL", "rdkafka#producer-1", "SSL handshake failed:\n certificate verify failed")
    assert heard.since(began_s) == "FAIL: SSL handshake failed: certificate verify failed"
    assert heard.since(time.monotonic() + 1) is None


def test_its_log_is_told_once_a_minute_and_not_what_was_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    heard = Heard()
    for _ in range(3):
        heard.log(30, "%s [%s] %s", "CONFWARN", "rdkafka#producer-1", "enable.gapless.guarantee is experimental")
        heard.log(20, "%s [%s] %s", "INIT", "rdkafka#producer-1", "librdkafka v2 initialized")
        heard.log(40, "%s [%s] %s", "FAIL", "rdkafka#producer-1", "Connection refused")
    assert caplog.messages == ["librdkafka: FAIL: Connection refused"]


def jwt(claims: dict[str, Any]) -> str:
    return "e30." + base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode() + ".sig"


def given(token: Any) -> tuple[str, float, str, dict[str, str]]:
    give = token_callback({"sasl_oauth_token_provider": lambda: token}, Heard())
    assert give is not None
    return give("")


def test_when_a_token_ends() -> None:
    now = time.time()
    assert given(("t", now + 300)) == ("t", now + 300, "", {}), "as it was said"
    token = jwt({"exp": int(now) + 77})
    assert given(token) == (token, int(now) + 77, "", {}), "as it says itself"
    for says_nothing in (
        "opaque",
        "a.b.c",
        jwt({}),
        jwt({"exp": "x"}),
        jwt({"exp": None}),
        jwt({"exp": now - 9}),
        "e30.W10.x",
    ):
        assert 0 < given(says_nothing)[1] - now - UNKNOWN_LIFE_S < 10, says_nothing


def test_a_source_that_fails_is_heard_by_its_type() -> None:
    def fails() -> str:
        raise LookupError("tr0ub4dor")

    heard = Heard()
    give = token_callback({"sasl_oauth_token_provider": fails}, heard)
    assert give is not None
    with pytest.raises(TokenError):
        give("")
    told = heard.since(0) or ""
    assert "raised LookupError" in told
    assert "tr0ub4dor" not in told
    assert token_callback({}, heard) is None
