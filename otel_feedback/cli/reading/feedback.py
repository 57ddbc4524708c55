"""Feedback on a console: by name, and single ones. What `stats`, `trace` and `tail` share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from otel_feedback.cli.console import UNKNOWN, duration

__all__ = ["feedback_line", "feedback_names"]

GAP = 2
MOST_LABELS = 3


def feedback_names(names: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table of what was said, by name and by whom; see `names` of `feedback_told`."""
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    table.add_column("Feedback", no_wrap=True, overflow="ellipsis")
    table.add_column("By", no_wrap=True)
    for title in ("Given", "Mean", "After"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("Labels", no_wrap=True, overflow="ellipsis")
    for row in names:
        labels = [f"{label} {count:,}" for label, count in row["labels"].items()]
        more = len(labels) - MOST_LABELS
        table.add_row(
            Text(row["name"]), row["source"], f"{row['count']:,}", _score(row["score"]), _after(row["delay_s"]),
            Text(", ".join(labels[:MOST_LABELS]) + (f", {more} more" if more > 0 else "")),
        )  # fmt: skip
    return table


def feedback_line(given: Mapping[str, Any]) -> Text:
    """Return one as a line: what was said, by whom, and how long after the end."""
    text = Text(given["name"], "bold")
    parts = [_score(given["score"]) if given["score"] is not None else None, given["label"]]
    text.append("".join(f" {part}" for part in parts if part), "not bold")
    whose = given["source"] if given["by"] is None else f"{given['source']} {given['by']}"
    delay_s = given["delay_s"]
    later = (
        "" if delay_s is None else f", {duration(abs(delay_s) * 1e3)} {'after' if delay_s >= 0 else 'before'} its end"
    )
    text.append(f"  {whose}{later}", "not bold dim")
    return text


def _after(delay_s: float | None) -> str:
    if delay_s is None:
        return UNKNOWN
    return duration(delay_s * 1e3) if delay_s >= 0 else f"-{duration(-delay_s * 1e3)}"


def _score(score: float | None) -> str:
    return UNKNOWN if score is None else f"{score:.2f}"
