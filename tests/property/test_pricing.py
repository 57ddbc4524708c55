"""Laws of prices, for every model of the table and any usage."""

from __future__ import annotations

import math

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from otel_feedback.convert.price_table import ModelPrices, Rates, load_table
from otel_feedback.convert.pricing import Prices
from otel_feedback.convert.usage import TokenUsage

TABLE = load_table()
MODELS = {
    (provider.id, str(row.match)): model
    for provider in TABLE.providers
    for row in provider.models
    if (model := row.read()) is not None
}
CACHE_IS_CHEAPER = [model for (provider, _), model in MODELS.items() if provider != "openrouter"]
"""OpenRouter's prices are those of the cheapest provider of the day, for each kind of token."""

counts = st.integers(0, 3_000_000)
times = st.integers(0, 4_000_000_000).map(lambda seconds: seconds * 1_000_000_000)


@st.composite
def usages(draw: st.DrawFn) -> TokenUsage:
    tokens, answer = draw(counts), draw(counts)
    cached = draw(st.integers(0, tokens))
    return TokenUsage(
        tokens, answer, cached, draw(st.integers(0, tokens - cached)), draw(st.none() | st.integers(0, answer))
    )


@given(st.sampled_from(list(MODELS.values())), usages(), times)
def test_a_price_is_finite_and_never_negative(model: ModelPrices, usage: TokenUsage, when: int) -> None:
    assert 0 <= model.usd(usage, when) < math.inf


@given(st.sampled_from(list(MODELS.values())), usages(), st.integers(0, 1_000_000), st.booleans(), times)
def test_more_tokens_never_cost_less(
    model: ModelPrices, usage: TokenUsage, more: int, is_input: bool, when: int
) -> None:
    field = "input" if is_input else "output"
    larger = msgspec.structs.replace(usage, **{field: getattr(usage, field) + more})
    assert model.usd(larger, when) >= model.usd(usage, when) - 1e-12


@given(st.sampled_from(CACHE_IS_CHEAPER), counts, times)
def test_tokens_from_the_cache_never_cost_more(model: ModelPrices, tokens: int, when: int) -> None:
    assert model.usd(TokenUsage(tokens, 0, tokens), when) <= model.usd(TokenUsage(tokens, 0), when) + 1e-12


@given(
    st.builds(
        TokenUsage,
        st.none() | counts,
        st.none() | counts,
        st.none() | counts,
        st.none() | counts,
        st.none() | counts,
    ),
    st.builds(Rates, input=st.floats(0, 1e9), output=st.floats(0, 1e9), cached=st.none() | st.floats(0, 1e9)),
)
def test_no_usage_makes_a_price_negative(usage: TokenUsage, rates: Rates) -> None:
    assert 0 <= rates.usd(usage) < math.inf


@given(st.none() | st.text(max_size=30), st.text(max_size=300), usages(), times)
def test_no_name_raises(provider: str | None, model: str, usage: TokenUsage, when: int) -> None:
    price = PRICES.price(model, provider, usage, when)
    assert price is None or price.usd >= 0


PRICES = Prices()
