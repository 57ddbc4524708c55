"""Whom the page lets in, by arguments, files and the environment; an address that others reach needs a token."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from otel_feedback.errors import ConfigError
from otel_feedback.settings.ui import UISettings

if TYPE_CHECKING:
    from otel_feedback.downstream.ui.access import Access, Token

__all__ = ["access_of", "door_tokens_of", "origins_of"]


def access_of(settings: UISettings, tokens: Sequence[str], files: Sequence[Path], hosts: Sequence[str]) -> Access:
    """Return whom to let in.

    Raises:
        ConfigError: A token cannot be used, or there is none and others reach the address.
    """
    from otel_feedback.downstream.ui.access import Access, is_loopback, token_of

    found = [token_of(text) for text in _texts(settings.token, tokens, files, "--token", "OTEL_FEEDBACK_UI_TOKEN")]
    if not found and not is_loopback(settings.host):
        raise ConfigError(
            "host", settings.host, "an address of this machine alone (127.0.0.1), or a token: --token, --token-file"
        )
    return Access(found, hosts)


def door_tokens_of(settings: UISettings, tokens: Sequence[str], access: Access) -> list[Token]:
    """Return what opens the door for feedback: nothing, where it is to be shut.

    Raises:
        ConfigError: A token cannot be used, or opens the page, too.
    """
    from otel_feedback.downstream.ui.access import token_of

    texts = _texts(settings.feedback_token, tokens, (), "--feedback-token", "OTEL_FEEDBACK_UI_FEEDBACK_TOKEN")
    found = [token_of(text) for text in texts]
    if {token.secret for token in found} & {token.secret for token in access.tokens}:
        raise ConfigError(
            "--feedback-token", "…", "another one than those of the page: browsers have it, and it is no secret"
        )
    return found


def origins_of(settings: UISettings, origins: Sequence[str]) -> list[str]:
    """Return whose pages may give feedback.

    Raises:
        ConfigError: One is no site.
    """
    found = [*origins, *(settings.feedback_origins or "").split()]
    for origin in found:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path not in ("", "/") or parts.query:
            raise ConfigError("--feedback-origin", origin, "a site, such as https://app.example.com")
    return found


def _texts(
    of_settings: str | None, tokens: Sequence[str], files: Sequence[Path], option: str, variable: str
) -> Iterator[str]:
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
            raise ConfigError(option, "", f"a value, or {variable} in the environment")
        yield getpass.getpass(f"{option.removeprefix('--').replace('-', ' ')}: ")
