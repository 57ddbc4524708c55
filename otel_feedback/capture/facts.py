"""What an action knows of itself, and what it leaves when it ends: once, directly, and of nothing but this.

Everything in it was cleaned, limited and freed of secrets when it was said. Threads: usage is summed up under a lock that
all actions share; the rest belongs to whoever starts and ends the action.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from threading import get_ident
from time import thread_time_ns
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource

from otel_feedback import semconv
from otel_feedback.capture.declaration import Declaration
from otel_feedback.capture.ending import SUCCESS, Ending, ErrorInfo, judge
from otel_feedback.capture.resources import resident_memory
from otel_feedback.capture.runtime import Recorder
from otel_feedback.capture.said import LATER, Said, usage_lock
from otel_feedback.capture.told import Told
from otel_feedback.events.ended import Failure
from otel_feedback.events.model import MetadataValue
from otel_feedback.events.usage import Usage
from otel_feedback.sdk.compat.contexts import Ids
from otel_feedback.sdk.spans import LazySpan

__all__ = ["NOTHING", "Facts"]


class Facts(Said):
    """What is known of one action: by its declaration, by where it stands, and by what its agent said."""

    # those that are known when it begins stand first: they are given by position, in one step, in C
    event_id: str = ""
    """32 hex digits of the trace id and 16 of the span id; random where no SDK gives ids."""
    ids: Ids = (0, 0)
    has_ids: bool = True  # False where trace and span id are those of the span around it, or none
    is_sampled: bool = False
    depth: int = 0
    root_event_id: str = ""
    partition_key: str = ""
    start_ns: int = 0
    started: dict[str, Any] = LATER
    """The attributes that its span began with."""
    in_tree: bool = False  # True where others' spans are around it, whose sums and places are to be kept
    _declared: Declaration = LATER
    _identity: Mapping[str, Any] = LATER
    _parent: Facts | None = None
    _resource: Resource | None = None
    _span: trace.Span = LATER
    lazy: LazySpan | None = None  # the same, where it is one
    _around: Context | None = None
    _thread: int = 0

    end_ns: int = 0
    ending: Ending | None = None  # after the end, also where nobody makes an event of it
    error: ErrorInfo | None = None
    has_place: bool = False  # True where others' spans above decide what is above it
    open_below: dict[str, Facts | None] | None = None  # guarded by usage_lock() where it is changed
    """The actions right below that were open when this one was summed up, or are now; None for one that the tree has seen end."""
    _noted: dict[str, Any] | None = None
    _is_summed: bool = False  # what is used below from now on comes too late for its event; guarded by usage_lock()
    _cpu_start_ns: int = 0
    _mono_start_ns: int = 0

    @property
    def identity(self) -> Mapping[str, Any]:
        """The identifiers that actions below inherit, by attribute."""
        return self._identity

    @property
    def parent(self) -> Facts | None:
        """The action above."""
        return self._parent

    @property
    def used_below(self) -> tuple[int | None, int | None, float | None] | None:
        """Model calls, tokens and cost of the actions below that have ended, those with a place in the tree left out."""
        below = None if self._usage is None else self._usage.below_alone
        return None if below is None else (below.calls, below.tokens, below.cost)

    @property
    def own_calls(self) -> int:
        """Model calls of the action itself."""
        return 0 if self._usage is None else self._usage.calls or 0

    def note(self, attributes: Mapping[str, Any]) -> None:
        """Take attributes that whoever drives the action knows better, such as the duration of its last attempt."""
        if not self._ended:
            self._noted = {**(self._noted or {}), **attributes}

    def _judge(self, exc: BaseException | None, elapsed_ns: int) -> tuple[Ending, str | None]:
        deadline_ns = self._declared.deadline_ns
        forced = self._forced
        ending, error, reason = (SUCCESS, None, None) if forced is None else forced
        if exc is not None or (deadline_ns is not None and elapsed_ns >= deadline_ns):
            found, raised, told = judge(
                exc, self._notes(), is_root=self.depth == 0, elapsed_ns=elapsed_ns,
                deadline_ns=None if forced is not None else deadline_ns,
            )  # fmt: skip
            if forced is None:
                ending = found
            if error is None and raised is not None:
                error = self._without_secrets(raised)
            if told:
                self._metadata = {**self._metadata, **told}
        self.ending, self.error = ending, error
        return ending, reason

    def _price(self, usage: Usage, recorder: Recorder | None) -> tuple[str, str | None] | None:
        """Find what the model calls cost, which nobody has said; return where the price is from: source and version."""
        if recorder is None or usage.model is None:
            return None
        given, gotten = usage.input, usage.output
        known = recorder.rates.get((usage.provider, usage.model))
        if known is not None and given is not None and gotten is not None and not (usage.cached or usage.reasoning):
            input_usd, output_usd, usd, origin = known
            usd += (given * input_usd + gotten * output_usd) / 1e6
        else:
            priced = None if recorder.price is None else recorder.price(usage.model, usage.provider, usage, self.end_ns)
            if priced is None:
                return None
            usd, origin = priced.usd, _origin_of(priced.source, priced.version)
        # a third of the time that round() takes; beyond that sum a float has no twelve digits to cut
        usage.priced = int(usd * 1e12 + 0.5) / 1e12 if usd < MOST_CUT_USD else round(usd, 12)
        return origin

    def _sum_up(self) -> None:
        """Let the action above count what was used here, and take nothing more from below."""
        parent, usage = self._parent, self._usage
        with usage_lock():
            self._is_summed = True
            if parent is None:
                return
            siblings = parent.open_below
            if parent._is_summed:  # too late: the tree sees to it, if it is one of those that were open then
                self.in_tree = self.in_tree or (siblings is not None and self.event_id in siblings)
                return
            if siblings is not None:
                siblings.pop(self.event_id, None)
            if usage is not None:
                if parent._usage is None:
                    parent._usage = Usage()
                parent._usage.absorb(usage, is_alone=not (self.in_tree or self.open_below))

    def _left(
        self,
        ending: Ending,
        metadata: dict[str, MetadataValue],
        recorder: Recorder | None,
        end_ns: int | None,
        origin: tuple[str, str | None] | None = None,
        failure: Failure | None = None,
        reason: str | None = None,
    ) -> Told:
        """Return what the event is made of, and what is told of it; without an end it is under way."""
        service = None
        if recorder is not None:
            resource, service = recorder.service
            if resource is not self._resource:
                service = recorder.service_name(self._resource)
        declared, tags = self._declared, self._tags
        cpu_ns = memory_mb = is_complete = None
        if end_ns is not None:
            is_complete = not self.open_below
            if self._thread == get_ident():
                cpu_ns = thread_time_ns() - self._cpu_start_ns
            is_due = self._mono_start_ns + end_ns - self.start_ns >= resident_memory.due_ns  # nearly never
            memory_mb = resident_memory.megabytes() if is_due else resident_memory.newest
        return Told(  # by position: in the order of its fields
            self.event_id, self.has_ids, self.started, self.start_ns, end_ns, ending.status, ending.severity, service,
            self._usage, is_complete, cpu_ns, memory_mb, self._quality, self._confidence,
            None if metadata is declared.metadata or metadata is NOTHING else metadata,
            None if tags is self.started.get(semconv.OUTCOME_TAGS, ()) else tags,
            origin, failure, reason, self._noted,
        )  # fmt: skip


@lru_cache(maxsize=64)
def _origin_of(source: str, version: str | None) -> tuple[str, str | None]:
    return source, version  # the same for all, so that the garbage collector has less to look at


NOTHING: dict[str, Any] = {}
MOST_CUT_USD = 1_000.0
