"""`configure()`: the pipeline of this process, which `assembly` builds, and what uses it.

Input: settings. Output: the process's `FeedbackPipeline`, an `OutcomeSpanProcessor` on a TracerProvider, and
`action()` using both. Cheap: it starts no thread and opens no connection; the first event does.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Iterable, Sequence
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from otel_feedback.assembly import assemble
from otel_feedback.capture import runtime
from otel_feedback.capture.action import action
from otel_feedback.convert.span import Convention
from otel_feedback.errors import ConfigError
from otel_feedback.logger import get_logger
from otel_feedback.pipeline.admission import EventFilter
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.pipeline.processor import OutcomeSpanProcessor, provide_default_pipeline
from otel_feedback.pipeline.screen import EventRedactor
from otel_feedback.sdk.forks import call_in_child
from otel_feedback.settings.kafka import KafkaConfig
from otel_feedback.settings.misspelt import tell_misspelt
from otel_feedback.settings.settings import Settings, get_settings
from otel_feedback.settings.values import require

# action is here so that it is imported now: an import on an agent's thread may be cut in two by a fork
__all__ = [
    "action",
    "configure",
    "get_feedback_pipeline",
    "is_configured",
    "stand_in",
]

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from typing_extensions import Unpack

    from otel_feedback.settings.options import SettingsOptions

logger = get_logger(__name__)


class _Process:
    """The pipeline of this process. One lock: configuring is rare."""

    lock = threading.RLock()
    pipeline: FeedbackPipeline | None = None
    has_stand_in = False

    @classmethod
    def renew_lock(cls) -> None:
        """In a forked child: a thread that is not here may have held it."""
        cls.lock = threading.RLock()


call_in_child(_Process.renew_lock)


def configure(
    *,
    tracer_provider: trace.TracerProvider | None = None,
    settings: Settings | None = None,
    kafka: KafkaConfig | None = None,
    redact: EventRedactor | None = None,
    filter: EventFilter | None = None,  # noqa: A002 # what people look for
    conventions: Sequence[Convention] = (),
    **overrides: Unpack[SettingsOptions],
) -> FeedbackPipeline:
    """Set up outcome recording for this process and return its pipeline.

    Args:
        tracer_provider: The provider to work on. Default: the global one where somebody set one; else a new one
            is made and set, which exports spans by OTLP as the OTEL_* variables say and records the outcome
            of every action, whatever part of the traces its sampler keeps.
        settings: Ready-made settings; default: read from `overrides` and the environment.
        kafka: Takes the place of all `kafka_…` settings, and turns Kafka on. Brokers alone are `kafka_bootstrap_servers=`.
        redact: Is given each event, which is without secrets already, and returns the event as it may leave, for example
            `msgspec.structs.replace(event, user_id=None)`. What says which event it is (ids, revision, status, time)
            stays. When it raises or returns anything else, the event is recorded without error message, stack trace,
            tags, metadata, and without user, session, tenant, workflow, run and correlation.
        filter: Is given each event, before `redact` is, and returns whether to record it. What it drops is counted in
            `metrics()["not_recorded"]["filtered"]`. When it raises, the event is recorded.
            Both run on the agent's thread, for each event: they should take microseconds. Their failures are counted in
            `metrics()["hook_failures"]`.
        conventions: Read spans of instrumentation that this package does not know; see `otel_feedback.conventions`. They
            are asked before those that it knows.
        overrides: Settings by name, for example `service_name="support-bot"`; see the configuration page.

    Returns:
        The pipeline. When the process is configured already, the one in force, with a warning.

    Raises:
        ConfigError: A setting cannot be used; it says which, and what would be right.
    """
    _check("tracer_provider", tracer_provider, "a TracerProvider", "get_tracer")
    _check("redact", redact, "a function that is given an event and returns one, not an async one")
    _check("filter", filter, "a function that is given an event and returns whether to record it, not an async one")
    if settings is not None:
        require("settings", settings, Settings, "what get_settings() returns; single ones are arguments of their own")
    conventions = _checked(conventions)
    with _Process.lock:
        known = _Process.pipeline
        if known is not None and (_Process.has_stand_in or not (known.closed and known.enabled)):
            if not _Process.has_stand_in:
                logger.warning(
                    "configure() was called again and changes nothing; call shutdown() on the pipeline first"
                )
            return known
        chosen = settings or _read_settings(kafka=kafka, **overrides)
        if chosen.disabled:
            pipeline = _Process.pipeline = assemble(chosen)
            runtime.install(None, None, enabled=False)
            return pipeline
        from otel_feedback.sdk import provider as providers

        provider, flush = providers.prepare(tracer_provider, chosen.service_name, _default_place)
        pipeline = _Process.pipeline = assemble(
            chosen, flush, redact=redact, event_filter=filter, conventions=conventions
        )
        providers.attach(provider, OutcomeSpanProcessor(pipeline))
        _install(provider, pipeline, chosen.baggage_fields)
        return pipeline


def _check(name: str, given: object, expected: str, method: str = "__call__") -> None:
    if given is not None and (not callable(getattr(given, method, None)) or iscoroutinefunction(given)):
        raise ConfigError(name, given, expected)


def _read_settings(**given: Any) -> Settings:
    settings = get_settings(**given)
    if not settings.disabled:
        tell_misspelt()
    return settings


def _default_place() -> SpanExporter:
    from otel_feedback.exporters.otlp.spans import DefaultPlaceExporter

    return DefaultPlaceExporter()


def _install(provider: trace.TracerProvider | None, pipeline: FeedbackPipeline, baggage_fields: Sequence[str]) -> None:
    runtime.install(provider, pipeline.recorder, baggage_fields=baggage_fields, redaction=pipeline.redaction)


def is_configured() -> bool:
    """Tell whether `configure()` has been called, and its pipeline not shut down since."""
    pipeline = _Process.pipeline
    return (
        pipeline is not None and not (pipeline.closed and pipeline.enabled) and runtime.runtime().recorder is not None
    )


def get_feedback_pipeline() -> FeedbackPipeline:
    """Return the process's pipeline; where there is none yet, one built from the environment.

    Unlike `configure()` it leaves TracerProviders alone.

    Raises:
        ConfigError: There was none, and a variable of the environment cannot be used.
    """
    with _Process.lock:
        pipeline = _Process.pipeline
        if pipeline is None:
            settings = _read_settings()
            pipeline = _Process.pipeline = assemble(settings)
            if settings.disabled:
                runtime.install(None, None, enabled=False)
            else:
                _install(None, pipeline, settings.baggage_fields)
        return pipeline


@contextlib.contextmanager
def stand_in(pipeline: FeedbackPipeline, tracer_provider: trace.TracerProvider) -> Generator[None]:
    """Let this be the process's pipeline inside the block, whatever was configured before or is inside; for tests."""
    with _Process.lock:
        before = _Process.pipeline, _Process.has_stand_in, runtime.runtime()
        _Process.pipeline, _Process.has_stand_in = pipeline, True
        _install(tracer_provider, pipeline, before[2].baggage_fields)
    try:
        yield
    finally:
        with _Process.lock:
            _Process.pipeline, _Process.has_stand_in = before[:2]
            runtime.put_back(before[2])


def _checked(conventions: Sequence[Convention]) -> tuple[Convention, ...]:
    require("conventions", conventions, Iterable, "a list of conventions")
    conventions = tuple(conventions)
    for given in conventions:
        if not (
            callable(getattr(given, "matches", None))
            and callable(getattr(given, "read", None))
            and isinstance(getattr(given, "markers", None), frozenset)
        ):
            raise ConfigError("conventions", given, "an object with name, markers (a frozenset), matches() and read()")
    return conventions


provide_default_pipeline(get_feedback_pipeline)
runtime.provide_default(configure)
