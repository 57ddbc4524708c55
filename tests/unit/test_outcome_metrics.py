"""Every recorded outcome as OpenTelemetry metrics: counted once, under bounded labels, and not where nobody wants them."""

from __future__ import annotations

import json
import os
import textwrap
from typing import Any

import pytest

from tests.support import run_python

OFF = {"OTEL_TRACES_EXPORTER": "none", "OTEL_FEEDBACK_LOG_FILE": os.devnull}

BEGIN = """
import json, os, sys, threading, time
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
import otel_feedback as feedback
from otel_feedback import OutcomeEvent, OutcomeStatus

reader = InMemoryMetricReader()

def read():
    found = {}
    if not hasattr(metrics.get_meter_provider(), "force_flush"):
        return found
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                found[metric.name] = [json.loads(point.to_json()) for point in metric.data.data_points]
    return found

def chat(agent, **attributes):
    return tracer.start_as_current_span(
        "chat", attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", **attributes}
    )
"""

SET = "metrics.set_meter_provider(MeterProvider([reader]))"
CONFIGURE = "pipeline = feedback.configure(service_name='bot'); tracer = trace.get_tracer('instrumentor')"

Found = dict[str, list[dict[str, Any]]]


def run(program: str, *, begin: str = f"{CONFIGURE}\n{SET}", variables: dict[str, str] | None = None) -> Found:
    """Run a program that prints what a reader has at its end."""
    whole = f"{BEGIN}\n{begin}\n{textwrap.dedent(program)}\nprint(json.dumps(read()))"
    done = run_python(whole, {**OFF, **(variables or {})})
    assert done.returncode == 0, done.stderr
    found: Found = json.loads(done.stdout.splitlines()[-1])
    return found


def values(found: Found, metric: str, *labels: str, of: str = "value") -> dict[Any, Any]:
    """Return the values of a metric by these labels, or by the one."""
    told = {}
    for point in found.get(metric, ()):
        key = tuple(point["attributes"].get(label) for label in labels)
        told[key if len(labels) > 1 else key[0]] = point[of]
    return told


@pytest.fixture(scope="module")
def found() -> Found:
    return run(
        """
        with feedback.action("answer", agent="writer", tenant_id="acme") as act:
            act.add_usage(model="gpt-4o", provider="openai", input_tokens=1000, output_tokens=200)
            act.score(quality=0.75)
            with feedback.action("search", agent="writer", tool_name="web"):
                pass
            with chat("writer", **{"gen_ai.usage.input_tokens": 70, "gen_ai.usage.output_tokens": 7}):
                pass
        with feedback.action("call") as act:
            act.add_usage(model="gpt-4o", total_tokens=11, cost=0.5)
        with feedback.action("tidy"):
            pass
        try:
            with feedback.action("answer", agent="writer"):
                raise ValueError("no")
        except ValueError:
            pass
        pipeline.record_outcome(OutcomeEvent(
            action_type="imported", agent_name="old", status=OutcomeStatus.PARTIAL, own_cost=0.25, duration_ms=2500
        ))
        """
    )


def test_every_outcome_counts_whoever_made_it(found: Found) -> None:
    assert values(found, "agent.outcomes", "agent", "action", "status", "tenant", "model") == {
        ("writer", "answer", "success", "acme", "gpt-4o"): 1,
        ("writer", "search", "success", "acme", None): 1,
        ("writer", "llm", "success", "acme", "gpt-4o"): 1,
        ("", "call", "success", None, "gpt-4o"): 1,
        ("", "tidy", "success", None, None): 1,
        ("writer", "answer", "failure", None, None): 1,
        ("old", "imported", "partial", None, None): 1,
    }


def test_cost_and_tokens_are_each_actions_own_so_that_a_sum_counts_nothing_twice(found: Found) -> None:
    cost = values(found, "agent.outcome.cost", "agent", "action")
    assert cost == {
        ("writer", "answer"): pytest.approx(0.0045 - 0.000245),
        ("writer", "llm"): pytest.approx(0.000245),
        ("", "call"): 0.5,
        ("old", "imported"): 0.25,
    }
    assert values(found, "agent.outcome.tokens", "action", "type") == {
        ("answer", "input"): 1000, ("answer", "output"): 200 - 77, ("llm", "input"): 70, ("llm", "output"): 7,
        ("call", "unknown"): 11,
    }  # fmt: skip


def test_duration_and_quality_are_histograms(found: Found) -> None:
    assert sum(values(found, "agent.outcome.duration", "agent", "action", "status", of="count").values()) == 7
    assert values(found, "agent.outcome.duration", "agent", of="sum")["old"] == 2.5
    assert values(found, "agent.outcome.quality", "agent", of="sum") == {"writer": 0.75}


def test_metrics_of_the_conventions_are_of_what_was_told_and_not_of_what_an_instrumentor_saw(found: Found) -> None:
    operations = values(
        found,
        "gen_ai.client.operation.duration",
        "gen_ai.operation.name",
        "gen_ai.agent.name",
        "error.type",
        of="count",
    )
    assert operations == {
        ("invoke_agent", "writer", None): 1, ("invoke_agent", "writer", "ValueError"): 1, ("chat", None, None): 1,
    }  # fmt: skip
    assert values(found, "gen_ai.client.token.usage", "gen_ai.operation.name", "gen_ai.token.type", of="sum") == {
        ("invoke_agent", "input"): 1000, ("invoke_agent", "output"): 200,
    }  # fmt: skip
    [tool] = found["gen_ai.execute_tool.duration"]
    assert tool["attributes"] == {"gen_ai.tool.name": "web", "gen_ai.agent.name": "writer"}
    assert values(found, "gen_ai.invoke_agent.duration", "gen_ai.agent.name", "error.type", of="count") == {
        ("writer", None): 1, ("writer", "ValueError"): 1,
    }  # fmt: skip


BUCKETS = {
    "gen_ai.client.operation.duration": [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92],
    "gen_ai.client.token.usage": [4**power for power in range(14)],
    "gen_ai.execute_tool.duration": [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92],
    "gen_ai.invoke_agent.duration": [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6],
}  # fmt: skip


@pytest.mark.parametrize("metric", BUCKETS)
def test_buckets_are_those_of_the_conventions(metric: str, found: Found) -> None:
    assert found[metric][0]["explicit_bounds"] == BUCKETS[metric]


def test_a_workflow_has_a_duration_of_its_own() -> None:
    found = run(
        """
        import asyncio
        async def agent(task): return task
        asyncio.run(feedback.OrchestrationDispatcher().execute_workflow([agent, agent], "go", name="triage"))
        """
    )
    [workflow] = found["gen_ai.workflow.duration"]
    assert (workflow["count"], workflow["attributes"]) == (1, {"gen_ai.workflow.name": "triage"})
    assert workflow["explicit_bounds"] == [1, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200]
    assert sum(values(found, "gen_ai.invoke_agent.duration", "gen_ai.agent.name", of="count").values()) == 2


# -- counted once ------------------------------------------------------------------------------------------


def test_a_start_and_what_is_under_way_count_for_nothing() -> None:
    found = run(
        """
        with feedback.action("step", emit_pending=True):
            assert "agent.outcomes" not in read()
        """
    )
    assert values(found, "agent.outcomes", "status") == {"success": 1}


def test_a_call_that_two_instrumentors_recorded_costs_once() -> None:
    found = run(
        """
        usage = {"gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100}
        other = trace.get_tracer("openinference.instrumentation.openai")
        with chat("", **usage):
            with other.start_as_current_span("ChatCompletion", attributes={
                "openinference.span.kind": "LLM", "llm.model_name": "gpt-4o", "llm.token_count.prompt": 1000,
                "llm.token_count.completion": 100, "llm.token_count.total": 1100,
            }):
                pass
        """
    )
    assert sum(values(found, "agent.outcome.tokens", "action", "type", "model").values()) == 1_100


def test_a_revision_that_comes_after_the_collection_changes_nothing() -> None:
    found = run(
        """
        first = OutcomeEvent(action_type="step", status=OutcomeStatus.SUCCESS, own_cost=1.0)
        corrected = OutcomeEvent(
            action_type="step", status=OutcomeStatus.FAILURE, own_cost=2.0, event_id=first.event_id, revision=2
        )
        pipeline.record_outcome(first)
        read()
        pipeline.record_outcome(corrected)
        """
    )
    assert values(found, "agent.outcomes", "status") == {"success": 1}
    assert values(found, "agent.outcome.cost", "status") == {"success": 1.0}


def test_a_dispatched_action_counts_once_and_not_at_all_where_its_dispatcher_says_so() -> None:
    found = run(
        """
        import asyncio
        class Agent:
            def __init__(self, name): self.name = name
            async def run(self, task):
                with feedback.action("inside", agent="inner"): pass
        asyncio.run(feedback.ActionDispatcher().dispatch(Agent("seen"), "run"))
        asyncio.run(feedback.ActionDispatcher(enable_metrics=False).dispatch(Agent("unseen"), "run"))
        """
    )
    assert values(found, "agent.outcomes", "agent", "action") == {("seen", "run"): 1, ("inner", "inside"): 2}
    assert values(found, "gen_ai.invoke_agent.duration", "gen_ai.agent.name", of="count") == {"seen": 1, "inner": 2}


def test_an_action_whose_process_died_counts_where_its_end_is_written() -> None:
    dies = f"{BEGIN}\n{CONFIGURE}\nwith feedback.action('step', agent='gone'):\n    time.sleep(0.3); os._exit(1)"
    assert run_python(dies, OFF).returncode == 1
    found = run(
        """
        until = time.monotonic() + 30
        while "agent.outcomes" not in read() and time.monotonic() < until:
            time.sleep(0.05)
        """,
        begin=f"{SET}\n{CONFIGURE}",
    )
    assert values(found, "agent.outcomes", "agent", "status") == {("gone", "failure"): 1}


# -- labels ------------------------------------------------------------------------------------------------


def test_beyond_the_cap_tenant_and_model_are_other_and_then_agent_and_action_too() -> None:
    found = run(
        """
        for tenant in range(10):
            for agent in range(10):
                with feedback.action("step", agent=f"agent-{agent}", tenant_id=f"tenant-{tenant}") as act:
                    act.add_usage(model="gpt-4o", provider=f"provider-{tenant}", input_tokens=1)
        """,
        variables={"OTEL_FEEDBACK_METRIC_LABEL_SETS": "5"},
    )
    counted = values(found, "agent.outcomes", "agent", "action", "tenant", "model")
    assert len(counted) == 11
    assert sum(counted.values()) == 100
    assert counted["agent-0", "step", "tenant-0", "gpt-4o"] == 1
    assert counted["agent-5", "step", "other", "other"] == 10
    assert counted["other", "other", "other", "other"] == 100 - 5 - 5 * 10
    for name, points in found.items():
        assert len(points) <= 11, name


def test_labels_are_of_the_event_as_it_is_recorded() -> None:
    found = run(
        """
        with feedback.action("step", agent="bot", tenant_id="acme"): pass
        with feedback.action("other", agent="bot", tenant_id="acme"): pass
        """,
        begin=f"""
import msgspec
pipeline = feedback.configure(
    redact=lambda event: msgspec.structs.replace(event, tenant_id=None), filter=lambda event: event.action_type == "step"
)
{SET}""",
    )
    assert values(found, "agent.outcomes", "agent", "action", "tenant") == {("bot", "step", None): 1}


def test_exemplars_lead_to_the_trace_of_the_action() -> None:
    done = run_python(
        f"{BEGIN}\n{CONFIGURE}\n{SET}\n"
        "with tracer.start_as_current_span('around'):\n"
        "    with feedback.action('step') as act: pass\n"
        "    found = [p for s in reader.get_metrics_data().resource_metrics[0].scope_metrics for m in s.metrics\n"
        "             if m.name == 'agent.outcome.duration' for p in m.data.data_points]\n"
        "[exemplar] = found[0].exemplars\n"
        "print((exemplar.trace_id, exemplar.span_id) == (int(act.event.trace_id, 16), int(act.event.span_id, 16)))",
        OFF,
    )
    assert done.stdout == "True\n", done.stderr


# -- whose, and when ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin", [f"{SET}\n{CONFIGURE}", f"{CONFIGURE}\n{SET}"], ids=["before", "after"])
def test_a_provider_may_be_set_before_or_after(begin: str) -> None:
    found = run("with feedback.action('step'): pass", begin=begin)
    assert values(found, "agent.outcomes", "action") == {"step": 1}


@pytest.mark.parametrize(
    ("provider", "variables"),
    [("", {}), ("metrics.set_meter_provider(metrics.NoOpMeterProvider())", {}), (SET, {"OTEL_FEEDBACK_METRIC_LABEL_SETS": "0"})],
    ids=["none", "no-op", "switched-off"],
)  # fmt: skip
def test_where_nobody_wants_them_nothing_is_even_kept(provider: str, variables: dict[str, str]) -> None:
    found = run(
        """
        with feedback.action("step"): pass
        assert not pipeline.measuring.is_on
        """,
        begin=f"{CONFIGURE}\n{provider}",
        variables=variables,
    )
    assert not [name for name in found if name.startswith(("agent.", "gen_ai.", "otel_feedback.outcomes."))]


PERIODIC = """
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(ConsoleMetricExporter())]))
"""


def last_collected(program: str) -> set[tuple[str, str]]:
    """Run a program; return actions and statuses of its last collection, which is its only one."""
    done = run_python(f"{BEGIN}\n{program}", OFF)
    assert (done.returncode, done.stderr) == (0, "")
    [resource] = json.loads(done.stdout)["resource_metrics"]
    all_metrics = [metric for scope in resource["scope_metrics"] for metric in scope["metrics"]]
    [outcomes] = [metric for metric in all_metrics if metric["name"] == "agent.outcomes"]
    return {(point["attributes"]["action"], point["attributes"]["status"]) for point in outcomes["data"]["data_points"]}


@pytest.mark.parametrize("parts", [(PERIODIC, CONFIGURE), (CONFIGURE, PERIODIC)], ids=["before", "after"])
def test_what_the_end_of_the_program_gives_up_is_in_the_last_collection(parts: tuple[str, str]) -> None:
    leaves = "left = tracer.start_span('chat', attributes={'gen_ai.operation.name': 'chat'})"
    assert last_collected("\n".join([*parts, leaves])) == {("llm", "cancelled")}


def test_an_outcome_that_comes_while_a_provider_shuts_down_is_in_the_last_collection() -> None:
    program = """
def gauge(_options):
    with feedback.action("late"): pass
    return []

metrics.get_meter("program").create_observable_gauge("program", [gauge])
feedback.configure()
metrics.get_meter_provider().shutdown()
"""
    assert last_collected(PERIODIC + program) == {("late", "success")}


def test_what_another_thread_is_measuring_is_in_what_is_collected_meanwhile() -> None:
    """The journal's thread stands still between taking an outcome and counting it: whoever collects waits for it."""
    found = run(
        """
        with feedback.action("answer"):
            pass
        assert measuring.wait(30)
        """,
        begin=f"""
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter

measuring = threading.Event()

class Slow(AlwaysOffExemplarFilter):
    def should_sample(self, *args):
        if threading.current_thread().name == "otel-feedback-journal":
            measuring.set()
            time.sleep(0.2)
        return super().should_sample(*args)

{CONFIGURE}
metrics.set_meter_provider(MeterProvider([reader], exemplar_filter=Slow()))
""",
    )
    assert values(found, "agent.outcomes", "action") == {"answer": 1}


def test_a_second_pipeline_of_a_process_goes_on_where_the_first_ended() -> None:
    found = run(
        """
        with feedback.action("step"): pass
        pipeline.shutdown()
        pipeline = feedback.configure(service_name="bot")
        with feedback.action("step"): pass
        pipeline.force_flush()
        """
    )
    assert values(found, "agent.outcomes", "action") == {"step": 2}
    assert values(found, "otel_feedback.events.delivered", "exporter") == {"log": 2}


BLOCKING = """
class Counting:
    def __init__(self): self.free, self.counted = threading.Event(), []
    def add(self, amount, attributes=None, context=None):
        entered.set()
        self.free.wait()
        self.counted += [attributes["action"]] * amount

class Meter(metrics.NoOpMeter):
    def create_counter(self, name, *args, **kwargs):
        return counting if name == "agent.outcomes" else super().create_counter(name)
    def create_observable_counter(self, name, callbacks=None, *args, **kwargs):
        collect[name] = list(callbacks)[0]

class Provider(metrics.NoOpMeterProvider):
    def get_meter(self, name, *args, **kwargs): return Meter(name)

collect, counting, entered = {}, Counting(), threading.Event()
pipeline = feedback.configure()
metrics.set_meter_provider(Provider())

def collected():
    return {one.attributes["reason"]: one.value for one in collect["otel_feedback.outcomes.unmeasured"](None)}

def record(count):
    for _ in range(count):
        with feedback.action("parent"): pass
"""


def test_what_comes_faster_than_it_can_be_measured_is_counted() -> None:
    done = run_python(
        f"""{BEGIN}\n{BLOCKING}
record(1)
entered.wait()  # the journal's thread hangs in the meter
record(5000)
counting.free.set()
unmeasured = collected()
print(len(counting.counted), unmeasured, pipeline.metrics()["recorded"])
""",
        OFF,
    )
    assert done.stdout == f"{4_096 + 1} {{'overflow': {5_000 - 4_096}}} 5001\n", done.stderr


def test_a_child_counts_its_own_and_not_what_waits_in_its_parent() -> None:
    done = run_python(
        f"""{BEGIN}\n{BLOCKING}
record(1)
entered.wait()  # the journal's thread is in the middle of it, holds the lock, and is not there in the child
record(3)
child = os.fork()
if child == 0:
    counting.free = threading.Event(); counting.free.set()
    with feedback.action("child"): pass
    collected()
    print(counting.counted, flush=True)
    os._exit(0)
os.waitpid(child, 0)
counting.free.set()
collected()
print(counting.counted)
""",
        OFF,
    )
    assert done.stdout.splitlines() == ["['child']", "['parent', 'parent', 'parent', 'parent']"], done.stderr
