"""What an event's tokens cost, and on the event where the price is from."""

from __future__ import annotations

import msgspec

from otel_feedback.convert.pricing import Price
from otel_feedback.convert.rules import Pricing
from otel_feedback.convert.usage import TokenUsage
from otel_feedback.events.model import OutcomeEvent

__all__ = ["priced_own", "with_source"]


def priced_own(event: OutcomeEvent, pricing: Pricing | None) -> OutcomeEvent:
    """Return the event of an action of our own with what its tokens cost, where it does not say so itself."""
    if pricing is None or event.own_cost is not None or event.model is None or event.end_time is None:
        return event
    usage = TokenUsage(event.input_tokens, event.output_tokens, event.cached_input_tokens, None, event.reasoning_tokens)
    price = pricing(event.model, event.provider, usage, int(event.end_time.timestamp() * 1e9))
    if price is None:
        return event
    priced = with_source(event, price)
    cost = round((event.cost_estimate or 0.0) + price.usd, 12)
    return msgspec.structs.replace(priced, own_cost=round(price.usd, 12), cost_estimate=cost)


def with_source(event: OutcomeEvent, price: Price) -> OutcomeEvent:
    told = {"price_source": price.source}
    if price.version is not None:
        told["price_version"] = price.version
    return msgspec.structs.replace(event, metadata={**event.metadata, **told})
