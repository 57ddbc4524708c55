"""What kafka-python's clients are given to be secure: a TLS context and a source of tokens in place of what the settings say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_feedback.exporters.kafka.tls import with_context
from otel_feedback.exporters.kafka.tokens import TokenSource

__all__ = ["secured"]

_PROVIDER = "sasl_oauth_token_provider"


def secured(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return kafka-python's options by those of the settings. Imports kafka-python for a source of tokens.

    Raises:
        ExportError: A file of TLS is not what it should be, or no cipher of that name is known.
        ConfigError: There is no such source of tokens.
    """
    ready = with_context(options)
    if ready.get(_PROVIDER) is not None:
        ready[_PROVIDER] = _provider(TokenSource(ready[_PROVIDER]))
    return ready


def _provider(source: TokenSource) -> Any:
    from kafka.net.sasl.oauth import AbstractTokenProvider

    class Provider(AbstractTokenProvider):
        """What kafka-python asks, which takes nothing but its own class."""

        def token(self) -> Any:
            return source.token().value

        def extensions(self) -> dict[str, str]:
            return source.extensions()

    return Provider()
