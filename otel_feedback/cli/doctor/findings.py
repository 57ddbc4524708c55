"""What a check found: a value, how it is shown, and that no secret gets into it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import NamedTuple
from urllib.parse import unquote

from otel_feedback.settings.table import SETTINGS

__all__ = ["Finding", "State", "without_secrets"]

_PASSWORD_IN_URL = re.compile(r"(://[^/\s:@]*):[^/\s@]+@")
SHORTEST_SECRET = 3
"""Shorter ones would be found in every second word."""


class State(str, Enum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Could not be looked at, because something before it failed."""
    OFF = "off"
    """Switched off by the settings, which is no error."""

    __str__ = str.__str__


class Finding(NamedTuple):
    """One line of the doctor: what was looked at, how it is, what was found, what to do about it."""

    check: str
    state: State
    found: str
    todo: str | None = None


def without_secrets(findings: Iterable[Finding], environ: Mapping[str, str] | None = None) -> list[Finding]:
    """Return the findings with every secret of the environment masked: the last line of defence."""
    secrets = sorted(_secrets(os.environ if environ is None else environ), key=len, reverse=True)

    def masked(text: str) -> str:
        text = _PASSWORD_IN_URL.sub(r"\1:***@", text)
        for secret in secrets:
            text = text.replace(secret, "***")
        return text

    return [
        finding._replace(found=masked(finding.found), todo=None if finding.todo is None else masked(finding.todo))
        for finding in findings
    ]


def _secrets(environ: Mapping[str, str]) -> set[str]:
    values = {environ.get(setting.variable, "").strip() for setting in SETTINGS if setting.secret}
    for name, text in environ.items():
        if name.startswith("OTEL_EXPORTER_OTLP_") and name.endswith("HEADERS"):
            for pair in text.split(","):
                value = pair.partition("=")[2].strip()
                values |= {value, unquote(value)}
    return {value for value in values if len(value) >= SHORTEST_SECRET}
