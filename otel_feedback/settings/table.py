"""Settings: one table of names, variables, defaults and meanings; argument > environment > default.

Input: keyword arguments and the environment. Output: frozen `Settings` (with a `KafkaConfig` inside).
`.env.example`, the configuration page and the error messages come from the same table.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from otel_feedback.errors import ConfigError
from otel_feedback.settings.registry import RegistryConfig, registry_urls
from otel_feedback.settings.values import (
    Reader,
    a_flag,
    a_number,
    a_path,
    a_provider,
    a_text,
    a_topic,
    addresses,
    one_of,
    patterns,
    price_list,
    require,
    some_of,
    whole,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from otel_feedback.settings.options import SettingsOptions

__all__ = [
    "SETTINGS",
    "KafkaConfig",
    "Setting",
    "Settings",
    "get_settings",
    "read_settings",
    "require_avro",
    "require_codec",
]


class Setting(NamedTuple):
    """One row of the table.

    `name` is the keyword argument, `variable` the environment's name, `default` the text of the default
    (None: unset), `section` where people look for it.
    """

    name: str
    variable: str
    default: str | None
    read: Reader
    meaning: str
    section: str
    secret: bool = False


_K, _E, _L, _P, _S = "Kafka", "Exporters", "Log tier", "Pipeline", "Switches"
_J, _C = "Journal", "Content"
_TLS = "Kafka security"
_R = "Schema registry"

SETTINGS: tuple[Setting, ...] = (
    Setting("service_name", "OTEL_SERVICE_NAME", "unknown_service", a_text,
            "The service that the agents belong to; resource attribute `service.name`.", _P),
    Setting("enable_kafka", "ENABLE_KAFKA", None, a_flag,
            "Send events to Kafka. Unset: true when `KAFKA_BOOTSTRAP_SERVERS` is set, else false.", _E),
    Setting("enable_outcome_logging", "ENABLE_OUTCOME_LOGGING", "true", a_flag,
            "Write every event as a line of JSON to stderr, or to `OTEL_FEEDBACK_LOG_FILE`.", _E),
    Setting("enable_otlp", "OTEL_FEEDBACK_ENABLE_OTLP", None, a_flag,
            "Send events as OTLP log records. Unset: true when `OTEL_EXPORTER_OTLP_ENDPOINT` or "
            "`OTEL_EXPORTER_OTLP_LOGS_ENDPOINT` is set and `OTEL_LOGS_EXPORTER` is not `none`.", _E),
    Setting("kafka_bootstrap_servers", "KAFKA_BOOTSTRAP_SERVERS", "localhost:9092", addresses,
            "Brokers to ask first: `host:port`, several separated by commas.", _K),
    Setting("kafka_outcome_topic", "KAFKA_OUTCOME_TOPIC", "agent-outcomes", a_topic,
            "The topic of the outcome events. With `.{tenant}` at its end, as in `agent-outcomes.{tenant}`: one for each "
            "tenant, and the name without it for events of none.", _K),
    Setting("kafka_batch_size", "KAFKA_BATCH_SIZE", "100", whole(1, 10_000),
            "Events handed to the producer at once.", _K),
    Setting("kafka_compression", "KAFKA_COMPRESSION", "gzip", one_of("gzip", "zstd", "lz4", "snappy", "none"),
            "How batches are compressed: gzip, zstd, lz4, snappy or none.", _K),
    Setting("kafka_linger_ms", "KAFKA_LINGER_MS", "75", whole(0, 60_000),
            "How long a batch waits for more events at most, in milliseconds; less while they come one by one.", _K),
    Setting("kafka_client_id", "KAFKA_CLIENT_ID", "otel-feedback", a_text,
            "What the broker's logs and quotas call this client.", _K),
    Setting("kafka_security_protocol", "KAFKA_SECURITY_PROTOCOL", None,
            one_of("plaintext", "ssl", "sasl_plaintext", "sasl_ssl"),
            "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.", _TLS),
    Setting("kafka_sasl_mechanism", "KAFKA_SASL_MECHANISM", None,
            one_of("plain", "scram-sha-256", "scram-sha-512", "gssapi", "oauthbearer", "aws_msk_iam"),
            "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, GSSAPI, OAUTHBEARER or AWS_MSK_IAM.", _TLS),
    Setting("kafka_sasl_plain_username", "KAFKA_SASL_PLAIN_USERNAME", None, a_text,
            "User of PLAIN and SCRAM.", _TLS),
    Setting("kafka_sasl_plain_password", "KAFKA_SASL_PLAIN_PASSWORD", None, a_text,
            "Password of PLAIN and SCRAM.", _TLS, secret=True),
    Setting("kafka_sasl_kerberos_service_name", "KAFKA_SASL_KERBEROS_SERVICE_NAME", None, a_text,
            "Service name of GSSAPI.", _TLS),
    Setting("kafka_sasl_kerberos_domain_name", "KAFKA_SASL_KERBEROS_DOMAIN_NAME", None, a_text,
            "Domain name of GSSAPI.", _TLS),
    Setting("kafka_sasl_oauth_token_provider", "KAFKA_SASL_OAUTH_TOKEN_PROVIDER", None, a_provider,
            "Where OAUTHBEARER gets its tokens: `package.module:function`, which returns a token, or a token and when it ends "
            "in seconds since 1970; as an argument also the function.", _TLS),
    Setting("kafka_ssl_cafile", "KAFKA_SSL_CAFILE", None, a_text,
            "File with the certificates of the authorities to trust (PEM).", _TLS),
    Setting("kafka_ssl_certfile", "KAFKA_SSL_CERTFILE", None, a_text,
            "File with this client's certificate (PEM).", _TLS),
    Setting("kafka_ssl_keyfile", "KAFKA_SSL_KEYFILE", None, a_text,
            "File with this client's private key (PEM).", _TLS),
    Setting("kafka_ssl_password", "KAFKA_SSL_PASSWORD", None, a_text,
            "Password of the private key.", _TLS, secret=True),
    Setting("kafka_ssl_crlfile", "KAFKA_SSL_CRLFILE", None, a_text,
            "File with revoked certificates (PEM).", _TLS),
    Setting("kafka_ssl_ciphers", "KAFKA_SSL_CIPHERS", None, a_text,
            "Ciphers allowed up to TLS 1.2, in OpenSSL's notation; those of TLS 1.3 always are.", _TLS),
    Setting("kafka_ssl_check_hostname", "KAFKA_SSL_CHECK_HOSTNAME", None, a_flag,
            "Whether the broker's certificate must name its host. Unset: true.", _TLS),
    Setting("kafka_value_format", "KAFKA_VALUE_FORMAT", "json", one_of("json", "avro"),
            "What the values on the outcome topic are: json, or avro by the schema registry, which needs `otel-feedback[avro]`.",
            _R),
    Setting("schema_registry_url", "SCHEMA_REGISTRY_URL", None, registry_urls,
            "The registry, with Confluent's API: `http://host:8081`, several separated by commas. Readers need it where "
            "values are Avro.", _R),
    Setting("schema_registry_basic_auth_user_info", "SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO", None, a_text,
            "`user:password` for the registry.", _R, secret=True),
    Setting("schema_registry_ssl_cafile", "SCHEMA_REGISTRY_SSL_CAFILE", None, a_text,
            "File with the certificates of the authorities to trust for the registry (PEM). Unset: the system's.", _R),
    Setting("schema_registry_ssl_certfile", "SCHEMA_REGISTRY_SSL_CERTFILE", None, a_text,
            "File with this client's certificate for the registry (PEM).", _R),
    Setting("schema_registry_ssl_keyfile", "SCHEMA_REGISTRY_SSL_KEYFILE", None, a_text,
            "File with this client's private key for the registry (PEM).", _R),
    Setting("log_file", "OTEL_FEEDBACK_LOG_FILE", None, a_path,
            "File of the log tier. Unset: stderr.", _L),
    Setting("log_max_bytes", "OTEL_FEEDBACK_LOG_MAX_BYTES", "67108864", whole(1_024, 2**40),
            "Size at which the file is rotated, in bytes.", _L),
    Setting("log_backups", "OTEL_FEEDBACK_LOG_BACKUPS", "5", whole(0, 1_000),
            "Rotated files that are kept.", _L),
    Setting("durability", "OTEL_FEEDBACK_DURABILITY", "interval", one_of("interval", "fsync", "memory"),
            "interval: an outcome survives the death of its process, and a loss of power but for the last 500 ms; "
            "fsync: a loss of power, too, and every action waits for the disk; memory: neither.", _J),
    Setting("journal_dir", "OTEL_FEEDBACK_JOURNAL_DIR", None, a_path,
            "Directory of the journals of this service's processes. "
            "Unset: `otel-feedback/<service>` in `$XDG_STATE_HOME`, or in `~/.local/state`.", _J),
    Setting("journal_max_bytes", "OTEL_FEEDBACK_JOURNAL_MAX_BYTES", "4294967296", whole(65_536, 2**50),
            "Undelivered events kept on disk, in bytes; past it the oldest are lost, and counted.", _J),
    Setting("journal_max_age_s", "OTEL_FEEDBACK_JOURNAL_MAX_AGE", "604800", a_number(1, 10**9),
            "How long undelivered events are kept, in seconds; past it the oldest are lost, and counted.", _J),
    Setting("journal_min_free_bytes", "OTEL_FEEDBACK_JOURNAL_MIN_FREE_BYTES", "67108864", whole(0, 2**50),
            "Bytes of the disk that the journal leaves free; below it the oldest events are lost, and counted.", _J),
    Setting("journal_memory_max_bytes", "OTEL_FEEDBACK_JOURNAL_MEMORY_MAX_BYTES", "67108864", whole(1_024, 2**40),
            "Undelivered events kept in memory, in bytes, where the disk does not take them or `durability` is "
            "memory; past it the oldest are lost, and counted.", _J),
    Setting("journal_rescan_s", "OTEL_FEEDBACK_JOURNAL_RESCAN_INTERVAL", "30", a_number(0.1, 86_400),
            "How often to look for journals of processes that died, in seconds.", _J),
    Setting("emit_start", "OTEL_FEEDBACK_EMIT_START", "true", a_flag,
            "Note in the journal when an action starts, so that one whose process dies gets an outcome: "
            "a failure with the error type `process_lost`.", _J),
    Setting("emit_pending", "OTEL_FEEDBACK_EMIT_PENDING", "false", a_flag,
            "Send an event when an action starts, too: status `pending`, revision 0 of the same event.", _P),
    Setting("emit", "OTEL_FEEDBACK_EMIT", "", some_of("step", "agent_create", "memory", "evaluation", "fetch"),
            "Kinds of other instrumentation's spans that become events beside the usual ones: agents, workflows, tools, "
            "model calls, embeddings, retrievals, plans, handoffs and guardrails.", _P),
    Setting("span_ttl_s", "OTEL_FEEDBACK_SPAN_TTL", "3600", a_number(1, 10**7),
            "How long a span of other instrumentation may stay open, in seconds; then its action is recorded as "
            "cancelled, and corrected should it end after all.", _P),
    Setting("baggage_fields", "OTEL_FEEDBACK_BAGGAGE_FIELDS", "",
            some_of("workflow_id", "run_id", "correlation_id", "session_id", "user_id", "tenant_id"),
            "Identifiers that `inject()` sends to other processes as W3C Baggage. They may be private: none by default.",
            _P),
    Setting("prices", "OTEL_FEEDBACK_PRICES", None, price_list,
            "What models cost, in USD per million tokens: a JSON file such as "
            '`{"my-model": {"input": 2.5, "output": 10, "cached_input": 1.25, "cache_write": 2.5}}`. '
            "It goes before the table of this package.", _P),
    Setting("capture_content", "OTEL_FEEDBACK_CAPTURE_CONTENT", "",
            some_of("input", "output", "tool_arguments", "tool_result", "system_instructions"),
            "Content of other instrumentation's spans that events may hold, as metadata. It may be private: none by default.",
            _C),
    Setting("metadata_allow", "OTEL_FEEDBACK_METADATA_ALLOW", None, patterns,
            "Metadata keys that may leave, in any case. Unset: all.", _C),
    Setting("metadata_deny", "OTEL_FEEDBACK_METADATA_DENY", None, patterns,
            "Metadata keys that may not; goes before the keys that may.", _C),
    Setting("event_max_bytes", "OTEL_FEEDBACK_EVENT_MAX_BYTES", "65536", whole(2_048, 2**30),
            "Size of an event's JSON, in bytes; of a larger one the longest texts are cut.", _C),
    Setting("agent_rate_limit", "OTEL_FEEDBACK_AGENT_RATE_LIMIT", None, a_number(0.001, 10**6),
            "Events a second for each agent name; as many may come at once. What is beyond is dropped, and counted. "
            "Unset: no limit.", _C),
    Setting("audit_interval_s", "OTEL_FEEDBACK_AUDIT_INTERVAL", "60", a_number(1, 86_400),
            "How often the account goes to the audit topic, in seconds; losses go at once.", _J),
    Setting("ring_size", "OTEL_FEEDBACK_RING_SIZE", "1000", whole(1, 1_000_000),
            "Newest events that `get_recent_events()` sees.", _P),
    Setting("metric_label_sets", "OTEL_FEEDBACK_METRIC_LABEL_SETS", "500", whole(0, 100_000),
            "Sets of labels that the OpenTelemetry metrics of outcomes have each: agent, action, status, tenant and model. Of "
            "what is beyond, first tenant and model are `other`, then agent and action, too. 0: no metrics of outcomes.", _P),
    Setting("shutdown_timeout_s", "OTEL_FEEDBACK_SHUTDOWN_TIMEOUT", "5", a_number(0, 3_600),
            "How long the end of the program waits for delivery, in seconds.", _P),
    Setting("enabled", "OTEL_FEEDBACK_ENABLED", "false", a_flag,
            "Let `opentelemetry-instrument` set everything up, with no line of code. A program that calls "
            "`configure()` does not need it.", _S),
    Setting("disabled", "OTEL_FEEDBACK_DISABLED", "false", a_flag,
            "Turn everything into no-ops.", _S),
    Setting("sdk_disabled", "OTEL_SDK_DISABLED", "false", a_flag,
            "The OpenTelemetry SDK's own switch; turns everything of ours into no-ops, too.", _S),
)  # fmt: skip

_BY_NAME = {setting.name: setting for setting in SETTINGS}
_KAFKA_FIELDS = {
    "kafka_bootstrap_servers": "bootstrap_servers",
    "kafka_outcome_topic": "topic",
    "kafka_batch_size": "batch_size",
    "kafka_compression": "compression",
    "kafka_linger_ms": "linger_ms",
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
    (`sasl_mechanism`, `ssl_cafile` …). The repr shows the names only. `registry` is what values are written by where
    `value_format` is `avro`, and what readers ask for schemas.
    """

    bootstrap_servers: tuple[str, ...] = ("localhost:9092",)
    topic: str = "agent-outcomes"
    batch_size: int = 100
    compression: str = "gzip"
    linger_ms: int = 75
    client_id: str = "otel-feedback"
    value_format: str = "json"
    registry: RegistryConfig | None = None
    client_options: Mapping[str, Any] = msgspec.field(default_factory=dict[str, Any])
    producer_batch_bytes: int = 256 * 1024
    producer_linger_ms: int = 5
    max_request_bytes: int = 1_048_576

    def __post_init__(self) -> None:
        for name, field in _KAFKA_FIELDS.items():
            msgspec.structs.force_setattr(
                self, field, _read(_BY_NAME[name], getattr(self, field), f"KafkaConfig.{field}")
            )
        taken = sorted(_OWN_OPTIONS & set(self.client_options))
        if taken:
            raise ConfigError("KafkaConfig.client_options", taken, "options that this package does not set itself")
        problem = security_problem(self.client_options)
        if problem is not None:
            raise problem
        if self.registry is not None:
            require("KafkaConfig.registry", self.registry, RegistryConfig, "a RegistryConfig")
        if self.value_format == "avro" and self.registry is None:
            raise ConfigError("SCHEMA_REGISTRY_URL", "", "the registry's address, since KAFKA_VALUE_FORMAT is avro")

    def __repr__(self) -> str:
        shown = ", ".join(f"{field}={getattr(self, field)!r}" for field in _KAFKA_FIELDS.values())
        return f"KafkaConfig({shown}, client_options={sorted(self.client_options)})"


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
        if name not in _BY_NAME:
            near = get_close_matches(name, _BY_NAME, 1)
            hint = f"did you mean {near[0]}? All: " if near else ""
            raise ConfigError(name, "…", f"a setting; {hint}{', '.join(sorted(_BY_NAME))}")
    if kafka is not None:
        require("kafka", kafka, KafkaConfig, "a KafkaConfig; brokers alone are kafka_bootstrap_servers='host:9092'")
    values, given = read_settings(SETTINGS, overrides, environment)
    if "service_name" not in given:
        values["service_name"] = _service_of_resource(environment) or values["service_name"]
    return Settings(
        enable_kafka=_first(values["enable_kafka"], kafka is not None or "kafka_bootstrap_servers" in given),
        enable_otlp=_first(values["enable_otlp"], _has_otlp_endpoint(environment)),
        kafka=kafka or _kafka_config(values),
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


def read_settings(
    settings: Iterable[Setting], given: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[dict[str, Any], set[str]]:
    """Read settings by name: what is given, else the environment, else the default; and the names of those that somebody set.

    Raises:
        ConfigError: A value cannot be used; it says what would be right.
    """
    values: dict[str, Any] = {}
    is_set: set[str] = set()
    for setting in settings:
        argument = given.get(setting.name)
        text = environment.get(setting.variable, "").strip()
        if argument is not None:
            values[setting.name] = _read(setting, argument, setting.name)
        elif text:
            values[setting.name] = _read(setting, text, setting.variable)
        else:
            values[setting.name] = None if setting.default is None else setting.read(setting.default)
            continue
        is_set.add(setting.name)
    return values, is_set


def _read(setting: Setting, value: Any, named: str) -> Any:
    try:
        return setting.read(value)
    except ConfigError:  # says more exactly what is wrong
        raise
    except ValueError as exc:
        raise ConfigError(named, "<hidden>" if setting.secret else value, str(exc)) from None


def _first(value: bool | None, otherwise: bool) -> bool:
    return otherwise if value is None else value


def _kafka_config(values: Mapping[str, Any]) -> KafkaConfig:
    options: dict[str, Any] = {}
    for setting in SETTINGS:
        if setting.section == _TLS and values[setting.name] is not None:
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


def security_problem(options: Mapping[str, Any]) -> ConfigError | None:
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
