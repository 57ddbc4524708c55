"""From one span to its event: which convention, what kind, how it ended, what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_feedback import semconv
from otel_feedback.convert.amounts import Intervals
from otel_feedback.convert.content import read_content
from otel_feedback.convert.conventions.own import OwnConvention
from otel_feedback.convert.costs import priced_own
from otel_feedback.convert.doubles import Doubles, call_of
from otel_feedback.convert.evaluations import read_evaluations
from otel_feedback.convert.foreign import provider_of, to_event
from otel_feedback.convert.guesses import Guesses
from otel_feedback.convert.node import Guess, Node
from otel_feedback.convert.pricing import Price
from otel_feedback.convert.reading import CallUsage, Reading
from otel_feedback.convert.rollup import Said
from otel_feedback.convert.rules import Rules
from otel_feedback.convert.shapes import LOGFIRE_TYPE, Shapes
from otel_feedback.convert.span import Convention, FinishedSpan
from otel_feedback.convert.status import ABANDONED, NO_ANSWER, OTHER, Judgement, judge
from otel_feedback.convert.usage import normalise
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus, Severity
from otel_feedback.sdk.compat.held import attributes_of

__all__ = ["FAILED", "Reader", "pass_on"]

FAILED = frozenset({OutcomeStatus.FAILURE, OutcomeStatus.TIMEOUT})
_CALLS = frozenset({"llm", "embedding"})


class Reader:
    """Reads spans by the conventions, and notes on their nodes what others need of it. Not thread-safe.

    Args:
        conventions: Asked in this order, after our own; the first that matches reads the span, and no other.
    """

    def __init__(self, conventions: tuple[Convention, ...], rules: Rules) -> None:
        self._conventions = conventions
        self._markers = frozenset({semconv.OUTCOME_ACTION_TYPE}).union(*(known.markers for known in conventions))
        self._rules = rules
        self._guesses = Guesses(conventions)
        self.shape_of = Shapes(conventions, self._markers).of
        """Give what the names of attributes tell."""
        self.own = OwnConvention()
        self.doubles = Doubles()

    def is_marked(self, attributes: Mapping[str, Any]) -> bool:
        """Tell whether a convention may have something to say of these attributes. One pass, in C."""
        return not attributes.keys().isdisjoint(self._markers)

    def look(self, live: Any, scope: str) -> Guess | None:
        """Tell what an open span seems to be."""
        if live is None:
            return None
        held, name = attributes_of(live), live.name
        if not self.is_marked(held):
            return None
        attributes = held.copy()  # another thread may be setting some
        key = self._guesses.key_of(attributes, name, scope)
        guess = None if key is None else self._guesses.get(key)
        if guess is not None:
            return guess
        span = FinishedSpan("", None, None, 0, 0, attributes, None, None, name=name, scope=scope)
        try:
            reading = next(known.read(span) for known in self._conventions if known.matches(span))
        except Exception:  # none matches, or a user's raises, which is told when the span ends
            return None
        kind = "step" if reading.kind == "chain" else reading.kind
        guess = Guess(kind in self._rules.kinds, kind == "agent", reading.agent_name, reading.kind == "chain")
        if key is not None:
            self._guesses.put(key, guess)
        return guess

    def read(self, span: FinishedSpan) -> Reading | None:
        """Return what the span says, by the first convention that knows it."""
        if span.attributes.get(LOGFIRE_TYPE) != "pending_span":  # Logfire's own copy of a span that is open
            for convention in self._conventions:
                if convention.matches(span):
                    return convention.read(span)
        return None

    def convert(
        self, node: Node, span: FinishedSpan, above: Node | None, reading: Reading | None = None
    ) -> OutcomeEvent | None:
        """Return the event of the span; None where it is no action. Fill in what others need of it.

        Of an action of our own it is the event of the span alone. `reading`: what the span says, where it was read before.
        """
        node.summed = None
        if reading is None:
            if semconv.OUTCOME_ACTION_TYPE in span.attributes:
                return self._convert_own(node, span)
            reading = self.read(span)
            if reading is None:
                pass_on(node)
                return None
        return self._convert_foreign(node, span, reading, above)

    def _convert_own(self, node: Node, span: FinishedSpan) -> OutcomeEvent:
        event = priced_own(self.own.to_event(span), self._rules.price)
        self.note_own(node, event, event.llm_calls or 0)
        return event

    def note_own(self, node: Node, event: OutcomeEvent, calls: int) -> None:
        """Note what others need of an action that says itself what it is, and that it made so many model calls itself."""
        node.own, node.kind = True, "own"
        node.said_place = event.parent_event_id, event.root_event_id, event.depth
        node.name = event.agent_name
        if event.own_tokens is not None or event.own_cost is not None or calls or event.llm_latency_ms:
            node.said = Said(
                event.own_tokens,
                event.own_cost,
                CallUsage.CALL,
                False,
                calls,
                event.llm_latency_ms or 0.0,
            )

    def _convert_foreign(
        self, node: Node, span: FinishedSpan, reading: Reading, above: Node | None
    ) -> OutcomeEvent | None:
        if reading.kind == "chain":
            # one that was given up when nothing above it was known has an event already
            reading.kind = "workflow" if above is None or node.event is not None else "step"
        if reading.kind == "agent" and self._is_wrapper(node, reading):
            reading.kind = "workflow"
        node.kind = reading.kind
        node.name = reading.agent_name
        if reading.kind not in ("agent", "workflow") and reading.agent_name is None:
            reading.agent_name = node.agent
        if self._rules.content:
            reading.metadata = {**reading.metadata, **read_content(span.attributes, reading.kind, self._rules.content)}
        evaluated = read_evaluations(span.attributes, span.events)
        if evaluated is not None:
            reading.quality_score = evaluated.quality_score
            reading.metadata = {**reading.metadata, **evaluated.metadata}
        reading.provider = provider_of(reading.provider)
        if reading.usage is not None:
            reading.usage = normalise(reading.usage, reading.total_tokens, is_beside=reading.is_cache_beside)
        judged = self._judge(node, span, reading, is_root=above is None)
        node.is_told = judged.is_told
        is_action = reading.kind in self._rules.kinds
        node.is_call = reading.kind in _CALLS
        if reading.kind == "tool" and is_action and node.event is None:
            is_action = self._is_first(node, span, reading, judged)
        elif node.is_call and is_action and not span.never_ended:
            node.call = call_of(node, span, reading)
        if not span.never_ended:  # it may still end, and is noted then
            self._note_for_parents(node, reading, judged, is_action=is_action)
        price = self._note_usage(node, span, reading, judged, is_action=is_action)
        if reading.kind == "llm" and not span.never_ended:
            if node.intervals is None:
                node.intervals = Intervals(span.start_ns, span.end_ns)
            else:
                node.intervals.add(span.start_ns, span.end_ns)
        return to_event(node, span, reading, judged, price) if is_action else None

    def _is_first(self, node: Node, span: FinishedSpan, reading: Reading, judged: Judgement) -> bool:
        """Tell whether no other span has recorded, or records in the process that called, this call of a tool."""
        live = node.live
        if ("mcp.method.name" in span.attributes or "mcp" in span.scope) and live is not None:
            caller = live.parent
            if node.parent is None and caller is not None and caller.is_remote:
                return False
        call = call_of(node, span, reading)
        call.of, call.judged = self.doubles.find(call), None if span.never_ended else judged
        node.call = call
        return call.of is None

    def _judge(self, node: Node, span: FinishedSpan, reading: Reading, *, is_root: bool) -> Judgement:
        """Return how the span ended: by its own word, else by that of the spans below it."""
        judged = judge(span, reading, is_root=is_root)
        if (
            not judged.is_told
            and node.last_agent is not None
            and _is_told_by_parts(reading.kind, node.last_agent.status)
        ):
            judged = node.last_agent
        if (
            judged.note in (ABANDONED, NO_ANSWER)
            and node.amounts is not None
            and node.amounts.calls
            and node.last_below
        ):
            judged = node.last_below  # the same call was recorded below it, with more to say
        last: Judgement | None = node.last_below
        if judged.error_type == OTHER and last is not None and last.status is judged.status:
            judged = judged._replace(error_type=last.error_type, message=judged.message or last.message)
        if not span.never_ended:
            return judged
        judged = self._judge_never_ended(node)
        if node.parent is not None and judged.status in FAILED:
            node.parent.last_below = judged
        return judged

    def _note_usage(
        self, node: Node, span: FinishedSpan, reading: Reading, judged: Judgement, *, is_action: bool
    ) -> Price | None:
        """Note what the span says that it used, and what that cost; return the price, where that is ours."""
        price: Price | None = None
        usage = reading.usage
        tokens = None if usage is None else (usage.input or 0) + (usage.output or 0)
        if tokens is None:
            tokens = reading.total_tokens
        if tokens is not None or reading.cost is not None or node.is_call:
            cost = reading.cost
            if cost == 0 and tokens is None:  # of no tokens that anybody knows of
                cost = None
            if cost is None and usage is not None and is_action and self._rules.price is not None:
                price = self._rules.price(reading.model, reading.provider, usage, span.end_ns)
                cost = None if price is None else price.usd
            usage_of = reading.usage_of if not node.is_call else CallUsage.CALL
            is_whole = judged.note not in (ABANDONED, NO_ANSWER)
            node.said = Said(tokens, cost, usage_of, price is not None, usage=usage, is_whole=is_whole)
        return price

    def _is_wrapper(self, node: Node, reading: Reading) -> bool:
        """Tell whether what calls itself an agent only runs one: it has no name of its own, or the same."""
        below = node.agents_below
        return bool(below) and (reading.may_be_wrapper or reading.agent_name is None or reading.agent_name in below)  # type: ignore[operator]

    def _judge_never_ended(self, node: Node) -> Judgement:
        root, last = node.run.root, node.last_below
        if last is not None and last.status in FAILED:  # by the same error, for all that can be seen
            return last._replace(note="the span never ended")
        event = None if root is None or root is node or not root.is_ended else root.event
        if event is not None and event.status is OutcomeStatus.SUCCESS:
            return Judgement(OutcomeStatus.PENDING, Severity.WARNING, note="the span was open when its root ended")
        return Judgement(OutcomeStatus.CANCELLED, Severity.WARNING, note="the span never ended")

    def _note_for_parents(self, node: Node, reading: Reading, judged: Judgement, *, is_action: bool) -> None:
        if reading.kind == "agent":
            node.agents_below = frozenset({reading.agent_name})
        elif reading.kind == "tool":
            node.agents_below = None  # an agent that a tool asks is not what the tool's agent wraps
        if node.parent is None:
            return
        parent = node.parent
        parent.last_below = judged
        if is_action:
            parent.child_errors += judged.status in FAILED
        else:
            parent.child_errors += node.child_errors
        _pass_on_agents(node)
        is_answered = parent.is_call and parent.said is not None and parent.said.usage is not None
        node.is_broken_off = judged.note in (ABANDONED, NO_ANSWER) and parent.is_ended and not is_answered
        if reading.kind == "agent" or judged.status is OutcomeStatus.PENDING:
            parent.last_agent = judged
        elif not is_action and node.last_agent is not None:
            parent.last_agent = node.last_agent


def pass_on(node: Node) -> None:
    """Give the parent what stands below a span that is nothing it"""
    parent = node.parent
    if parent is not None:
        parent.child_errors += node.child_errors
        _pass_on_agents(node)
        if node.last_agent is not None:
            parent.last_agent = node.last_agent


def _pass_on_agents(node: Node) -> None:
    parent = node.parent
    if node.agents_below and parent is not None:
        known = parent.agents_below
        parent.agents_below = node.agents_below if known is None or len(known) > 8 else known | node.agents_below


def _is_told_by_parts(kind: str, status: OutcomeStatus) -> bool:
    """Tell whether what says nothing of its own end ended as its last agent did, or waits as a part of it does."""
    if status is OutcomeStatus.PENDING:
        return kind in ("agent", "workflow", "step")
    return kind == "workflow" and status is not OutcomeStatus.SUCCESS
