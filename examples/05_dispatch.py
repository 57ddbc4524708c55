"""Agents that know nothing of this package: a dispatcher runs them, retries, limits their time, and tells what came."""

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from otel_feedback import create_dispatcher, get_feedback_pipeline


class ReactAgent:
    name = "react_agent"
    agent_type = "react"

    async def execute(self, input_data: Any, context: Mapping[str, Any]) -> dict[str, Any]:
        # what the answer says of tokens, cost, model and scores goes to the event
        return {
            "answer": f"{context['customer']} is content",
            "usage": {"input_tokens": 900, "output_tokens": 120},
            "cost": 0.0034,
            "model": "gpt-4o",
            "confidence": 0.8,
        }


class SearchEngine:
    """Not async, so it runs in a thread; and not reliable."""

    name = "search"
    calls = 0

    def run(self, query: str) -> list[str]:
        self.calls += 1
        if self.calls < 3:
            raise ConnectionError("HTTP 503")
        return [f"a page about {query}"]


async def think_for_long() -> None:
    await asyncio.sleep(30)


async def main() -> None:
    dispatcher = create_dispatcher(enable_outcome_logging=False, service_name="example-5", backoff_s=0.01)

    result = await dispatcher.dispatch(
        agent=ReactAgent(),
        action_type="reasoning",
        input_data={"query": "Analyze customer sentiment"},
        context={"customer": "ACME"},
        tags=["customer", "sentiment"],
    )
    print(f"{result['status']}: {result['output']['answer']}, event {result['event_id']}")

    # failures are results: nothing is raised unless raise_on_error=True
    result = await dispatcher.dispatch(SearchEngine(), "search", "Kafka", retries=3)
    print(f"{result['status']} in attempt {result['attempts']}: {result['output']}")
    result = await dispatcher.dispatch(SearchEngine(), "search", "Kafka")
    print(f"{result['status']}: {result['error_type']}, {result['error']}")
    result = await dispatcher.dispatch(think_for_long, "reasoning", timeout_s=0.1)
    print(f"{result['status']}: {result['error']}")

    print()
    for event in get_feedback_pipeline().get_recent_events():
        print(f"{event.agent_name} {event.action_type}: {event.status}, tokens {event.tokens_used}")


if __name__ == "__main__":
    os.environ.setdefault("OTEL_TRACES_EXPORTER", "none")  # no collector is needed
    asyncio.run(main())
