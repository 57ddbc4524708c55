"""Settings of `otel-feedback store`: a table of their own, since no program with agents has a use for them.

As those of `table.py`: argument > environment > default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from otel_feedback.settings.table import SETTINGS, Setting, read_settings
from otel_feedback.settings.ui import UI_SETTINGS
from otel_feedback.settings.values import a_number, a_path, a_text, whole

__all__ = ["ALL_SETTINGS", "STORE_SETTINGS", "StoreSettings", "get_store_settings"]

_S = "Store"

STORE_SETTINGS: tuple[Setting, ...] = (
    Setting("directory", "OTEL_FEEDBACK_STORE_DIR", None, a_path,
            "Folder of the store. Unset: `otel-feedback/store` in `$XDG_DATA_HOME`, or in `~/.local/share`.", _S),
    Setting("group", "OTEL_FEEDBACK_STORE_GROUP", "otel-feedback-store", a_text,
            "The consumer group that its progress is committed for, so that its lag can be watched.", _S),
    Setting("retention_days", "OTEL_FEEDBACK_STORE_RETENTION_DAYS", None, a_number(1, 36_500),
            "Days that are kept, by the time of the event; what is older is deleted. Unset: all are.", _S),
    Setting("max_bytes", "OTEL_FEEDBACK_STORE_MAX_BYTES", None, whole(65_536, 2**50),
            "Size of the store, in bytes; past it the oldest days are deleted. Unset: no limit.", _S),
    Setting("flush_interval_s", "OTEL_FEEDBACK_STORE_FLUSH_INTERVAL", "5", a_number(0.05, 3_600),
            "How long an event may wait to be written, in seconds.", _S),
    Setting("flush_rows", "OTEL_FEEDBACK_STORE_FLUSH_ROWS", "20000", whole(1, 10**6),
            "Events that are written at once, at most; they are in memory until then.", _S),
)  # fmt: skip


ALL_SETTINGS = (*SETTINGS, *STORE_SETTINGS, *UI_SETTINGS)
"""Whatever can be set by a variable."""


class StoreSettings(NamedTuple):
    """What can be set of a store, read and checked. Made by `get_store_settings()`."""

    directory: Path
    group: str
    retention_days: float | None
    max_bytes: int | None
    flush_interval_s: float
    flush_rows: int


def get_store_settings(environ: Mapping[str, str] | None = None, **given: Any) -> StoreSettings:
    """Read the settings of a store.

    Args:
        environ: The environment to read; default: the process's own.
        given: Settings by their names; None means "not given".

    Raises:
        ConfigError: A value cannot be used; it says what would be right.
    """
    environment = os.environ if environ is None else environ
    values, _ = read_settings(STORE_SETTINGS, given, environment)
    values["directory"] = _directory(values["directory"], environment)
    return StoreSettings(**values)


def _directory(given: str | None, environment: Mapping[str, str]) -> Path:
    if given is not None:
        return Path(given).expanduser().absolute()
    data = environment.get("XDG_DATA_HOME", "").strip()
    base = Path(data) if data else Path("~/.local/share").expanduser()
    return base.absolute() / "otel-feedback" / "store"
