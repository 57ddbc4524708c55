"""Where journals are looked for: a PATH that was given, or the directory of the settings."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from otel_feedback.cli import env_file
from otel_feedback.errors import ConfigError
from otel_feedback.journal.folder import QUARANTINE, folders, is_producer
from otel_feedback.settings.settings import FEEDBACK_JOURNAL, get_settings

__all__ = ["Place", "PlaceError", "find_places", "others_beside"]

MOST_NAMES = 5
"""Other services that are named."""


class PlaceError(Exception):
    """A PATH cannot be used: what is wrong with it, and what to do."""

    def __init__(self, found: str, todo: str) -> None:
        self.found = found
        self.todo = todo
        super().__init__(f"{found}: {todo}")


class Place(NamedTuple):
    """The directory of a service's journals; `only` is the producer whose journal was asked for, if it was one."""

    directory: Path
    only: str | None = None

    @property
    def is_of_feedback(self) -> bool:
        """Whether its journals hold feedback rather than events."""
        return self.directory.name == FEEDBACK_JOURNAL

    def folders(self) -> list[Path]:
        """Return the folders of the journals, the oldest first."""
        return folders(self.directory) if self.only is None else [self.directory / self.only]


def find_places(given: str | None) -> list[Place]:
    """Return where journals are to be looked for: one place, or one for each service in the directory, and for its feedback.

    Args:
        given: The directory of a service's journals, one journal's folder, or a directory of several services;
            None: where the settings of the environment have them.

    Raises:
        PlaceError: It is not there, is no directory, or may not be read.
    """
    path, todo = _from_settings() if given is None else (Path(given).expanduser(), "correct PATH")
    try:
        names = sorted(entry.name for entry in os.scandir(path) if entry.is_dir())
    except FileNotFoundError:
        raise PlaceError(f"{path} is not there", todo) from None
    except NotADirectoryError:
        raise PlaceError(f"{path} is not a directory", todo) from None
    except OSError as exc:
        raise PlaceError(f"{path} cannot be read ({exc.strerror})", "run this as the user of the service") from None
    absolute = path.resolve()
    if is_producer(absolute.name):
        return [Place(absolute.parent, absolute.name)]
    inside = [absolute / name for name in names if name != FEEDBACK_JOURNAL]
    services = [] if _has_journals(absolute) else [directory for directory in inside if _has_journals(directory)]
    return [place for directory in services or [absolute] for place in _with_feedback(directory)]


def _with_feedback(directory: Path) -> list[Place]:
    """Return the directory of a service's journals, and that of its feedback where there is something in it."""
    of_feedback = directory / FEEDBACK_JOURNAL
    return [Place(directory), Place(of_feedback)] if _has_journals(of_feedback) else [Place(directory)]


def others_beside(directory: Path) -> str | None:
    """Return which other services have journals beside this directory, and how to look there; None if none has."""
    names: list[str] = []
    with contextlib.suppress(OSError):
        for entry in sorted(os.scandir(directory.parent), key=lambda entry: entry.name):
            with contextlib.suppress(OSError):  # another user's
                if entry.name != directory.name and entry.is_dir() and _has_journals(Path(entry.path)):
                    names.append(entry.name)
    if not names:
        return None
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    told = ", ".join(names[:MOST_NAMES]) + more
    return f"{directory.parent} has journals of {told}: set OTEL_SERVICE_NAME, or give a PATH"


def _from_settings() -> tuple[Path, str]:
    env_file.load()
    try:
        directory = get_settings().journal_dir
    except ConfigError as exc:
        raise PlaceError(str(exc), "correct it in the environment or in .env, or give a PATH") from None
    beside = others_beside(directory) or "look at OTEL_SERVICE_NAME, or give a PATH"
    return directory, f"no process with these settings has left a journal; {beside}"


def _has_journals(directory: Path) -> bool:
    return any(
        folders(place) or (place / QUARANTINE).is_dir() for place in (directory, directory / FEEDBACK_JOURNAL)
    )  # fmt: skip
