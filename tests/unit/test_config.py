"""Settings: argument over environment over default, and errors that say what would be right."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import otel_feedback as feedback
from otel_feedback.settings.kafka import require_codec
from otel_feedback.settings.table import SETTINGS

any_settings: Any = feedback.get_settings  # for arguments that no type checker would let pass


def test_the_defaults_are_the_seeds() -> None:
    settings = feedback.get_settings(environ={})
    assert settings.enable_kafka is False
    assert settings.enable_outcome_logging is True
    assert settings.kafka.bootstrap_servers == ("localhost:9092",)
    assert settings.kafka.topic == "agent-outcomes"
    assert settings.kafka.batch_size == 100
    assert settings.kafka.compression == "gzip"


def test_the_six_variables_of_the_seed() -> None:
    settings = feedback.get_settings(
        environ={
            "ENABLE_KAFKA": "true",
            "ENABLE_OUTCOME_LOGGING": "false",
            "KAFKA_BOOTSTRAP_SERVERS": "a:9092, b:9093",
            "KAFKA_OUTCOME_TOPIC": "t",
            "KAFKA_BATCH_SIZE": "7",
            "KAFKA_COMPRESSION": "ZSTD",
        }
    )
    assert settings.enable_kafka is True
    assert settings.enable_outcome_logging is False
    assert settings.kafka.bootstrap_servers == ("a:9092", "b:9093")
    assert (settings.kafka.topic, settings.kafka.batch_size, settings.kafka.compression) == ("t", 7, "zstd")


def test_argument_over_environment_over_default() -> None:
    environ = {"KAFKA_BATCH_SIZE": "7"}
    assert feedback.get_settings(environ={}).kafka.batch_size == 100
    assert feedback.get_settings(environ=environ).kafka.batch_size == 7
    assert feedback.get_settings(environ=environ, kafka_batch_size=9).kafka.batch_size == 9


@pytest.mark.parametrize(
    ("environ", "overrides", "kafka", "otlp"),
    [
        ({}, {}, False, False),
        ({"KAFKA_BOOTSTRAP_SERVERS": "k:9092"}, {}, True, False),
        ({"KAFKA_BOOTSTRAP_SERVERS": "k:9092", "ENABLE_KAFKA": "false"}, {}, False, False),
        ({}, {"kafka_bootstrap_servers": "k:9092"}, True, False),
        ({"ENABLE_KAFKA": "false"}, {"enable_kafka": True}, True, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, {}, False, True),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://c:4318/v1/logs"}, {}, False, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_LOGS_EXPORTER": "none"}, {}, False, False),
        ({"OTEL_FEEDBACK_ENABLE_OTLP": "1"}, {}, False, True),
    ],
)
def test_destinations_are_on_when_their_address_is_given(
    environ: dict[str, str], overrides: dict[str, Any], kafka: bool, otlp: bool
) -> None:
    settings = feedback.get_settings(environ=environ, **overrides)
    assert (settings.enable_kafka, settings.enable_otlp) == (kafka, otlp)


@pytest.mark.parametrize(
    ("variable", "value", "right"),
    [
        ("ENABLE_KAFKA", "maybe", "true or false"),
        ("KAFKA_BATCH_SIZE", "ten", "a whole number from 1 to 10000"),
        ("KAFKA_BATCH_SIZE", "0", "a whole number from 1 to 10000"),
        ("KAFKA_COMPRESSION", "brotli", "one of gzip, zstd, lz4, snappy, none"),
        ("KAFKA_BOOTSTRAP_SERVERS", "localhost", "host:port"),
        ("KAFKA_BOOTSTRAP_SERVERS", "http://localhost:9092", "host:port"),
        ("KAFKA_BOOTSTRAP_SERVERS", ",", "host:port"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a:1;b:2", "host:port, several separated by commas"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a:1 b:2", "host:port, several separated by commas"),
        ("KAFKA_BOOTSTRAP_SERVERS", "'a:1'", "host:port"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a/b:1", "host:port"),
        ("KAFKA_BOOTSTRAP_SERVERS", "::1:9092", "IPv6 in brackets"),
        ("KAFKA_OUTCOME_TOPIC", "agent outcomes", "the name of a topic"),
        ("KAFKA_OUTCOME_TOPIC", "a" * 241, "the name of a topic"),
        ("OTEL_FEEDBACK_METADATA_DENY", "secret;password", "names separated by commas"),
        ("OTEL_FEEDBACK_SHUTDOWN_TIMEOUT", "inf", "a number from 0 to 3600"),
        ("OTEL_FEEDBACK_RING_SIZE", "1.5", "a whole number"),
        ("KAFKA_SECURITY_PROTOCOL", "tls", "one of plaintext, ssl, sasl_plaintext, sasl_ssl"),
    ],
)
def test_a_bad_value_names_variable_value_and_what_is_right(variable: str, value: str, right: str) -> None:
    with pytest.raises(feedback.ConfigError) as caught:
        feedback.get_settings(environ={variable: value})
    assert str(caught.value).startswith(f"{variable}={value!r}: expected ")
    assert right in str(caught.value)
    setting = next(row for row in SETTINGS if row.variable == variable)
    with pytest.raises(feedback.ConfigError, match=setting.name):
        any_settings(environ={}, **{setting.name: value})


def test_addresses_as_people_have_them() -> None:
    text = "kafka-0.kafka.svc.cluster.local:9092, 10.0.0.7:9093,[::1]:9094,[fe80::1%eth0]:1,broker_1:65535"
    assert feedback.get_settings(environ={"KAFKA_BOOTSTRAP_SERVERS": text}).kafka.bootstrap_servers == (
        "kafka-0.kafka.svc.cluster.local:9092", "10.0.0.7:9093", "[::1]:9094", "[fe80::1%eth0]:1", "broker_1:65535",
    )  # fmt: skip


@pytest.mark.parametrize("value", [True, 3.5, None.__class__, [1], {"a": 1}, ""])
def test_an_argument_of_a_wrong_type_is_a_config_error(value: Any) -> None:
    for setting in SETTINGS:
        if isinstance(value, bool) and setting.read is next(s.read for s in SETTINGS if s.name == "disabled"):
            continue
        if value == "" and setting.name in ("baggage_fields", "capture_content", "emit"):
            continue
        if (setting.name.endswith("_s") or setting.name == "agent_rate_limit") and value == 3.5:
            continue
        if isinstance(value, type) and setting.name == "kafka_sasl_oauth_token_provider":  # a class may be one
            continue
        with pytest.raises(feedback.ConfigError):
            any_settings(environ={}, **{setting.name: value})


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(feedback.ConfigError, match=r"kafka_topc.*did you mean kafka_outcome_topic"):
        any_settings(environ={}, kafka_topc="x")


def test_security_settings_pass_to_kafka_python_and_stay_out_of_sight() -> None:
    settings = feedback.get_settings(
        environ={
            "KAFKA_SECURITY_PROTOCOL": "sasl_ssl",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_PLAIN_USERNAME": "u",
            "KAFKA_SASL_PLAIN_PASSWORD": "s3cret",
            "KAFKA_SSL_CAFILE": __file__,
            "KAFKA_SSL_CHECK_HOSTNAME": "false",
        }
    )
    assert settings.kafka.client_options == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "u",
        "sasl_plain_password": "s3cret",
        "ssl_cafile": __file__,
        "ssl_check_hostname": False,
    }
    assert "s3cret" not in repr(settings)
    with pytest.raises(feedback.ConfigError) as caught:
        any_settings(environ={}, kafka_sasl_plain_password=123)
    assert "123" not in str(caught.value)


def test_kafka_config_checks_what_it_is_given() -> None:
    assert feedback.KafkaConfig(bootstrap_servers=("a:1",)).topic == "agent-outcomes"
    with pytest.raises(feedback.ConfigError, match=r"KafkaConfig\.batch_size"):
        feedback.KafkaConfig(batch_size=0)
    with pytest.raises(feedback.ConfigError, match="acks"):
        feedback.KafkaConfig(client_options={"acks": 0})


def test_kafka_python_knows_every_option_that_passes_through() -> None:
    from kafka import KafkaProducer

    ours = {s.name.removeprefix("kafka_") for s in SETTINGS if s.section == "Kafka security"}
    theirs = {o for o in KafkaProducer.DEFAULT_CONFIG if o.startswith(("sasl_", "ssl_", "security_"))}
    objects = {"ssl_context", "sasl_kerberos_name"}  # no text can say these
    assert ours == theirs - objects


def test_the_service_name_comes_from_the_resource_variable_too() -> None:
    environ = {"OTEL_RESOURCE_ATTRIBUTES": "a=b,service.name=from-resource"}
    assert feedback.get_settings(environ=environ).service_name == "from-resource"
    assert feedback.get_settings(environ={**environ, "OTEL_SERVICE_NAME": "s"}).service_name == "s"


def test_a_codec_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        return None

    monkeypatch.setattr("otel_feedback.settings.kafka.find_spec", nothing)
    with pytest.raises(feedback.ConfigError, match="zstd"):
        require_codec("zstd")
    require_codec("gzip")


def test_configure_twice_warns_and_changes_nothing(
    pipeline: feedback.FeedbackPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert feedback.configure(ring_size=5) is pipeline
    assert "configure() was called again" in caplog.text


def test_configure_with_a_bad_setting_leaves_the_process_unconfigured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BATCH_SIZE", "lots")
    with pytest.raises(feedback.ConfigError, match="KAFKA_BATCH_SIZE='lots'"):
        feedback.configure()
    with feedback.action("goes on") as act:
        pass
    assert act.event is None


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"security_protocol": "SASL_SSL"}, "KAFKA_SASL_MECHANISM"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN"}, "KAFKA_SASL_PLAIN_USERNAME"),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_plain_username": "u"},
            "KAFKA_SASL_PLAIN_PASSWORD",
        ),
        ({"sasl_mechanism": "PLAIN"}, "KAFKA_SECURITY_PROTOCOL"),
        ({"ssl_cafile": "/no/such/file"}, "KAFKA_SSL_CAFILE='/no/such/file'"),
    ],
)
def test_security_settings_that_can_never_work_are_refused_at_once(options: dict[str, str], named: str) -> None:
    with pytest.raises(feedback.ConfigError, match=named):
        feedback.KafkaConfig(client_options=options)
