"""The ring and what it answers; forks; the end of the interpreter."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

import otel_feedback as feedback
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.logs import lines_in
from tests.support import run_python

S = feedback.OutcomeStatus


def event(**fields: object) -> feedback.OutcomeEvent:
    return feedback.OutcomeEvent(**({"action_type": "a", "status": S.SUCCESS} | fields))  # type: ignore[arg-type]


def test_filters_come_before_the_count_and_the_newest_is_last(pipeline: FeedbackPipeline) -> None:
    for i in range(30):
        status = S.FAILURE if i % 3 == 0 else S.SUCCESS
        pipeline.record_outcome(event(action_type=str(i), agent_name=f"agent{i % 2}", status=status, workflow_id="w"))
    assert [e.action_type for e in pipeline.get_recent_events()] == [str(i) for i in range(20, 30)]
    failures = pipeline.get_recent_events(count=3, status=S.FAILURE)
    assert [e.action_type for e in failures] == ["21", "24", "27"]
    assert [e.action_type for e in pipeline.get_recent_events(3, "failure", "agent1")] == ["15", "21", "27"]
    assert len(pipeline.get_recent_events(100, workflow_id="w")) == 30
    assert pipeline.get_recent_events(100, action_type="7")[0].agent_name == "agent1"
    assert pipeline.get_recent_events(0) == []
    assert pipeline.get_recent_events(-1) == []


def test_of_each_event_only_the_highest_revision_is_seen(pipeline: FeedbackPipeline) -> None:
    for revision, status in ((0, S.PENDING), (2, S.FAILURE), (1, S.SUCCESS)):
        pipeline.record_outcome(event(event_id="e", revision=revision, status=status))
    pipeline.record_outcome(event(event_id="f"))
    assert [(e.event_id, e.revision) for e in pipeline.get_recent_events()] == [("e", 2), ("f", 1)]
    assert pipeline.get_recent_events(status=S.SUCCESS)[0].event_id == "f"
    assert pipeline.get_recent_events(status=S.PENDING) == []


def test_the_ring_keeps_the_newest_thousand(pipeline: FeedbackPipeline) -> None:
    for i in range(1_100):
        pipeline.record_outcome(event(action_type=str(i)))
    kept = pipeline.get_recent_events(5_000)
    assert [kept[0].action_type, kept[-1].action_type, len(kept)] == ["100", "1099", 1000]


def test_an_action_that_returned_is_in_the_ring_whatever_else_happens(pipeline: FeedbackPipeline) -> None:
    errors: list[str] = []

    def work(name: str) -> None:
        for i in range(100):
            with feedback.action(f"{name}-{i}") as act:
                pass
            if act.event is None or act.event not in pipeline.get_recent_events(1_000):
                errors.append(f"{name}-{i}")

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_the_log_tier_has_every_event_as_one_line(pipeline: FeedbackPipeline) -> None:
    for i in range(20):
        with feedback.action("line", metadata={"text": f"a\nb{i}"}):
            pass
    assert pipeline.force_flush(10) is True
    log = Path(os.environ["OTEL_FEEDBACK_LOG_FILE"])
    assert [event["metadata"]["text"] for event in lines_in(log)] == [f"a\nb{i}" for i in range(20)]
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_short_script_leaves_its_events_in_the_log_tier() -> None:
    done = run_python(
        """
        import otel_feedback as feedback
        feedback.configure(service_name="short")
        with feedback.action("only"): pass
        """,
        {"OTEL_TRACES_EXPORTER": "none"},
    )
    assert done.returncode == 0
    assert json.loads(done.stderr)["action_type"] == "only"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_parent_and_forked_child_own_what_they_recorded(tmp_path: Path) -> None:
    done = run_python(
        f"""
        import os
        import otel_feedback as feedback
        pipeline = feedback.configure(log_file={str(tmp_path / "log")!r})
        with feedback.action("parent before"): pass
        pipeline.force_flush(5)
        before = pipeline.producer_id
        child = os.fork()
        name = "parent after" if child else "child"
        for _ in range(10):
            with feedback.action(name): pass
        assert (pipeline.producer_id == before) == bool(child)
        assert pipeline.force_flush(5)
        assert pipeline.metrics()["exporters"]["log"]["delivered"] == (11 if child else 10)
        if child:
            assert os.waitpid(child, 0)[1] == 0
        """,
        {"OTEL_TRACES_EXPORTER": "none"},
    )
    assert done.returncode == 0, done.stderr
    names = [event["action_type"] for event in lines_in(tmp_path / "log")]
    assert sorted(names) == ["child"] * 10 + ["parent after"] * 10 + ["parent before"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_children_forked_under_load_do_not_hang(tmp_path: Path) -> None:
    """A fork may come while other threads hold any of our locks."""
    done = run_python(
        f"""
        import os, threading, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what this is about
        import otel_feedback as feedback
        pipeline = feedback.configure(log_file={str(tmp_path / "log")!r})
        stop = threading.Event()
        def busy():
            while not stop.is_set():
                with feedback.action("busy") as act:
                    for _ in range(20): act.add_usage(input_tokens=1)
        threads = [threading.Thread(target=busy) for _ in range(3)]
        for thread in threads: thread.start()
        for n in range(40):
            child = os.fork()
            if not child:
                with feedback.action(f"child-{{n}}") as act: act.add_usage(input_tokens=1)
                ok = pipeline.shutdown(10) and act.event is not None
                os._exit(0 if ok else 1)
            assert os.waitpid(child, 0)[1] == 0, n
        stop.set()
        for thread in threads: thread.join()
        assert pipeline.shutdown(20)
        """,
        {"OTEL_TRACES_EXPORTER": "none"},
    )
    assert done.returncode == 0, done.stderr
    logs = tmp_path.glob("log*")  # a machine that is quick fills more than one
    names = [event["action_type"] for log in logs for event in lines_in(log)]
    assert sorted(name for name in names if name != "busy") == sorted(f"child-{n}" for n in range(40))
