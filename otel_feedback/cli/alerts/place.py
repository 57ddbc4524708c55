"""Where rules, events and what is kept are: as arguments say, else as the environment does."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from otel_feedback.cli import env_file
from otel_feedback.cli.slo.place import OBJECTIVES, explain
from otel_feedback.downstream.alerts.reading import read
from otel_feedback.downstream.alerts.rules import DEFAULTS, AlertFile, Rule
from otel_feedback.downstream.alerts.state import Folder
from otel_feedback.downstream.declared.reading import FileError
from otel_feedback.downstream.objectives.alerting import with_objectives
from otel_feedback.errors import FeedbackError
from otel_feedback.settings.settings import get_settings
from otel_feedback.settings.store import get_store_settings

if TYPE_CHECKING:
    from otel_feedback.downstream.alerts.looking import Source

__all__ = [
    "NoEventsError",
    "blind_rules",
    "find_events",
    "find_folder",
    "find_objectives",
    "find_rules",
    "name_of",
    "read_rules",
    "sees_nothing",
]

RULES = Path("alerts.toml")


class NoEventsError(FeedbackError):
    """Nothing says where events are."""


def find_rules(given: str | None) -> Path | None:
    """Return the file of rules; None: there is none, and the defaults count."""
    if given is not None:
        return Path(given).expanduser()
    return RULES if RULES.exists() else None


def find_objectives(given: str | None) -> Path:
    """Return where objectives are, if there are any: beside the rules."""
    return (find_rules(given) or RULES).with_name(OBJECTIVES.name)


def read_rules(given: str | None) -> AlertFile | None:
    """Return the rules, with those of the objectives beside them; None when there are mistakes, which are said on stderr."""
    path = find_rules(given)
    try:
        file = read(path)
        return with_objectives(file, find_objectives(given))
    except FileError as exc:
        explain(exc)
    return None


def name_of(given: str | None) -> str:
    """Return how the file of rules is called."""
    path = find_rules(given)
    return f"the defaults, {DEFAULTS}" if path is None else str(path)


def find_folder(given: str | None) -> Folder:
    """Return where alerts are kept."""
    if given is not None:
        return Folder(Path(given).expanduser())
    state = os.environ.get("XDG_STATE_HOME", "").strip()
    return Folder((Path(state) if state else Path.home() / ".local/state") / "otel-feedback-alerts")


def find_events(given: Sequence[str] | None) -> Source:
    """Return where events are.

    Raises:
        NoEventsError: Nothing says so.
        ConfigError: A setting cannot be used.
    """
    from otel_feedback.downstream.alerts.looking import Source
    from otel_feedback.downstream.tables.stored import MANIFEST

    env_file.load()
    if given is not None:
        return Source(tuple(path for text in given for path in _paths(Path(text).expanduser())))
    folder = get_store_settings().directory
    if (folder / MANIFEST).is_file():
        return Source((folder,))
    log_file = get_settings().log_file
    if log_file is None:
        raise NoEventsError("nothing says where events are")
    return Source((Path(log_file),))


def blind_rules(file: AlertFile, events: Source) -> str | None:
    """Return a sentence that names the rules that see nothing there; None: each sees something."""
    if events.is_store:
        return None
    rules = [rule for rule in file.rules if rule.measures.needs_store]
    return sees_nothing(rules, "need a store, and see nothing of log files", "`otel-feedback store` writes one")


def sees_nothing(rules: Sequence[Rule], why: str, todo: str) -> str | None:
    """Return a sentence that names rules that see nothing; None: there are none."""
    blind = ", ".join(f"{rule.name} ({rule.kind})" for rule in rules)
    return f"{blind}: {why}: {todo}" if blind else None


def _paths(path: Path) -> list[Path]:
    """Return the files of a pattern that no shell has put in its place."""
    return sorted(path.parent.glob(path.name)) or [path]
