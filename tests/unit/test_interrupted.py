"""Actions recorded by signal handlers and finalisers, in the middle of whatever the same thread was doing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.logs import lines_in, newest
from tests.support import run_python

SIGNALS = """
    import json, signal, time
    import otel_feedback as feedback
    pipeline = feedback.configure(durability={durability!r})
    inside = 0
    def handler(number, frame):
        global inside
        with feedback.action("interruption") as act: act.add_usage(input_tokens=1)
        pipeline.metrics()
        inside += 1
        arm()
    def arm():  # each handler for the next one: by the clock, they would pile up on a slow machine
        if time.monotonic() < until: signal.setitimer(signal.ITIMER_REAL, 0.0003)
    signal.signal(signal.SIGALRM, handler)
    until, outside = time.monotonic() + 3, 0
    arm()
    while time.monotonic() < until:
        with feedback.action("step") as act: act.add_usage(input_tokens=1)
        outside += 1
        if outside % 20 == 0: pipeline.metrics()
    while signal.getitimer(signal.ITIMER_REAL)[0]: time.sleep(0.001)
    done = pipeline.shutdown(30)
    print(json.dumps([done, inside, outside, pipeline.metrics()["exporters"]["log"]]))
"""

FINALISERS = """
    import gc, json, time
    import otel_feedback as feedback
    pipeline = feedback.configure()
    freed, is_collecting = 0, False
    def follow(phase, info):
        global is_collecting
        is_collecting = phase == "start"
    gc.callbacks.append(follow)
    @feedback.action("stream")
    def stream():
        feedback.current_action().add_usage(input_tokens=1)
        yield 1
        yield 2
    class Cycle:  # freed by the collector alone, at any allocation
        def __init__(self):
            self.me = self
            self.stream = stream()
            next(self.stream)
        def __del__(self):
            global freed
            with feedback.action("farewell"): freed += 1
    gc.set_threshold(2)
    for _ in range(1_000):
        with feedback.action("step"): Cycle()
    while freed < 1_000 or is_collecting:  # where another thread is at it, this one's call does nothing
        gc.collect()
        time.sleep(0.001)
    done = pipeline.shutdown(30)
    print(json.dumps([done, pipeline.metrics()["exporters"]["log"]]))
"""


@pytest.mark.parametrize("durability", ["interval", "memory", "fsync"])
def test_a_signal_handler_may_record_actions_at_any_moment(durability: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = run_python(
        SIGNALS.format(durability=durability),
        # a quick machine makes more in that time than one file takes
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_FEEDBACK_LOG_FILE": str(log), "OTEL_FEEDBACK_LOG_MAX_BYTES": str(2**30)},
    )
    assert done.returncode == 0, done.stderr
    is_complete, inside, outside, account = json.loads(done.stdout)
    assert is_complete, done.stderr
    assert inside > (10 if durability == "fsync" else 100)
    assert (account["delivered"], account["lost"]) == (inside + outside, {})
    ids = [event["event_id"] for event in lines_in(log)]
    assert len(ids) == len(set(ids)) == inside + outside


def test_what_the_garbage_collector_ends_or_starts_is_recorded_wherever_that_happens(tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = run_python(FINALISERS, {"OTEL_TRACES_EXPORTER": "none", "OTEL_FEEDBACK_LOG_FILE": str(log)})
    assert done.returncode == 0, done.stderr
    is_complete, account = json.loads(done.stdout)
    assert is_complete, done.stderr
    events = lines_in(log)
    assert account["delivered"] == len(events)
    assert all(event["usage_complete"] for event in newest(events))
    assert all(event.get("tokens_used") == 1 for event in newest(events) if event["action_type"] != "farewell")
    kinds = [event["status"] for event in newest(events)]
    assert {kind: kinds.count(kind) for kind in kinds} == {"success": 2_000, "partial": 1_000}


def test_a_signal_that_comes_while_the_garbage_collector_runs_is_not_lost() -> None:
    """Where it is over, a callback in Python would be the first to see the signal, and what is raised in one is dropped."""
    done = run_python("""
        import gc, signal
        import otel_feedback as feedback

        feedback.configure()
        with feedback.action("step"): pass

        def stop(*_):
            raise KeyboardInterrupt

        signal.signal(signal.SIGALRM, stop)
        gc.disable()
        kept = [[] for _ in range(2_000_000)]  # takes long to look through
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.005)
            gc.collect()
            [None for _ in range(1_000)]
        except KeyboardInterrupt:
            print("stopped")
        else:
            print("went on")
    """)
    assert done.stdout == "stopped\n", done.stderr


RAISED = """
    import json, random, signal, time
    from opentelemetry import trace
    from opentelemetry.context import Context
    import otel_feedback as feedback
    agent = {{"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}}
    call = {{
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini", "gen_ai.usage.input_tokens": 1,
        "gen_ai.response.finish_reasons": ["stop"],
    }}
    pipeline = feedback.configure(ring_size=1_000_000)
    tracer, ended, raised = trace.get_tracer("someone"), set(), 0
    def stop(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGALRM, stop)
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.003))
            while True:
                outer = tracer.start_span("agent", Context(), attributes=agent)
                inner = tracer.start_span("call", trace.set_span_in_context(outer, Context()), attributes=call)
                for span in (inner, outer):
                    span.end()
                    ended.add(f"{{span.get_span_context().span_id:016x}}")
                {then}
        except KeyboardInterrupt:
            raised += 1
    journal = pipeline.metrics()["journal"]
    events = {{event.span_id for event in pipeline.get_recent_events(1_000_000)}}
    for span in (tracer.start_span("call", Context(), attributes=call) for _ in range(3)):
        span.end()
    deadline = time.monotonic() + 20
    while pipeline.outcomes.is_behind and time.monotonic() < deadline:
        time.sleep(0.01)
    print(json.dumps([raised, len(ended), len(ended - events), journal["open_actions"], pipeline.outcomes.is_behind]))
"""


@pytest.mark.parametrize("then", ["pass", "pipeline.metrics()"], ids=["goes on", "reads"])
def test_what_a_handler_of_a_signal_raises_loses_no_span_that_has_ended(then: str, tmp_path: Path) -> None:
    """Wherever it interrupts, as Ctrl-C in a notebook does: noting, converting, emitting; and all goes on afterwards."""
    variables = {"OTEL_TRACES_EXPORTER": "none", "OTEL_FEEDBACK_LOG_FILE": str(tmp_path / "log")}
    done = run_python(RAISED.format(then=then), variables)
    assert done.returncode == 0, done.stderr
    raised, ended, lost, notes, is_behind = json.loads(done.stdout)
    assert raised > 50
    assert ended > 50
    assert (lost, notes, is_behind) == (0, 0, False), done.stdout
