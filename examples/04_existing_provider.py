"""A TracerProvider of one's own, which stays as it is, and outcomes of spans that another library made."""

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_feedback as feedback


def main() -> None:
    # as the program has always done it; an exporter in memory stands for the real one
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "example-4"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    # the one new line
    pipeline = feedback.configure(tracer_provider=provider, enable_outcome_logging=False)

    with feedback.action("answer", agent="coordinator"):
        # a span of somebody else's is an action if it carries outcome.action_type
        tracer = provider.get_tracer("some.agent.library")
        with tracer.start_as_current_span("invoke tool") as span:
            span.set_attribute("outcome.action_type", "tool")
            span.set_attribute("gen_ai.agent.name", "researcher")
            span.set_attribute("gen_ai.usage.input_tokens", 250)
        # this one does not, so it is a span and no event
        with tracer.start_as_current_span("GET /prices"):
            pass

    print("spans: ", ", ".join(span.name for span in exporter.get_finished_spans()))
    for event in pipeline.get_recent_events():
        print(f"event:  {event.service_name}: {event.agent_name} {event.action_type}, {event.status}")


if __name__ == "__main__":
    main()
