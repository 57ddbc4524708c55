"""What a model call cost: by the user's function, by the user's table, by the table of this package; else unknown.

Input: provider, model, tokens, and when. Output: USD, and where the price is from. On the agent's thread: a model is
looked up once, and a call of a known one is priced in about a microsecond. Never raises.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from otel_feedback.convert.price_table import ModelPrices, PriceTable, Rates, load_table
from otel_feedback.convert.usage import TokenUsage
from otel_feedback.events.usage import Usage
from otel_feedback.logger import get_logger
from otel_feedback.throttle import ThrottledLog

__all__ = ["Charged", "Origin", "Price", "PriceFunction", "Prices"]

logger = get_logger(__name__)

PriceFunction = Callable[[str, "str | None", TokenUsage], Any]
"""(model, provider, usage) to USD, or None where the tables shall say."""

KEPT_MODELS: Final = 1_000
LONGEST_NAME: Final = 256
_DATE = re.compile(r"[-@](?:20\d\d-\d\d-\d\d|20\d{6})$")


class Price(msgspec.Struct, frozen=True, gc=False):
    """What a call cost, in USD, and where that is from: `function`, `settings`, or a table and its version."""

    usd: float
    source: str
    version: str | None = None


Charged = tuple[float, float, float, "Origin"]
"""USD a million tokens of input, the same of output, USD a call, and where that is from."""

Origin = tuple[str, "str | None"]
"""Where a price is from: source and version."""


class _Known(msgspec.Struct, frozen=True):
    source: str
    version: str | None
    prices: Rates | ModelPrices


class Prices:
    """Prices model calls. Thread-safe.

    Args:
        overrides: USD per million tokens by model and field: input, output, cached_input, cache_write; as the
            `prices` setting has read them. The latter two default to `input`.
        function: Asked first, for every call. What it raises, and what is no amount, is logged once a minute, and the
            tables are asked.
        table: Asked last. Default: the one of this package.
    """

    def __init__(
        self,
        overrides: Mapping[str, Mapping[str, float]] | None = None,
        function: PriceFunction | None = None,
        table: PriceTable | None = None,
    ) -> None:
        self._overrides = {model.lower(): _override(fields) for model, fields in (overrides or {}).items()}
        self._function = function
        self._table = table or load_table()
        self._known: dict[tuple[str | None, str], _Known | None] = {}
        self.rates: dict[tuple[str | None, str], Charged] = {}
        """Of models that were asked for, by provider and model: what is charged at any time, where no function is asked first."""
        self._log = ThrottledLog(logger)

    def price(self, model: str | None, provider: str | None, usage: TokenUsage | Usage, when_ns: int) -> Price | None:
        """Return the price of one call; None where the model is unknown or nobody said how many tokens it took.

        Args:
            usage: As `TokenUsage` counts: cached tokens are inside of the input, reasoning inside of the output.
            when_ns: The time of the call, in Unix nanoseconds; some prices have changed, some are lower at night.
        """
        if not model or (usage.input is None and usage.output is None):
            return None
        if self._function is not None and (usd := self._ask(self._function, model, provider, usage)) is not None:
            return Price(usd, "function")
        try:
            known = self._known[provider, model]
        except KeyError:
            known = self._look_up(provider, model)
        if known is None:
            return None
        prices = known.prices
        usd = prices.usd(usage, when_ns)
        return Price(usd, known.source, known.version)

    def _ask(self, function: PriceFunction, model: str, provider: str | None, used: TokenUsage | Usage) -> float | None:
        usage = TokenUsage(used.input, used.output, used.cached, used.cache_write, used.reasoning)
        try:
            answer = function(model, provider, usage)
        except Exception as exc:  # the user's code, on the agent's thread
            self._log.warning("raised", "the function that was given as prices failed: %r", exc)
            return None
        if answer is None:
            return None
        if isinstance(answer, (int, float, Decimal)) and not isinstance(answer, bool):
            try:
                usd = float(answer)
            except (OverflowError, ValueError):
                usd = math.inf
            if 0 <= usd < math.inf:
                return usd
        self._log.warning("amount", "the function that was given as prices answered no amount in USD: %.50r", answer)
        return None

    def _look_up(self, provider: str | None, model: str) -> _Known | None:
        if len(model) > LONGEST_NAME:
            return None
        known: _Known | None = None
        if (rates := self._override_of(model.lower())) is not None:
            known = _Known("settings", None, rates)
        elif (prices := self._table.find(provider, model)) is not None:
            known = _Known(self._table.source, self._table.version, prices.always or prices)
        if len(self._known) >= KEPT_MODELS:  # names that are made up as it goes
            self._known.clear()
            self.rates.clear()
        self._known[provider, model] = known
        if known is not None and isinstance(known.prices, Rates) and self._function is None:
            rates, origin = known.prices, (known.source, known.version)
            self.rates[provider, model] = rates.input, rates.output, rates.thousand_requests / 1e3, origin
        return known

    def _override_of(self, model: str) -> Rates | None:
        for name in (model, model.rpartition("/")[2]):
            for candidate in (name, _DATE.sub("", name)):
                if candidate in self._overrides:
                    return self._overrides[candidate]
        return None


def _override(fields: Mapping[str, float]) -> Rates:
    return Rates(
        input=fields["input"],
        output=fields["output"],
        cached=fields.get("cached_input"),
        cache_write=fields.get("cache_write"),
    )
