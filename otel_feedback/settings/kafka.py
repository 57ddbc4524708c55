"""Where and how events go to Kafka: `KafkaConfig`, made of the settings or by hand, and what can be checked without a broker."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import msgspec

from otel_feedback.errors import ConfigError
from otel_feedback.sdk.forks import runs_greenlets
from otel_feedback.settings.librdkafka import (
    LEAST_REQUEST_BYTES,
    MOST_REQUEST_BYTES,
    NOT_IN_GREENLETS,
    require_counterparts,
    require_gssapi,
)
from otel_feedback.settings.registry import RegistryConfig
from otel_feedback.settings.table import BY_NAME, KAFKA_SECURITY, SETTINGS, read_one
from otel_feedback.settings.values import require

__all__ = [
    "NO_PROCESS_IN_GREENLETS", "PER_TENANT", "KafkaConfig", "kafka_config", "require_avro", "require_client", "require_codec",
    "require_sender",
]  # fmt: skip

FEEDBACK_TOPIC = "agent-feedback"
PER_TENANT = ".{tenant}"
"""What the name of a topic ends with that is one for each tenant."""

NO_PROCESS_IN_GREENLETS = "thread, since gevent or eventlet has patched this process"

_KAFKA_FIELDS = {
    "kafka_bootstrap_servers": "bootstrap_servers",
    "kafka_outcome_topic": "topic",
    "kafka_feedback_topic": "feedback_topic",
    "kafka_batch_size": "batch_size",
    "kafka_compression": "compression",
    "kafka_linger_ms": "linger_ms",
    "kafka_client": "client",
    "kafka_sender": "sender",
    "kafka_client_id": "client_id",
    "kafka_value_format": "value_format",
}
_UPPER_OPTIONS = frozenset({"security_protocol", "sasl_mechanism"})  # as kafka-python spells their values
_OWN_OPTIONS = frozenset({
    "bootstrap_servers", "client_id", "acks", "enable_idempotence", "transactional_id", "compression_type",
    "batch_size", "linger_ms", "delivery_timeout_ms", "retries", "key_serializer", "value_serializer",
    "partitioner", "max_block_ms", "bootstrap_timeout_ms", "max_in_flight_requests_per_connection",
})  # fmt: skip


class KafkaConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how outcome events go to Kafka.

    `client_options` goes to kafka-python's clients as it is: SASL and TLS settings under kafka-python's names
    (`sasl_mechanism`, `ssl_cafile` …); where `client` is `confluent`, only those that librdkafka has, too. The repr shows the
    names only. `registry` is what values are written by where
    `value_format` is `avro`, and what readers ask for schemas.
    """

    bootstrap_servers: tuple[str, ...] = ("localhost:9092",)
    topic: str = "agent-outcomes"
    feedback_topic: str = cast(str, None)  # as the outcome topic has it when not given
    batch_size: int = 100
    compression: str = "gzip"
    linger_ms: int = 75
    client: str = "kafka-python"
    sender: str = "thread"
    client_id: str = "otel-feedback"
    value_format: str = "json"
    registry: RegistryConfig | None = None
    client_options: Mapping[str, Any] = msgspec.field(default_factory=dict[str, Any])
    producer_batch_bytes: int = 256 * 1024
    producer_linger_ms: int = 5
    max_request_bytes: int = 1_048_576

    def __post_init__(self) -> None:
        if self.feedback_topic is None:  # pyright: ignore[reportUnnecessaryComparison]
            of_tenants = PER_TENANT if str(self.topic).strip().endswith(PER_TENANT) else ""
            msgspec.structs.force_setattr(self, "feedback_topic", f"{FEEDBACK_TOPIC}{of_tenants}")
        for name, field in _KAFKA_FIELDS.items():
            msgspec.structs.force_setattr(
                self, field, read_one(BY_NAME[name], getattr(self, field), f"KafkaConfig.{field}")
            )
        taken = sorted(_OWN_OPTIONS & set(self.client_options))
        if taken:
            raise ConfigError("KafkaConfig.client_options", taken, "options that this package does not set itself")
        problem = _security_problem(self.client_options)
        if problem is not None:
            raise problem
        if self.client == "confluent":
            require_counterparts(self.client_options)
            if not LEAST_REQUEST_BYTES <= self.max_request_bytes <= MOST_REQUEST_BYTES:
                expected = f"from {LEAST_REQUEST_BYTES} to {MOST_REQUEST_BYTES}, since KAFKA_CLIENT is confluent"
                raise ConfigError("KafkaConfig.max_request_bytes", self.max_request_bytes, expected)
        if self.registry is not None:
            require("KafkaConfig.registry", self.registry, RegistryConfig, "a RegistryConfig")
        if self.value_format == "avro" and self.registry is None:
            raise ConfigError("SCHEMA_REGISTRY_URL", "", "the registry's address, since KAFKA_VALUE_FORMAT is avro")

    def __repr__(self) -> str:
        shown = ", ".join(f"{field}={getattr(self, field)!r}" for field in _KAFKA_FIELDS.values())
        return f"KafkaConfig({shown}, client_options={sorted(self.client_options)})"


def kafka_config(values: Mapping[str, Any]) -> KafkaConfig:
    """Return what the settings come to, by their names."""
    options: dict[str, Any] = {}
    for setting in SETTINGS:
        if setting.section == KAFKA_SECURITY and values[setting.name] is not None:
            option = setting.name.removeprefix("kafka_")
            value = values[setting.name]
            options[option] = value.upper() if option in _UPPER_OPTIONS else value
    fields = {field: values[name] for name, field in _KAFKA_FIELDS.items()}
    return KafkaConfig(**fields, client_options=options, registry=_registry(values))


def _registry(values: Mapping[str, Any]) -> RegistryConfig | None:
    if values["schema_registry_url"] is None:
        return None
    return RegistryConfig(
        urls=values["schema_registry_url"],
        user_info=values["schema_registry_basic_auth_user_info"],
        **{name: values[f"schema_registry_{name}"] for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile")},
    )


def _security_problem(options: Mapping[str, Any]) -> ConfigError | None:
    """Return what can be seen to be wrong with TLS and SASL options without asking a broker."""
    protocol = str(options.get("security_protocol", "PLAINTEXT"))
    mechanism = options.get("sasl_mechanism")
    if protocol.startswith("SASL_"):
        if mechanism is None:
            return ConfigError("KAFKA_SASL_MECHANISM", "", f"a mechanism, since KAFKA_SECURITY_PROTOCOL is {protocol}")
        if str(mechanism).startswith(("PLAIN", "SCRAM")):
            for option in ("sasl_plain_username", "sasl_plain_password"):
                if not options.get(option):
                    return ConfigError(f"KAFKA_{option.upper()}", "", f"a value, since the mechanism is {mechanism}")
        if mechanism == "OAUTHBEARER" and options.get("sasl_oauth_token_provider") is None:
            expected = "package.module:function that returns a token, since the mechanism is OAUTHBEARER"
            return ConfigError("KAFKA_SASL_OAUTH_TOKEN_PROVIDER", "", expected)
    elif mechanism is not None:
        expected = "SASL_PLAINTEXT or SASL_SSL, since KAFKA_SASL_MECHANISM is set"
        return ConfigError("KAFKA_SECURITY_PROTOCOL", protocol, expected)
    for option in ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile"):
        path = options.get(option)
        if path is not None and not Path(path).is_file():
            return ConfigError(f"KAFKA_{option.upper()}", path, "a file that exists")
    return None


_CODEC_MODULES = {"zstd": "zstandard", "lz4": "lz4", "snappy": "snappy"}


def require_codec(compression: str) -> None:
    """Check that the library which a compression needs is installed.

    Raises:
        ConfigError: It is not; found here rather than by a producer that never starts.
    """
    module = _CODEC_MODULES.get(compression)
    if module is not None and find_spec(module) is None:
        raise ConfigError("KAFKA_COMPRESSION", compression, f"a codec whose library is installed; {module} is not")


def require_avro(config: KafkaConfig) -> None:
    """Check that what writes Avro is installed, where values are to be Avro.

    Raises:
        ConfigError: It is not.
    """
    if config.value_format == "avro" and find_spec("fastavro") is None:
        raise ConfigError("KAFKA_VALUE_FORMAT", "avro", "fastavro to be installed: pip install 'otel-feedback[avro]'")


def require_client(config: KafkaConfig) -> None:
    """Check that what is to send is installed, without importing it, and can be used in this process.

    Raises:
        ConfigError: It is not, or cannot.
    """
    if config.client != "confluent":
        return
    if runs_greenlets():
        raise ConfigError("KAFKA_CLIENT", "confluent", NOT_IN_GREENLETS)
    if find_spec("confluent_kafka") is None:
        expected = "confluent-kafka to be installed: pip install 'otel-feedback[confluent]'; or kafka-python"
        raise ConfigError("KAFKA_CLIENT", "confluent", expected)
    if config.client_options.get("sasl_mechanism") == "GSSAPI":
        require_gssapi()


def require_sender(config: KafkaConfig) -> None:
    """Check that another process can send, where that is wanted.

    Raises:
        ConfigError: It cannot here, or an option cannot be handed to it.
    """
    if config.sender != "process":
        return
    if os.name != "posix":
        raise ConfigError("KAFKA_SENDER", "process", "thread on this platform")
    if runs_greenlets():
        raise ConfigError("KAFKA_SENDER", "process", NO_PROCESS_IN_GREENLETS)
    for name, value in config.client_options.items():
        expected = "what another process can import or be given, since KAFKA_SENDER is process"
        if getattr(value, "__module__", None) == "__main__" or str(value).startswith("__main__:"):
            raise ConfigError(name, "<hidden>", f"{expected}; this is of the program's own file")
        try:
            pickle.dumps(value)
        except Exception as exc:
            raise ConfigError(name, "<hidden>", f"{expected}, and not {type(value).__name__}") from exc
