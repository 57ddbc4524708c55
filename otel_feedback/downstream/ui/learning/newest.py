"""The outcomes of a request as the commands have them, with feedback: of a time that has very many of them the newest ones."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from otel_feedback.downstream.ui.asking import Asked
from otel_feedback.downstream.ui.details import outcomes_for
from otel_feedback.downstream.ui.reader import Reader

__all__ = ["open_newest"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def open_newest(
    reader: Reader, asked: Asked, most: int | None = None, condition: str = "true", only: str = "true"
) -> Asked:
    """Make `outcomes` those that are asked for, and return from when on that is.

    Args:
        reader: What may be seen.
        asked: Which.
        most: How many of them, about; None: all.
        condition: Which of them count for that, on columns of the mirror's `hot`.
        only: Those that are needed, on columns that no revision changes: of others nothing more is read, unless feedback on a
            run may be about one of them.
    """
    if most is not None:
        asked = _later(reader, asked, most, condition)
    reader.open_stored(asked.since, asked.until, "true" if reader.has_feedback else only)
    reader.open_feedback()
    reader.choose(f"{asked.whole_condition} AND {only}")
    return asked


def _later(reader: Reader, asked: Asked, most: int, condition: str) -> Asked:
    text = f"WHERE {asked.whole_condition} AND {condition} ORDER BY event_time DESC LIMIT 1 OFFSET {most}"
    found = reader.rows(f"SELECT epoch_us(event_time) AS at FROM hot {text}")
    if not found and reader.mirror.begin is not None and asked.since < reader.mirror.begin:
        found = reader.rows(f"SELECT epoch_us(event_time) AS at FROM {outcomes_for(reader, asked)} {text}")
    if not found:
        return asked
    at: Any = found[0]["at"]
    since = _EPOCH + timedelta(microseconds=at + 1)
    return asked._replace(selection=asked.selection._replace(since=since), since=since)
