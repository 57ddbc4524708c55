"""One table of settings: their names, variables, defaults and meanings; argument > environment > default.

`.env.example`, the configuration page and the error messages come from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from otel_feedback.errors import ConfigError
from otel_feedback.settings.registry import registry_urls
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
    some_of,
    whole,
)

__all__ = ["BY_NAME", "KAFKA", "KAFKA_SECURITY", "SETTINGS", "Setting", "read_one", "read_settings"]


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


_E, _L, _P, _S = "Exporters", "Log tier", "Pipeline", "Switches"
_K = KAFKA = "Kafka"
_J, _C = "Journal", "Content"
_TLS = KAFKA_SECURITY = "Kafka security"
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
    Setting("kafka_feedback_topic", "KAFKA_FEEDBACK_TOPIC", None, a_topic,
            "The topic of feedback that is given after the fact, likewise. Unset: `agent-feedback`, or "
            "`agent-feedback.{tenant}` where there is an outcome topic for each tenant.", _K),
    Setting("kafka_batch_size", "KAFKA_BATCH_SIZE", "100", whole(1, 10_000),
            "Events handed to the producer at once.", _K),
    Setting("kafka_compression", "KAFKA_COMPRESSION", "gzip", one_of("gzip", "zstd", "lz4", "snappy", "none"),
            "How batches are compressed: gzip, zstd, lz4, snappy or none.", _K),
    Setting("kafka_linger_ms", "KAFKA_LINGER_MS", "75", whole(0, 60_000),
            "How long a batch waits for more events at most, in milliseconds; less while they come one by one.", _K),
    Setting("kafka_client", "KAFKA_CLIENT", "kafka-python", one_of("kafka-python", "confluent"),
            "What sends the events: kafka-python, or confluent, which is librdkafka and needs `otel-feedback[confluent]`.", _K),
    Setting("kafka_sender", "KAFKA_SENDER", "thread", one_of("thread", "process"),
            "Where events are made and sent: in a thread of the agents' process, or in a process beside it.", _K),
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
            some_of("workflow_id", "run_id", "correlation_id", "session_id", "user_id", "tenant_id", "experiment"),
            "What `inject()` sends to other processes as W3C Baggage: identifiers, and which variant of an experiment is tried. "
            "They may be private: none by default.",
            _P),
    Setting("prices", "OTEL_FEEDBACK_PRICES", None, price_list,
            "What models cost, in USD per million tokens: a JSON file such as "
            '`{"my-model": {"input": 2.5, "output": 10, "cached_input": 1.25, "cache_write": 2.5}}`. '
            "It goes before the table of this package.", _P),
    Setting("capture_content", "OTEL_FEEDBACK_CAPTURE_CONTENT", "",
            some_of("input", "output", "tool_arguments", "tool_result", "system_instructions", "comment"),
            "Content of other instrumentation's spans that events may hold, as metadata, and whether feedback may hold a "
            "comment. It may be private: none by default.", _C),
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

BY_NAME = {setting.name: setting for setting in SETTINGS}


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
            values[setting.name] = read_one(setting, argument, setting.name)
        elif text:
            values[setting.name] = read_one(setting, text, setting.variable)
        else:
            values[setting.name] = None if setting.default is None else setting.read(setting.default)
            continue
        is_set.add(setting.name)
    return values, is_set


def read_one(setting: Setting, value: Any, named: str) -> Any:
    """Read the value of one setting, which is called so where it was given.

    Raises:
        ConfigError: It cannot be used.
    """
    try:
        return setting.read(value)
    except ConfigError:  # says more exactly what is wrong
        raise
    except ValueError as exc:
        raise ConfigError(named, "<hidden>" if setting.secret else value, str(exc)) from None
