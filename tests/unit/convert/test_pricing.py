"""Prices of model calls: hand-computed for real models, overrides, functions, and the table against its source."""

from __future__ import annotations

import json
import logging
import math
import random
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import otel_feedback as feedback
from otel_feedback import assembly
from otel_feedback.convert import pricing
from otel_feedback.convert.price_table import load_table
from otel_feedback.convert.pricing import Price, Prices
from otel_feedback.convert.usage import TokenUsage

# what the table is from; its pinned version is not for Python 3.10
HAS_SOURCE = sys.version_info >= (3, 11)

any_settings: Any = feedback.get_settings  # for arguments that no type checker would let pass


def at(*when: int) -> int:
    return int(datetime(*when, tzinfo=timezone.utc).timestamp()) * 1_000_000_000  # type: ignore[misc, arg-type]


NOW = at(2026, 1, 15, 12)


def usd(model: str | None, provider: str | None, when: int = NOW, **tokens: int) -> float | None:
    price = Prices().price(model, provider, TokenUsage(**tokens), when)
    return None if price is None else round(price.usd, 12)


def test_openai_with_cached_tokens() -> None:
    # 800 at 2.50, 200 at 1.25, 100 at 10.00 USD per million
    assert usd("gpt-4o-2024-08-06", "openai", input=1000, cached=200, output=100) == 0.00325


def test_anthropic_with_cache_read_and_write() -> None:
    # 100 at 3.00, 2000 at 0.30, 500 at 3.75, 50 at 15.00; the input includes both kinds of cache
    tokens = {"input": 2600, "cached": 2000, "cache_write": 500, "output": 50}
    assert usd("claude-3-5-sonnet-20241022", "anthropic", **tokens) == 0.003525


def test_gemini_over_200k_is_charged_at_the_higher_rate_as_a_whole() -> None:
    assert usd("gemini-2.5-pro", "gcp.vertex_ai", input=200_000, output=1000) == 0.26  # 1.25 and 10.00
    assert usd("gemini-2.5-pro", "gcp.gemini", input=200_001, output=1000) == 0.5150025  # 2.50 and 15.00


def test_reasoning_is_inside_of_the_output() -> None:
    assert usd("o3-mini", "openai", input=0, output=1000, reasoning=900) == 0.0044


def test_a_price_by_request() -> None:
    assert usd("sonar", "perplexity", input=1000, output=0) == 0.013


def test_prices_that_change_with_the_hour_and_the_date() -> None:
    def price(when: int) -> float | None:
        return usd("deepseek-chat", "deepseek", when, input=1_000_000, output=0)

    assert price(at(2025, 4, 1, 12)) == 0.27
    assert price(at(2025, 4, 1, 16, 30)) == 0.135  # until 00:30, over midnight
    assert price(at(2025, 4, 1, 0, 29, 59)) == 0.135
    assert price(at(2025, 4, 1, 0, 30)) == 0.27


@pytest.mark.parametrize(
    ("provider", "model", "same_as"),
    [
        ("openai", "openai/gpt-4o", ("openai", "gpt-4o")),
        (None, "openai/gpt-4o", ("openai", "gpt-4o")),
        ("litellm", "openai/gpt-4o", ("openai", "gpt-4o")),
        (None, "gpt-4o", ("openai", "gpt-4o")),
        ("azure.ai.openai", "gpt-4o", ("azure", "gpt-4o")),
        ("OpenAI", "GPT-4o", ("openai", "gpt-4o")),
        ("gcp.gemini", "models/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("gcp.gen_ai", "publishers/google/models/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("x_ai", "grok-3", ("x-ai", "grok-3")),
        ("mistral_ai", "mistral-large-latest", ("mistral", "mistral-large-latest")),
        (None, "us.anthropic.claude-3-5-sonnet-20241022-v2:0", ("aws", "anthropic.claude-3-5-sonnet-20241022-v2:0")),
        (
            "aws.bedrock",
            "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-3-5-sonnet-20241022-v2:0",
            ("aws", "anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ),
        ("gcp.vertex_ai", "claude-3-5-sonnet-v2@20241022", ("anthropic", "claude-3-5-sonnet-20241022")),
    ],
)
def test_names_of_providers_and_models(provider: str | None, model: str, same_as: tuple[str, str]) -> None:
    expected = usd(same_as[1], same_as[0], input=1000, output=1000)
    assert expected is not None
    assert usd(model, provider, input=1000, output=1000) == expected


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "my-deployment"),
        ("ollama", "gpt-4o"),  # somebody's own server, whatever it calls its model
        (None, "llama3"),
        ("", "gpt-4o"),
        ("openai", ""),
        ("openai", None),
        ("openai", "/"),
        ("openai", "x" * 10_000),
        ("openai", "whisper-1"),  # by the minute
        ("openai", "mistralai/Mistral-7B-Instruct-v0.3"),
    ],
)
def test_what_is_unknown_has_no_price(provider: str | None, model: str | None) -> None:
    assert usd(model, provider, input=1000, output=1000) is None


def test_without_any_count_there_is_no_price_and_with_one_there_is() -> None:
    assert usd("gpt-4o", "openai") is None
    assert usd("gpt-4o", "openai", cached=5) is None
    assert usd("gpt-4o", "openai", input=0, output=0) == 0
    assert usd("gpt-4o", "openai", output=1000) == 0.01
    assert usd("text-embedding-3-small", "openai", input=1000) == 0.00002


def test_parts_larger_than_the_whole_are_no_discount() -> None:
    assert usd("gpt-4o", "openai", input=10, cached=1_000_000) == 1.25


def test_a_price_says_where_it_is_from() -> None:
    table = load_table()
    usage = TokenUsage(1_000_000, 0)
    assert Prices().price("gpt-4o", "openai", usage, NOW) == Price(2.5, "genai-prices", table.version)
    mine = {"gpt-4o": {"input": 1.0, "output": 2.0}}
    assert Prices(mine).price("gpt-4o", "openai", usage, NOW) == Price(1.0, "settings")
    assert Prices(function=lambda *_: 7).price("gpt-4o", "openai", usage, NOW) == Price(7.0, "function")


def test_overrides_go_before_the_table_for_their_models_only() -> None:
    prices = Prices({"My-Model": {"input": 2, "output": 8, "cached_input": 1, "cache_write": 4}})

    def price(model: str, provider: str | None = "openai") -> float | None:
        found = prices.price(model, provider, TokenUsage(1000, 100, 200, 300), NOW)
        return found and found.usd

    expected = pytest.approx((500 * 2 + 200 * 1 + 300 * 4 + 100 * 8) / 1e6)
    for name in (
        "my-model",
        "MY-MODEL",
        "my-model-2025-06-01",
        "my-model-20250601",
        "my-model@20250601",
        "gw/my-model",
    ):
        assert price(name) == expected
    assert price("my-model", None) == expected
    assert price("my-model", "somebody") == expected
    assert price("my-model-mini") is None
    assert price("gpt-4o") == pytest.approx((800 * 2.5 + 200 * 1.25 + 100 * 10) / 1e6)


def test_cache_prices_of_an_override_default_to_those_of_the_input() -> None:
    prices = Prices({"m": {"input": 2, "output": 8}})
    assert prices.price("m", None, TokenUsage(1000, 0, 500, 500), NOW) == Price(0.002, "settings")


def test_a_function_is_asked_first_and_may_leave_it_to_the_table() -> None:
    asked: list[tuple[str, str | None, TokenUsage]] = []

    def mine(model: str, provider: str | None, usage: TokenUsage) -> Any:
        asked.append((model, provider, usage))
        return Decimal("0.5") if model == "mine" else None

    prices = Prices(function=mine)
    assert prices.price("mine", None, TokenUsage(1, 1), NOW) == Price(0.5, "function")
    known = prices.price("gpt-4o", "openai", TokenUsage(1_000_000, 0), NOW)
    assert known is not None
    assert (known.usd, known.source) == (2.5, "genai-prices")
    assert asked == [("mine", None, TokenUsage(1, 1)), ("gpt-4o", "openai", TokenUsage(1_000_000, 0))]


def _raise(*_: Any) -> Any:
    raise RuntimeError("no answer")


@pytest.mark.parametrize(
    "function",
    [
        _raise,
        lambda: 1.0,
        *(lambda *_, answer=answer: answer for answer in ("0.1", True, -0.1, math.nan, math.inf, 10**400, Decimal("sNaN"), [])),
    ],
)  # fmt: skip
def test_a_function_that_fails_is_logged_once_and_the_table_answers(
    function: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    prices = Prices(function=function)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            known = prices.price("gpt-4o", "openai", TokenUsage(1_000_000, 0), NOW)
            assert known is not None
            assert (known.usd, known.source) == (2.5, "genai-prices")
            assert prices.price("unknown-model", "openai", TokenUsage(1, 1), NOW) is None
    assert len(caplog.records) == 1


def test_names_that_are_made_up_as_it_goes_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pricing, "KEPT_MODELS", 10)
    prices = Prices()
    for number in range(100):
        assert prices.price(f"model-{number}", "openai", TokenUsage(1, 1), NOW) is None
        assert len(prices._known) <= 10  # pyright: ignore[reportPrivateUsage]
    assert prices.price("gpt-4o", "openai", TokenUsage(1, 1), NOW) is not None


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        ({"m": {"input": -1, "output": 2}}, "prices['m']['input']=-1: expected USD per million tokens, 0 or more"),
        ({"m": {"input": "1", "output": 2}}, "prices['m']['input']='1': expected USD per million tokens"),
        ({"m": {"input": True, "output": 2}}, "prices['m']['input']=True: expected USD per million tokens"),
        ({"m": {"input": 1, "output": math.nan}}, "prices['m']['output']=nan: expected USD per million tokens"),
        ({"m": {"input": 1}}, "prices['m']={'input': 1}: expected input, output and"),
        ({"m": {"input": 1, "output": 2, "cached": 1}}, "expected input, output and, where they differ from input, cached_"),
        ({"m": 3}, "prices['m']=3: expected input, output and"),
        ({3: {"input": 1, "output": 2}}, "prices[3]={'input': 1, 'output': 2}: expected the name of a model as the key"),
        (3, "prices=3: expected the path of a JSON file; as an argument also a table or a function"),
        ("nowhere.json", "prices='nowhere.json': expected the path of a file that can be read"),
    ],
)  # fmt: skip
def test_a_bad_price_is_a_config_error_that_names_model_and_field(prices: Any, message: str) -> None:
    with pytest.raises(feedback.ConfigError) as caught:
        any_settings(environ={}, prices=prices)
    assert message in str(caught.value)


def test_prices_by_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"m": {"input": 1, "output": 2}}), "utf-8")
    settings = feedback.get_settings(environ={"OTEL_FEEDBACK_PRICES": str(path)})
    assert settings.prices == {"m": {"input": 1.0, "output": 2.0}}
    prices = assembly.build_prices(settings)
    assert prices.price("m", None, TokenUsage(1_000_000, 0), NOW) == Price(1.0, "settings")
    for text, wrong in (
        ('{"m"', "Expecting"),
        ("[]", "object"),
        ('{"m": {"input": 1, "output": -2}}', "['m']['output']"),
    ):
        path.write_text(text, "utf-8")
        with pytest.raises(feedback.ConfigError) as caught:
            feedback.get_settings(environ={"OTEL_FEEDBACK_PRICES": str(path)})
        assert wrong in str(caught.value)


def test_a_function_by_the_argument() -> None:
    settings = feedback.get_settings(environ={}, prices=lambda model, provider, usage: usage.input / 1e6)
    price = assembly.build_prices(settings).price("any", None, TokenUsage(2_000_000, 0), NOW)
    assert price == Price(2.0, "function")


def test_the_table_is_what_its_source_has() -> None:
    """Of the version that the development environment pins; it has none for Python 3.10."""
    if not HAS_SOURCE:
        return
    from tools import prices

    assert prices.table() == prices.TABLE.read_text("utf-8")


def test_every_price_of_the_table_is_the_one_that_its_source_computes() -> None:
    if not HAS_SOURCE:
        return
    from genai_prices import Usage
    from genai_prices.data import providers

    random.seed(4)
    times = [at(2024, 1, 1), at(2025, 4, 1, 17), at(2025, 6, 15, 3), at(2026, 3, 1, 9), at(2026, 12, 31, 23)]
    theirs = [(provider, model) for provider in providers for model in provider.models]
    rows = [row for provider in load_table().providers for row in provider.models]
    compared = 0
    for (provider, model), row in zip(theirs, rows, strict=True):
        ours = row.read()
        if ours is None:
            continue
        for when in times:
            given = random.choice((0, 1000, 128_001, 200_000, 200_001, 1_100_000))
            gotten = random.randrange(5000)
            usage = TokenUsage(given, gotten, given // 3, given // 5, gotten // 2)
            expected = model.calc_price(
                Usage(
                    input_tokens=given, output_tokens=gotten, cache_read_tokens=given // 3,
                    cache_write_tokens=given // 5, output_reasoning_tokens=gotten // 2,
                ),
                provider,
                genai_request_timestamp=datetime.fromtimestamp(when / 1e9, timezone.utc),
            )  # fmt: skip
            assert ours.usd(usage, when) == pytest.approx(float(expected.total_price), rel=1e-9), model.id
            compared += 1
    assert compared > 10_000
