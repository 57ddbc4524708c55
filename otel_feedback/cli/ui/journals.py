"""The journals of this machine's services, for the page: how large they are, whose, and their account."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from otel_feedback.cli.journal.survey import Owner, Survey, survey
from otel_feedback.journal.folder import folders
from otel_feedback.settings.settings import get_settings

if TYPE_CHECKING:
    from otel_feedback.downstream.ui.pipeline import Journal

__all__ = ["find_journals"]

MOST = 200
_LIVES = {Owner.ALIVE: True, Owner.DEAD: False}


def find_journals(directory: Path | None = None) -> dict[str, Journal]:
    """Return the journals by producer.

    Args:
        directory: Of one service; None: of the settings' service and those beside it.
    """
    found = (survey(folder) for place in _places(directory) for folder in folders(place))
    return {one.producer_id: _journal(one) for one in islice(found, MOST) if one is not None}


def _places(directory: Path | None) -> Iterator[Path]:
    if directory is not None:
        yield directory
        return
    parent = get_settings().journal_dir.parent
    with contextlib.suppress(OSError):
        yield from sorted(path for path in parent.iterdir() if path.is_dir())


def _journal(found: Survey) -> Journal:
    from otel_feedback.downstream.ui.pipeline import Journal

    cursors = sorted(found.cursors or (), key=lambda cursor: cursor.exporter != "kafka")
    account = cursors[0].account if cursors else None
    return Journal(found.service_name, found.bytes, _LIVES.get(found.owner), account)
