"""From settings to a pipeline: which implementations there are, and how they are wired together.

Cheap: it starts no thread and opens no connection; the first event does. Whose pipeline it is, is for `bootstrap` to know.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from otel_feedback.convert.pricing import Prices
from otel_feedback.convert.rules import DEFAULT_KINDS, Rules
from otel_feedback.convert.span import Convention
from otel_feedback.exporters.interface import Exporter, Notices
from otel_feedback.exporters.log import LogExporter, LogWriter
from otel_feedback.journal.interface import Journal
from otel_feedback.journal.memory import MemoryJournal
from otel_feedback.logger import get_logger
from otel_feedback.pipeline.admission import EventFilter
from otel_feedback.pipeline.measuring import Measuring
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.pipeline.screen import EventRedactor, Screen
from otel_feedback.redaction.redaction import Redaction
from otel_feedback.settings.kafka import KafkaConfig, require_avro, require_client, require_codec, require_sender
from otel_feedback.settings.settings import Settings, feedback_settings

__all__ = ["assemble", "build_exporters", "build_pipeline", "build_prices"]

if TYPE_CHECKING:
    from otel_feedback.sdk.provider import Flush

logger = get_logger(__name__)

ADOPTS_S = 0.5
"""How often a pipeline that is nobody's but the caller's looks for the journals that it is there for."""


def build_pipeline(settings: Settings, *, adopts: Collection[str], tells_account: bool = True) -> FeedbackPipeline:
    """Build a pipeline that is nobody's but the caller's: to deliver what these producers, now dead, have left.

    The process stays unconfigured: no provider, no default pipeline.

    Args:
        tells_account: Whether the account goes to its topic; not that of what was accounted for before.

    Raises:
        ConfigError: A setting cannot be used.
    """
    return assemble(settings, adopts=adopts, tells_account=tells_account)


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
        from otel_feedback.exporters.kafka.library import limit_of_interpreter
        from otel_feedback.exporters.kafka.tokens import require_tokens

        if (limit := limit_of_interpreter()) is not None:
            logger.warning("%s", limit)
        require_codec(settings.kafka.compression)
        require_tokens(settings.kafka.client_options)
        require_avro(settings.kafka)
        require_client(settings.kafka)
        require_sender(settings.kafka)
        exporters.append(_kafka_exporter(settings.kafka, connected))
    if settings.enable_otlp:
        from otel_feedback.exporters.otlp.exporter import OtlpExporter

        exporters.append(OtlpExporter.from_environment(settings.service_name))
    if settings.enable_outcome_logging:
        exporters.append(
            LogExporter(writer or LogWriter(settings.log_file, settings.log_max_bytes, settings.log_backups))
        )
    return exporters


def _kafka_exporter(config: KafkaConfig, connected: Callable[[], None]) -> Exporter:
    if config.sender == "process":
        from otel_feedback.exporters.kafka.process.exporter import ProcessExporter

        return ProcessExporter(config, connected=connected)
    if config.client == "confluent":
        from otel_feedback.exporters.kafka.confluent.exporter import ConfluentExporter as Kind
    else:
        from otel_feedback.exporters.kafka.exporter import KafkaExporter as Kind
    from otel_feedback.exporters.kafka.forked import ForkedExporter

    return ForkedExporter(Kind(config, connected=connected), config, connected)


def assemble(
    settings: Settings,
    on_shutdown: Flush | None = None,
    adopts: Collection[str] | None = None,
    *,
    tells_account: bool = True,
    redact: EventRedactor | None = None,
    event_filter: EventFilter | None = None,
    conventions: Sequence[Convention] = (),
) -> FeedbackPipeline:
    """Build a pipeline by the settings; where they switch this package off, one that is off.

    Args:
        on_shutdown: Flushes the spans of the provider, when the pipeline is shut down.
        adopts: The dead producers whose journals it is there for; None: those of its service.
        redact, event_filter, conventions: As `configure()` is given them.

    Raises:
        ConfigError: A setting cannot be used.
    """
    if settings.disabled:
        return FeedbackPipeline(new_journal=lambda: MemoryJournal(settings.journal_memory_max_bytes), enabled=False)
    writer = LogWriter(settings.log_file, settings.log_max_bytes, settings.log_backups)
    exporters = build_exporters(settings, writer, lambda: _run_first_at_exit(pipeline))
    notices: Notices | None = None
    if settings.enable_kafka and tells_account:
        from otel_feedback.exporters.kafka.notices.notices import KafkaNotices

        notices = KafkaNotices(settings.kafka, connected=lambda: _run_first_at_exit(pipeline))
    of_feedback = feedback_settings(settings)
    is_on_disk = settings.durability != "memory" and any(exporter.durable for exporter in exporters)
    prices = build_prices(settings)
    measuring = Measuring(settings.metric_label_sets)
    measuring.offer()  # before there is a pipeline: it writes down at once how actions of dead processes ended
    pipeline = FeedbackPipeline(
        new_journal=_disk_journals(settings, adopts) if is_on_disk else _memory_journals(settings),
        exporters=exporters,
        new_feedback_journal=_disk_journals(of_feedback, adopts) if is_on_disk else _memory_journals(of_feedback),
        new_feedback_exporters=lambda: build_exporters(of_feedback, writer, lambda: _run_first_at_exit(pipeline)),
        takes_comments="comment" in settings.capture_content,
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
            price=prices.price,
            rates=prices.rates,
            content=tuple(kind for kind in settings.capture_content if kind != "comment"),
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


def build_prices(settings: Settings) -> Prices:
    """Return what prices model calls: by the setting, then by the table of this package."""
    given = settings.prices
    return Prices(function=given) if callable(given) else Prices(given)


def _run_first_at_exit(pipeline: FeedbackPipeline) -> None:
    # kafka-python closes its producer at exit, and a MeterProvider itself; handlers run last in, first out, so ours must be
    # the newest
    atexit.unregister(pipeline.shutdown)
    atexit.register(pipeline.shutdown)
