"""No secret leaves: not in an event, a span, a journal, a log file or a log line, whichever way it came in."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_feedback as feedback
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.redaction.limits import LONGEST_SECRET, MAX_NAME, MAX_STACK, MAX_TEXT
from tests.conftest import Configure
from tests.made_up_secrets import SECRETS, SURROUNDINGS, Secret, pem, within
from tests.support import run_python

FLAG = "otel_feedback.redacted"
KEY = "gh" + "p_" + "a1B2c3D4e" * 4
ANY_SECRET = pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret.name)


class Seen:
    """Everything that leaves the process, as text."""

    def __init__(self, pipeline: FeedbackPipeline, spans: InMemorySpanExporter, log: pytest.LogCaptureFixture) -> None:
        self._pipeline, self._spans, self._log = pipeline, spans, log

    def journal(self) -> str:
        path = self._pipeline.metrics()["journal"]["path"]
        read: list[str] = []
        for file in Path(path).rglob("*"):
            if file.is_file():
                with suppress(FileNotFoundError):  # replaced meanwhile
                    read.append(file.read_bytes().decode("utf-8", "replace"))
        return "\n".join(read)

    def everything(self) -> str:
        assert self._pipeline.force_flush(10)
        parts = [
            *(event.to_json() for event in self._pipeline.get_recent_events(1_000)),
            *(str(event) for event in self._pipeline.get_recent_events(1_000)),
            *(span.to_json() for span in self._spans.get_finished_spans()),
            self.journal(),
            Path(os.environ["OTEL_FEEDBACK_LOG_FILE"]).read_text(),
            self._log.text,
            repr(self._pipeline.metrics()),
        ]
        return "\n".join(parts)


@pytest.fixture
def seen(pipeline: FeedbackPipeline, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture) -> Iterator[Seen]:
    with caplog.at_level(logging.DEBUG):
        yield Seen(pipeline, spans, caplog)


def told(event: feedback.OutcomeEvent, flag: str) -> list[str]:
    fields: Any = event.metadata.get(flag, [])
    return fields


def assert_hidden(secret: Secret, text: str) -> None:
    for hidden in secret.hidden:
        assert hidden not in text


NAMES = ("action_type", "agent_name", "agent_type", "tool_name", "service_name", "run_id", "workflow_id", "correlation_id",
         "session_id", "user_id", "tenant_id", "error_type", "model", "provider")  # fmt: skip


@ANY_SECRET
@pytest.mark.parametrize("surrounding", SURROUNDINGS)
def test_no_secret_is_left_in_any_field_of_an_event(
    pipeline: FeedbackPipeline, seen: Seen, secret: Secret, surrounding: str
) -> None:
    text = within(secret, surrounding)
    fields: dict[str, Any] = {"action_type": "a", "status": "success"}
    event = msgspec.convert(
        {
            **fields, **dict.fromkeys(NAMES, text), "error_message": text, "stack_trace": text, "tags": ["x", text],
            "metadata": {"value": text, text: "key", "items": ["x", text], "n": 1},
        },
        feedback.OutcomeEvent,
    )  # fmt: skip
    assert pipeline.record_outcome(event)
    (recorded,) = pipeline.get_recent_events()
    assert_hidden(secret, seen.everything())
    assert recorded.event_id == event.event_id
    # a long text is cut in a name
    assert {"error_message", "stack_trace", "tags", "metadata.value", "metadata.items"} <= set(told(recorded, FLAG))
    assert recorded.metadata["n"] == 1
    assert recorded.tags[0] == "x"


@ANY_SECRET
def test_no_secret_of_an_action_reaches_its_span_or_the_journal_while_it_runs_and_after(
    seen: Seen, secret: Secret
) -> None:
    text = within(secret, "prose")
    with (
        pytest.raises(RuntimeError),
        feedback.action(
            text, agent=text, agent_type=text, workflow_id=text, run_id=text, session_id=text, user_id=text,
            tags=[text], metadata={"value": text, text: 1, "items": [text], "deep": {"a": text}},
        ) as act,
    ):  # fmt: skip
        during = seen.journal()
        assert "outcome.action_type" in during, "the action is in the journal"
        assert_hidden(secret, during)
        act.add_usage(model=text, provider=text)
        act.tag(text)
        act.set_metadata(later=text)
        try:
            int(text)
        except ValueError as exc:
            raise RuntimeError(text, {"headers": text}) from exc
    assert act.event is not None
    # in what is cut anyway a secret goes before the cut
    flags = {*told(act.event, FLAG), *told(act.event, "otel_feedback.truncated")}
    assert {"error_message", "stack_trace", "agent_name", "tags", "metadata.later"} <= flags
    assert_hidden(secret, str(act.event))
    assert_hidden(secret, seen.everything())


@pytest.mark.parametrize("end", ["partial", "fail", "cancel"])
def test_no_secret_in_the_reason_of_an_end_by_hand(seen: Seen, end: str) -> None:
    with feedback.action("a") as act:
        getattr(act, end)(f"no access with {KEY}")
    assert KEY not in seen.everything()
    assert "[REDACTED:github-token]" in seen.everything()


def test_spans_of_others_become_events_without_secrets(provider: TracerProvider, seen: Seen) -> None:
    tracer = provider.get_tracer("theirs")
    with suppress(ValueError), tracer.start_as_current_span("s", attributes={"outcome.action_type": "a"}) as span:
        span.set_attributes({"outcome.metadata.note": KEY, "gen_ai.agent.name": KEY, "outcome.run_id": KEY})
        raise ValueError(KEY)
    assert KEY not in seen.journal()


def test_pending_events_have_no_secrets(configure: Configure) -> None:
    pipeline = configure(emit_pending=True)
    with feedback.action("a", metadata={"note": KEY}):
        (pending,) = pipeline.get_recent_events()
        assert (pending.revision, pending.metadata["note"]) == (0, "[REDACTED:github-token]")


def test_no_secret_is_in_what_the_next_process_says_of_one_that_died(tmp_path: Path) -> None:
    variables = {
        "OTEL_FEEDBACK_LOG_FILE": str(tmp_path / "log"), "XDG_STATE_HOME": str(tmp_path), "OTEL_TRACES_EXPORTER": "none",
    }  # fmt: skip
    dies = f"""
        import os
        import otel_feedback as feedback
        feedback.configure(service_name="s")
        with feedback.action("a", run_id={KEY!r}, metadata={{"note": {KEY!r}}}):
            os._exit(1)
    """
    run_python(dies, variables)
    journal = b"".join(file.read_bytes() for file in tmp_path.rglob("*.seg"))
    assert b"outcome.action_type" in journal
    assert KEY.encode() not in journal
    lives = """
        import otel_feedback as feedback
        pipeline = feedback.configure(service_name="s", metadata_deny="secretive",
            redact=lambda event: (_ for _ in ()).throw(ValueError()) if event.error_type == "process_lost" else event)
        with feedback.action("b"):
            pass
        pipeline.shutdown(20)
    """
    done = run_python(lives, variables)
    log = (tmp_path / "log").read_text()
    assert '"process_lost"' in log, done.stderr
    assert KEY not in log
    assert "the process ended before" not in log, "the next process's redact() has seen it"


@pytest.fixture
def configure(provider: TracerProvider) -> Configure:
    def configured(**settings: Any) -> FeedbackPipeline:
        return feedback.configure(tracer_provider=provider, service_name="s", **settings)

    return configured


# -- names of metadata -------------------------------------------------------------------------------------


def test_a_key_that_says_secret_has_its_value_replaced_whatever_it_is(pipeline: FeedbackPipeline) -> None:
    given = {
        "password": "x",
        "api_key": 12345,
        "Authorization": True,
        "cookies": ["a", "b"],
        "max_tokens": 5,
        "keys": 2,
    }
    with feedback.action("a", metadata=given) as act:
        pass
    assert act.event is not None
    hidden = dict.fromkeys(("password", "api_key", "Authorization", "cookies"), "[REDACTED:credential]")
    flagged = [f"metadata.{key}" for key in hidden]
    assert act.event.metadata == {**given, **hidden, FLAG: flagged}


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"metadata_deny": "customer*, *mail"}, {"order", "Region"}),
        ({"metadata_allow": "order,region"}, {"order", "Region"}),
        ({"metadata_allow": ["*"], "metadata_deny": ["REGION"]}, {"order", "customer_name", "e-mail"}),
        ({"metadata_allow": "cust*", "metadata_deny": "*name"}, set[str]()),
    ],
)
def test_only_metadata_that_is_allowed_and_not_denied_leaves(
    configure: Configure, spans: InMemorySpanExporter, settings: dict[str, Any], kept: set[str]
) -> None:
    pipeline = configure(**settings)
    given: dict[str, Any] = {"order": "4711", "Region": "eu", "customer_name": "Meier", "e-mail": "m@example.com"}
    with feedback.action("a", metadata=given) as act:
        act.set_metadata(customer_id=5, x=object())
        act.partial("half")
    pipeline.record_outcome(
        feedback.OutcomeEvent(action_type="a", status=feedback.OutcomeStatus.SUCCESS, metadata=given)
    )
    own = {"status_reason", "otel_feedback.invalid"}
    later = (
        {"x"}
        if settings == {"metadata_deny": "customer*, *mail"} or settings.get("metadata_allow") == ["*"]
        else set[str]()
    )
    later |= {"customer_id"} if settings.get("metadata_allow") in (["*"], "cust*") else set()
    events = pipeline.get_recent_events()
    assert [set(event.metadata) for event in events] == [kept | own | later, kept]
    (span,) = spans.get_finished_spans()
    attributes = {name.removeprefix("outcome.metadata.") for name in span.attributes or {} if "metadata" in name}
    assert attributes == kept | own | later


# -- limits ------------------------------------------------------------------------------------------------


def halves(text: str, place: int, limit: int, *, at_end: bool = False) -> str:
    """Put a secret so that `place` of its characters are within the limit."""
    if at_end:
        return "x" * 50 + " " + text + " " + "y" * (limit - place - 1)
    return "x" * (limit - place - 1) + " " + text + " " + "y" * 50


@pytest.mark.parametrize("place", [1, 4, 8, 20, 39])
@pytest.mark.parametrize("limit", [MAX_NAME, MAX_TEXT, MAX_STACK])
def test_a_cut_through_a_secret_leaves_no_half_of_it(pipeline: FeedbackPipeline, place: int, limit: int) -> None:
    text, end = halves(KEY, place, limit), halves(KEY, place, limit, at_end=True)
    fields: dict[str, Any] = dict.fromkeys(NAMES, text)
    more: dict[str, Any] = {"stack_trace": end, "tags": [text], "metadata": {"note": text, text: "key", "list": [text]}}
    made = msgspec.convert({**fields, "status": "failure", "error_message": text, **more}, feedback.OutcomeEvent)
    assert pipeline.record_outcome(made)
    with (
        suppress(ValueError),
        feedback.action(text, agent=text, run_id=text, tags=[text], metadata={"n": text, text: 1}),
    ):
        raise ValueError(text + end)
    for event in pipeline.get_recent_events():
        shown = event.to_json()
        for length in range(5, len(KEY) + 1):
            assert KEY[:length] not in shown
            assert KEY[-length:] not in shown
        assert len(event.agent_name or "") <= MAX_NAME
        assert len(event.error_message or "") <= MAX_TEXT
        assert len(event.stack_trace or "") <= MAX_STACK
        assert all(len(value) <= MAX_TEXT for value in event.metadata.values() if isinstance(value, str))


def test_what_a_long_secret_leaves_room_for_is_not_half_of_another_one(pipeline: FeedbackPipeline) -> None:
    """Of a long text only a part is looked at; what stands at that part's edge must not move into the limit."""
    long = "password=" + "a" * 11_000 + " "
    text = long + "x" * (MAX_TEXT + LONGEST_SECRET - len(long) - 9) + " " + KEY + "x" * 999
    pipeline.record_outcome(
        feedback.OutcomeEvent(action_type="a", status=feedback.OutcomeStatus.FAILURE, error_message=text)
    )
    (event,) = pipeline.get_recent_events()
    assert event.error_message == "password=[REDACTED:credential]"[: len(event.error_message or "")]
    assert KEY[:5] not in event.to_json()


def test_a_private_key_across_the_cut_leaves_nothing(pipeline: FeedbackPipeline) -> None:
    text, lines = pem(lines=90)
    assert len(text) < LONGEST_SECRET
    for before in (MAX_STACK - 3_000, MAX_STACK + 3_000, 30_000):
        for long in ("x" * before + text, text + "y" * before, "x" * before + text + "y" * before):
            with suppress(ValueError), feedback.action("a"):
                raise ValueError(long)
            (event,) = pipeline.get_recent_events(1)
            assert not any(line[:20] in event.to_json() or line[-20:] in event.to_json() for line in lines)


def test_limits_hold_for_events_that_were_made_by_hand(pipeline: FeedbackPipeline) -> None:
    made = feedback.OutcomeEvent(
        action_type="a" * 999, status=feedback.OutcomeStatus.SUCCESS, error_message="m" * 9_999, stack_trace="s" * 99_999,
        tags=tuple(f"t{i}" for i in range(99)), metadata={**{f"k{i}": i for i in range(99)}, "k0": "v" * 9_999},
    )  # fmt: skip
    assert pipeline.record_outcome(made)
    (event,) = pipeline.get_recent_events()
    assert (len(event.action_type), len(event.error_message or ""), len(event.stack_trace or "")) == (
        256,
        4_096,
        16_384,
    )
    assert (len(event.tags), len(event.metadata)) == (64, 64 + 1)
    assert event.metadata["k0"] == "v" * 4_096
    assert set(told(event, "otel_feedback.truncated")) == {
        "action_type", "error_message", "stack_trace", "tags", "metadata", "metadata.k0",
    }  # fmt: skip


def test_an_event_is_cut_to_its_size_the_longest_text_first(configure: Configure) -> None:
    pipeline = configure(event_max_bytes=4_096)
    with feedback.action("a", metadata={"long": "x" * 4_000, "short": "y" * 500, "n": 1}) as act:
        pass
    assert act.event is not None
    assert 3_900 < len(act.event.to_json()) <= 4_096
    assert act.event.metadata["short"] == "y" * 500
    assert act.event.metadata["otel_feedback.truncated"] == ["metadata.long"]
    assert pipeline.get_recent_events() == [act.event]


# -- redact() ----------------------------------------------------------------------------------------------

replace = msgspec.structs.replace
Redact = Callable[[feedback.OutcomeEvent], Any]


def test_what_redact_returns_is_what_is_recorded_and_what_the_action_gets(configure: Configure, seen_log: Path) -> None:
    def redact(event: feedback.OutcomeEvent) -> feedback.OutcomeEvent:
        assert KEY not in str(event), "secrets are gone before"
        return replace(event, user_id="hidden", run_id="r-hidden", event_id="other", revision=9, metadata={"note": KEY})

    pipeline = configure(redact=redact)
    with feedback.action("a", user_id="meier", run_id="meiers", metadata={"note": KEY}) as act:
        pass
    assert act.event is not None
    assert act.event == pipeline.get_recent_events()[0]
    assert (act.event.user_id, act.event.event_id, act.event.revision) == ("hidden", act.event_id, 1)
    assert act.event.metadata["note"] == "[REDACTED:github-token]", "what it returns is looked at, too"
    assert pipeline.force_flush(10)
    assert "meier" not in seen_log.read_text()


@pytest.fixture
def seen_log() -> Path:
    return Path(os.environ["OTEL_FEEDBACK_LOG_FILE"])


def fails(event: feedback.OutcomeEvent) -> Any:
    raise ValueError(event.error_message)


@pytest.mark.parametrize(
    "redact",
    [fails, lambda event: None, lambda event: "text", lambda event: replace(event, agent_name=5)],
    ids=["raises", "None", "text", "invalid"],
)
def test_when_redact_fails_the_event_stays_without_its_texts(
    configure: Configure, redact: Redact, caplog: pytest.LogCaptureFixture, seen_log: Path
) -> None:
    pipeline = configure(redact=redact)
    for _ in range(2):
        with suppress(RuntimeError), feedback.action(
            "tool", agent="ag", user_id="private-1", session_id="private-2", workflow_id="private-3", run_id="private-4",
            tags=["private-5"], metadata={"private-6": "private-7"},
        ) as act:  # fmt: skip
            act.add_usage(model="gpt-4o", input_tokens=5)
            raise RuntimeError("private-8")
    (_, event) = pipeline.get_recent_events()
    assert (event.action_type, event.agent_name, event.error_type) == ("tool", "ag", "RuntimeError")
    assert (event.model, event.input_tokens, event.status) == ("gpt-4o", 5, "failure")
    assert set(event.metadata) == {FLAG}
    assert set(told(event, FLAG)) == {
        "error_message", "stack_trace", "tags", "metadata", "user_id", "session_id", "workflow_id", "run_id",
    }  # fmt: skip
    assert pipeline.metrics()["hook_failures"] == {"redact": 2}
    assert pipeline.force_flush(10)
    for text in (str(event), seen_log.read_text(), caplog.text):
        assert "private" not in text
    assert caplog.text.count("given as redact failed") == 1, "once a minute"


def test_an_action_inside_redact_does_not_go_round_in_circles(configure: Configure) -> None:
    def redact(event: feedback.OutcomeEvent) -> feedback.OutcomeEvent:
        with feedback.action("inner", metadata={"note": "private"}):
            return event

    pipeline = configure(redact=redact)
    with feedback.action("outer", metadata={"note": "public"}):
        pass
    inner, outer = pipeline.get_recent_events()
    assert (inner.action_type, set(inner.metadata)) == ("inner", {FLAG})
    assert outer.metadata == {"note": "public"}


# -- what our own logger says ------------------------------------------------------------------------------


def test_a_refused_outcome_is_told_without_what_it_holds(
    pipeline: FeedbackPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    bad: Any = feedback.OutcomeEvent(action_type="a", status=f"failed with {KEY}", severity="info")  # type: ignore[arg-type]
    assert pipeline.record_outcome(bad) is False
    assert "record_outcome()" in caplog.text
    assert KEY not in caplog.text


def test_settings_of_content(configure: Configure) -> None:
    settings = feedback.get_settings(environ={"OTEL_FEEDBACK_CAPTURE_CONTENT": "input, tool_result"})
    assert settings.capture_content == ("input", "tool_result")
    assert feedback.get_settings(environ={}).capture_content == ()
    with pytest.raises(feedback.ConfigError, match="tool_arguments"):
        feedback.get_settings(environ={"OTEL_FEEDBACK_CAPTURE_CONTENT": "prompts"})
