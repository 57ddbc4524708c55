"""Where the schema registry is, and who asks it: the settings of `SCHEMA_REGISTRY_…` as one value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from otel_feedback.errors import ConfigError

__all__ = ["RegistryConfig", "registry_urls"]

_FILES = ("ssl_cafile", "ssl_certfile", "ssl_keyfile")


def registry_urls(value: Any) -> tuple[str, ...]:
    """Read the addresses of a registry: separated by commas, or a list of them."""
    expected = "http:// or https:// and a host, several separated by commas"
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, (list, tuple)):
        raise ValueError(expected)
    urls: list[str] = []
    for item in given:
        text = item.strip().rstrip("/") if isinstance(item, str) else ""
        try:
            parts = urlsplit(text)
            is_right = parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment)
            parts.port  # noqa: B018 # raises where it is no number
        except ValueError:
            raise ValueError(expected) from None
        if parts.username is not None:
            told = f"{expected}; user and password by SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO"
            raise ConfigError("SCHEMA_REGISTRY_URL", "<hidden>", told)
        if not is_right or " " in text:
            raise ValueError(expected)
        urls.append(text)
    return tuple(urls)


class RegistryConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A schema registry with Confluent's API.

    Args:
        urls: Its addresses, asked one after the other until one answers.
        user_info: `user:password` for basic authentication; never shown.
        ssl_cafile: Certificates of the authorities to trust (PEM); default: those of the system.
        ssl_certfile: This client's certificate (PEM).
        ssl_keyfile: Its private key (PEM).
    """

    urls: tuple[str, ...]
    user_info: str | None = None
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None

    def __post_init__(self) -> None:
        try:
            msgspec.structs.force_setattr(self, "urls", registry_urls(self.urls))
        except ConfigError:
            raise
        except ValueError as exc:
            raise ConfigError("SCHEMA_REGISTRY_URL", self.urls, str(exc)) from None
        if self.user_info is not None and ":" not in self.user_info:
            raise ConfigError("SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO", "<hidden>", "user:password")
        for name in _FILES:
            path = getattr(self, name)
            if path is not None and not Path(path).is_file():
                raise ConfigError(f"SCHEMA_REGISTRY_{name.upper()}", path, "a file that exists")

    def __repr__(self) -> str:
        return f"RegistryConfig(urls={self.urls!r})"

    @property
    def ssl_options(self) -> Mapping[str, str | None]:
        """Its files by the names that options of TLS have."""
        return {name: getattr(self, name) for name in _FILES}
