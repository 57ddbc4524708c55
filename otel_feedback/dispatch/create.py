"""`create_dispatcher()`: a dispatcher, and a configured process behind it.

A module of its own, so that programs which only use `action()` do not pay for importing asyncio.
"""

from __future__ import annotations

from typing import Any

from otel_feedback import bootstrap
from otel_feedback.capture.runtime import runtime
from otel_feedback.dispatch.dispatcher import ActionDispatcher
from otel_feedback.dispatch.orchestration import OrchestrationDispatcher

# the classes, too: who imports them gets the means to configure the process
__all__ = ["ActionDispatcher", "OrchestrationDispatcher", "create_dispatcher"]

_OWN = frozenset({"max_concurrency", "retries", "backoff_s", "hook_timeout_s", "extractor", "raise_on_error"})


def create_dispatcher(
    kafka_servers: str | None = None, enable_metrics: bool = True, **settings: Any
) -> ActionDispatcher:
    """Return a dispatcher, and configure the process where nobody has yet.

    Args:
        kafka_servers: Brokers, `host:port`, several separated by commas; turns Kafka on.
        enable_metrics: Record OpenTelemetry metrics of each action. Where the program has no MeterProvider and an OTLP
            endpoint is set, one is made that exports them.
        settings: Arguments of `configure()`, and those of `ActionDispatcher`: `max_concurrency`, `retries`, `backoff_s`,
            `hook_timeout_s`, `extractor`, `raise_on_error`.

    Raises:
        ConfigError: A setting cannot be used.
        FeedbackError: An argument of the dispatcher cannot be used.
    """
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
