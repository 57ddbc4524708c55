"""The doctor's look at the journal: can it be on disk as the settings ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

from otel_feedback.cli.console import size
from otel_feedback.cli.doctor.findings import Finding, State
from otel_feedback.journal.files import require_ours
from otel_feedback.journal.folder import Folder, is_supported
from otel_feedback.settings.settings import Settings

__all__ = ["check_journal"]

_TO_SWITCH_ON = "KAFKA_BOOTSTRAP_SERVERS, OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_FEEDBACK_LOG_FILE"


def check_journal(settings: Settings) -> Iterator[Finding]:
    """Say whether the journal can be used. Leaves nothing behind."""
    off = _why_off(settings)
    if off is not None:
        yield Finding("journal", State.OFF, *off)
        return
    directory = settings.journal_dir
    if not is_supported():
        found = "this platform has no journal on disk: what is undelivered when a process dies is lost"
        yield Finding("journal", State.WARNING, found, "run the service on Linux or macOS")
        return
    existing = directory
    try:
        existing = _nearest(directory)
        if existing == directory:
            require_ours(directory, or_roots=True)
        _try_out(existing)
        free = _free_bytes(existing)
    except OSError as exc:
        why = exc.strerror or str(exc)
        where = directory if existing == directory else f"{directory}, to be made in {existing}"
        found = f"{where}: {why}; events would be kept in memory, and lost when their process dies"
        yield Finding("journal", State.FAILED, found, "correct OTEL_FEEDBACK_JOURNAL_DIR, or its owner and permissions")
        return
    if free < settings.journal_min_free_bytes:
        found = f"{directory}: {size(free)} free, less than OTEL_FEEDBACK_JOURNAL_MIN_FREE_BYTES"
        found += f" ({size(settings.journal_min_free_bytes)}): the oldest events are dropped"
        yield Finding("journal", State.FAILED, found, "make room on this disk, or move OTEL_FEEDBACK_JOURNAL_DIR")
    else:
        yield Finding("journal", State.OK, f"durability {settings.durability}, in {directory}, {size(free)} free")


def _why_off(settings: Settings) -> tuple[str, str] | None:
    if settings.disabled:
        return "nothing is recorded", "to switch on: OTEL_FEEDBACK_DISABLED=false"
    if settings.durability == "memory":
        return "events wait in memory, and die with their process", "to switch on: OTEL_FEEDBACK_DURABILITY=interval"
    is_logged = settings.enable_outcome_logging and settings.log_file is not None
    if not (settings.enable_kafka or settings.enable_otlp or is_logged):
        return "no destination outlives its process, so events wait in memory", f"to switch on: set {_TO_SWITCH_ON}"
    return None


def _nearest(directory: Path) -> Path:
    """Return the directory, or the closest of its parents that is there."""
    while not directory.exists() and not directory.is_symlink() and directory != directory.parent:
        directory = directory.parent
    return directory


def _try_out(directory: Path) -> None:
    """Make and lock the folder of a journal, as a process does at its first event, and remove it again."""
    trial = Path(mkdtemp(prefix=".otel-feedback-doctor-", dir=directory))
    try:
        Folder.create(trial, "trial").remove()
    finally:
        trial.rmdir()


def _free_bytes(directory: Path) -> int:
    seen = os.statvfs(directory)
    return seen.f_bavail * seen.f_frsize
