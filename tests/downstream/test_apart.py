"""A program with agents loads nothing of what reads."""

from __future__ import annotations

from tests.support import run_python

PROGRAM = """
    import sys
    import otel_feedback as feedback
    pipeline = feedback.configure(kafka_bootstrap_servers="127.0.0.1:1", enable_outcome_logging=False, durability="memory")
    with feedback.action("step"):
        pass
    pipeline.shutdown(0)
    print([name for name in sys.modules if name.startswith("otel_feedback.downstream")])
"""


def test_recording_imports_nothing_of_it() -> None:
    done = run_python(PROGRAM, {"OTEL_TRACES_EXPORTER": "none"})
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_importing_it_imports_kafka_only_when_it_reads() -> None:
    done = run_python("import sys, otel_feedback.downstream; print('kafka' in sys.modules, 'rich' in sys.modules)")
    assert (done.returncode, done.stdout.strip()) == (0, "False False"), done.stderr
