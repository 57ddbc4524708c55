"""The recorded runs: the spans as frameworks and their instrumentation made them, and what really happened.

Both files have one run a line; `python -m tools.captures` made them. No model was asked: each call that a run says nothing
else about used 100 tokens and 20 for the answer; of the first 40 were from a cache in `captures.jsonl.xz`, and 30 from one
and 10 for one in `more.jsonl.xz`, where the provider has that.
"""

from __future__ import annotations

import functools
import lzma
from pathlib import Path
from typing import Any

import msgspec

from otel_feedback.convert.conventions.builtin import CONVENTIONS
from otel_feedback.convert.span import FinishedSpan

__all__ = ["FILES", "Context", "Moment", "Row", "Run", "Scope", "Status", "Tool", "Truth", "load_runs"]

FILES = tuple(Path(__file__).with_name(f"{name}.jsonl.xz") for name in ("captures", "more"))


class Scope(msgspec.Struct, frozen=True):
    """Who made a span."""

    name: str
    version: str | None = None
    schema_url: str | None = None


class Status(msgspec.Struct, frozen=True):
    """How a span says that it ended."""

    code: str
    description: str | None = None


class Moment(msgspec.Struct, frozen=True):
    """An event of a span."""

    name: str
    ts_ns: int
    attributes: dict[str, Any] | None = None


class Context(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a span itself does not say: which exceptions passed through, and which of several ended first."""

    exc_at_start: str | None = None
    exc_at_end: str | None = None
    end_order: int | None = None


class Row(msgspec.Struct, frozen=True):
    """One span, as it was at its end, or as it was left."""

    name: str
    scope: Scope
    kind: str
    trace_id: str
    span_id: str
    parent_id: str | None
    start_ns: int
    end_ns: int | None
    ended: bool
    status: Status
    attributes: dict[str, Any]
    events: tuple[Moment, ...]
    resource: dict[str, Any]
    capture: Context


class Tool(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call of a tool, with the statuses that are right."""

    name: str
    status: tuple[str, ...]
    visible: bool = True
    status_visible: bool = True
    never_ended: bool = False


class Truth(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the program did. Of statuses and errors any of several may be right; what no span shows is not visible."""

    status: tuple[str, ...]
    error_type: tuple[str | None, ...]
    agent_names: tuple[str, ...]
    tools: tuple[Tool, ...]
    input_tokens: int
    output_tokens: int
    run_span_ids: tuple[str, ...]
    not_run_span_ids: tuple[str, ...]
    workflow_names: tuple[str, ...] = ()
    handoffs: tuple[dict[str, str], ...] = ()
    cost_usd: float | None = None
    tokens_visible: bool = True
    agents_visible: bool = True
    status_visible: bool = True
    error_type_visible: bool = True


class Run(msgspec.Struct, frozen=True):
    """One run of a program; `name` is framework, instrumentation and case."""

    name: str
    what_happened: str
    is_certain: bool
    truth: Truth
    rows: tuple[Row, ...]

    @property
    def group(self) -> str:
        """The conventions by which its spans are read."""
        found = {_convention_of(row) for row in self.rows} - {""}
        return " + ".join(sorted(found)) or "none"


def _convention_of(row: Row) -> str:
    span = FinishedSpan("", None, None, 0, 0, row.attributes, None, None, name=row.name, scope=row.scope.name)
    return next((known.name for known in CONVENTIONS if known.matches(span)), "")


@functools.cache
def load_runs(path: Path) -> tuple[Run, ...]:
    """Return all runs of a file."""
    with lzma.open(path, "rb") as file:
        return tuple(msgspec.json.Decoder(Run).decode_lines(file.read()))
