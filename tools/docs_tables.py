"""What the code cannot say of itself: one meaning for each event field, Kafka header and foreign variable.

`tools.docs` puts these texts into the pages and the JSON Schema; a test fails where one is missing. Settings have
their meanings in `otel_feedback.settings.table.SETTINGS`.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["EVENT", "EVENT_SUMMARY", "HEADERS", "KAFKA_OPTIONS", "OTEL", "OtelVariable", "Text"]


class Text(NamedTuple):
    """What is said of one event field.

    `unit` is empty where there is none. `since` is the version of the package that first wrote the field.
    """

    meaning: str
    unit: str = ""
    since: str = "0.1.0"


EVENT_SUMMARY = "How one action of an agent ended. A field that is unknown is absent or null, never zero."

_MS, _TOKENS, _TIME = "ms", "tokens", "RFC 3339, UTC"

EVENT: dict[str, dict[str, Text]] = {
    "Identity": {
        "schema_version": Text("Version of this schema. Fields are only added within one major version."),
        "event_id": Text(
            "The action: trace id, hyphen, span id, in hex; the same each time it is sent. Random where no "
            "OpenTelemetry SDK gives ids."
        ),
        "revision": Text(
            "Of several events with the same `event_id` the one with the highest revision counts; each is complete. "
            "0: pending, 1: the first outcome."
        ),
        "timestamp": Text("When the action ended.", _TIME),
        "action_type": Text("What was done: `reasoning`, `tool`, `plan` …"),
        "status": Text("How it ended."),
        "severity": Text("How much it should worry a person."),
    },
    "Who and where": {
        "agent_name": Text("Who acted."),
        "agent_type": Text("What kind of agent: `react`, `llm`, `tool` …"),
        "tool_name": Text("The tool that was called."),
        "service_name": Text("The service that the agent belongs to."),
        "run_id": Text("The run. Events of one run stay in order. The trace id where nobody gave another."),
        "workflow_id": Text("The workflow that the action is part of."),
        "correlation_id": Text("The request that it belongs to, across systems."),
        "session_id": Text("The conversation."),
        "user_id": Text("Who asked."),
        "tenant_id": Text("For which client."),
        "trace_id": Text("The OpenTelemetry trace, 32 hex digits."),
        "span_id": Text("The span of the action, 16 hex digits."),
        "parent_event_id": Text("The nearest action around this one, where both were made by `action()`."),
        "root_event_id": Text("The outermost action around this one; its own id where there is none."),
        "depth": Text("How many actions are around this one."),
        "attempt": Text("Which attempt this was, counted from 1."),
    },
    "Time": {
        "start_time": Text("When the action began.", _TIME),
        "end_time": Text("When it ended.", _TIME),
        "duration_ms": Text("How long the action itself ran, by a clock that nobody sets.", _MS),
        "latency_ms": Text("How long its caller waited, from the request to the end.", _MS),
    },
    "What went wrong": {
        "error_type": Text("Class of the exception, without its module; `_OTHER` where there was none."),
        "error_message": Text("The exception's text, at most 4,096 characters."),
        "stack_trace": Text("The stack trace; of a long one the last 16,384 characters."),
    },
    "Performance and cost": {
        "llm_latency_ms": Text("Time in model calls, of the action and those inside it.", _MS),
        "llm_calls": Text("Model calls, of the action and those inside it."),
        "tokens_used": Text("Tokens read and written, by the action and those inside it.", _TOKENS),
        "own_tokens": Text("Tokens of the action alone. A sum over any events counts nothing twice.", _TOKENS),
        "input_tokens": Text("Tokens read by the action alone, cached ones included.", _TOKENS),
        "output_tokens": Text("Tokens written by the action alone, reasoning included.", _TOKENS),
        "cached_input_tokens": Text("Those of the input that came from the provider's cache.", _TOKENS),
        "reasoning_tokens": Text("Those of the output that were reasoning.", _TOKENS),
        "model": Text("The model; of several the one that was named last."),
        "provider": Text("Who ran the model."),
        "cost_estimate": Text("Cost of the action and those inside it, as far as it was given.", "USD"),
        "own_cost": Text("Cost of the action alone. A sum over any events counts nothing twice.", "USD"),
        "usage_complete": Text(
            "False while spans below were still open: a higher revision may bring more tokens and cost. Absent where "
            "nobody follows the spans."
        ),
        "memory_used_mb": Text(
            "Resident memory of the whole process, sampled at most once a second; on macOS its highest so far.",
            "10^6 bytes",
        ),
        "cpu_time_ms": Text(
            "CPU time of the thread between start and end; of an async action that is what its thread spent on "
            "others, too; of a plain agent that a dispatcher ran, that of the agent's thread. Absent where the action "
            "ended on another thread.",
            _MS,
        ),
        "quality_score": Text("How good the result is.", "0 to 1"),
        "confidence_score": Text("How sure the agent is.", "0 to 1"),
    },
    "Context": {
        "tags": Text("Labels, at most 64; inherited by the actions inside."),
        "metadata": Text("Whatever else was given: at most 64 keys, scalars or lists of scalars."),
    },
    "Experiments and choices": {
        "experiment": Text("The experiment whose variant the action ran with; of several the innermost."),
        "variant": Text("The variant."),
        "propensity": Text("How probable that variant was.", "0 to 1"),
        "choice_candidates": Text("The agents that a selector chose from, `agent_name` among them."),
        "choice_policy": Text("What chose: its name, a colon, and the version of what it had learned."),
        "choice_propensity": Text("How probable that choice was.", "0 to 1"),
    },
}

IN_LIBRDKAFKA = {
    "bootstrap_servers": "`bootstrap.servers`",
    "outcome_topic": "said with each record",
    "batch_size": "ours, for both clients",
    "compression": "`compression.type`",
    "linger_ms": "ours, for both clients; librdkafka's own `linger.ms` is `producer_linger_ms`",
    "client_id": "`client.id`",
    "sasl_kerberos_domain_name": "none: a `ConfigError`",
}
"""What is set otherwise than by `COUNTERPARTS`."""

HEADERS = {
    "content-type": "The format of the value; `application/avro` where `KAFKA_VALUE_FORMAT` is `avro`.",
    "producer_id": "The process that numbered the record; a new one for each pipeline and each forked child.",
    "sequence": "The record's number at that producer, from 0. A number that is in no partition is a lost record.",
    "ce_id": "CloudEvents: the `event_id`, and `/` and the revision where that is not 1.",
    "ce_source": "CloudEvents: the service.",
    "ce_type": "CloudEvents: what the value is, with the schema's major version.",
    "ce_time": "CloudEvents: the event's `timestamp`.",
    "ce_specversion": "CloudEvents: the version of that specification.",
    "schema_version": "The event's `schema_version`, so that a reader need not decode what it cannot use.",
    "tenant_id": "The event's `tenant_id`, so that a reader of one client's events can skip the others. Absent without one.",
    "traceparent": "W3C trace context of the action's span. Absent where the event belongs to no trace.",
}

KAFKA_OPTIONS = {
    "client_options": "Any other option of kafka-python's clients, by its name there, for example "
    "`ssl_context`. Options that this package sets itself are refused.",
    "producer_batch_bytes": "Most bytes of one batch on the wire, before compression.",
    "producer_linger_ms": "How long the producer waits for more once it has a batch, in milliseconds.",
    "registry": "From `otel_feedback.settings.registry`: the schema registry, as the `SCHEMA_REGISTRY_…` variables say it.",
    "max_request_bytes": "Largest record and request. A larger event is refused, and its payload kept in the log tier.",
}
"""The fields of `KafkaConfig` that have no variable."""


class OtelVariable(NamedTuple):
    """A variable that OpenTelemetry defines, and what it does here. `default` is empty where there is none."""

    name: str
    default: str
    meaning: str
    in_example: bool = False


OTEL: dict[str, tuple[str, tuple[OtelVariable, ...]]] = {
    "Where spans and events go by OTLP": (
        (
            "Read by us for events, and by the OpenTelemetry SDK for spans. Each but the last also exists as "
            "`OTEL_EXPORTER_OTLP_LOGS_…`, for events only, and as `OTEL_EXPORTER_OTLP_TRACES_…`, for spans only."
        ),
        (
            OtelVariable(
                "OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318",
                "The collector. When it is set, events go there, too. With gRPC the default port is 4317. Over HTTP "
                "`/v1/logs` and `/v1/traces` are added, but not to the names for one signal.",
                in_example=True,
            ),
            OtelVariable(
                "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "`http/protobuf` or `grpc`.", in_example=True
            ),
            OtelVariable(
                "OTEL_EXPORTER_OTLP_HEADERS", "", "Headers as `name=value`, several separated by commas.",
                in_example=True,
            ),
            OtelVariable("OTEL_EXPORTER_OTLP_TIMEOUT", "10", "How long a request may take, in seconds."),
            OtelVariable("OTEL_EXPORTER_OTLP_COMPRESSION", "none", "`gzip` or `none`."),
            OtelVariable(
                "OTEL_EXPORTER_OTLP_INSECURE", "false", "No TLS with gRPC, where the endpoint does not say `http://`."
            ),
            OtelVariable("OTEL_EXPORTER_OTLP_CERTIFICATE", "", "File with the authorities to trust (PEM)."),
            OtelVariable("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "", "File with this client's certificate (PEM)."),
            OtelVariable("OTEL_EXPORTER_OTLP_CLIENT_KEY", "", "File with this client's private key (PEM)."),
            OtelVariable("OTEL_LOGS_EXPORTER", "otlp", "`none`: events do not go out by OTLP."),
            OtelVariable("OTEL_METRICS_EXPORTER", "otlp", "`none`: a dispatcher makes no MeterProvider. One that the "
                         "program made keeps what it was given."),
        ),
    ),
    "Spans": (
        "Obeyed where `configure()` makes the TracerProvider; one that the program made keeps what it was given.",
        (
            OtelVariable(
                "OTEL_TRACES_EXPORTER", "otlp",
                "`otlp`, `console`, `none`, or the name of an exporter that is installed; several separated by commas. "
                "With `none` there are events and no traces.",
                in_example=True,
            ),
            OtelVariable(
                "OTEL_TRACES_SAMPLER", "parentbased_always_on",
                "Which traces are exported. Every action has its event all the same. With `opentelemetry-instrument` "
                "`otel_feedback` is needed for that, and the argument then names the sampler.",
                in_example=True,
            ),
            OtelVariable("OTEL_TRACES_SAMPLER_ARG", "", "The sampler's argument, for example `0.01`.", in_example=True),
            OtelVariable("OTEL_RESOURCE_ATTRIBUTES", "", "Attributes of every span, `name=value`, several separated by "
                         "commas. `service.name` is used where `OTEL_SERVICE_NAME` is not set."),
            OtelVariable("OTEL_BSP_SCHEDULE_DELAY", "5000", "How long finished spans wait for company, in "
                         "milliseconds. Does not delay events. The SDK's other `OTEL_BSP_…` variables work as well."),
            OtelVariable("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "128", "Attributes of a span. The event of `action()` has "
                         "all its fields also where its span has no room for them."),
            OtelVariable("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "", "Characters of a text attribute of a span. The event of "
                         "`action()` keeps its whole text."),
        ),
    ),
}  # fmt: skip
