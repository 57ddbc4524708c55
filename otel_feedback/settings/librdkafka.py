"""What our Kafka settings are called in librdkafka, which confluent-kafka is made of; and those that it does not have.

Input: options under kafka-python's names, which are those of the settings. Output: librdkafka's properties. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_feedback.errors import ConfigError
from otel_feedback.logger import get_logger

__all__ = [
    "COUNTERPARTS", "LEAST_REQUEST_BYTES", "MOST_REQUEST_BYTES", "NOT_IN_GREENLETS", "properties_of", "require_counterparts", "require_gssapi",
]  # fmt: skip

COUNTERPARTS = {
    "security_protocol": "security.protocol",
    "sasl_mechanism": "sasl.mechanism",
    "sasl_plain_username": "sasl.username",
    "sasl_plain_password": "sasl.password",
    "sasl_kerberos_service_name": "sasl.kerberos.service.name",
    "sasl_oauth_token_provider": "oauth_cb",
    "ssl_cafile": "ssl.ca.location",
    "ssl_certfile": "ssl.certificate.location",
    "ssl_keyfile": "ssl.key.location",
    "ssl_password": "ssl.key.password",
    "ssl_crlfile": "ssl.crl.location",
    "ssl_ciphers": "ssl.cipher.suites",
    "ssl_check_hostname": "ssl.endpoint.identification.algorithm",
    "request_timeout_ms": "request.timeout.ms",
    "reconnect_backoff_ms": "reconnect.backoff.ms",
    "reconnect_backoff_max_ms": "reconnect.backoff.max.ms",
    "metadata_max_age_ms": "metadata.max.age.ms",
    "connections_max_idle_ms": "connections.max.idle.ms",
}
"""Our options, each with librdkafka's property. All others have none there."""

LEAST_REQUEST_BYTES, MOST_REQUEST_BYTES = 1_000, 1_000_000_000
"""Of its `message.max.bytes`."""

NOT_IN_GREENLETS = (
    "kafka-python, since gevent or eventlet has patched this process: librdkafka would hold up all its greenlets"
)

_READ_OTHERWISE = ("sasl_oauth_token_provider", "ssl_check_hostname")
_INSTEAD = {
    "sasl_kerberos_domain_name": "brokers by the names that are in their principals: librdkafka has no other domain",
}


def require_counterparts(options: Mapping[str, Any]) -> None:
    """Check that librdkafka has all that these options ask for.

    Raises:
        ConfigError: It does not; it names the setting, and what would be right.
    """
    if options.get("sasl_mechanism") == "AWS_MSK_IAM":
        expected = (
            "OAUTHBEARER with KAFKA_SASL_OAUTH_TOKEN_PROVIDER, since KAFKA_CLIENT is confluent; "
            "or kafka-python, which has AWS_MSK_IAM"
        )
        raise ConfigError("KAFKA_SASL_MECHANISM", "AWS_MSK_IAM", expected)
    for option, instead in _INSTEAD.items():
        if options.get(option) is not None:
            expected = f"nothing, since KAFKA_CLIENT is confluent: {instead}; or kafka-python as the client"
            raise ConfigError(f"KAFKA_{option.upper()}", options[option], expected)
    unknown = sorted(options.keys() - COUNTERPARTS.keys() - _INSTEAD.keys())
    if unknown:
        expected = f"options that librdkafka has, since KAFKA_CLIENT is confluent: {', '.join(COUNTERPARTS)}"
        raise ConfigError("KafkaConfig.client_options", unknown, expected)


def require_gssapi() -> None:
    """Check that the librdkafka which is installed has GSSAPI: one from a wheel has not. Imports it.

    Raises:
        ConfigError: It has not.
    """
    import confluent_kafka

    properties = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "GSSAPI", "sasl.kerberos.kinit.cmd": ""}
    try:
        confluent_kafka.Producer(properties, logger=get_logger(__name__))  # which connects nowhere
    except confluent_kafka.KafkaException as exc:
        expected = (
            "another mechanism, since KAFKA_CLIENT is confluent, and the librdkafka that is installed has no GSSAPI: build "
            "confluent-kafka from source on one that has (pip install --no-binary confluent-kafka confluent-kafka); or kafka-python"
        )
        raise ConfigError("KAFKA_SASL_MECHANISM", "GSSAPI", expected) from exc


def properties_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return librdkafka's properties, but for the source of tokens, which is a function."""
    found = {
        COUNTERPARTS[name]: value
        for name, value in options.items()
        if value is not None and name in COUNTERPARTS and name not in _READ_OTHERWISE
    }
    if options.get("ssl_check_hostname") is not None:
        found[COUNTERPARTS["ssl_check_hostname"]] = "https" if options["ssl_check_hostname"] else "none"
    if options.get("ssl_certfile") and not options.get("ssl_keyfile"):  # to kafka-python both are in one file then
        found[COUNTERPARTS["ssl_keyfile"]] = options["ssl_certfile"]
    return found
