"""From what kafka-python raises and logs to what is wrong and what to do. The records are those of version 3.0.12."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytest

from otel_feedback import KafkaConfig
from otel_feedback.cli.kafka.problem import judge, refusal
from otel_feedback.cli.listening import listening

with warnings.catch_warnings():
    # kafka-python reads its schemas by a function that Python 3.11 calls deprecated
    warnings.simplefilter("ignore", DeprecationWarning)
    import kafka.errors

errors: Any = kafka.errors
GAVE_UP = errors.KafkaTimeoutError("Unable to bootstrap from ['127.0.0.1:9092']")


def logged(*causes: BaseException) -> list[logging.LogRecord]:
    made: list[tuple[str, tuple[Any, ...]]] = [
        ("Bootstrap connection to %s failed: %s (backoff %.2f secs)", ("bootstrap-0", cause, 0.1)) for cause in causes
    ]
    made.append(("Bootstrap failed: %s", (GAVE_UP,)))
    return [logging.LogRecord("kafka.net", logging.ERROR, "", 0, text, args, None) for text, args in made]


@pytest.mark.parametrize(
    ("causes", "step", "found", "todo"),
    [
        (
            [
                errors.SaslAuthenticationFailedError("SaslAuthenticationFailedError: Authentication failed: wrong"),
                errors.KafkaConnectionError("socket disconnected"),
            ],
            "login", "Authentication failed: wrong", "KAFKA_SASL_PLAIN_PASSWORD",
        ),
        ([errors.UnsupportedSaslMechanismError()], "login", "does not offer this SASL mechanism", "KAFKA_SASL_MECHANISM"),
        ([errors.IllegalSaslStateError()], "login", "does not expect a login", "PLAINTEXT or SSL"),
        (
            [errors.KafkaConnectionError("Handshake failed: [SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")],
            "protocol", "self-signed certificate", "KAFKA_SSL_CAFILE",
        ),
        (
            [errors.KafkaConnectionError("Handshake failed: [SSL: CERTIFICATE_VERIFY_FAILED] IP address mismatch")],
            "protocol", "IP address mismatch", "KAFKA_SSL_CHECK_HOSTNAME",
        ),
        (
            [errors.KafkaConnectionError("Handshake failed: [SSL: CERTIFICATE_VERIFY_FAILED] certificate has expired")],
            "protocol", "certificate has expired", "renew the broker's certificate",
        ),
        (
            [errors.KafkaConnectionError("Handshake failed: [SSL: UNEXPECTED_EOF_WHILE_READING] EOF")],
            "protocol", "UNEXPECTED_EOF", "KAFKA_SECURITY_PROTOCOL=PLAINTEXT",
        ),
        (
            [errors.KafkaConnectionError("socket disconnected"), errors.InvalidReceiveError("Invalid frame length: 3525")],
            "protocol", "Invalid frame length: 3525", "to SSL or SASL_SSL",
        ),
        (
            [errors.KafkaConnectionError("socket disconnected")],
            "protocol", "the broker closes the connection", "KAFKA_SECURITY_PROTOCOL (PLAINTEXT)",
        ),
        ([], "protocol", "does not answer", "is it Kafka"),
    ],
)  # fmt: skip
def test_the_most_telling_cause_is_told(causes: list[Exception], step: str, found: str, todo: str) -> None:
    problem = judge(KafkaConfig(), GAVE_UP, logged(*causes), spoke=False)
    assert problem.step == step
    assert found in problem.found
    assert todo in problem.todo
    assert "Error" not in problem.found.replace("KafkaError", "")


@pytest.mark.parametrize(
    ("options", "found", "todo"),
    [
        ({}, "it wants a login", "to SASL_PLAINTEXT or SASL_SSL"),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "GSSAPI"},
            "at the login",
            "KAFKA_SASL_PLAIN_PASSWORD",
        ),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": "a:b"},
            "at the login",
            "correct KAFKA_SASL_MECHANISM, KAFKA_SASL_OAUTH_TOKEN_PROVIDER: issuer, audience and end",
        ),
    ],
)
def test_a_broker_that_speaks_and_then_closes_the_connection_wants_another_login(
    options: dict[str, str], found: str, todo: str
) -> None:
    closed, cut_short = errors.KafkaConnectionError("socket disconnected"), errors.RequestTimedOutError("after 100 ms")
    problem = judge(KafkaConfig(client_options=options), GAVE_UP, logged(closed, cut_short), spoke=True)
    assert problem.step == "login"
    assert found in problem.found
    assert todo in problem.todo


@pytest.mark.parametrize(
    "raised",
    [
        TypeError("'crl' is an invalid keyword argument for load_verify_locations()"),
        errors.KafkaConfigurationError("Unrecognized configs: {'ssl_ciphers'}"),
    ],
)
def test_settings_that_the_library_does_not_take_are_not_the_brokers_fault(raised: Exception) -> None:
    problem = judge(KafkaConfig(client_options={"security_protocol": "SSL"}), GAVE_UP, logged(raised), spoke=False)
    assert problem.found.startswith("kafka-python does not take the settings: ")
    assert problem.todo == "unset what it names (KAFKA_SSL_…, KAFKA_SASL_…)"


@pytest.mark.parametrize(
    "alert",
    [
        "[SSL: SSLV3_ALERT_BAD_CERTIFICATE] sslv3 alert bad certificate (_ssl.c:2580)",
        "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2580)",
        "Handshake failed: [SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca (_ssl.c:1006)",
    ],
)
def test_a_broker_that_refuses_a_client_for_its_certificate_or_for_having_none(alert: str) -> None:
    refused = logged(errors.KafkaConnectionError("socket disconnected"), errors.KafkaConnectionError(alert))
    options = {"security_protocol": "SSL"}
    problem = judge(KafkaConfig(client_options=options), GAVE_UP, refused, spoke=False)
    assert (problem.step, problem.todo) == ("protocol", "set KAFKA_SSL_CERTFILE and KAFKA_SSL_KEYFILE")
    assert "this one has none" in problem.found

    problem = judge(KafkaConfig(client_options={**options, "ssl_certfile": __file__}), GAVE_UP, refused, spoke=False)
    assert "does not take this client's certificate" in problem.found
    assert "an authority that the broker trusts" in problem.todo


def test_a_broker_that_ends_tls_without_a_word_may_want_a_certificate() -> None:
    closed = logged(errors.KafkaConnectionError("socket disconnected"))
    problem = judge(KafkaConfig(client_options={"security_protocol": "SSL"}), GAVE_UP, closed, spoke=False)
    assert "does it want a certificate of its clients (KAFKA_SSL_CERTFILE)?" in problem.todo


@pytest.mark.parametrize(
    ("options", "todo"),
    [
        ({}, "set KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL"),
        (
            {
                "security_protocol": "SASL_PLAINTEXT",
                "sasl_mechanism": "PLAIN",
                "sasl_plain_username": "u",
                "sasl_plain_password": "p",
            },
            "set KAFKA_SECURITY_PROTOCOL to SASL_SSL",
        ),
    ],
)
def test_a_port_that_speaks_tls(options: dict[str, str], todo: str) -> None:
    closed = logged(errors.KafkaConnectionError("socket disconnected"))
    problem = judge(KafkaConfig(client_options=options), GAVE_UP, closed, spoke=False, tls=True)
    assert (problem.step, problem.todo) == ("protocol", todo)
    assert "this port speaks TLS" in problem.found


def test_error_codes_are_told_in_words() -> None:
    assert refusal(29) == "topic authorization failed"
    assert refusal(38, "only 1 broker") == "invalid replication factor: only 1 broker"
    assert refusal(9_999) == "unknown"


def test_listening_keeps_a_library_off_the_terminal(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    library = logging.getLogger("kafka.net.some_module")
    with listening("kafka") as records:
        library.error("it is %s", "bad")
        library.debug("password=hunter2")
    assert [record.getMessage() for record in records] == ["it is bad"]
    assert (caplog.text, capsys.readouterr().err) == ("", "")
    library.error("again to everybody")
    assert "again to everybody" in caplog.text
