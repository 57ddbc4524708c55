"""`get_settings()`: the settings of this process, read and checked.

Input: keyword arguments and the environment. Output: frozen `Settings` (with a `KafkaConfig` inside).
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from otel_feedback.errors import ConfigError
from otel_feedback.settings.kafka import KafkaConfig, kafka_config
from otel_feedback.settings.table import BY_NAME, SETTINGS, read_settings
from otel_feedback.settings.values import require

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from otel_feedback.settings.options import SettingsOptions

__all__ = ["FEEDBACK_JOURNAL", "Settings", "feedback_settings", "get_settings"]

FEEDBACK_JOURNAL = "+feedback"
"""The folder of the journals of feedback, in that of the service's; no service's is called so."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set, read and checked. Made by `get_settings()`."""

    service_name: str
    enable_kafka: bool
    enable_outcome_logging: bool
    enable_otlp: bool
    kafka: KafkaConfig
    log_file: str | None
    log_max_bytes: int
    log_backups: int
    durability: str
    journal_dir: Path
    journal_max_bytes: int
    journal_max_age_s: float
    journal_min_free_bytes: int
    journal_memory_max_bytes: int
    journal_rescan_s: float
    baggage_fields: tuple[str, ...]
    prices: Mapping[str, Mapping[str, float]] | Callable[..., Any] | None
    emit: tuple[str, ...]
    span_ttl_s: float
    capture_content: tuple[str, ...]
    metadata_allow: tuple[str, ...]
    metadata_deny: tuple[str, ...]
    event_max_bytes: int
    agent_rate_limit: float | None
    emit_start: bool
    emit_pending: bool
    audit_interval_s: float
    ring_size: int
    metric_label_sets: int
    shutdown_timeout_s: float
    disabled: bool


def get_settings(
    *,
    environ: Mapping[str, str] | None = None,
    kafka: KafkaConfig | None = None,
    **overrides: Unpack[SettingsOptions],
) -> Settings:
    """Read the settings: an argument goes before the environment, the environment before the default.

    Args:
        environ: The environment to read; default: the process's own.
        kafka: Takes the place of all settings whose names begin with `kafka_`.
        overrides: Settings by their names, as in the configuration page; None means "not given".

    Raises:
        ConfigError: A value cannot be used, or a name is not a setting; it says what would be right.
    """
    environment = os.environ if environ is None else environ
    for name in overrides:
        if name not in BY_NAME:
            near = get_close_matches(name, BY_NAME, 1)
            hint = f"did you mean {near[0]}? All: " if near else ""
            raise ConfigError(name, "…", f"a setting; {hint}{', '.join(sorted(BY_NAME))}")
    if kafka is not None:
        require("kafka", kafka, KafkaConfig, "a KafkaConfig; brokers alone are kafka_bootstrap_servers='host:9092'")
    values, given = read_settings(SETTINGS, overrides, environment)
    if "service_name" not in given:
        values["service_name"] = _service_of_resource(environment) or values["service_name"]
    chosen = kafka or kafka_config(values)
    if chosen.feedback_topic == chosen.topic:
        raise ConfigError("KAFKA_FEEDBACK_TOPIC", chosen.feedback_topic, "another one than KAFKA_OUTCOME_TOPIC")
    return Settings(
        enable_kafka=_first(values["enable_kafka"], kafka is not None or "kafka_bootstrap_servers" in given),
        enable_otlp=_first(values["enable_otlp"], _has_otlp_endpoint(environment)),
        kafka=chosen,
        journal_dir=_journal_dir(values["journal_dir"], values["service_name"], environment),
        metadata_allow=values["metadata_allow"] or (),
        metadata_deny=values["metadata_deny"] or (),
        disabled=values["disabled"] or values["sdk_disabled"],
        **{
            name: values[name]
            for name in (
                "service_name", "enable_outcome_logging", "log_file", "log_max_bytes", "log_backups",
                "durability", "journal_max_bytes", "journal_max_age_s", "journal_min_free_bytes",
                "journal_memory_max_bytes", "journal_rescan_s", "emit", "span_ttl_s", "emit_start", "emit_pending", "baggage_fields", "prices", "audit_interval_s", "ring_size", "metric_label_sets",
                "shutdown_timeout_s", "capture_content", "event_max_bytes", "agent_rate_limit",
            )
        },
    )  # fmt: skip


def feedback_settings(settings: Settings) -> Settings:
    """Return the settings of what delivers feedback: a topic and a journal of its own, JSON, and no process; all else is the same."""
    kafka = msgspec.structs.replace(
        settings.kafka, topic=settings.kafka.feedback_topic, value_format="json", sender="thread"
    )
    return msgspec.structs.replace(settings, kafka=kafka, journal_dir=settings.journal_dir / FEEDBACK_JOURNAL)


def _first(value: bool | None, otherwise: bool) -> bool:
    return otherwise if value is None else value


def _service_of_resource(environment: Mapping[str, str]) -> str | None:
    for pair in environment.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        key, _, value = pair.partition("=")
        if key.strip() == "service.name" and value.strip():
            return value.strip()
    return None


def _journal_dir(given: str | None, service_name: str, environment: Mapping[str, str]) -> Path:
    if given is not None:
        return Path(given).expanduser().absolute()
    state = environment.get("XDG_STATE_HOME", "").strip()
    # a name may hold anything; two that look alike on disk must not share a directory
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", service_name)[:64]
    if plain != service_name or plain.startswith("."):
        plain = f"{plain.lstrip('.')}-{zlib.crc32(service_name.encode('utf-8', 'replace')):08x}"
    base = Path(state) if state else Path("~/.local/state")
    try:
        base = base.expanduser()
    except RuntimeError:  # a user without a home
        # whose folder it is gets checked before anything is written
        base = Path(environment.get("TMPDIR", "/tmp")) / f"otel-feedback-{os.getuid()}"  # noqa: S108
    return base.absolute() / "otel-feedback" / plain


def _has_otlp_endpoint(environment: Mapping[str, str]) -> bool:
    if environment.get("OTEL_LOGS_EXPORTER", "").strip().lower() == "none":
        return False
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT")
    return any(environment.get(name, "").strip() for name in names)
