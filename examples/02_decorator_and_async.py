"""Functions as actions, plain and async: three in parallel, of which one is too slow and one is cancelled."""

import asyncio
import contextlib
import os

import otel_feedback as feedback

PATIENCE_S = 0.5


@feedback.action("plan", agent="planner")
def plan(task: str) -> list[str]:
    return [f"{task}, part {number}" for number in (1, 2)]


# timeout_s enforces nothing, it tells: a cancellation after that time is a timeout, an earlier one is not
@feedback.action("research", agent="researcher", timeout_s=PATIENCE_S)
async def research(part: str, seconds: float) -> str:
    await asyncio.sleep(seconds)
    return f"{part}: done"


async def report(task: str) -> None:
    async with feedback.action("report", agent="coordinator", run_id="run-7") as act:
        first, second = plan(task)
        quick = asyncio.create_task(research(first, 0.01))
        slow = asyncio.create_task(research(second, 30.0))
        unwanted = asyncio.create_task(research("an idea", 30.0))
        print(await quick)
        unwanted.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await unwanted
        try:
            await asyncio.wait_for(slow, PATIENCE_S)
        except asyncio.TimeoutError:
            act.partial("one part was too slow")


def main() -> None:
    os.environ.setdefault("OTEL_TRACES_EXPORTER", "none")  # no collector is needed
    pipeline = feedback.configure(service_name="example-2", enable_outcome_logging=False)

    asyncio.run(report("the market"))
    for event in pipeline.get_recent_events():
        print(f"{event.run_id}  depth {event.depth}  {event.agent_name:<11}  {event.action_type:<8}  {event.status}")


if __name__ == "__main__":
    main()
