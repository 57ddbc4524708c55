"""Ask the newest events: an error rate for each agent, the slowest action, and the account of what was delivered."""

import os
import time

import otel_feedback as feedback
from otel_feedback import OutcomeStatus

ALERT_ABOVE = 0.1


def work(number: int) -> None:
    agent = "react_agent" if number % 2 else "evaluator"
    with feedback.action("guess", agent=agent) as act:
        time.sleep(0.02 if number == 7 else 0.0)
        if number % 4 == 1:
            act.fail("wrong guess")


def main() -> None:
    os.environ.setdefault("OTEL_TRACES_EXPORTER", "none")  # no collector is needed
    pipeline = feedback.configure(service_name="example-3", enable_outcome_logging=False)
    for number in range(20):
        work(number)

    for agent in ("react_agent", "evaluator"):
        recent = pipeline.get_recent_events(count=100, agent_name=agent)
        failed = pipeline.get_recent_events(count=100, agent_name=agent, status=OutcomeStatus.FAILURE)
        rate = len(failed) / max(1, len(recent))
        print(f"{agent}: {len(failed)} of {len(recent)} failed{', ALERT' if rate > ALERT_ABOVE else ''}")

    everything = pipeline.get_recent_events(count=1_000)
    for slowest in sorted(everything, key=lambda event: event.duration_ms or 0.0)[-1:]:
        print(f"slowest: {slowest.agent_name}, {slowest.duration_ms:.0f} ms")

    print("recorded:", pipeline.metrics()["recorded"])
    for name, account in pipeline.metrics()["exporters"].items():  # none in this example
        print(f"{name}: delivered {account['delivered']}, pending {account['pending']}, lost {account['lost']}")


if __name__ == "__main__":
    main()
