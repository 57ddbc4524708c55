"""What a process leaves behind, and what the next one makes of it. The destination is a file, so no service is needed.

A destination that is away is a folder where the file should be.
"""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from otel_feedback.journal.folder import folders
from tests.logs import lines_in
from tests.support import ROOT, run_python

NEXT = """
    import time
    from pathlib import Path
    import otel_feedback as feedback
    from otel_feedback.journal.folder import folders
    pipeline = feedback.configure(service_name="agents", journal_rescan_s=0.1)
    until = time.monotonic() + 20
    while folders(pipeline_dir := Path(feedback.get_settings(service_name="agents").journal_dir)) and time.monotonic() < until:
        time.sleep(0.02)
    print(pipeline.metrics()["adopted"])
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where events go: a folder, so that they do not get there yet."""
    path = tmp_path / "outcomes.jsonl"
    path.mkdir()
    return path


def journals(tmp_path: Path) -> list[Path]:
    return folders(tmp_path / "state" / "otel-feedback" / "agents")


def run(program: str, log: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return run_python(program, {"OTEL_TRACES_EXPORTER": "none", "OTEL_FEEDBACK_LOG_FILE": str(log), **more})


KILLED = """
    import os, signal
    import otel_feedback as feedback
    feedback.configure(service_name="agents")
    for step in range(5):
        with feedback.action("step", run_id="run-1", metadata={"step": step}): pass
    with feedback.action("plan", agent="planner", run_id="run-1", workflow_id="wf", tags=["beta"]) as act:
        with feedback.action("tool", agent="searcher"):
            print(act.event_id, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_end_right_after_a_journal_was_taken_delivers_it(log: Path) -> None:
    """It has been claimed by then, and nobody has been told of it yet."""
    assert run(KILLED, log).returncode == -signal.SIGKILL
    log.rmdir()
    ended = run(
        """
        import threading, time
        import otel_feedback as feedback
        from otel_feedback.journal.disk import DiskJournal
        adopt, taken = DiskJournal.adopt, threading.Event()

        def slow(self, *given):
            adopted = adopt(self, *given)
            taken.set()
            time.sleep(0.3)
            return adopted

        DiskJournal.adopt = slow
        pipeline = feedback.configure(service_name="agents")
        taken.wait()
        pipeline.shutdown(20)
        """,
        log,
    )
    assert ended.returncode == 0, ended.stderr
    assert len(lines_in(log)) == 7


def test_a_killed_process_leaves_everything_to_the_next(log: Path, tmp_path: Path) -> None:
    killed = run(KILLED, log)
    assert killed.returncode == -signal.SIGKILL
    (folder,) = journals(tmp_path)
    log.rmdir()
    following = run(NEXT, log)
    assert (following.returncode, journals(tmp_path)) == (0, []), following.stderr
    assert folder.name in following.stdout

    *steps, plan, tool = lines_in(log)
    assert [event["metadata"]["step"] for event in steps] == list(range(5))
    assert {event["status"] for event in steps} == {"success"}
    assert plan["event_id"] == killed.stdout.strip()
    expected = {
        "action_type": "plan", "agent_name": "planner", "run_id": "run-1", "workflow_id": "wf", "tags": ["beta"],
        "status": "failure", "severity": "critical", "error_type": "process_lost", "service_name": "agents",
        "revision": 1, "depth": 0,
    }  # fmt: skip
    assert {name: plan[name] for name in expected} == expected
    assert plan["start_time"] <= plan["timestamp"]
    assert not {"end_time", "duration_ms", "latency_ms"} & plan.keys(), "nobody knows them"
    assert (tool["error_type"], tool["parent_event_id"]) == ("process_lost", plan["event_id"])


def test_without_emit_start_only_what_ended_is_known(log: Path, tmp_path: Path) -> None:
    run(KILLED, log, OTEL_FEEDBACK_EMIT_START="false")
    log.rmdir()
    run(NEXT, log)
    assert [event["action_type"] for event in lines_in(log)] == ["step"] * 5


def test_an_end_in_time_leaves_nothing_and_says_nothing(log: Path, tmp_path: Path) -> None:
    log.rmdir()
    program = """
        import otel_feedback as feedback
        feedback.configure(service_name="agents")
        for _ in range(20):
            with feedback.action("step"): pass
    """
    done = run(program, log)
    assert (done.returncode, done.stderr, journals(tmp_path)) == (0, "", [])
    assert len(lines_in(log)) == 20
    run(NEXT, log)
    assert len(lines_in(log)) == 20, "what was acknowledged is not sent again after a clean stop"


def test_an_end_that_cannot_deliver_says_what_it_leaves_and_where(log: Path, tmp_path: Path) -> None:
    program = """
        import otel_feedback as feedback
        pipeline = feedback.configure(service_name="agents")
        for _ in range(20):
            with feedback.action("step"): pass
        assert pipeline.shutdown(0.5) is False
        log = pipeline.metrics()["exporters"]["log"]
        assert (log["pending"], log["lost"]) == (20, {}), log
    """
    done = run(program, log)
    assert done.returncode == 0, done.stderr
    (folder,) = journals(tmp_path)
    said = [line for line in done.stderr.splitlines() if "20 events not delivered to log" in line]
    assert len(said) == 1, done.stderr
    assert str(folder) in said[0]
    assert "next process" in said[0]
    log.rmdir()
    run(NEXT, log)
    assert (len(lines_in(log)), journals(tmp_path)) == (20, [])


def test_a_script_that_cannot_wait_leaves_its_journal(log: Path, tmp_path: Path) -> None:
    log.rmdir()
    program = """
        import os
        import otel_feedback as feedback
        feedback.configure(service_name="agents")
        with feedback.action("step"): pass
        os._exit(3)
    """
    assert run(program, log).returncode == 3
    run(NEXT, log)
    assert [event["action_type"] for event in lines_in(log)][:1] == ["step"]
    assert journals(tmp_path) == []


def test_an_action_that_outlives_shutdown_is_not_called_lost(log: Path, tmp_path: Path) -> None:
    log.rmdir()
    program = """
        import otel_feedback as feedback
        pipeline = feedback.configure(service_name="agents")
        with feedback.action("late"):
            pipeline.shutdown(5)
        assert pipeline.metrics()["not_recorded"] == {"after_shutdown": 1}
    """
    done = run(program, log)
    assert done.returncode == 0, done.stderr
    assert journals(tmp_path) == [], "it is let go when the last action has ended"
    open_at_the_end = """
        import otel_feedback as feedback
        pipeline = feedback.configure(service_name="agents")
        act = feedback.action("forgotten").__enter__()
        pipeline.shutdown(5)
    """
    run(open_at_the_end, log)
    assert len(journals(tmp_path)) == 1
    run(NEXT, log)
    assert [(event["action_type"], event["error_type"]) for event in lines_in(log)] == [("forgotten", "process_lost")]


def test_a_living_processs_journal_is_left_alone(log: Path, tmp_path: Path) -> None:
    program = f"""
        import subprocess, sys
        import otel_feedback as feedback
        pipeline = feedback.configure(service_name="agents")
        with feedback.action("mine"): pass
        other = subprocess.run([sys.executable, "-c", {OTHER!r}], capture_output=True, text=True)
        assert other.stdout == "{{}}\\n", other
    """
    done = run(program, log)
    assert done.returncode == 0, done.stderr
    assert len(journals(tmp_path)) == 1


OTHER = """
import time
import otel_feedback as feedback
pipeline = feedback.configure(service_name="agents", journal_rescan_s=0.1)
time.sleep(0.5)
print(pipeline.metrics()["adopted"])
"""


def test_memory_writes_nothing(log: Path, tmp_path: Path) -> None:
    program = """
        import otel_feedback as feedback
        pipeline = feedback.configure(service_name="agents", durability="memory")
        with feedback.action("step"): pass
        assert pipeline.metrics()["journal"]["kind"] == "memory"
        assert pipeline.shutdown(0.2) is False
        assert pipeline.metrics()["exporters"]["log"]["lost"] == {"shutdown": 1}
    """
    assert run(program, log).returncode == 0
    assert not (tmp_path / "state").exists()


ACKNOWLEDGED_LATE = """
    import os, signal, time
    from pathlib import Path
    import otel_feedback as feedback
    from otel_feedback.journal.state import load_state
    from tests.stack.waiting import wait_until
    pipeline = feedback.configure(service_name="agents", journal_rescan_s=3_600, audit_interval_s=3_600)
    with feedback.action("step"): pass
    folder = Path(pipeline.metrics()["journal"]["path"])
    log = Path(os.environ["OTEL_FEEDBACK_LOG_FILE"])

    def low():
        state = load_state(folder)
        return None if state is None else state.cursors[0].low

    pipeline.force_flush(2)  # by now all is on disk, and nothing moves
    log.rmdir()
    wait_until(lambda: low() == 1, timeout_s=40, what="the acknowledgement to be written down")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_acknowledged_is_written_down_though_nothing_follows(log: Path, tmp_path: Path) -> None:
    """The acknowledgement comes when the journal's thread has nothing to do any more."""
    killed = run(ACKNOWLEDGED_LATE, log, PYTHONPATH=str(ROOT))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert run(NEXT, log).returncode == 0
    assert (len(lines_in(log)), journals(tmp_path)) == (1, [])


def test_a_journal_is_announced_once_however_many_take_it_over_and_die(log: Path, tmp_path: Path) -> None:
    run(KILLED, log)
    adopt_and_die = """
        import logging, os, signal, time
        import otel_feedback as feedback
        from tests.stack.waiting import wait_until
        class Slow(logging.StreamHandler):
            def emit(self, record):
                time.sleep(0.3)
                super().emit(record)
        logging.getLogger("otel_feedback").addHandler(Slow())
        pipeline = feedback.configure(service_name="agents", journal_rescan_s=0.1)
        wait_until(lambda: pipeline.metrics()["adopted"], timeout_s=20, what="the journal to be adopted")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    said = [run(adopt_and_die, log, PYTHONPATH=str(ROOT)).stderr.count("undelivered; this process") for _ in range(3)]
    log.rmdir()
    said.append(run(NEXT, log).stderr.count("undelivered; this process"))
    assert said == [1, 0, 0, 0]
    assert len(lines_in(log)) == 7
