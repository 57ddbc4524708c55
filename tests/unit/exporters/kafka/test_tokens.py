"""Where OAUTHBEARER gets its tokens: what may be given, when it is asked again, and that nothing of it is told."""

from __future__ import annotations

import time
from typing import Any

import pytest

from otel_feedback.errors import ConfigError
from otel_feedback.exporters.kafka.security import secured
from otel_feedback.exporters.kafka.tokens import Token, TokenError, TokenSource, require_tokens
from otel_feedback.settings.settings import get_settings

SECRET = "tr0ub4dor-and-3"


class Giving:
    """An object as kafka-python wants one, which it is not."""

    def token(self) -> str:
        return SECRET

    def extensions(self) -> dict[str, str]:
        return {"logicalCluster": "lkc-1"}


def give() -> str:
    return SECRET


def options(provider: Any) -> dict[str, Any]:
    return {
        "kafka_security_protocol": "SASL_SSL",
        "kafka_sasl_mechanism": "OAUTHBEARER",
        "kafka_sasl_oauth_token_provider": provider,
    }


@pytest.mark.parametrize("given", [give, Giving, Giving(), f"{__name__}:give", f"{__name__}:Giving"])
def test_a_function_an_object_or_where_they_are_gives_tokens_to_kafka_python(given: Any) -> None:
    config = get_settings(**options(given)).kafka
    require_tokens(config.client_options)
    provider = secured(config.client_options)["sasl_oauth_token_provider"]
    assert provider.token() == SECRET
    has_extensions = given is not give and not str(given).endswith(":give")
    assert provider.extensions() == ({"logicalCluster": "lkc-1"} if has_extensions else {})
    assert SECRET not in repr(config)


@pytest.mark.parametrize("given", ["token", "module:", ":function", "a module:function", "", 5, ["a:b"]])
def test_what_is_no_import_path_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"kafka_sasl_oauth_token_provider=.*package.module:function"):
        get_settings(**options(given))


def test_none_is_refused_where_the_mechanism_needs_one() -> None:
    with pytest.raises(ConfigError, match=r"KAFKA_SASL_OAUTH_TOKEN_PROVIDER='': expected package.module:function"):
        get_settings(**options(None))


def test_a_token_with_an_end_is_used_until_shortly_before() -> None:
    asked: list[float] = []
    life_s = 3_600.0

    def give() -> tuple[str, float]:
        asked.append(time.time())
        return SECRET, time.time() + life_s

    source = TokenSource(give)
    assert [source.token().value for _ in range(3)] == [SECRET] * 3
    assert len(asked) == 1
    life_s = 0.05  # of which the last fifth is not used
    short = TokenSource(give)
    first = short.token()
    while time.time() < (first.expires_at_s or 0.0) - 0.009:
        time.sleep(0.001)
    assert short.token() != first, "never one that has ended, or is about to"


def test_a_token_without_an_end_is_asked_for_each_time() -> None:
    tokens = iter("abc")
    source = TokenSource(lambda: next(tokens))
    assert [source.token().value for _ in range(3)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "NoneType, and no token"),
        (b"bytes", "bytes, and no token"),
        ("", "text that cannot be sent"),
        (f"{SECRET}\n", "text that cannot be sent"),
        ((SECRET, time.time() * 1e3), "no seconds since 1970"),  # milliseconds, as some libraries tell it
        ((SECRET, 1.0), "no seconds since 1970 from now on"),
        ((SECRET, float("nan")), "no seconds since 1970"),
        ((SECRET, "soon"), "no seconds since 1970"),
    ],
)
def test_what_is_no_token_is_named_and_not_told(answer: Any, said: str) -> None:
    with pytest.raises(TokenError, match=said) as caught:
        TokenSource(lambda: answer).token()
    assert SECRET not in str(caught.value)
    assert "KAFKA_SASL_OAUTH_TOKEN_PROVIDER" in str(caught.value)


def test_what_was_raised_is_named_and_what_it_said_is_not() -> None:
    def raises() -> str:
        raise LookupError(SECRET)

    with pytest.raises(TokenError, match="raised LookupError") as caught:
        TokenSource(raises).token()
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(Token(SECRET))
