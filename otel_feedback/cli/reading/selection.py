"""Which events the options select, and that in words."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from otel_feedback.cli.console import UNKNOWN
from otel_feedback.cli.reading.names import FILTERS
from otel_feedback.downstream.tables.selection import Selection

__all__ = ["said_of", "selection_of", "values_of"]


def said_of(selection: Selection) -> str:
    """Return what is selected in words, for a heading; empty where it is everything."""
    words = [
        f"{option} {' or '.join(UNKNOWN if value is None else value for value in selection.values[column])}"
        for option, column in FILTERS.items()
        if column in selection.values
    ]
    words += [f"tag {tag}" for tag in selection.tags] + [f"text {text!r}" for text in selection.texts]
    return ", ".join(words)


def selection_of(options: argparse.Namespace) -> Selection:
    """Return what the options select."""
    return Selection(options.since, options.until, values_of(options), options.of_tag or (), options.of_text or ())


def values_of(options: argparse.Namespace) -> Mapping[str, Sequence[str | None]]:
    """Return by column the values that those filters name which a command has."""
    given = {column: getattr(options, f"of_{option}", None) or () for option, column in FILTERS.items()}
    return {column: [None if each == UNKNOWN else each for each in texts] for column, texts in given.items() if texts}
