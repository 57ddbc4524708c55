"""Kafka's TLS and SASL as its Java clients take them, from the settings that kafka-python takes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from otel_feedback.errors import ConfigError

__all__ = ["PASSWORD", "java_options"]

PASSWORD = "{{ kafka_password }}"  # noqa: S105 - what stands for it where a text is shown
_SAME: Mapping[str, str] = MappingProxyType(
    {
        "security_protocol": "security.protocol",
        "sasl_mechanism": "sasl.mechanism",
        "ssl_cafile": "ssl.truststore.location",
    }
)
_LOGIN = {
    "PLAIN": "plain.PlainLoginModule",
    "SCRAM-SHA-256": "scram.ScramLoginModule",
    "SCRAM-SHA-512": "scram.ScramLoginModule",
}
_SHADED = "org.apache.flink.kafka.shaded.org.apache.kafka.common.security"
"""Where Flink's SQL connector has Kafka's classes."""


def java_options(options: Mapping[str, Any], *, shows_password: bool) -> dict[str, str]:
    """Return options of Kafka's Java clients that mean the same.

    Args:
        options: Of kafka-python, as `KafkaConfig.client_options` has them.
        shows_password: Put the password in, and not what stands for it.

    Raises:
        ConfigError: One has no counterpart here.
    """
    made = {_SAME[name]: str(value) for name, value in options.items() if name in _SAME and value is not None}
    if "ssl_cafile" in options:
        made["ssl.truststore.type"] = "PEM"
    if options.get("ssl_check_hostname") is False:
        made["ssl.endpoint.identification.algorithm"] = ""
    mechanism = options.get("sasl_mechanism")
    if mechanism in _LOGIN:
        password = options.get("sasl_plain_password") if shows_password else PASSWORD
        user, secret = (_escaped(str(each)) for each in (options.get("sasl_plain_username"), password))
        made["sasl.jaas.config"] = (
            f'{_SHADED}.{_LOGIN[mechanism]} required username="{user}" password="{secret}";'
        )  # fmt: skip
    known = {*_SAME, "ssl_check_hostname", "sasl_plain_username", "sasl_plain_password"}
    others = sorted(name for name, value in options.items() if name not in known and value is not None)
    if others or (mechanism is not None and mechanism not in _LOGIN):
        what = others[0] if others else "sasl_mechanism"
        raise ConfigError(
            f"KAFKA_{what.upper()}", "…" if "password" in what else options[what],
            "nothing: it is no option of a stream's; give Kafka's Java client its own by --kafka NAME=VALUE",
        )  # fmt: skip
    return made


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
