"""`configure()`: the only place that picks implementations and wires them together.

Input: settings. Output: the process's `FeedbackPipeline`, an `OutcomeSpanProcessor` on a TracerProvider, and
`action()` using both. Cheap: it starts no thread and opens no connection; the first event does.
"""

from __future__ import annotations

import atexit
import contextlib
import threading
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from otel_feedback.capture import runtime
from otel_feedback.capture.action import action
from otel_feedback.convert.pricing import Prices
from otel_feedback.convert.rules import DEFAULT_KINDS, Rules
from otel_feedback.convert.span import Convention
from otel_feedback.errors import ConfigError
from otel_feedback.exporters.interface import Exporter, Notices
from otel_feedback.exporters.log import LogExporter, LogWriter
from otel_feedback.journal.interface import Journal
from otel_feedback.journal.memory import MemoryJournal
from otel_feedback.logger import get_logger
from otel_feedback.pipeline.admission import EventFilter
from otel_feedback.pipeline.measuring import Measuring
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.pipeline.processor import OutcomeSpanProcessor, provide_default_pipeline
from otel_feedback.pipeline.screen import EventRedactor, Screen
from otel_feedback.redaction.redaction import Redaction
from otel_feedback.sdk.forks import call_in_child
from otel_feedback.settings.misspelt import tell_misspelt
from otel_feedback.settings.table import KafkaConfig, Settings, get_settings, require_avro, require_codec
from otel_feedback.settings.values import require

# action is here so that it is imported now: an import on an agent's thread may be cut in two by a fork
__all__ = [
    "action",
    "build_exporters",
    "build_pipeline",
    "build_prices",
    "configure",
    "get_feedback_pipeline",
    "is_configured",
    "stand_in",
]

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from typing_extensions import Unpack

    from otel_feedback.sdk.provider import Flush
    from otel_feedback.settings.options import SettingsOptions

logger = get_logger(__name__)

ADOPTS_S = 0.5
"""How often a pipeline that is nobody's but the caller's looks for the journals that it is there for."""


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
            pipeline = _Process.pipeline = _build(chosen)
            runtime.install(None, None, enabled=False)
            return pipeline
        from otel_feedback.sdk import provider as providers

        provider, flush = providers.prepare(tracer_provider, chosen.service_name, _default_place)
        pipeline = _Process.pipeline = _build(
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
            pipeline = _Process.pipeline = _build(settings)
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


def build_pipeline(settings: Settings, *, adopts: Collection[str], tells_account: bool = True) -> FeedbackPipeline:
    """Build a pipeline that is nobody's but the caller's: to deliver what these producers, now dead, have left.

    The process stays unconfigured: no provider, no default pipeline.

    Args:
        tells_account: Whether the account goes to its topic; not that of what was accounted for before.

    Raises:
        ConfigError: A setting cannot be used.
    """
    return _build(settings, adopts=adopts, tells_account=tells_account)


def build_exporters(
    settings: Settings, writer: LogWriter | None = None, connected: Callable[[], None] = lambda: None
) -> list[Exporter]:
    """Build an exporter for each destination that is switched on; none connects before it is used.

    Args:
        writer: Of the log tier; default: a new one.
        connected: Called when a Kafka producer was built.

    Raises:
        ConfigError: A setting cannot be used.
    """
    exporters: list[Exporter] = []
    if settings.enable_kafka:
        from otel_feedback.exporters.kafka.exporter import KafkaExporter
        from otel_feedback.exporters.kafka.library import limit_of_interpreter
        from otel_feedback.exporters.kafka.tokens import require_tokens

        if (limit := limit_of_interpreter()) is not None:
            logger.warning("%s", limit)
        require_codec(settings.kafka.compression)
        require_tokens(settings.kafka.client_options)
        require_avro(settings.kafka)
        exporters.append(KafkaExporter(settings.kafka, connected=connected))
    if settings.enable_otlp:
        from otel_feedback.exporters.otlp.exporter import OtlpExporter

        exporters.append(OtlpExporter.from_environment(settings.service_name))
    if settings.enable_outcome_logging:
        exporters.append(
            LogExporter(writer or LogWriter(settings.log_file, settings.log_max_bytes, settings.log_backups))
        )
    return exporters


def _build(
    settings: Settings,
    on_shutdown: Flush | None = None,
    adopts: Collection[str] | None = None,
    *,
    tells_account: bool = True,
    redact: EventRedactor | None = None,
    event_filter: EventFilter | None = None,
    conventions: Sequence[Convention] = (),
) -> FeedbackPipeline:
    if settings.disabled:
        return FeedbackPipeline(new_journal=lambda: MemoryJournal(settings.journal_memory_max_bytes), enabled=False)
    writer = LogWriter(settings.log_file, settings.log_max_bytes, settings.log_backups)
    exporters = build_exporters(settings, writer, lambda: _run_first_at_exit(pipeline))
    notices: Notices | None = None
    if settings.enable_kafka and tells_account:
        from otel_feedback.exporters.kafka.notices.notices import KafkaNotices

        notices = KafkaNotices(settings.kafka, connected=lambda: _run_first_at_exit(pipeline))
    is_on_disk = settings.durability != "memory" and any(exporter.durable for exporter in exporters)
    measuring = Measuring(settings.metric_label_sets)
    measuring.offer()  # before there is a pipeline: it writes down at once how actions of dead processes ended
    pipeline = FeedbackPipeline(
        new_journal=_disk_journals(settings, adopts) if is_on_disk else _memory_journals(settings),
        exporters=exporters,
        refused=writer.write_refused,
        notices=notices,
        ring_size=settings.ring_size,
        emit_start=settings.emit_start and is_on_disk,
        emit_pending=settings.emit_pending,
        # one that is there to adopt does so now
        rescan_s=settings.journal_rescan_s if adopts is None else min(ADOPTS_S, settings.journal_rescan_s),
        audit_s=settings.audit_interval_s,
        shutdown_timeout_s=settings.shutdown_timeout_s,
        on_shutdown=on_shutdown,
        service_name=settings.service_name,
        measuring=measuring,
        new_screen=lambda failed: Screen(
            Redaction(settings.metadata_allow, settings.metadata_deny),
            redact=redact,
            event_filter=event_filter,
            agent_rate_limit=settings.agent_rate_limit,
            event_max_bytes=settings.event_max_bytes,
            failed=failed,
        ),
        rules=Rules(
            kinds=DEFAULT_KINDS.union(settings.emit),
            price=build_prices(settings).price,
            content=settings.capture_content,
            conventions=tuple(conventions),
            open_s=settings.span_ttl_s,
            puts_off=settings.durability != "fsync" and not callable(settings.prices),
        ),
    )
    atexit.register(pipeline.shutdown)
    # a MeterProvider ends at exit, too: what is recorded by then has to be in its last collection
    measuring.found = lambda: _run_first_at_exit(pipeline)
    pipeline.observe()
    return pipeline


def _memory_journals(settings: Settings) -> Callable[[], Journal]:
    return lambda: MemoryJournal(settings.journal_memory_max_bytes, settings.service_name)


def _disk_journals(settings: Settings, adopts: Collection[str] | None) -> Callable[[], Journal]:
    from otel_feedback.journal import folder

    if not folder.is_supported():
        logger.warning("this platform has no journal on disk: what is undelivered when a process dies is lost")
        return _memory_journals(settings)
    from otel_feedback.journal.disk import DiskJournal, DiskLimits

    limits = DiskLimits(
        max_bytes=settings.journal_max_bytes,
        max_age_s=settings.journal_max_age_s,
        min_free_bytes=settings.journal_min_free_bytes,
        memory_bytes=settings.journal_memory_max_bytes,
    )
    return lambda: DiskJournal(
        settings.journal_dir,
        service_name=settings.service_name,
        durability=settings.durability,
        limits=limits,
        adopts=adopts,
    )


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


def build_prices(settings: Settings) -> Prices:
    """Return what prices model calls: by the setting, then by the table of this package."""
    given = settings.prices
    return Prices(function=given) if callable(given) else Prices(given)


def _run_first_at_exit(pipeline: FeedbackPipeline) -> None:
    # kafka-python closes its producer at exit, and a MeterProvider itself; handlers run last in, first out, so ours must be
    # the newest
    atexit.unregister(pipeline.shutdown)
    atexit.register(pipeline.shutdown)


provide_default_pipeline(get_feedback_pipeline)
runtime.provide_default(configure)
