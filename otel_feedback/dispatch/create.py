"""`create_dispatcher()`: a dispatcher, and a configured process behind it.

A module of its own, so that programs which only use `action()` do not pay for importing asyncio.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from otel_feedback import bootstrap
from otel_feedback.capture.runtime import runtime
from otel_feedback.dispatch.dispatcher import ActionDispatcher
from otel_feedback.dispatch.orchestration import OrchestrationDispatcher

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider
    from typing_extensions import Unpack

    from otel_feedback.convert.span import Convention
    from otel_feedback.dispatch.answers import Extractor
    from otel_feedback.pipeline.admission import EventFilter
    from otel_feedback.pipeline.screen import EventRedactor
    from otel_feedback.settings.kafka import KafkaConfig
    from otel_feedback.settings.options import SettingsOptions
    from otel_feedback.settings.settings import Settings

    class Options(SettingsOptions, total=False):
        """The arguments of `configure()` and of `ActionDispatcher`."""

        tracer_provider: TracerProvider | None
        settings: Settings | None
        kafka: KafkaConfig | None
        redact: EventRedactor | None
        filter: EventFilter | None
        conventions: Sequence[Convention]
        max_concurrency: int | None
        retries: int
        backoff_s: float
        hook_timeout_s: float
        extractor: Extractor | None
        raise_on_error: bool


# the classes, too: who imports them gets the means to configure the process
__all__ = ["ActionDispatcher", "OrchestrationDispatcher", "create_dispatcher"]

_OWN = frozenset({"max_concurrency", "retries", "backoff_s", "hook_timeout_s", "extractor", "raise_on_error"})


def create_dispatcher(
    kafka_servers: str | None = None, enable_metrics: bool = True, **options: Unpack[Options]
) -> ActionDispatcher:
    """Return a dispatcher, and configure the process where nobody has yet.

    Args:
        kafka_servers: Brokers, `host:port`, several separated by commas; turns Kafka on.
        enable_metrics: Whether its actions count in OpenTelemetry metrics, as all outcomes do. Where the program has no
            MeterProvider and an OTLP endpoint is set, one is made that exports them.
        options: Arguments of `configure()`, and those of `ActionDispatcher`: `max_concurrency`, `retries`, `backoff_s`,
            `hook_timeout_s`, `extractor`, `raise_on_error`.

    Raises:
        ConfigError: A setting cannot be used.
        FeedbackError: An argument of the dispatcher cannot be used.
    """
    settings = cast("dict[str, Any]", options)
    own = {name: settings.pop(name) for name in _OWN & settings.keys()}
    if kafka_servers is not None:
        settings["kafka_bootstrap_servers"] = kafka_servers
    if settings:
        pipeline = bootstrap.configure(**settings)
    elif bootstrap.is_configured() or not runtime().enabled:
        pipeline = bootstrap.get_feedback_pipeline()
    else:
        pipeline = bootstrap.configure()
    if enable_metrics and pipeline.enabled:
        from otel_feedback.sdk.provider import prepare_metrics

        prepare_metrics(pipeline.service_name or "unknown_service")
    return ActionDispatcher(enable_metrics=enable_metrics, **own)
