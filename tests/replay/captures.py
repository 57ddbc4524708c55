"""The recorded runs: the spans as frameworks and their instrumentation made them, and what really happened.

`captures.jsonl.xz` has one run a line; `python -m tools.captures` made it. No model was asked: each call that a run says
nothing else about used 100 tokens, of them 40 from a cache, and 20 for the answer.
"""

from __future__ import annotations

import functools
import lzma
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["FILE", "Context", "Moment", "Row", "Run", "Scope", "Status", "Tool", "Truth", "load_runs"]

FILE = Path(__file__).with_name("captures.jsonl.xz")


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
        """Framework and instrumentation."""
        return "-".join(self.name.split("-")[:2])


@functools.cache
def load_runs() -> tuple[Run, ...]:
    """Return all runs."""
    with lzma.open(FILE, "rb") as file:
        return tuple(msgspec.json.Decoder(Run).decode_lines(file.read()))
