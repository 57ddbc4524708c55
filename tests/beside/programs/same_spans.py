# pyright: basic, reportMissingImports=false
"""`same_spans.py VENDOR WAY`: actions among a vendor's own spans; WAY is `sdk`, or `patched` for a `start_span` that somebody replaced."""

import functools
import os
import sys

from opentelemetry import trace
from opentelemetry.sdk.trace import Tracer

import otel_feedback as feedback

vendor, way = sys.argv[1:]
server = os.environ["MODEL_SERVER"]

if way == "patched":
    original = Tracer.start_span

    @functools.wraps(original)
    def start_span(*args, **kwargs):
        return original(*args, **kwargs)

    setattr(Tracer, "start_span", start_span)  # noqa: B010 - so the type checker lets it


def search(page):
    raise ValueError(f"no such page: {page}")


def act(around, below):
    """Run actions inside `around`, with `below` in the innermost."""
    with (
        around,
        feedback.action("plan", agent="planner", tags=["a"], metadata={"client": "acme", "deep": {"n": 1}}) as plan,
    ):
        span = trace.get_current_span()
        span.set_attribute("theirs", [1, 2])
        span.add_event("noted", {"n": 1})
        span.add_link(trace.SpanContext(0x21, 0x22, is_remote=True))
        try:
            with feedback.action("tool", agent="searcher") as tool:
                tool.add_usage(model="gpt-4o", provider="openai", input_tokens=9, output_tokens=2)
                with below:
                    trace.get_current_span().set_attribute("below", True)
                search("one")
        except ValueError:
            plan.partial("half of it")
    with feedback.action("llm", agent="writer", metadata={"password": "hunter2"}) as llm:
        llm.score(quality=0.5)
        trace.get_current_span().update_name("renamed")
        llm.fail("it says no")


def logfire():
    import logfire

    logfire.configure(
        send_to_logfire=True, token="none", console=False, advanced=logfire.AdvancedOptions(base_url=server)
    )
    feedback.configure()
    act(logfire.span("around {n}", n=1), logfire.span("below"))
    logfire.force_flush()


def langfuse():
    import contextlib

    import langfuse

    client = langfuse.Langfuse(public_key="a", secret_key="b", base_url=server, should_export_span=lambda span: True)
    feedback.configure()
    around = contextlib.ExitStack()
    around.enter_context(client.start_as_current_observation(name="around"))
    around.enter_context(langfuse.propagate_attributes(user_id="u", session_id="s", metadata={"k": "v"}, tags=["t"]))
    act(around, client.start_as_current_observation(name="below", as_type="generation"))
    client.flush()


def phoenix():
    from openinference.instrumentation import using_attributes
    from phoenix.otel import register

    provider = register(endpoint=f"{server}/v1/traces", verbose=False, batch=True)
    feedback.configure()
    tracer = provider.get_tracer("theirs")
    act(
        using_attributes(session_id="s", user_id="u", metadata={"k": "v"}, tags=["t"]),
        tracer.start_as_current_span("below", openinference_span_kind="tool"),
    )
    provider.force_flush()


def openinference():
    """Its processors on the SDK's own provider, which Phoenix replaces."""
    from openinference.instrumentation import using_attributes
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from phoenix.otel import BatchSpanProcessor

    provider = TracerProvider(resource=Resource({"openinference.project.name": "agents"}))
    provider.add_span_processor(BatchSpanProcessor(endpoint=f"{server}/v1/traces"))
    feedback.configure(tracer_provider=provider)
    act(using_attributes(session_id="s", user_id="u"), provider.get_tracer("theirs").start_as_current_span("below"))
    provider.force_flush()


def traceloop():
    from traceloop.sdk import Traceloop
    from traceloop.sdk.decorators import task, workflow

    def hide(span):
        # the only way that a callback has, and the one that its documentation shows
        for key in ("outcome.metadata.client", "exception.message"):
            if key in span._attributes:
                span._attributes[key] = "***"
        span._attributes["seen"] = span.name

    Traceloop.init(
        app_name="agents", api_endpoint=server, api_key="none", disable_batch=True, span_postprocess_callback=hide
    )
    feedback.configure()
    Traceloop.set_association_properties({"chat_id": "c", "user": "u"})

    class Called:
        """A decorated function as a block."""

        def __init__(self, decorate):
            self._decorate = decorate

        def __enter__(self):
            @self._decorate
            def inner():
                return "done"

            inner()

        def __exit__(self, *exc_info):
            pass

    @workflow(name="around")
    def whole():
        act(Called(task(name="first")), Called(task(name="below")))

    whole()


{"logfire": logfire, "langfuse": langfuse, "phoenix": phoenix, "openinference": openinference, "traceloop": traceloop}[
    vendor
]()
feedback.get_feedback_pipeline().force_flush(10)
