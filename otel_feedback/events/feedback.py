"""Feedback on what an agent did, given after the fact: one immutable value, and its JSON.

    {"schema_version": "1.0", "feedback_id": …, "target": "event", "event_id": …, "score": 0.83, …}      one line

It is never a revision of the event: it names one, or a run, and is joined by that. Of one `feedback_id` the record with the
newest `timestamp` counts, since its rater changed the mind; different ones add. Pure; safe on any thread.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Annotated, Any, Final, Literal

import msgspec

from otel_feedback.errors import SchemaError
from otel_feedback.events.model import SCHEMA_VERSION, Moment

__all__ = [
    "SOURCES",
    "Echo",
    "Feedback",
    "FeedbackSource",
    "decode_feedback",
    "feedback_id_of",
    "feedback_schema",
    "is_event_id",
    "trace_and_span",
]

FeedbackSource = Literal["human", "judge", "rule", "program"]
"""Who says so: a person, a model that judges, a rule, or a program by what happened afterwards."""

SOURCES: Final[tuple[FeedbackSource, ...]] = ("human", "judge", "rule", "program")


class Feedback(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False):
    """What somebody found of an action, or of a run, after the fact.

    `target` says which: "event" has `event_id`, and `run_id` where that is known; "run" has `run_id`. `timestamp` is when it
    was given, in UTC. `score` is from 0 to 1. At least one of `score`, `label` and `comment` is there; what is not known is
    None, and absent on the wire. `by` is who rated, where that was said.
    """

    schema_version: str = msgspec.field(default_factory=lambda: SCHEMA_VERSION)
    feedback_id: str
    target: Literal["event", "run"]
    event_id: str | None = None
    run_id: str | None = None
    tenant_id: str | None = None
    service_name: str | None = None
    timestamp: Moment
    name: str
    source: FeedbackSource
    by: str | None = None
    score: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    label: str | None = None
    comment: str | None = None

    @property
    def key(self) -> str:
        """What decides the Kafka partition: its run, as of the event that it is for, as far as that is known."""
        if self.run_id is not None:
            return self.run_id
        event_id = self.event_id or self.feedback_id
        return event_id[:32] if is_event_id(event_id) else event_id

    @property
    def revision(self) -> int:
        """1: a later record of the same id is told by its time."""
        return 1

    @property
    def is_echo(self) -> bool:
        """Whether it was given as a log record by somebody else, which OTLP has from there."""
        return False

    @property
    def trace_id(self) -> str | None:
        """Of the event's span, 32 hex digits; None where the id does not tell."""
        return trace_and_span(self.event_id)[0]

    @property
    def span_id(self) -> str | None:
        """Of the event's span, 16 hex digits; None where the id does not tell."""
        return trace_and_span(self.event_id)[1]

    def to_json(self) -> str:
        """Return the wire form as one line of JSON."""
        return _encode(self).decode()

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form as a dict: strings for times, what is not known absent."""
        wire: dict[str, Any] = msgspec.json.decode(_encode(self))
        return wire


def is_event_id(text: str) -> bool:
    """Tell whether a text is the id of an event, rather than of a run."""
    return _is_event_id(text) is not None


def trace_and_span(event_id: str | None) -> tuple[str | None, str | None]:
    """Return trace and span id of an event's span, in hex; None where the id does not tell."""
    if event_id is None or not is_event_id(event_id):
        return None, None
    return event_id[:32], event_id[33:]


class Echo(Feedback, frozen=True):
    """Feedback that was given as a log record; the same on the wire."""

    @property
    def is_echo(self) -> bool:
        return True


def feedback_id_of(*said: str | None) -> str:
    """Return the id of feedback: target, its id, name, source and who rated; or the one key that was given for all of these.

    Returns:
        32 hex digits: the beginning of the SHA-256 of these texts as a JSON array.
    """
    return sha256(_encode(said)).hexdigest()[:32]


def decode_feedback(data: str | bytes) -> Feedback:
    """Read feedback from its wire form; unknown fields are ignored, so that newer producers can be read.

    Raises:
        SchemaError: `data` is no feedback; the message names the field.
    """
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise SchemaError(f"not a feedback record: {exc}") from exc


def feedback_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the wire form."""
    schema = msgspec.json.schema(Feedback)
    body = schema["$defs"]["Feedback"]
    # the encoder always writes it, though a reader may leave it to its default
    body["required"] = sorted({"schema_version", *body["required"]})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Agent feedback {SCHEMA_VERSION}",
        **schema,
    }


_is_event_id = re.compile(r"[0-9a-f]{32}-[0-9a-f]{16}").fullmatch
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Feedback).decode
