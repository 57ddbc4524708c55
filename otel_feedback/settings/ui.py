"""Settings of `otel-feedback ui`: a table of their own, since no program with agents has a use for them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from otel_feedback.settings.table import Setting, read_settings
from otel_feedback.settings.values import a_text, whole

__all__ = ["UI_SETTINGS", "UISettings", "get_ui_settings"]

_U = "Page"

UI_SETTINGS: tuple[Setting, ...] = (
    Setting("host", "OTEL_FEEDBACK_UI_HOST", "127.0.0.1", a_text,
            "Address that the page listens on. Another than this machine's own needs a token.", _U),
    Setting("port", "OTEL_FEEDBACK_UI_PORT", "4390", whole(0, 65_535),
            "Port that the page listens on; 0: a free one.", _U),
    Setting("token", "OTEL_FEEDBACK_UI_TOKEN", None, a_text,
            "What lets people see the page: a secret of at least 16 characters, or `tenant=NAME:SECRET` for one tenant's "
            "events; several with blanks between them.", _U, secret=True),
    Setting("jaeger", "OTEL_FEEDBACK_UI_JAEGER", None, a_text,
            "Jaeger's page, which the page links to, such as `http://localhost:16686`.", _U),
    Setting("feedback_token", "OTEL_FEEDBACK_UI_FEEDBACK_TOKEN", None, a_text,
            "What lets front ends give feedback by `POST /feedback`, which is off without: secrets as those of the page, which "
            "open nothing else, or `tenant=NAME:SECRET` for what is one tenant's.", _U, secret=True),
    Setting("feedback_origins", "OTEL_FEEDBACK_UI_FEEDBACK_ORIGINS", None, a_text,
            "Sites whose pages may do so, such as `https://app.example.com`, with blanks between them.", _U),
    Setting("feedback_rate", "OTEL_FEEDBACK_UI_FEEDBACK_RATE", "60", whole(1, 10**6),
            "How often a minute each address may do so; 50 times that all of them together.", _U),
)  # fmt: skip


class UISettings(NamedTuple):
    """What can be set of the page, read and checked. Made by `get_ui_settings()`."""

    host: str
    port: int
    token: str | None
    jaeger: str | None
    feedback_token: str | None
    feedback_origins: str | None
    feedback_rate: int


def get_ui_settings(environ: Mapping[str, str] | None = None, **given: Any) -> UISettings:
    """Read the settings of the page.

    Args:
        environ: The environment to read; default: the process's own.
        given: Settings by their names; None means "not given".

    Raises:
        ConfigError: A value cannot be used; it says what would be right.
    """
    values, _ = read_settings(UI_SETTINGS, given, os.environ if environ is None else environ)
    return UISettings(**values)
