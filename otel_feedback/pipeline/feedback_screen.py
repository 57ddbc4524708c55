"""What feedback goes through before it is recorded: the user's `redact`, and the cap of its size. Its texts are clean.

    feedback ──► as an event of the action `feedback` ──► redact(event) ──► feedback with what the event says now ──► JSON

So a `redact` that a program has for events need not know of feedback, and takes user, tenant and run out of both alike.
Where it fails, what people wrote is left out, and who it was about. On the thread of who gives it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from otel_feedback.events.feedback import Feedback, decode_feedback
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus, encode
from otel_feedback.events.trim import smaller_forms

__all__ = ["ACTION_TYPE", "redacted", "within"]

ACTION_TYPE: Final = "feedback"
_LABEL, _COMMENT = "feedback.label", "feedback.comment"


def redacted(feedback: Feedback, redact: Callable[[OutcomeEvent], OutcomeEvent]) -> Feedback | None:
    """Return feedback as it may leave; None where nothing is left of it, or of what it is for.

    Args:
        redact: Returns an event as it may leave; never raises.
    """
    texts = {name: text for name, text in ((_LABEL, feedback.label), (_COMMENT, feedback.comment)) if text is not None}
    event = OutcomeEvent(
        event_id=feedback.event_id or feedback.feedback_id,
        action_type=ACTION_TYPE,
        status=OutcomeStatus.SUCCESS,
        run_id=feedback.run_id,
        tenant_id=feedback.tenant_id,
        user_id=feedback.by,
        service_name=feedback.service_name,
        timestamp=feedback.timestamp,
        trace_id=feedback.trace_id,
        span_id=feedback.span_id,
        metadata=dict(texts),
    )
    left = redact(event)
    if left is event:
        return feedback
    said = {name: text for name, text in left.metadata.items() if isinstance(text, str)}
    feedback = msgspec.structs.replace(
        feedback, run_id=left.run_id, tenant_id=left.tenant_id, service_name=left.service_name, by=left.user_id,
        label=said.get(_LABEL), comment=said.get(_COMMENT),
    )  # fmt: skip
    has_target = feedback.target == "event" or feedback.run_id is not None
    says_something = feedback.score is not None or feedback.label is not None or feedback.comment is not None
    return feedback if has_target and says_something else None


def within(feedback: Feedback, most: int) -> tuple[Feedback, bytes]:
    """Return feedback and its JSON in at most `most` bytes, or as few as can be: the comment is cut."""
    payload = encode(feedback)
    if len(payload) <= most:
        return feedback, payload
    for smaller in smaller_forms(payload):
        payload = smaller
        if len(payload) <= most:
            break
    comment = decode_feedback(payload).comment
    return msgspec.structs.replace(feedback, comment=comment), payload
