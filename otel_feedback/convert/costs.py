"""What an event's tokens cost, and on the event where the price is from."""

from __future__ import annotations

from typing import Any

import msgspec

from otel_feedback.convert.pricing import Price
from otel_feedback.convert.rules import Pricing
from otel_feedback.convert.usage import TokenUsage
from otel_feedback.events.model import OutcomeEvent

__all__ = ["priced_own", "told_price"]


def priced_own(event: OutcomeEvent, pricing: Pricing | None) -> OutcomeEvent:
    """Return the event of an action of our own with what its tokens cost, where it does not say so itself."""
    if pricing is None or event.own_cost is not None or event.model is None or event.end_time is None:
        return event
    usage = TokenUsage(event.input_tokens, event.output_tokens, event.cached_input_tokens, None, event.reasoning_tokens)
    price = pricing(event.model, event.provider, usage, int(event.end_time.timestamp() * 1e9))
    if price is None:
        return event
    cost = round((event.cost_estimate or 0.0) + price.usd, 12)
    return msgspec.structs.replace(
        event, own_cost=round(price.usd, 12), cost_estimate=cost, metadata={**event.metadata, **told_price(price)}
    )


def told_price(price: Price) -> dict[str, Any]:
    """Return the metadata that says where a price is from."""
    if price.version is None:
        return {"price_source": price.source}
    return {"price_source": price.source, "price_version": price.version}
