"""Several agents as one workflow: one after the other, then at once, then cut short; and how their events hang together."""

import asyncio
import os
from collections.abc import Mapping
from typing import Any

import otel_feedback as feedback
from otel_feedback import OrchestrationDispatcher


class ReactAgent:
    name = "react_agent"

    async def execute(self, input_data: Any, context: Mapping[str, Any]) -> dict[str, Any]:
        return {"answer": f"a draft of {input_data!r}", "tokens_used": 1_000, "cost": 0.004}


class EvaluatorAgent:
    name = "evaluator"

    def execute(self, input_data: Any, context: Mapping[str, Any]) -> dict[str, Any]:
        if "answer" not in input_data:
            raise ValueError("there is nothing to look at")
        return {"answer": f"{input_data['answer']}, approved", "tokens_used": 200, "cost": 0.001}


class SlowAgent:
    name = "slow_agent"

    async def execute(self, input_data: Any, context: Mapping[str, Any]) -> None:
        await asyncio.sleep(30)


def tell(what: str, result: dict[str, Any]) -> None:
    print(f"{what}: {result['status']}, {result['total_tokens']} tokens, cost {result['total_cost']}")
    for output in result["outputs"]:
        answer = output["output"]["answer"] if output["output"] else output["error"]
        print(f"  {output['agent']}: {output['status']}, {answer}")


async def main() -> None:
    pipeline = feedback.configure(service_name="example-6", enable_outcome_logging=False)
    orchestrator = OrchestrationDispatcher()

    # one after the other: each agent gets what the one before it gave
    result = await orchestrator.execute_workflow(
        agents=[ReactAgent(), EvaluatorAgent()], task="the report", tags=["compliance"]
    )
    tell("sequential", result)
    for event in pipeline.get_recent_events(workflow_id=result["workflow_id"]):
        print(f"  event at depth {event.depth}: {event.agent_name}, tags {list(event.tags)}")

    # at once: each gets the task; without on_error="continue" the first failure would cancel the others
    result = await orchestrator.execute_workflow(
        agents=[ReactAgent(), EvaluatorAgent()], task="the report", mode="parallel", on_error="continue"
    )
    tell("parallel", result)

    # out of time: what runs is cancelled, and has its event all the same
    result = await orchestrator.execute_workflow(
        agents=[ReactAgent(), SlowAgent(), EvaluatorAgent()], task="the report", timeout_s=0.5
    )
    tell("with a deadline", result)


if __name__ == "__main__":
    os.environ.setdefault("OTEL_TRACES_EXPORTER", "none")  # no collector is needed
    asyncio.run(main())
