"""Custom monitoring: hooks before and after each action, an alert on slow ones, and a hook that is broken."""

import asyncio
import logging
import os
from collections.abc import Mapping
from typing import Any

from otel_feedback import OutcomeEvent, create_dispatcher

LIMIT_MS = 300


class Agent:
    def __init__(self, name: str, takes_s: float) -> None:
        self.name = name
        self.takes_s = takes_s

    async def execute(self, input_data: Any, context: Mapping[str, Any]) -> str:
        await asyncio.sleep(self.takes_s)
        return f"{self.name} is done"


# before the action; this one is not async, so it runs in a thread and cannot hold up others
def announce(agent: Agent, input_data: Any, context: Mapping[str, Any]) -> None:
    print(f"{agent.name} gets {input_data!r}")


# after it: `result` is what dispatch() returns, `event` the finished OutcomeEvent
async def alert_on_slow_execution(agent: Agent, result: dict[str, Any], event: OutcomeEvent) -> None:
    if event.duration_ms is not None and event.duration_ms > LIMIT_MS:
        print(f"ALERT: {agent.name} took longer than {LIMIT_MS} ms, status {event.status}")


async def broken(agent: Agent, result: dict[str, Any], event: OutcomeEvent) -> None:
    raise RuntimeError("the dashboard is away")


async def main() -> None:
    dispatcher = create_dispatcher(enable_outcome_logging=False, service_name="example-7")
    dispatcher.add_pre_hook(announce)
    remove_broken = dispatcher.add_post_hook(broken)
    dispatcher.add_post_hook(alert_on_slow_execution)

    # a hook that raises, or takes too long, is logged and counted, and changes nothing else
    result = await dispatcher.dispatch(Agent("quick_agent", 0.0), input_data="a letter")
    print(f"{result['status']}, hooks that failed: {dispatcher.hook_failures}")
    remove_broken()

    await dispatcher.dispatch(Agent("slow_agent", 2 * LIMIT_MS / 1_000), input_data="a book")

    # a hook for one call
    def note(agent: Agent, result: dict[str, Any], event: OutcomeEvent) -> None:
        print(f"only this once: {event.agent_name} {event.status}")

    await dispatcher.dispatch(Agent("quick_agent", 0.0), input_data="a note", post_hooks=[note])


if __name__ == "__main__":
    os.environ.setdefault("OTEL_TRACES_EXPORTER", "none")  # no collector is needed
    logging.disable()  # the line about the broken hook would stand between those of this example
    asyncio.run(main())
