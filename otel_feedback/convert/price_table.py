"""The prices of models by providers: a table from genai-prices, and how a model's name is found in it.

    provider, model ──► ModelPrices ──► Rates at a time ──► USD

`prices.json` beside this file is the table, written by `tools/prices.py`. Read once, in 3 ms, and never changed.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from otel_feedback.convert.usage import TokenUsage
from otel_feedback.events.usage import Usage

__all__ = ["ModelPrices", "PriceTable", "Rates", "load_table"]

_DAY_S: Final = 86_400


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """What is charged, in USD per million tokens; more exact counts go before those that include them."""

    input: float = 0.0
    output: float = 0.0
    cached: float | None = None
    cache_write: float | None = None
    reasoning: float | None = None
    thousand_requests: float = 0.0

    def usd(self, usage: TokenUsage | Usage, _when_ns: int = 0) -> float:
        """Return the price of one call, at any time. Counts that are not known are charged as nothing, or as what includes them."""
        plain, answer = usage.input or 0, usage.output or 0
        sum_of_parts = 0.0
        if usage.cached and self.cached is not None:
            plain -= usage.cached
            sum_of_parts += usage.cached * self.cached
        if usage.cache_write and self.cache_write is not None:
            plain -= usage.cache_write
            sum_of_parts += usage.cache_write * self.cache_write
        if usage.reasoning and self.reasoning is not None:
            answer -= usage.reasoning
            sum_of_parts += usage.reasoning * self.reasoning
        # a part that is larger than the whole is somebody's mistake, and no discount
        if plain > 0:
            sum_of_parts += plain * self.input
        if answer > 0:
            sum_of_parts += answer * self.output
        return sum_of_parts / 1e6 + self.thousand_requests / 1e3


_Tiers = tuple[tuple[int, Rates], ...]
"""(tokens of input above which, rates), the highest first."""
_Period = tuple[int, int | None, int | None, _Tiers]
"""(since, daily from, daily to, tiers): Unix seconds, and seconds of the day in UTC or None."""


class ModelPrices:
    """The rates of one model, by time and by how long the input is.

    Of its periods the last that holds is the one; where none holds, the first.
    """

    __slots__ = ("_periods", "always")

    def __init__(self, periods: tuple[_Period, ...]) -> None:
        self._periods = periods
        [*_, (_, daily_from, _, tiers)] = periods
        # one price, one tier: nearly all of them
        self.always = tiers[0][1] if len(periods) == len(tiers) == 1 and daily_from is None else None

    def usd(self, usage: TokenUsage | Usage, when_ns: int) -> float:
        """Return the price of one call at a time, in Unix nanoseconds."""
        tokens = usage.input or 0
        return next(rates for above, rates in self._tiers(when_ns // 1_000_000_000) if tokens > above).usd(usage)

    def _tiers(self, when_s: int) -> _Tiers:
        for since_s, from_s, to_s, tiers in reversed(self._periods):
            if when_s < since_s:
                continue
            if from_s is None or to_s is None:
                return tiers
            now_s = when_s % _DAY_S
            if from_s <= now_s < to_s if from_s <= to_s else now_s >= from_s or now_s < to_s:
                return tiers
        return self._periods[0][3]


_Rate = float | tuple[Any, ...] | None
"""USD per million, or (that, (tokens of input above which, USD per million) …)."""


class _PeriodRow(msgspec.Struct, frozen=True, kw_only=True):
    since: date | None = None
    daily_s: tuple[int, int] | None = None
    input: _Rate = None
    output: _Rate = None
    cached: _Rate = None
    cache_write: _Rate = None
    reasoning: _Rate = None
    thousand_requests: _Rate = None

    def read(self) -> _Period:
        names = Rates.__struct_fields__
        given = {name: rate for name in names if (rate := getattr(self, name)) is not None}
        steps = {-1} | {above for rate in given.values() if isinstance(rate, tuple) for above, _ in rate[1:]}
        tiers = tuple(
            (step, Rates(**{name: _at(rate, step) for name, rate in given.items()})) for step in sorted(steps)[::-1]
        )
        since = self.since and datetime(self.since.year, self.since.month, self.since.day, tzinfo=timezone.utc)
        daily_from, daily_to = self.daily_s or (None, None)
        return (0 if since is None else int(since.timestamp()), daily_from, daily_to, tiers)


def _at(rate: Any, step: int) -> float:
    """Return the rate of the highest tier that begins at or below a step."""
    if not isinstance(rate, tuple):
        return rate
    found, *tiers = rate
    for above, price in tiers:
        if above <= step:
            found = price
    return found


class _ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    match: list[Any]
    prices: tuple[_PeriodRow, ...]

    def read(self) -> ModelPrices | None:
        """Return the prices; None for a model that is not charged by tokens."""
        if any(period.input is None and period.output is None for period in self.prices):
            return None
        return ModelPrices(tuple(period.read() for period in self.prices))


class _ProviderRow(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    match: list[Any] | None = None
    model_match: list[Any] | None = None
    others: tuple[str, ...] = ()
    models: tuple[_ModelRow, ...]

    def find(self, model: str) -> _ModelRow | None:
        return next((row for row in self.models if _matches(row.match, model)), None)


def _matches(clause: list[Any] | None, text: str) -> bool:
    if clause is None:
        return False
    kind, *parts = clause
    if kind == "or":
        return any(_matches(part, text) for part in parts)
    if kind == "and":
        return all(_matches(part, text) for part in parts)
    [wanted] = parts
    if kind == "equals":
        return text == wanted
    if kind == "starts_with":
        return text.startswith(wanted)
    if kind == "ends_with":
        return text.endswith(wanted)
    if kind == "contains":
        return wanted in text
    return re.search(wanted, text) is not None


_PROVIDERS: Final = {"gcp.gen_ai": "google", "x_ai": "x-ai", "xai": "x-ai", "fireworks_ai": "fireworks"}
"""OpenTelemetry's names of providers, where the table would not recognise them."""

_OF_BEDROCK = re.compile(r"(?:^|[./:])(?:ai21|amazon|anthropic|cohere|deepseek|meta|mistral|openai|qwen)\.[a-z]")
_COMPACT_DATE = re.compile(r"-(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


class PriceTable(msgspec.Struct, frozen=True):
    """The table: whose data, of which version, and its providers."""

    source: str
    version: str
    providers: tuple[_ProviderRow, ...]

    def find(self, provider: str | None, model: str) -> ModelPrices | None:
        """Return a model's prices; None where provider or model is unknown, or it is not charged by tokens.

        Args:
            provider: OpenTelemetry's `gen_ai.provider.name`, or any usual name; None is told by the model's name.
            model: As requested or as answered, also with `provider/` before it, as gateways have it.
        """
        model = model.lower()
        provider = None if provider is None else provider.lower()
        if provider is None and _OF_BEDROCK.search(model):
            provider = "bedrock"
        home = self._of_model(model) if provider is None else self._of_name(provider)
        row = self._find(home, model)
        if row is None and "/" in model:
            first, _, rest = model.partition("/")
            named = next((row for row in self.providers if row.id == _alias(first)), None)
            row = self._find(home, model.rpartition("/")[2]) if named is None else self._find(named, rest)
        return None if row is None else row.read()

    def _of_name(self, name: str) -> _ProviderRow | None:
        name = _alias(name)
        for row in self.providers:
            if row.id == name:
                return row
        return next((row for row in self.providers if _matches(row.match, name)), None)

    def _of_model(self, model: str) -> _ProviderRow | None:
        return next((row for row in self.providers if _matches(row.model_match, model)), None)

    def _find(self, home: _ProviderRow | None, model: str) -> _ModelRow | None:
        if home is None:
            return None
        homes = [home, *(row for other in home.others for row in self.providers if row.id == other)]
        # gateways write dates without the dashes that the table has
        for name in dict.fromkeys((model, _COMPACT_DATE.sub(r"-\1-\2-\3", model))):
            for row in homes:
                found = row.find(name)
                if found is not None:
                    return found
        return None


def _alias(provider: str) -> str:
    return "azure" if provider.startswith("azure") else _PROVIDERS.get(provider, provider)


@cache
def load_table() -> PriceTable:
    """Return the table of this package."""
    return msgspec.json.decode(Path(__file__).with_name("prices.json").read_bytes(), type=PriceTable)
