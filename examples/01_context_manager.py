"""One action inside another: usage and scores, an exception, and what the events say of it."""

import os

import otel_feedback as feedback


class RateLimitError(Exception):
    """What a search engine's client raises."""


def search(query: str) -> str:
    with feedback.action("search", agent="researcher", agent_type="tool", metadata={"engine": "web"}) as act:
        act.set_metadata(query_length=len(query))
        raise RateLimitError("HTTP 429, retry after 30 s")


def answer(question: str) -> str:
    with feedback.action("answer", agent="coordinator", workflow_id="wf-1", tags=["customer"]) as act:
        act.add_usage(model="gpt-4o", input_tokens=900, output_tokens=120, cost=0.0034)
        try:
            facts = search(question)
        except RateLimitError:
            facts = "nothing new"
            act.partial("answered without a search")
        act.score(quality=0.6, confidence=0.5)
        return f"As far as I know: {facts}"


def main() -> None:
    os.environ.setdefault("OTEL_TRACES_EXPORTER", "none")  # no collector is needed
    pipeline = feedback.configure(service_name="example-1", enable_outcome_logging=False)

    print(answer("How many partitions do I need?"))
    print()
    for event in pipeline.get_recent_events():
        print(f"{event.agent_name} {event.action_type}: {event.status}, severity {event.severity}")
        print(f"  error     {event.error_type}: {event.error_message}")
        print(f"  tokens    {event.tokens_used}")
        print(f"  workflow  {event.workflow_id}, tags {list(event.tags)}, metadata {event.metadata}")
        print(f"  inside    {event.parent_event_id or 'nothing: it is the outermost'}")


if __name__ == "__main__":
    main()
