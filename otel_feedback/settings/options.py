"""The settings as arguments, with their types: what a checker or an editor knows of `configure()`.

For type checkers only; `table.SETTINGS` is what is read, and a test holds both together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, TypedDict

__all__ = ["SettingsOptions"]


class SettingsOptions(TypedDict, total=False):
    """Settings by name, as in the configuration page; None is as not given."""

    service_name: str | None
    enable_kafka: bool | None
    enable_outcome_logging: bool | None
    enable_otlp: bool | None
    kafka_bootstrap_servers: str | Sequence[str] | None
    kafka_outcome_topic: str | None
    kafka_feedback_topic: str | None
    kafka_batch_size: int | None
    kafka_compression: Literal["gzip", "zstd", "lz4", "snappy", "none"] | None
    kafka_linger_ms: int | None
    kafka_client: Literal["kafka-python", "confluent"] | None
    kafka_sender: Literal["thread", "process"] | None
    kafka_client_id: str | None
    kafka_security_protocol: str | None
    kafka_sasl_mechanism: str | None
    kafka_sasl_plain_username: str | None
    kafka_sasl_plain_password: str | None
    kafka_sasl_kerberos_service_name: str | None
    kafka_sasl_kerberos_domain_name: str | None
    kafka_sasl_oauth_token_provider: str | Callable[[], Any] | Any | None
    kafka_ssl_cafile: str | None
    kafka_ssl_certfile: str | None
    kafka_ssl_keyfile: str | None
    kafka_ssl_password: str | None
    kafka_ssl_crlfile: str | None
    kafka_ssl_ciphers: str | None
    kafka_ssl_check_hostname: bool | None
    kafka_value_format: Literal["json", "avro"] | None
    schema_registry_url: str | Sequence[str] | None
    schema_registry_basic_auth_user_info: str | None
    schema_registry_ssl_cafile: str | None
    schema_registry_ssl_certfile: str | None
    schema_registry_ssl_keyfile: str | None
    log_file: str | PathLike[str] | None
    log_max_bytes: int | None
    log_backups: int | None
    durability: Literal["interval", "fsync", "memory"] | None
    journal_dir: str | PathLike[str] | None
    journal_max_bytes: int | None
    journal_max_age_s: float | None
    journal_min_free_bytes: int | None
    journal_memory_max_bytes: int | None
    journal_rescan_s: float | None
    emit_start: bool | None
    emit_pending: bool | None
    emit: str | Sequence[str] | None
    span_ttl_s: float | None
    baggage_fields: str | Sequence[str] | None
    prices: str | PathLike[str] | Mapping[str, Mapping[str, float]] | Callable[..., Any] | None
    capture_content: str | Sequence[str] | None
    metadata_allow: str | Sequence[str] | None
    metadata_deny: str | Sequence[str] | None
    event_max_bytes: int | None
    agent_rate_limit: float | None
    audit_interval_s: float | None
    ring_size: int | None
    metric_label_sets: int | None
    shutdown_timeout_s: float | None
    enabled: bool | None
    disabled: bool | None
    sdk_disabled: bool | None
