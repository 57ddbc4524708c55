"""How good somebody found what an action gave: evaluations on its span, or in log records that name the span.

A score from 0 to 1 is the action's `quality_score`, the first of several; every other scale, and what else is said, goes to
the metadata as `evaluation.<name>.score` and `.label`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from otel_feedback import semconv
from otel_feedback.convert.span import SpanEvent
from otel_feedback.convert.values import text

__all__ = ["FIRST_EVALUATED", "Evaluations", "is_evaluated", "of_attributes", "read_evaluations"]

_LISTS: Final = (("evaluations.", "evaluation"), ("annotations.", "annotation"))
"""OpenInference's flattened lists: `evaluations.0.evaluation.score`."""

FIRST_EVALUATED: Final = frozenset(f"{prefix}0.{word}.{said}" for prefix, word in _LISTS for said in ("score", "label"))
MOST: Final = 16


class Evaluations(NamedTuple):
    """What evaluations say of an action."""

    quality_score: float | None
    metadata: Mapping[str, Any]


def is_evaluated(attributes: Mapping[str, Any]) -> bool:
    """Tell whether attributes of a span hold an evaluation."""
    return not attributes.keys().isdisjoint(FIRST_EVALUATED)  # few are looked for in many


def read_evaluations(attributes: Mapping[str, Any], events: Iterable[SpanEvent]) -> Evaluations | None:
    """Return what a span says; None where it says nothing."""
    if not events and not is_evaluated(attributes):
        return None
    found: list[tuple[str | None, Any, str | None]] = [
        _of_event(event.attributes) for event in events if event.name == semconv.GEN_AI_EVALUATION_EVENT
    ]
    for prefix, word in _LISTS:
        if f"{prefix}0.{word}.score" in attributes or f"{prefix}0.{word}.label" in attributes:
            for at in range(MOST):
                of = f"{prefix}{at}.{word}."
                if f"{of}score" in attributes or f"{of}label" in attributes:
                    name = text(attributes.get(f"{of}name"))
                    found.append((name, attributes.get(f"{of}score"), text(attributes.get(f"{of}label"))))
    return _told(found[:MOST]) if found else None


def of_attributes(attributes: Mapping[str, Any]) -> Evaluations:
    """Return what the attributes of one evaluation say, of a span event or a log record."""
    return _told([_of_event(attributes)])


def _of_event(attributes: Mapping[str, Any]) -> tuple[str | None, Any, str | None]:
    return (
        text(attributes.get(semconv.GEN_AI_EVALUATION_NAME)),
        attributes.get(semconv.GEN_AI_EVALUATION_SCORE_VALUE),
        text(attributes.get(semconv.GEN_AI_EVALUATION_SCORE_LABEL)),
    )


def _told(found: list[tuple[str | None, Any, str | None]]) -> Evaluations:
    quality: float | None = None
    metadata: dict[str, Any] = {}
    for name, score, label in found:
        key = f"evaluation.{name or 'unnamed'}"
        if isinstance(score, (int, float)) and not isinstance(score, bool) and score == score:  # noqa: PLR0124 - NaN
            if quality is None and 0 <= score <= 1:
                quality = float(score)
            metadata[f"{key}.score"] = score
        if label is not None:
            metadata[f"{key}.label"] = label
    return Evaluations(quality, metadata)
