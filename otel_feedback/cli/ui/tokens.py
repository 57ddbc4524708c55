"""Whom the page lets in, by arguments, files and the environment; an address that others reach needs a token."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from otel_feedback.errors import ConfigError
from otel_feedback.settings.ui import UISettings

if TYPE_CHECKING:
    from otel_feedback.downstream.ui.access import Access

__all__ = ["access_of"]


def access_of(settings: UISettings, tokens: Sequence[str], files: Sequence[Path], hosts: Sequence[str]) -> Access:
    """Return whom to let in.

    Raises:
        ConfigError: A token cannot be used, or there is none and others reach the address.
    """
    from otel_feedback.downstream.ui.access import Access, is_loopback, token_of

    found = [token_of(text) for text in _texts(settings.token, tokens, files)]
    if not found and not is_loopback(settings.host):
        raise ConfigError(
            "host", settings.host, "an address of this machine alone (127.0.0.1), or a token: --token, --token-file"
        )
    return Access(found, hosts)


def _texts(of_settings: str | None, tokens: Sequence[str], files: Sequence[Path]) -> Iterator[str]:
    yield from (text for text in tokens if text)
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigError("--token-file", str(file), f"a file that can be read ({exc})") from exc
        yield from (line for line in map(str.strip, lines) if line and not line.startswith("#"))
    if of_settings is not None:
        yield from of_settings.split()
    elif "" in tokens:
        if not sys.stdin.isatty():
            raise ConfigError("--token", "", "a value, or OTEL_FEEDBACK_UI_TOKEN in the environment")
        yield getpass.getpass("token: ")
