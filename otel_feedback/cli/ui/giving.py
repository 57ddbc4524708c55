"""Who takes the feedback that the page's door is given: this process, as any program that gives some."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from otel_feedback.cli.reading.source import Source
from otel_feedback.errors import ConfigError
from otel_feedback.settings.settings import get_settings

if TYPE_CHECKING:
    from otel_feedback.downstream.ui.access import Token
    from otel_feedback.downstream.ui.door import Door

__all__ = ["opened_door"]

END_S = 10.0


@contextmanager
def opened_door(
    source: Source, tokens: Sequence[Token], origins: Sequence[str], per_minute: int
) -> Generator[Door | None, None, None]:
    """Give the door; None where there are no tokens. What was given is delivered until the end, or waits in the journal.

    Args:
        source: What the page shows: feedback goes to the same Kafka, or where the settings say.
        tokens: What opens it.
        origins: Whose pages may give feedback.
        per_minute: How often each address may.

    Raises:
        ConfigError: There is nowhere that feedback could go, or a setting cannot be used.
    """
    if not tokens:
        yield None
        return
    from otel_feedback.bootstrap import configure
    from otel_feedback.downstream.ui.door import Door, Rate, Taking
    from otel_feedback.learning.giving import give, problems_of

    settings = get_settings(kafka=source.config)
    if not (settings.enable_kafka or settings.enable_otlp or settings.log_file):
        raise ConfigError(
            "--feedback-token", "…", "Kafka, or OTEL_FEEDBACK_LOG_FILE, set: feedback has to go somewhere"
        )
    pipeline = configure(kafka=source.config, enable_outcome_logging=settings.log_file is not None)
    try:
        yield Door(Taking(give, problems_of), tokens, origins, Rate(per_minute))
    finally:
        pipeline.shutdown(END_S)
