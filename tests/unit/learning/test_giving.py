"""`give()`: what it is for, what is left out and said, what becomes of it; without services."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from otel_feedback.events.feedback import decode_feedback, feedback_id_of
from otel_feedback.learning.giving import problems_of
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.logs import lines_in
from tests.support import run_python

EVENT_ID = f"{'ab' * 16}-{'cd' * 8}"
SECRET = "sk-" + "A1b2C3d4" * 6


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "outcomes.log"


Configure = Callable[..., FeedbackPipeline]


@pytest.fixture
def configure(provider: TracerProvider) -> Configure:
    def configured(**settings: Any) -> FeedbackPipeline:
        return feedback.configure(tracer_provider=provider, service_name="web", **settings)

    return configured


def given_in(log: Path) -> list[dict[str, Any]]:
    return [line for line in lines_in(log) if "feedback_id" in line]


def test_a_program_that_records_nothing_else_gives(configure: Configure, log: Path) -> None:
    pipeline = configure()
    told = feedback.give(EVENT_ID, score=0.83, label="good", by="u-302")
    assert told is not None
    assert pipeline.force_flush(10)
    (line,) = lines_in(log)
    assert decode_feedback(json.dumps(line)) == told
    assert datetime.fromisoformat(line.pop("timestamp")).tzinfo is not None
    assert line == {
        "schema_version": "1.0", "feedback_id": feedback_id_of("event", EVENT_ID, "user_rating", "human", "u-302"),
        "target": "event", "event_id": EVENT_ID, "service_name": "web", "name": "user_rating", "source": "human",
        "by": "u-302", "score": 0.83, "label": "good",
    }  # fmt: skip
    account = pipeline.metrics()["feedback"]["exporters"]["log"]
    assert (account["appended"], account["delivered"], account["pending"], account["lost"]) == (1, 1, 0, {})
    assert pipeline.metrics()["recorded"] == 0


def test_what_is_given_has_no_part_in_the_numbers_of_events(configure: Configure) -> None:
    """Whoever reads the events' topic alone sees no gap."""
    pipeline = configure()
    for number in range(6):
        with feedback.action("step") as act:
            pass
        feedback.give(act, score=number / 10)
    told = pipeline.metrics()
    assert (told["recorded"], told["feedback"]["recorded"]) == (6, 6)
    assert told["producer_id"] != told["feedback"]["producer_id"]


def test_a_program_that_gives_none_pays_for_none(configure: Configure) -> None:
    pipeline = configure()
    with feedback.action("step"):
        pass
    assert pipeline.metrics()["feedback"] == {}
    assert pipeline.feedback.exporters == ()


@pytest.mark.parametrize("run_id", [None, "run-7"])
def test_an_event_a_handle_and_an_id_name_the_same(configure: Configure, run_id: str | None) -> None:
    configure()
    given: list[feedback.Feedback | None] = []
    with feedback.action("step", run_id=run_id, tenant_id="acme") as act:
        given.append(feedback.give(act, score=1))
    event = act.event
    assert event is not None
    given += [feedback.give(target, score=1) for target in (act, event, event.event_id)]
    assert {(one.feedback_id, one.event_id, one.run_id, one.tenant_id) for one in given if one} == {
        (feedback_id_of("event", event.event_id, "user_rating", "human", None), event.event_id, event.run_id, "acme")
    }
    assert {one.key for one in given if one} == {event.run_id}
    of_run = feedback.give(event.run_id or "", score=1)
    assert of_run is not None
    assert (of_run.target, of_run.event_id, of_run.run_id, of_run.tenant_id, of_run.key) == (
        "run", None, event.run_id, "acme", event.run_id
    )  # fmt: skip


def test_who_gives_again_changes_the_mind_and_another_one_adds(configure: Configure, log: Path) -> None:
    pipeline = configure()
    for score, by in ((0.1, "ann"), (0.9, "ann"), (0.4, "bob")):
        feedback.give("run-1", score=score, by=by)
    feedback.give("run-1", score=0.2, by="ann", name="tone")
    feedback.give("run-1", score=0.3, by="ann", source="judge")
    pipeline.force_flush(10)
    newest: dict[str, dict[str, Any]] = {}
    for line in sorted(given_in(log), key=lambda line: line["timestamp"]):
        newest[line["feedback_id"]] = line
    assert sorted(line["score"] for line in newest.values()) == [0.2, 0.3, 0.4, 0.9]


def test_a_key_stands_for_all_that_tells_feedback_apart(configure: Configure) -> None:
    configure()
    ids = {one.feedback_id for target in ("r-1", "r-2") for one in [feedback.give(target, score=1, key="k")] if one}
    assert ids == {feedback_id_of("k")}


def test_later_is_later_whatever_the_clock_says(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    from otel_feedback.pipeline import feedback_lane

    class Stuck(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime(2026, 1, 1, tzinfo=timezone.utc)

    configure()
    monkeypatch.setattr(feedback_lane, "datetime", Stuck)
    moments = [one.timestamp for _ in range(5) for one in [feedback.give("r", score=1)] if one]
    assert moments == sorted(set(moments))
    assert len(moments) == 5


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"score": 1.2}, "score=1.2: expected a number from 0 to 1"),
        ({"score": True}, "score=True: expected a number from 0 to 1"),
        ({"score": "0.5"}, "score='<str>': expected a number from 0 to 1"),
        ({"source": "cat"}, "source='<str>': expected one of human, judge, rule, program"),
        ({"name": ""}, "name='<str>': expected what was rated"),
        ({"comment": "so good"}, "comment='…': expected none"),
    ],
)
def test_what_cannot_be_used_is_said_and_all_else_recorded(
    wrong: dict[str, Any], said: str, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = configure()
    given: dict[str, Any] = {"label": "fine", **wrong}
    [problem] = problems_of("r", **given)
    assert str(problem).startswith(said)
    told = feedback.give("r", **given)
    assert told is not None
    assert (told.label, told.score, told.comment, told.name) == ("fine", None, None, "user_rating")
    assert told.source == ("program" if "source" in wrong else "human")
    assert said in caplog.text
    assert pipeline.metrics()["not_recorded"] == {}


@pytest.mark.parametrize(
    ("target", "more"),
    [
        ("r", {}),
        ("r", {"score": 7}),
        ("r", {"comment": "only this, which may not leave"}),
        ("", {"score": 1}),
        (None, {"score": 1}),
        (object(), {"score": 1}),
    ],
)
def test_where_nothing_is_left_nothing_is_recorded_and_counted(
    target: Any, more: dict[str, Any], configure: Configure
) -> None:
    pipeline = configure()
    assert feedback.give(target, **more) is None
    assert problems_of(target, **more)
    assert pipeline.metrics()["not_recorded"] == {"invalid": 1}
    assert pipeline.metrics()["feedback"] == {}


def test_hostile_values_raise_nothing(configure: Configure) -> None:
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError("no")

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no")

        __hash__ = None  # type: ignore[assignment]

    pipeline = configure()
    hostile: Any = Hostile()
    for field in ("score", "label", "comment", "name", "source", "by", "key", "tenant_id"):
        given: dict[str, Any] = {"score": 0.5, "label": "l", field: hostile}
        assert feedback.give("r", **given), field
    feedback.give(hostile, score=0.5)
    told = feedback.give("r\udc80", label="\ud800 half", by="x" * 900)
    assert told is not None
    assert len(told.by or "") == 256
    assert pipeline.force_flush(10)


def test_an_event_that_was_not_recorded_has_no_feedback(configure: Configure) -> None:
    pipeline = configure(filter=lambda event: event.action_type != "dull")
    with feedback.action("dull") as act:
        pass
    assert feedback.give(act, score=1) is None
    assert pipeline.metrics()["not_recorded"] == {"filtered": 1, "no_event": 1}


def test_feedback_on_anothers_event_is_refused(configure: Configure) -> None:
    pipeline = configure()
    with feedback.action("step", tenant_id="acme") as act:
        pass
    assert feedback.give(act.event_id, score=1, tenant_id="globex") is None
    assert pipeline.metrics()["not_recorded"] == {"invalid": 1}
    [problem] = problems_of(act.event_id, score=1, tenant_id="globex")
    assert problem.variable == "tenant_id"
    assert feedback.give("elsewhere", score=1, tenant_id="globex")


def test_comments_leave_where_that_is_allowed_and_secrets_never(configure: Configure, log: Path) -> None:
    pipeline = configure(capture_content="comment")
    feedback.give(f"run {SECRET}", label=f"l {SECRET}", comment=f"my key is {SECRET}", by=SECRET, name=f"n {SECRET}")
    assert pipeline.force_flush(10)
    text = log.read_text("utf-8")
    assert "my key is [REDACTED:" in text
    assert SECRET not in text
    journal = Path(pipeline.metrics()["feedback"]["journal"]["path"])
    assert not any(SECRET.encode() in path.read_bytes() for path in journal.iterdir() if path.name != "lock")


def test_a_users_redact_is_given_feedback_as_an_event(configure: Configure, log: Path) -> None:
    seen: list[str] = []

    def redact(event: feedback.OutcomeEvent) -> feedback.OutcomeEvent:
        seen.append(event.action_type)
        metadata = {key: "…" if key == "feedback.comment" else value for key, value in event.metadata.items()}
        return msgspec.structs.replace(event, user_id="somebody", run_id="other", tenant_id=None, metadata=metadata)

    pipeline = configure(redact=redact, capture_content="comment")
    told = feedback.give("r", score=0.5, label="l", comment="c", by="ann", tenant_id="acme")
    assert told is not None
    assert (told.by, told.run_id, told.tenant_id, told.label, told.comment) == ("somebody", "other", None, "l", "…")
    assert seen == ["feedback"]
    assert pipeline.force_flush(10)
    assert "ann" not in log.read_text("utf-8")


def test_where_a_users_redact_fails_texts_are_left_out(configure: Configure) -> None:
    def redact(event: feedback.OutcomeEvent) -> feedback.OutcomeEvent:
        raise RuntimeError("no")

    pipeline = configure(redact=redact, capture_content="comment")
    told = feedback.give(EVENT_ID, score=0.5, label="l", comment="c", by="ann", tenant_id="acme")
    assert told is not None
    assert (told.score, told.label, told.comment, told.by, told.tenant_id) == (0.5, None, None, None, None)
    assert feedback.give("r", score=0.5) is None  # nobody would know which run
    assert pipeline.metrics()["not_recorded"] == {"redacted": 1}
    assert pipeline.metrics()["hook_failures"] == {"redact": 2}


def test_a_long_comment_is_cut_to_the_size_of_events(configure: Configure, log: Path) -> None:
    pipeline = configure(capture_content="comment", event_max_bytes=2_048)
    told = feedback.give(EVENT_ID, score=1, comment="é" * 4_000)
    assert told is not None
    assert (told.comment or "").endswith("…")
    assert pipeline.force_flush(10)
    (line,) = log.read_bytes().splitlines()
    assert len(line) <= 2_048
    assert json.loads(line)["comment"] == told.comment


def test_after_the_end_and_where_all_is_off(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = configure()
    pipeline.shutdown(5)
    assert feedback.give("r", score=1) is None
    assert pipeline.metrics()["not_recorded"] == {"after_shutdown": 1}


def test_without_configure_the_environment_says_where(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    variables = {"OTEL_FEEDBACK_LOG_FILE": str(log), "XDG_STATE_HOME": str(tmp_path), "OTEL_SERVICE_NAME": "web"}
    done = run_python("import otel_feedback as f; print(f.give('run-1', score=1).score)", variables)
    assert (done.stdout, done.stderr) == ("1.0\n", "")
    assert [line["run_id"] for line in lines_in(log)] == ["run-1"]
    done = run_python("import otel_feedback as f; print(f.give('r', score=1))", {**variables, "ENABLE_KAFKA": "maybe"})
    assert done.stdout == "None\n"
    assert "ENABLE_KAFKA='maybe'" in done.stderr


def test_what_returned_survives_the_death_of_its_process(tmp_path: Path) -> None:
    """Nobody there takes it; the next process of the service does, also where that records nothing."""
    log = tmp_path / "web.log"
    variables = {
        "OTEL_FEEDBACK_LOG_FILE": "/dev/full", "XDG_STATE_HOME": str(tmp_path), "OTEL_SERVICE_NAME": "web",
        "OTEL_TRACES_EXPORTER": "none", "OTEL_FEEDBACK_JOURNAL_DIR": str(tmp_path / "journal"),
    }  # fmt: skip
    program = f"""
        import os, signal
        import otel_feedback as feedback
        feedback.configure(log_file={str(log.with_name("gone") / "x.log")!r})
        with open({str(log.with_name("gone"))!r}, "w"):
            pass
        for number in range(50):
            feedback.give("run-1", score=number / 100, by=str(number))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = run_python(program, variables)
    assert done.returncode == -signal.SIGKILL, done.stderr
    log.with_name("gone").unlink()
    done = run_python(
        f"""
        import time
        import otel_feedback as feedback
        pipeline = feedback.configure(log_file={str(log.with_name("gone") / "x.log")!r})
        while not (told := pipeline.metrics()["feedback"].get("adopted")) or not all(
            one["finished"] for each in told.values() for one in each["exporters"].values()
        ):
            time.sleep(0.05)
        """,
        variables,
    )
    assert done.returncode == 0, done.stderr
    assert "ended with 50 undelivered events" in done.stderr or "50 events undelivered" in done.stderr
    lines = lines_in(log.with_name("gone") / "x.log")
    assert sorted({line["score"] for line in lines}) == [number / 100 for number in range(50)]
    assert not any((tmp_path / "journal" / "+feedback").glob("?" * 32))


def test_parent_and_child_of_a_fork_each_give_their_own(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    variables = {"OTEL_FEEDBACK_LOG_FILE": str(log), "XDG_STATE_HOME": str(tmp_path), "OTEL_TRACES_EXPORTER": "none"}
    done = run_python(
        """
        import os
        import otel_feedback as feedback
        pipeline = feedback.configure()
        feedback.give("run-1", score=0.1, by="before")
        if not (child := os.fork()):
            feedback.give("run-1", score=0.2, by="child")
            print(pipeline.metrics()["feedback"]["recorded"])
            pipeline.shutdown(10)
            os._exit(0)
        os.waitpid(child, 0)
        feedback.give("run-1", score=0.3, by="after")
        print(pipeline.metrics()["feedback"]["recorded"])
        """,
        variables,
    )
    assert (done.stdout.split(), done.stderr) == (["1", "2"], "")
    assert sorted(line["by"] for line in lines_in(log)) == ["after", "before", "child"]


def test_children_of_a_pool_deliver_what_they_gave_and_a_parent_what_a_killed_one_left(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    variables = {
        "OTEL_FEEDBACK_LOG_FILE": str(log), "XDG_STATE_HOME": str(tmp_path), "OTEL_TRACES_EXPORTER": "none",
        "OTEL_FEEDBACK_JOURNAL_RESCAN_INTERVAL": "3600", "OTEL_FEEDBACK_JOURNAL_DIR": str(tmp_path / "journal"),
    }  # fmt: skip
    done = run_python(
        """
        import multiprocessing, os, signal
        import otel_feedback as feedback

        def work(number):
            assert feedback.give("run-1", score=1, by=str(number))

        pipeline = feedback.configure()
        with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=3) as pool:
            pool.map(work, range(20), chunksize=1)
            pool.close()
            pool.join()
        if not (child := os.fork()):
            from otel_feedback.pipeline import worker
            worker.Worker._start = lambda self: None  # it delivers nothing
            feedback.give("run-1", score=1, by="killed")
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        assert pipeline.shutdown(20)
        """,
        variables,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(line["by"] for line in lines_in(log)) == sorted([*map(str, range(20)), "killed"])
    assert not any((tmp_path / "journal" / "+feedback").glob("?" * 32))


def test_a_signal_handler_may_give_in_the_middle(configure: Configure, log: Path) -> None:
    pipeline = configure()
    signal.signal(signal.SIGALRM, lambda *_: feedback.give("run-1", score=1, by="signal") and None)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        for number in range(300):
            feedback.give("run-1", score=0, by=str(number))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert pipeline.force_flush(30)
    assert {line["by"] for line in given_in(log)} >= {str(number) for number in range(300)}


def test_an_evaluation_that_comes_too_late_for_its_event_is_feedback(
    configure: Configure, provider: TracerProvider, log: Path
) -> None:
    pipeline = configure(capture_content="comment")
    logs = LoggerProvider(shutdown_on_exit=False)
    spans = feedback.OutcomeSpanProcessor(pipeline)
    logs.add_log_record_processor(cast("LogRecordProcessor", feedback.OutcomeLogRecordProcessor(spans)))
    trace_id, span_id = EVENT_ID.split("-")

    def say(**more: Any) -> None:
        attributes = {
            "gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.value": 0.25,
            "gen_ai.evaluation.score.label": "rude", "gen_ai.evaluation.explanation": f"it shouts, {SECRET}", **more,
        }  # fmt: skip
        logs.get_logger("judge").emit(
            cast(Any, LogRecord)(
                event_name="gen_ai.evaluation.result", attributes=attributes, trace_id=int(trace_id, 16),
                span_id=int(span_id, 16),
            )
        )  # fmt: skip

    say()
    say(**{"outcome.feedback.id": "0" * 32})  # what this package sends of feedback, back from somewhere
    assert pipeline.force_flush(10)
    (line,) = given_in(log)
    assert (line["event_id"], line["name"], line["source"], line["score"], line["label"]) == (
        EVENT_ID, "tone", "judge", 0.25, "rude"
    )  # fmt: skip
    assert line["comment"].startswith("it shouts, [REDACTED")
    logs.shutdown()


def test_a_rejected_value_says_nothing_of_what_it_was(configure: Configure, caplog: pytest.LogCaptureFixture) -> None:
    configure()
    with caplog.at_level(logging.WARNING):
        feedback.give("r", score="my private words", label="x")  # type: ignore[arg-type]
    assert "private" not in caplog.text
