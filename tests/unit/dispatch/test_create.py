"""`create_dispatcher()`, and dispatchers where everything is switched off."""

from __future__ import annotations

import asyncio
import builtins
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from otel_feedback import ConfigError, FeedbackError
from otel_feedback.capture import runtime
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.agents import Doing, Flaky, run
from tests.support import run_python

any_create: Any = feedback.create_dispatcher  # for arguments that no type checker would let pass
OFF = {"OTEL_TRACES_EXPORTER": "none", "ENABLE_OUTCOME_LOGGING": "false"}


def test_it_configures_the_process_where_nobody_has() -> None:
    done = run_python(
        """
        import asyncio
        import otel_feedback as feedback
        dispatcher = feedback.create_dispatcher(kafka_servers="localhost:1", service_name="svc", shutdown_timeout_s=0)
        async def agent(task): return task
        print(asyncio.run(dispatcher.dispatch(agent, input_data=7))["output"])
        pipeline = feedback.get_feedback_pipeline()
        print(pipeline.service_name, list(pipeline.metrics()["exporters"]), pipeline.metrics()["recorded"])
        """,
        OFF,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["7", "svc ['kafka'] 1"]


@pytest.mark.parametrize("made", ["feedback.create_dispatcher()", "feedback.ActionDispatcher()"])
def test_without_arguments_it_reads_the_environment(made: str) -> None:
    done = run_python(
        f"""
        import asyncio
        import otel_feedback as feedback
        async def agent(task): return task
        result = asyncio.run({made}.dispatch(agent))
        again = asyncio.run({made}.dispatch(agent))
        pipeline = feedback.get_feedback_pipeline()
        print(pipeline.service_name, pipeline.metrics()["recorded"], result["trace_id"] is not None)
        """,
        {**OFF, "OTEL_SERVICE_NAME": "svc"},
    )
    assert (done.returncode, done.stderr, done.stdout.strip()) == (0, "", "svc 2 True")


def test_a_process_that_is_configured_stays_as_it_is(
    pipeline: FeedbackPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    run(lambda: feedback.create_dispatcher().dispatch(Flaky(0)))
    assert feedback.get_feedback_pipeline() is pipeline
    assert caplog.records == []
    feedback.create_dispatcher("localhost:1")
    assert feedback.get_feedback_pipeline() is pipeline
    assert "configure() was called again and changes nothing" in caplog.text


def test_after_a_shutdown_there_is_a_new_pipeline(pipeline: FeedbackPipeline, provider: TracerProvider) -> None:
    pipeline.shutdown()
    run(lambda: feedback.create_dispatcher(tracer_provider=provider).dispatch(Flaky(0)))
    assert feedback.get_feedback_pipeline() is not pipeline
    assert len(feedback.get_feedback_pipeline().get_recent_events()) == 1


def test_its_own_arguments_are_the_dispatchers(pipeline: FeedbackPipeline) -> None:
    def extract(answer: Any) -> dict[str, Any]:
        return {"tokens_used": 5}

    dispatcher = feedback.create_dispatcher(
        retries=1, backoff_s=0.001, max_concurrency=3, hook_timeout_s=1, extractor=extract, raise_on_error=True
    )
    assert run(lambda: dispatcher.dispatch(Flaky(1)))["attempts"] == 2
    assert pipeline.get_recent_events()[0].tokens_used == 5
    with pytest.raises(ValueError, match="not yet"):
        run(lambda: dispatcher.dispatch(Flaky(2)))


def test_arguments_that_cannot_be_used_are_refused(pipeline: FeedbackPipeline) -> None:
    pipeline.shutdown()
    with pytest.raises(ConfigError, match="a setting"):
        any_create(retry=1)
    with pytest.raises(ConfigError, match="kafka_batch_size"):
        feedback.create_dispatcher(kafka_batch_size=-1)
    with pytest.raises(FeedbackError, match="extractor is 5: expected a function"):
        any_create(extractor=5, enable_outcome_logging=False)
    feedback.get_feedback_pipeline().shutdown()
    with pytest.raises(FeedbackError, match="retries is -1"):
        feedback.create_dispatcher(retries=-1, enable_outcome_logging=False)


GROUPS = "builtins" if hasattr(builtins, "ExceptionGroup") else "exceptiongroup"


# -- nothing is recorded -----------------------------------------------------------------------------------


@pytest.mark.parametrize("switch", ["OTEL_FEEDBACK_DISABLED", "OTEL_SDK_DISABLED"])
def test_switched_off_everything_returns_results_all_the_same(switch: str) -> None:
    done = run_python(
        """
        import asyncio
        import otel_feedback as feedback

        seen = []
        async def note(agent, result, event): seen.append((event.status.value, event.duration_ms > 0, event.agent_name))
        for _ in range(2):
            dispatcher = feedback.create_dispatcher(retries=1, backoff_s=0.001, max_concurrency=2)
        dispatcher.add_post_hook(note)

        calls = []
        async def agent(task):
            calls.append(task)
            if len(calls) == 1:
                raise ValueError("not yet")
            return {"tokens_used": 5}
        def plain(task): return task
        async def fail(task): raise ValueError("no")
        async def sleep(task): await asyncio.sleep(30)

        async def main():
            for one in (agent, plain, fail):
                result = await dispatcher.dispatch(one, "x", 7, tags=["t"])
                print(*(result[key] for key in ("status", "output", "error", "error_type", "trace_id", "attempts")))
                assert result["latency_ms"] >= result["duration_ms"] > 0 and len(result["event_id"]) == 49
            result = await dispatcher.dispatch(sleep, timeout_s=0.01, retries=0)
            print(result["status"], result["error"])
            task = asyncio.ensure_future(dispatcher.dispatch(sleep))
            await asyncio.sleep(0.01)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                print("cancelled")
            workflow = feedback.OrchestrationDispatcher(dispatcher)
            for mode in ("sequential", "parallel"):
                result = await workflow.execute_workflow([plain, plain, fail], "t", mode=mode, timeout_s=30)
                print(result["status"], [one["status"] for one in result["outputs"]], len(result["run_id"]))
                assert result["duration_ms"] > 0
            with feedback.extract(feedback.inject()):
                print(feedback.inject_kafka())

        asyncio.run(main())
        from opentelemetry import metrics
        assert not hasattr(metrics.get_meter_provider(), "force_flush"), "nothing is made that exports metrics"
        print(seen)
        print(feedback.get_feedback_pipeline().get_recent_events())
        """,
        {switch: "true", "ENABLE_KAFKA": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:1"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    *lines, seen, events = done.stdout.splitlines()
    assert lines == [
        "success {'tokens_used': 5} None None None 2",
        "success 7 None None None 1",
        "failure None no ValueError None 2",
        "timeout took longer than timeout_s=0.01",
        "cancelled",
        "partial ['success', 'success', 'failure'] 32",
        "partial ['success', 'success', 'failure'] 32",
        "[]",
    ]
    assert eval(seen)[:5] == [
        ("success", True, "agent"),
        ("success", True, "plain"),
        ("failure", True, "fail"),
        ("timeout", True, "sleep"),
        ("cancelled", True, "sleep"),
    ]
    assert events == "[]"


def test_after_the_pipeline_is_shut_down_results_and_hooks_go_on(pipeline: FeedbackPipeline) -> None:
    seen: list[feedback.OutcomeEvent] = []

    async def note(agent: Any, result: dict[str, Any], event: feedback.OutcomeEvent) -> None:
        seen.append(event)

    dispatcher = feedback.create_dispatcher()
    pipeline.shutdown()

    def fail(_: Any) -> None:
        raise TimeoutError("late")

    result = run(lambda: dispatcher.dispatch(Doing("a", fail), "x", tags=["t"], agent_type="kind", post_hooks=[note]))
    assert (result["status"], result["error"], result["error_type"]) == ("timeout", "late", "TimeoutError")
    [event] = seen
    assert (event.status, event.agent_name, event.agent_type, event.action_type) == ("timeout", "a", "kind", "x")
    assert (event.tags, event.error_message, event.event_id) == (("t",), "late", result["event_id"])


@pytest.mark.parametrize("recording", ["shut down", "switched off"])
def test_the_status_of_a_result_is_right_where_nothing_is_recorded(recording: str) -> None:
    done = run_python(
        f"""
        import os, asyncio
        import otel_feedback as feedback
        from {GROUPS} import ExceptionGroup

        async def late(task): raise ExceptionGroup("group", [ValueError("no"), TimeoutError("late")][task:])
        async def half(task):
            feedback.current_action().partial("half")

        dispatcher = feedback.create_dispatcher()
        if "OTEL_FEEDBACK_DISABLED" not in os.environ:
            feedback.get_feedback_pipeline().shutdown(0)
        for agent, task in ((late, 0), (late, 1), (half, None)):
            result = dispatcher.dispatch_sync(agent, input_data=task)
            print(result["status"], result["error"], result["error_type"])
        workflow = feedback.OrchestrationDispatcher(dispatcher)
        print(asyncio.run(workflow.execute_workflow([late], 1))["status"])
        """,
        {"OTEL_FEEDBACK_DISABLED": "true"} if recording == "switched off" else {"ENABLE_OUTCOME_LOGGING": "false"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "failure no ValueError",
        "timeout late TimeoutError",
        "partial None None",
        "timeout",
    ]


def test_importing_the_package_for_action_alone_imports_no_asyncio() -> None:
    done = run_python(
        """
        import sys
        import otel_feedback as feedback
        before = "asyncio" in sys.modules
        feedback.action
        print(before, "otel_feedback.dispatch.create" in sys.modules)
        """
    )
    assert done.stdout.split() == ["False", "False"], done.stderr


def test_disabled_here_means_disabled_in_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    before = runtime.runtime()
    runtime.install(None, None, enabled=False)
    try:

        async def agent(task: Any) -> object:
            return feedback.current_action()

        act = asyncio.run(feedback.ActionDispatcher().dispatch(agent))["output"]
        assert isinstance(act, feedback.Action)
        assert act.event is None
    finally:
        runtime.install(None, before.recorder)
