"""`give()`: feedback on an action or a run, minutes or days later, from any process.

    event, id, open action ──► Named: event or run, tenant ──┐
    score, label, comment … ──► cleaned, without secrets ────┴──► Feedback ──► FeedbackLane ──► journal

Nothing here raises: what cannot be used is left out with a warning that names it, and the rest is recorded. Safe from any
thread; what it costs is on the thread of who gives.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from otel_feedback import semconv
from otel_feedback.bootstrap import get_feedback_pipeline
from otel_feedback.capture.handle import Action
from otel_feedback.capture.numbers import clean_amount
from otel_feedback.errors import ConfigError
from otel_feedback.events.feedback import SOURCES, Feedback, FeedbackSource, feedback_id_of, is_event_id
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.logger import get_logger
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.redaction.limits import MAX_TEXT, Problems, safe_str
from otel_feedback.redaction.redaction import Redaction
from otel_feedback.sdk.forks import HERE, begin_anew
from otel_feedback.throttle import ThrottledLog

__all__ = ["DEFAULT_NAME", "give", "problems_of"]

logger = get_logger(__name__)
_log = ThrottledLog(logger)

DEFAULT_NAME = "user_rating"
COMMENTS_OFF = "comments are left out: OTEL_FEEDBACK_CAPTURE_CONTENT=comment lets them leave"


def give(
    target: OutcomeEvent | Action | str,
    *,
    score: float | None = None,
    label: str | None = None,
    comment: str | None = None,
    name: str = DEFAULT_NAME,
    source: FeedbackSource = "human",
    by: str | None = None,
    key: str | None = None,
    tenant_id: str | None = None,
) -> Feedback | None:
    """Give feedback on an action, or on a run, after the fact; in a program that needs to do nothing else.

    Args:
        target: An event, the id of one, the id of a run, or an action that is open or has ended (its handle). Days later and
            from another process, too: then by its id.
        score: How good it was, from 0 to 1.
        label: The same in a word, for example `"good"`.
        comment: The same in people's own words. Content: left out unless `OTEL_FEEDBACK_CAPTURE_CONTENT` has `comment`.
        name: What was rated, for example `"helpfulness"`.
        source: Who says so: `"human"`, `"judge"` (a model), `"rule"` or `"program"`.
        by: Which one of these, for example a user's id. One who gives again changes the mind, another one adds.
        key: What tells this feedback from other, in place of target, name, source and `by`.
        tenant_id: Whose it is, where target is an id that this process does not know.

    Returns:
        The feedback as it was recorded: when this returns it survives the process, as events do. None where it was not, with a
        line in the log, and a count in `metrics()["not_recorded"]`: none of score, label and comment can be used, `target`
        names nothing, or is an action that was not recorded. Never raises.
    """
    try:
        if not HERE[0]:
            begin_anew()
        pipeline = get_feedback_pipeline()
        given = _Given(pipeline, target, score, label, comment, name, source, by, key, tenant_id)
        return given.record()
    except Exception as exc:  # whatever was handed in, or is in the environment
        _log.warning("give", "give(): feedback is not recorded: %s", exc)
        return None


def problems_of(
    target: object,
    *,
    score: object = None,
    label: object = None,
    comment: object = None,
    name: object = DEFAULT_NAME,
    source: object = "human",
    tenant_id: object = None,
) -> list[ConfigError]:
    """Return what `give()` would leave out of this, or why it would record nothing; each names an argument.

    Raises:
        ConfigError: The process is not configured, and a variable of the environment cannot be used.
    """
    given = _Given(get_feedback_pipeline(), target, score, label, comment, name, source, None, None, tenant_id)
    return given.problems


class Named(NamedTuple):
    """What feedback is for, as far as that is known here."""

    event_id: str | None
    run_id: str | None
    tenant_id: str | None
    key: str | None = None  # decides the partition, where the ids do not
    sampled: bool = False
    is_unrecorded: bool = False  # an action that ended without an event

    @classmethod
    def by(cls, target: object, pipeline: FeedbackPipeline, redaction: Redaction, notes: Problems) -> Named | None:
        """Return what a target names; None where it is none."""
        if isinstance(target, Action):
            return cls._by_action(target)
        if isinstance(target, OutcomeEvent):
            key = target.run_id or target.trace_id or target.event_id
            return cls(target.event_id, target.run_id, target.tenant_id, key)
        if not isinstance(target, str) or not target:
            return None
        if is_event_id(target):
            known = pipeline.find_recent(event_id=target)
            return cls(target, None, None) if known is None else cls.by(known, pipeline, redaction, notes)
        run_id = redaction.name(target, "target", lambda: notes)
        known = pipeline.find_recent(run_id=run_id)
        return cls(None, run_id, None if known is None else known.tenant_id)

    @classmethod
    def _by_action(cls, act: Action) -> Named:
        identity = act.identity
        run_id = identity.get(semconv.OUTCOME_RUN_ID, act.event_id[:32] if act.has_ids else None)
        tenant_id = identity.get(semconv.OUTCOME_TENANT_ID)
        is_unrecorded = act.told is not None and act.recorded is None
        return cls(act.event_id, run_id, tenant_id, act.partition_key, act.has_ids and act.is_sampled, is_unrecorded)


class _Given:
    """What was said, cleaned; `problems` is what could not be used."""

    def __init__(
        self,
        pipeline: FeedbackPipeline,
        target: object,
        score: object,
        label: object,
        comment: object,
        name: object,
        source: object,
        by: object,
        key: object,
        tenant_id: object,
    ) -> None:
        self.problems: list[ConfigError] = []
        self._pipeline = pipeline
        self._redaction = pipeline.redaction
        self._notes = Problems()
        self._named = Named.by(target, pipeline, self._redaction, self._notes)
        if self._named is None:
            what = "an event, the id of an event or of a run, or an action"
            self.problems.append(ConfigError("target", _shown(target), what))
        self._score = None if score is None else clean_amount(score, "score", Problems(), 1.0)
        if score is not None and self._score is None:
            self.problems.append(ConfigError("score", _shown(score), "a number from 0 to 1"))
        self._label = self._text(label, "label")
        self._comment: str | None = None
        if _is_said(comment):
            if pipeline.feedback.takes_comments:
                self._comment = self._redaction.said(comment, "comment", MAX_TEXT, self._notes)
            else:
                self.problems.append(ConfigError("comment", "…", f"none, since {COMMENTS_OFF}"))
        self._name = self._text(name, "name")
        if self._name is None:
            self.problems.append(ConfigError("name", _shown(name), "what was rated, for example 'user_rating'"))
        self._source: FeedbackSource | None = next(
            (word for word in SOURCES if isinstance(source, str) and word == source), None
        )
        if self._source is None:
            self.problems.append(ConfigError("source", _shown(source), f"one of {', '.join(SOURCES)}"))
        self._by, self._key = self._text(by, "by"), safe_str(key) if _is_said(key) else None
        self._tenant_id = self._whose(self._text(tenant_id, "tenant_id"))
        if self._score is None and self._label is None and self._comment is None:
            self.problems.append(ConfigError("score", None, "one of score, label and comment that can be used"))

    def _text(self, value: object, field: str) -> str | None:
        return self._redaction.name(value, field, lambda: self._notes) if _is_said(value) else None

    def _whose(self, said: str | None) -> str | None:
        known = None if self._named is None else self._named.tenant_id
        if said is not None and known is not None and said != known:
            self.problems.append(ConfigError("tenant_id", said, "that of the target, which is another one"))
            self._named = None
        return said if known is None else self._redaction.text(known)

    def record(self) -> Feedback | None:
        """Record it; None where that cannot be."""
        pipeline, named, text = self._pipeline, self._named, self._redaction.optional
        if not pipeline.enabled:
            return None
        if named is None or (self._score is None and self._label is None and self._comment is None):
            pipeline.reject("invalid", "give(): %s", "; ".join(map(str, self.problems)))
            return None
        if named.is_unrecorded:
            pipeline.reject("no_event", "give(): the action was not recorded, and feedback on it is not, either")
            return None
        for problem in self.problems:
            pipeline.unrecorded.warn(f"give {problem.variable}", "give(): %s; all else is recorded", problem)
        kind, of = ("run", named.run_id) if named.event_id is None else ("event", named.event_id)
        # who says neither is a program, whatever it says
        source: FeedbackSource = self._source or "program"
        name = self._name or DEFAULT_NAME
        feedback = Feedback(
            feedback_id=feedback_id_of(self._key) if self._key else feedback_id_of(kind, of, name, source, self._by),
            target=kind,
            event_id=named.event_id,
            run_id=text(named.run_id),
            tenant_id=self._tenant_id,
            service_name=text(pipeline.service_name),
            timestamp=pipeline.feedback.now(),
            name=name,
            source=source,
            by=self._by,
            score=self._score,
            label=self._label,
            comment=self._comment,
        )
        return pipeline.feedback.accept(feedback, named.key or feedback.key, sampled=named.sampled)


def _is_said(value: object) -> bool:
    return value is not None and not (isinstance(value, str) and not value)


def _shown(value: object) -> Any:
    """Return what may be shown of a value: numbers, and of all else what it is."""
    return value if isinstance(value, (int, float)) else f"<{type(value).__name__}>"
