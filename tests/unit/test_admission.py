"""A user's filter and the rate limit: what they drop, what they count, and what becomes of later revisions."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from otel_feedback.pipeline.admission import MOST_AGENTS, MOST_EVENTS, Admission, AgentRates
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.conftest import Configure
from tests.journals.disk import Clock
from tests.support import run_python

S = feedback.OutcomeStatus


@pytest.fixture
def configure(provider: TracerProvider) -> Configure:
    def configured(**settings: Any) -> FeedbackPipeline:
        return feedback.configure(tracer_provider=provider, service_name="s", **settings)

    return configured


def event(event_id: str = "e", agent: str | None = "ag", **fields: Any) -> feedback.OutcomeEvent:
    known: dict[str, Any] = {"action_type": "a", "status": S.SUCCESS, "event_id": event_id, "agent_name": agent}
    return feedback.OutcomeEvent(**{**known, **fields})


def test_what_the_filter_drops_is_nowhere_and_counted(configure: Configure) -> None:
    pipeline = configure(filter=lambda event: event.action_type != "noise")
    for name in ("noise", "kept", "noise"):
        with feedback.action(name) as act:
            pass
        assert (act.event is None) is (name == "noise")
    assert pipeline.record_outcome(event(action_type="noise")) is False
    assert [event.action_type for event in pipeline.get_recent_events()] == ["kept"]
    told = pipeline.metrics()
    assert (told["not_recorded"], told["recorded"]) == ({"filtered": 3}, 1)
    assert told["journal"]["open_actions"] == 0, "an action that was dropped is not lost"


def test_a_filter_that_raises_keeps_the_event(configure: Configure, caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: feedback.OutcomeEvent) -> bool:
        raise KeyError("private")

    pipeline = configure(filter=broken)
    for _ in range(3):
        with feedback.action("a"):
            pass
    told = pipeline.metrics()
    assert (told["recorded"], told["not_recorded"], told["hook_failures"]) == (3, {}, {"filter": 3})
    assert caplog.text.count("given as filter failed with KeyError") == 1
    assert "private" not in caplog.text


def test_the_filter_sees_no_secrets(configure: Configure) -> None:
    seen: list[str] = []
    configure(filter=lambda event: seen.append(str(event)) or True)
    with feedback.action("a", metadata={"password": "hunter2", "note": "token=hunter2"}):
        pass
    assert len(seen) == 1
    assert "hunter2" not in seen[0]


def test_revisions_of_what_was_let_through_are_let_through(configure: Configure) -> None:
    pipeline = configure(filter=lambda event: event.status is S.PENDING)
    for revision, status in ((0, S.PENDING), (1, S.SUCCESS), (2, S.FAILURE)):
        assert pipeline.record_outcome(event(revision=revision, status=status))
    assert [(e.revision, e.status) for e in pipeline.get_recent_events()] == [(2, S.FAILURE)]


def test_what_was_dropped_is_judged_anew_when_more_is_known(configure: Configure) -> None:
    pipeline = configure(filter=lambda event: event.status is S.FAILURE, emit_pending=True)
    with pytest.raises(ValueError, match="x"), feedback.action("a"):
        assert pipeline.get_recent_events() == []
        assert pipeline.metrics()["journal"]["open_actions"] == 1, "it has not ended yet"
        raise ValueError("x")
    assert [event.status for event in pipeline.get_recent_events()] == ["failure"]
    assert pipeline.metrics()["not_recorded"] == {"filtered": 1}


def test_a_lost_action_that_the_filter_drops_stays_away(tmp_path: Any) -> None:
    variables = {
        "OTEL_FEEDBACK_LOG_FILE": str(tmp_path / "log"), "XDG_STATE_HOME": str(tmp_path), "OTEL_TRACES_EXPORTER": "none",
    }  # fmt: skip
    dies = """
        import os
        import otel_feedback as feedback
        feedback.configure(service_name="s")
        with feedback.action("noise"), feedback.action("other"):
            os._exit(1)
    """
    run_python(dies, variables)
    lives = """
        import otel_feedback as feedback
        pipeline = feedback.configure(service_name="s", filter=lambda event: event.action_type != "noise")
        with feedback.action("b"):
            pass
        pipeline.shutdown(20)
        print(pipeline.metrics()["not_recorded"])
    """
    done = run_python(lives, variables)
    assert done.stdout.strip() == "{'filtered': 1}", done.stderr
    log = (tmp_path / "log").read_text()
    assert '"other"' in log
    assert '"noise"' not in log


def test_each_agent_has_its_rate(configure: Configure) -> None:
    pipeline = configure(agent_rate_limit=3)
    for agent in ("one", "two", None):
        for i in range(5):
            pipeline.record_outcome(event(f"{agent}-{i}", agent))
    # a second may pass on a busy machine
    counts = [
        len([e for e in pipeline.get_recent_events(99) if e.agent_name == agent]) for agent in ("one", "two", None)
    ]
    assert all(3 <= count <= 5 for count in counts)
    dropped = pipeline.metrics()["not_recorded"].get("rate_limited", 0)
    assert dropped == 15 - sum(counts)


def test_the_rate_by_the_clock() -> None:
    clock = Clock()
    rates = AgentRates(2, clock)
    assert [rates.take("a") for _ in range(4)] == [True, True, False, False], "a second's worth at once"
    clock.now_s += 0.5
    assert [rates.take("a") for _ in range(2)] == [True, False]
    clock.now_s += 60
    assert [rates.take("a") for _ in range(3)] == [True, True, False], "no more is saved up"
    slow = AgentRates(0.1, clock)
    assert [slow.take("a") for _ in range(2)] == [True, False], "one at least"
    clock.now_s += 10
    assert slow.take("a")


def test_many_names_are_no_way_around_the_rate_and_take_no_memory() -> None:
    clock = Clock()
    rates = AgentRates(1, clock)
    taken = sum(rates.take(f"agent-{i}") for i in range(5 * MOST_AGENTS))
    assert taken == MOST_AGENTS + 1, "the others have one bucket together"
    clock.now_s += 5
    assert all(rates.take(f"new-{i}") for i in range(MOST_AGENTS)), "idle ones made room"
    assert len(rates._buckets) <= MOST_AGENTS + 1  # pyright: ignore[reportPrivateUsage]


def test_revisions_beyond_the_rate_are_let_through_and_what_is_remembered_is_bounded() -> None:
    admission = Admission(None, 1, lambda exc: None)
    assert admission.drops(event("first")) is None
    assert admission.drops(event("second")) == "rate_limited"
    assert admission.drops(event("first", revision=2)) is None
    keeps = Admission(lambda event: True, None, lambda exc: None)
    for i in range(MOST_EVENTS + 100):
        assert keeps.drops(event(str(i))) is None
    assert len(keeps._let_through) == MOST_EVENTS  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("value", ["0", "-1", "fast"])
def test_a_rate_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(feedback.ConfigError, match="OTEL_FEEDBACK_AGENT_RATE_LIMIT"):
        feedback.get_settings(environ={"OTEL_FEEDBACK_AGENT_RATE_LIMIT": value})
