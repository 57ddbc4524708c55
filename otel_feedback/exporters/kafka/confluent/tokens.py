"""Tokens for librdkafka, which asks for one when it begins, and again when four fifths of its life are over.

It wants to know when that ends. What ends when nobody says is read from the token, if it is a JWT, else taken to be soon.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from otel_feedback.exporters.kafka.confluent.heard import Heard
from otel_feedback.exporters.kafka.tokens import TokenError, TokenSource

__all__ = ["token_callback"]

UNKNOWN_LIFE_S = 60.0
"""How long a token is used that does not say how long it lives."""

Given = tuple[str, float, str, dict[str, str]]


def token_callback(options: Mapping[str, Any], heard: Heard) -> Callable[[str], Given] | None:
    """Return librdkafka's `oauth_cb`, which is called on a thread of its own; None where no tokens are wanted.

    Raises:
        ConfigError: There is no such source of tokens.
    """
    given = options.get("sasl_oauth_token_provider")
    if given is None:
        return None
    source = TokenSource(given)

    def give(_config: str) -> Given:
        try:
            token = source.token()
            ends_s = token.expires_at_s or _end_of(token.value) or time.time() + UNKNOWN_LIFE_S
            return token.value, ends_s, "", source.extensions()
        except TokenError as exc:
            heard.log(40, "", "TokenError", "", str(exc))  # librdkafka says no more than that there is none
            raise

    return give


def _end_of(token: str) -> float | None:
    """Return when a JWT says that it ends, in seconds since 1970; None of what is none."""
    try:
        _, claims, _ = token.split(".")
        ends_s = float(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"])
    except (KeyError, TypeError, ValueError):
        return None
    return ends_s if ends_s > time.time() else None
