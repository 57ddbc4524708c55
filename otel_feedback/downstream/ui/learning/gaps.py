"""What to improve next, as the page has it: the gaps of `otel-feedback gaps`, in its words, each with filters that show it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from otel_feedback.downstream.learning.gaps import words
from otel_feedback.downstream.learning.gaps.exporting import lines
from otel_feedback.downstream.learning.gaps.finding import find
from otel_feedback.downstream.learning.gaps.gap import SORTS, Gap, Gaps, Slice, as_data
from otel_feedback.downstream.ui.asking import FILTERS, Asked
from otel_feedback.downstream.ui.learning.newest import open_newest
from otel_feedback.downstream.ui.reader import Reader

__all__ = ["MOST_ACTIONS", "actions", "gaps", "table"]

MOST_ACTIONS = 200_000
"""That are looked through, the newest: it takes seconds."""
_METADATA = "metadata."


def gaps(reader: Reader, asked: Asked, sort: str) -> dict[str, Any]:
    """Return what `as_data` returns, those first that `sort` puts first, and besides:

    `since`: from when on, in milliseconds since 1970; `is_cut`: because there is more than is looked through; `verdict`
    and `left_out_words`; and of each gap `words`, by what they are about, and `filters`: names and values of those that
    leave its slice alone, None where none do.
    """
    looked, found = _found(reader, asked, sort)
    data = as_data(found)
    for gap, told in zip(found.gaps, data["gaps"], strict=True):
        told["words"] = _words(gap)
        told["filters"] = _filters(gap.slices)
    return {
        **data, "since": looked.since_ms, "is_cut": looked.since > asked.since, "verdict": words.verdict(found),
        "left_out_words": words.left_out(found),
    }  # fmt: skip


def table(reader: Reader, asked: Asked) -> Iterator[Sequence[Any]]:
    """Yield the names of the columns, and then the rows of all gaps."""
    _, found = _found(reader, asked, "lost")
    names, *rows = words.table(found.gaps)
    yield names
    yield rows


def actions(reader: Reader, asked: Asked) -> Iterator[bytes]:
    """Yield the actions of each gap as JSON lines, for a data set; see `exporting.lines`."""
    _, found = _found(reader, asked, "lost")
    for gap in found.gaps:
        yield b"".join(lines(reader, [gap]))


def _found(reader: Reader, asked: Asked, sort: str) -> tuple[Asked, Gaps]:
    looked = open_newest(reader, asked, MOST_ACTIONS, "status NOT IN ('pending', 'cancelled')")
    found = find(reader)
    found.gaps.sort(key=lambda gap: -(getattr(gap, SORTS[sort]) or 0))
    return looked, found


def _words(gap: Gap) -> dict[str, str | None]:
    return {
        "slice": words.named(gap.slices), "lost": words.lost(gap), "what": words.what(gap), "rates": words.rates(gap),
        "likely": words.likely(gap), "same": words.same(gap),
    }  # fmt: skip


def _filters(slices: Sequence[Slice]) -> list[tuple[str, str]] | None:
    found = [_filter(each) for each in slices]
    told = [each for each in found if each is not None]
    is_whole = len(told) == len(found) and sum(name == "text" for name, _ in told) < 2
    return told if is_whole else None


def _filter(one: Slice) -> tuple[str, str] | None:
    if one.dimension in FILTERS or one.dimension == "tag":
        return one.dimension, one.value
    if one.dimension.startswith(_METADATA) and not _is_number(one.value):
        # as it stands in the metadata's JSON, in which a number would be the beginning of longer ones
        key, value = (json.dumps(text, ensure_ascii=False) for text in (one.dimension[len(_METADATA) :], one.value))
        return "text", f"{key}:{value}"
    return None


def _is_number(text: str) -> bool:
    try:
        return not isinstance(json.loads(text), (str, list, dict))  # true, false and numbers, whatever they were
    except ValueError:
        return False
