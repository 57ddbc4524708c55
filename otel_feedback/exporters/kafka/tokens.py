"""Tokens for OAUTHBEARER: a function of the user's, found by its import path and asked when a connection logs in.

Input: what `KAFKA_SASL_OAUTH_TOKEN_PROVIDER` names. Output: a source that any client can ask, on its own thread. A token that
comes with its end is used again until shortly before; one that comes alone is asked for at each login.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple, cast

from otel_feedback.errors import ConfigError

__all__ = ["Token", "TokenError", "TokenSource", "require_tokens"]

VARIABLE = "KAFKA_SASL_OAUTH_TOKEN_PROVIDER"
_EARLY_S = 60.0
"""How long before its end a token is not used any more, in seconds; of short-lived ones the last fifth."""


class TokenError(Exception):
    """No token could be had. The text has the type of what was raised, never its message, which may hold a secret."""


class Token(NamedTuple):
    """What logs a client in; `expires_at_s` in seconds since 1970, None where nobody said."""

    value: str
    expires_at_s: float | None = None

    def __repr__(self) -> str:
        return f"Token(<hidden>, expires_at_s={self.expires_at_s})"


class TokenSource:
    """Asks for tokens. Safe from any thread; two that ask at once may both get a new one.

    Args:
        given: `package.module:name`, or what is found there: a function that returns a token or `(token, expires_at_s)`, or
            an object with such a function as `token()`, and `extensions()` if it likes; a class of these is called first.

    Raises:
        ConfigError: There is nothing of the kind.
    """

    def __init__(self, given: Any) -> None:
        self._named = given if isinstance(given, str) else getattr(given, "__qualname__", type(given).__qualname__)
        found = _imported(given) if isinstance(given, str) else given
        if isinstance(found, type):
            found = _called(found, given)
        ask = getattr(found, "token", found)
        if not callable(ask):
            raise ConfigError(VARIABLE, self._named, f"a function that returns a token, and not {type(found).__name__}")
        self._ask: Callable[[], Any] = ask
        self._extensions: Any = getattr(found, "extensions", None)
        self._last: tuple[Token, float] | None = None  # and until when it is used

    def token(self) -> Token:
        """Return a token that has not ended.

        Raises:
            TokenError: The function raised, or what it returned is none.
        """
        last, now = self._last, time.time()
        if last is not None and now < last[1]:
            return last[0]
        try:
            answer = self._ask()
        except Exception as exc:
            raise TokenError(f"{VARIABLE} ({self._named}) raised {type(exc).__name__}") from exc
        value, expires_at_s = cast("tuple[Any, Any]", answer) if _is_pair(answer) else (answer, None)
        if not (isinstance(value, str) and value and value.isprintable()):
            raise TokenError(f"{VARIABLE} ({self._named}) returned {_kind(value)}, and no token as text")
        if expires_at_s is None:
            return Token(value)
        if not _is_date(expires_at_s):
            raise TokenError(f"{VARIABLE} ({self._named}) says as the token's end no seconds since 1970 from now on")
        token = Token(value, float(expires_at_s))
        self._last = token, expires_at_s - min(_EARLY_S, (expires_at_s - now) / 5)
        return token

    def extensions(self) -> dict[str, str]:
        """Return what goes to the broker beside the token, by name; nothing unless the user's object has some.

        Raises:
            TokenError: It raised, or returned something else.
        """
        if self._extensions is None:
            return {}
        try:
            return {str(name): str(value) for name, value in cast("Mapping[Any, Any]", self._extensions()).items()}
        except Exception as exc:
            raise TokenError(f"extensions() of {VARIABLE} ({self._named}) raised {type(exc).__name__}") from exc


def require_tokens(options: Mapping[str, Any]) -> None:
    """Check that what the options name as the source of tokens can be imported, without asking it.

    Raises:
        ConfigError: It cannot; found here rather than at each login.
    """
    if options.get("sasl_mechanism") == "OAUTHBEARER":
        TokenSource(options["sasl_oauth_token_provider"])


def _imported(path: str) -> Any:
    module, _, names = path.partition(":")
    try:
        found: Any = import_module(module)
        for name in names.split("."):
            found = getattr(found, name)
    except Exception as exc:
        missing = isinstance(exc, (ImportError, AttributeError))
        why = str(exc) if missing else f"{type(exc).__name__} when it is imported"
        raise ConfigError(VARIABLE, path, f"package.module:function that can be imported here, and not: {why}") from exc
    return found


def _called(kind: type, given: Any) -> Any:
    try:
        return kind()
    except Exception as exc:
        expected = f"a class that is called without arguments, and not: {type(exc).__name__}"
        raise ConfigError(VARIABLE, given if isinstance(given, str) else kind.__qualname__, expected) from exc


def _is_pair(answer: Any) -> bool:
    return isinstance(answer, tuple) and len(cast("tuple[Any, ...]", answer)) == 2


def _is_date(value: Any) -> bool:
    # milliseconds would be a date after the year 33000: a token that is never renewed
    return isinstance(value, (int, float)) and math.isfinite(value) and time.time() < value < 1e11


def _kind(value: Any) -> str:
    return "text that cannot be sent" if isinstance(value, str) else type(value).__name__
