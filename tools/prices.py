"""`python -m tools.prices`: write the table of model prices anew, from the genai-prices that is installed.

The package has the table and not the library: loaded, the library costs an agent 120 ms and 32 MB beside pydantic and
an HTTP client, and a price 60 µs; the table is read in 3 ms. Only what is charged by text tokens, and by request, is
taken; what is charged otherwise has no price.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import time, timedelta
from decimal import Decimal
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import genai_prices
from genai_prices import types
from genai_prices.data import providers

__all__ = ["TABLE", "main", "table"]

TABLE = Path(__file__).parents[1] / "otel_feedback" / "convert" / "prices.json"

_KEYS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cached",
    "cache_write_mtok": "cache_write",
    "output_reasoning_mtok": "reasoning",
    "requests_kcount": "thousand_requests",
}


def _number(value: Decimal) -> int | float:
    return int(value) if value == int(value) else float(value)


def _rate(value: Decimal | types.TieredPrices) -> Any:
    """Return a number, or [number, [tokens of input above which, number] …]."""
    if isinstance(value, types.TieredPrices):
        return [_number(value.base), *([tier.start, _number(tier.price)] for tier in value.tiers)]
    return _number(value)


def _seconds(at: time) -> int:
    """Return the seconds since midnight UTC."""
    return (at.hour * 60 + at.minute) * 60 + at.second - int((at.utcoffset() or timedelta()).total_seconds())


def _clause(clause: Any) -> list[Any]:
    if isinstance(clause, types.ClauseOr):
        parts = list(map(_clause, clause.or_))
        return ["or", *(part for number, part in enumerate(parts) if part not in parts[:number])]
    if isinstance(clause, types.ClauseAnd):
        return ["and", *map(_clause, clause.and_)]
    [(kind, text)] = vars(clause).items()
    return [kind, text if kind == "regex" else text.lower()]


def _period(prices: types.ModelPrice, constraint: Any) -> dict[str, Any]:
    period: dict[str, Any] = {}
    if isinstance(constraint, types.StartDateConstraint):
        period["since"] = constraint.start_date.isoformat()
    elif isinstance(constraint, types.TimeOfDateConstraint):
        period["daily_s"] = [_seconds(constraint.start_time), _seconds(constraint.end_time)]
    elif constraint is not None:
        raise TypeError(f"a constraint that the table has no room for: {constraint}")
    for key, name in _KEYS.items():
        value = getattr(prices, key)
        if value is not None:
            period[name] = _rate(value)
    return period


def _model(model: types.ModelInfo) -> dict[str, Any]:
    prices = model.prices
    if isinstance(prices, types.ModelPrice):
        periods = [_period(prices, None)]
    else:
        periods = [_period(part.prices, part.constraint) for part in prices]
    return {"match": _clause(model.match), "prices": periods}


def _lines() -> Iterator[str]:
    """A model a line, so that a change of prices can be read."""
    licence = distribution("genai-prices").read_text("licenses/LICENSE")
    head = {"source": "genai-prices", "version": genai_prices.__version__, "licence": licence}
    yield json.dumps(head)[:-1] + ', "providers": ['
    for provider in providers:
        about: dict[str, Any] = {"id": provider.id}
        if provider.provider_match is not None:
            about["match"] = _clause(provider.provider_match)
        if provider.model_match is not None:
            about["model_match"] = _clause(provider.model_match)
        if provider.fallback_model_providers:
            about["others"] = provider.fallback_model_providers
        yield json.dumps(about)[:-1] + ', "models": ['
        yield ",\n".join(json.dumps(_model(model), separators=(",", ":")) for model in provider.models)
        yield "]}" if provider is providers[-1] else "]},"
    yield "]}"


def table() -> str:
    """Return the table as it should be in the file."""
    return "\n".join(_lines()) + "\n"


def main() -> None:
    TABLE.write_text(table(), "utf-8")
    print(f"{TABLE.name}: prices of genai-prices {genai_prices.__version__}")


if __name__ == "__main__":
    main()
