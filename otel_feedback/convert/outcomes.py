"""From spans that start and end to outcome events: what a span says of itself, and what the spans around it add.

    span ends ──► convention ──► Reading ──► judge ──► event ──┬──► emitted at once
                                                 tree ─────────┘      and again, with a higher revision, when a span
                                                                      that ends later adds to it or corrects it

One lock. A span that ends in a signal handler or finaliser, in the middle of this very code on the same thread, is put
aside and converted when the interrupted one is done. Nothing here raises for what a span carries.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from otel_feedback import semconv
from otel_feedback.convert.amounts import Amounts, Intervals
from otel_feedback.convert.content import read_content
from otel_feedback.convert.doubles import Doubles
from otel_feedback.convert.evaluations import read_evaluations
from otel_feedback.convert.foreign import to_event
from otel_feedback.convert.own import OwnConvention
from otel_feedback.convert.pricing import Price
from otel_feedback.convert.reading import CallUsage, Reading
from otel_feedback.convert.span import Convention, FinishedSpan
from otel_feedback.convert.status import ABANDONED, NO_ANSWER, OTHER, Judgement, judge, tail
from otel_feedback.convert.tree import MAX_WAITING, Guess, Node, Tree
from otel_feedback.convert.usage import TokenUsage, normalise
from otel_feedback.convert.values import plain
from otel_feedback.events.model import SEVERITY_OF, OutcomeEvent, OutcomeStatus, Severity

__all__ = ["DEFAULT_KINDS", "OPTIONAL_KINDS", "Addition", "Emitted", "Ended", "Outcomes", "Rules", "priced_own"]

logger = logging.getLogger(__name__)

_LOGFIRE_TYPE = "logfire.span_type"

DEFAULT_KINDS = frozenset(
    {"agent", "workflow", "tool", "llm", "embedding", "retrieval", "plan", "handoff", "guardrail"}
)
OPTIONAL_KINDS = ("step", "agent_create", "memory", "evaluation", "fetch")
"""Kinds that become events where a setting says so."""

MOST_ENDED = 128
"""Spans that are known to have ended, so that one that two processors see is recorded once."""

MOST_RECENT = 1_000
"""Spans that have ended and that are found by what is said of them afterwards."""

Emit = Callable[[OutcomeEvent, str, bool], OutcomeEvent | None]
"""Takes an event with its partition key, and whether its trace is sampled; returns it as it was recorded."""
_FAILED = frozenset({OutcomeStatus.FAILURE, OutcomeStatus.TIMEOUT})
_CALLS = frozenset({"llm", "embedding"})


Pricing = Callable[["str | None", "str | None", TokenUsage, int], "Price | None"]
"""(model, provider, usage, when in ns) to a price; None where nobody knows."""


class Rules(NamedTuple):
    """What is wanted of the conversion.

    `kinds` of other people's spans become events; `price` says what a model call cost; `content` names what may be read
    of prompts, answers and tools; the user's `conventions` are asked before the others; a span that is open for `open_s`
    seconds is given up.
    """

    kinds: frozenset[str] = DEFAULT_KINDS
    price: Pricing | None = None
    content: tuple[str, ...] = ()
    conventions: tuple[Convention, ...] = ()
    open_s: float = 3_600.0


class Ended(NamedTuple):
    """Which span has ended; `cause_id` is `id()` of the exception that is passing through, or 0.

    `key` is the partition key, where an action has frozen it.
    """

    trace_id: int
    span_id: int
    cause_id: int
    sampled: bool
    key: str | None


class Emitted(NamedTuple):
    """An event that is ready."""

    event: OutcomeEvent
    key: str
    sampled: bool


class Addition(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What somebody says of an action beside its span."""

    quality_score: float | None = None
    error_type: str | None = None
    error_message: str | None = None
    stack_trace: str | None = None
    metadata: Mapping[str, Any] = {}


class Said(NamedTuple):
    """What a span says that it used."""

    tokens: int | None
    cost: float | None
    usage_of: str
    is_priced: bool = False
    calls: int = 0
    llm_ms: float = 0.0


class Outcomes:
    """Turns spans into events; keeps what is needed of those that are open. Thread-safe.

    Args:
        emit: Takes the events.
        conventions: Asked in this order, after our own; the first that matches reads the span, and no other.
    """

    def __init__(self, emit: Emit, conventions: Iterable[Convention], rules: Rules) -> None:
        self._emit = emit
        self._conventions = (*rules.conventions, *conventions)
        self._markers = frozenset({semconv.OUTCOME_ACTION_TYPE}).union(*(known.markers for known in self._conventions))
        self.rules = rules
        self._own = OwnConvention()
        self._lock = threading.RLock()
        self._owner = 0  # the thread that holds the lock, or 0
        self._aside: deque[Callable[[], object]] = deque()
        self._is_catching_up = False
        self._ended: dict[int, int] = {}  # the latest spans that ended; guarded by self._lock
        self._recent: dict[int, Node] | None = None  # those with the newest events; guarded by self._lock
        self._tree = Tree(self._look, self._give_up)
        self._doubles = Doubles()
        self._ready: list[Emitted] = []  # guarded by self._lock
        self._changed: dict[int, Node] = {}  # nodes to be revised, by id(); guarded by self._lock

    def is_marked(self, attributes: Mapping[str, Any]) -> bool:
        """Tell whether a convention may have something to say of these attributes. One pass, in C."""
        return not self._markers.isdisjoint(attributes)

    # -- a span starts -------------------------------------------------------------------------------------

    def begin(
        self, trace_id: int, span_id: int, parent_id: int, scope: str, start_ns: int, live: Any, cause_id: int
    ) -> None:
        """Take a span that has started.

        Args:
            parent_id: The span above, of this process; 0 for none.
            live: The span, which has `attributes`; it is asked what it is while it is open.
            cause_id: `id()` of the exception that is passing through, or 0.
        """
        if self._owner == threading.get_ident():
            self._aside.append(lambda: self.begin(trace_id, span_id, parent_id, scope, start_ns, live, cause_id))
            return
        attributes = plain(live.attributes)
        with self._lock:
            self._owner = threading.get_ident()
            try:
                parent = self._tree.find(trace_id, parent_id) if parent_id else None
                self._ended.pop(span_id, None)
                if not semconv.INFRASTRUCTURE_MARKERS.isdisjoint(attributes) and not self.is_marked(attributes):
                    if parent is not None:
                        self._tree.pass_over(span_id, parent)
                else:
                    node = self._tree.begin(trace_id, span_id, parent, scope, start_ns, live)
                    node.cause_id = cause_id
                    if semconv.OUTCOME_ACTION_TYPE in attributes:
                        self._note_own(node, attributes)
                    self._revise()
            finally:
                ready, self._ready, self._owner = self._ready, [], 0
        if ready or self._aside:
            self._hand_out(ready)

    def _note_own(self, node: Node, attributes: Mapping[str, Any]) -> None:
        node.own = True
        node.identity = attributes
        node.guess = Guess(True, False, None)
        node.is_action = True
        name = attributes.get(semconv.GEN_AI_AGENT_NAME)
        node.name = name if isinstance(name, str) else None
        run_id = attributes.get(semconv.OUTCOME_RUN_ID)
        if isinstance(run_id, str):
            node.key = run_id

    def _look(self, live: Any, scope: str) -> Guess | None:
        """Tell what an open span seems to be."""
        if live is None:
            return None
        attributes = plain(live.attributes)
        if not self.is_marked(attributes):
            return None
        span = FinishedSpan("", None, None, 0, 0, attributes, None, None, name=live.name, scope=scope)
        try:
            reading = next(known.read(span) for known in self._conventions if known.matches(span))
        except Exception:  # none matches, or a user's raises, which is told when the span ends
            return None
        kind = "step" if reading.kind == "chain" else reading.kind
        return Guess(kind in self.rules.kinds, kind == "agent", reading.agent_name, reading.kind == "chain")

    # -- a span ends ---------------------------------------------------------------------------------------

    def end(self, ended: Ended, attributes: Mapping[str, Any], make: Callable[[], FinishedSpan]) -> OutcomeEvent | None:
        """Take a span that has ended; return its event, if it has one.

        Args:
            attributes: Of the span, as they are.
            make: Gives what is to be read of the span; called only where that may be something.
        """
        if self._owner == threading.get_ident():
            self._aside.append(lambda: self.end(ended, attributes, make))
            return None
        trace_id, span_id, cause_id, sampled, key = ended
        event: OutcomeEvent | None = None
        with self._lock:
            self._owner = threading.get_ident()
            try:
                node = self._tree.find(trace_id, span_id)
                if node is not None and node.span_id != span_id:  # it was passed over
                    self._tree.end_passed_over(span_id)
                    node = None
                if node is None and self._ended.get(span_id) == trace_id:
                    pass  # two processors on one provider
                elif self.is_marked(attributes):
                    span = make()
                    if node is None:
                        node = Node(trace_id, span_id, None, span.scope, span.start_ns, None)  # it began before we did
                    if cause_id in (0, node.cause_id):
                        span.in_flight = None
                    if key is not None:
                        node.key = key
                    node.sampled = sampled
                    event = self._end(node, span)
                    self._note_ended(trace_id, span_id)
                elif node is not None:
                    self._end(node, None)
            finally:
                ready, self._ready, self._owner = self._ready, [], 0
        return self._hand_out(ready, event)

    def _note_ended(self, trace_id: int, span_id: int) -> None:
        self._ended[span_id] = trace_id
        if len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]

    def _hand_out(self, ready: list[Emitted], awaited: OutcomeEvent | None = None) -> OutcomeEvent | None:
        """Emit what is ready, with no lock held; return the awaited one as it was taken. Then see to what was put aside."""
        taken: OutcomeEvent | None = None
        for event, key, sampled in ready:
            recorded = self._emit(event, key, sampled)
            if event is awaited:
                taken = recorded
        if self._aside:
            self._catch_up()
        return taken

    def _catch_up(self) -> None:
        """See to what was put aside. Not in the middle of doing so: each may put another one aside, without end."""
        while self._aside and not self._is_catching_up:
            self._is_catching_up = True
            try:
                while self._aside:
                    self._aside.popleft()()
            except IndexError:  # another thread was as quick
                pass
            except Exception:  # of another span than the one that the caller is at
                logger.exception("a span that was put aside could not be converted")
            finally:
                self._is_catching_up = False

    def _end(self, node: Node, span: FinishedSpan | None) -> OutcomeEvent | None:
        above = self._tree.above(node)
        self._move(node, above)
        try:
            event = None if span is None else self._convert(node, span, above)
        except Exception:
            self._tree.end(node)
            raise
        if span is None:
            self._pass_on(node)
        node.is_action = event is not None
        if event is not None and node.event is not None:  # it had been given up, or its end came twice
            event = msgspec.structs.replace(event, revision=node.event.revision + 1)
        if span is not None:
            node.event_id = span.event_id
        self._tree.end(node)
        if event is not None:
            event = node.event = self._with_others(node, event)
            if node.additions:
                event = node.event = _added(event, node.additions)
            self._ready.append(Emitted(event, node.key, node.sampled))
            if self._recent is not None:
                self._keep(node)
        self._pass_up(node)
        if node.is_call and node.said is not None and span is not None:
            self._match_double(node, span, event)
        self._tell_waiting(node)
        self._wait(node)
        if node.parent is None and node.run.open:
            self._close_run(node)
        self._revise()
        return event

    # -- what it says --------------------------------------------------------------------------------------

    def _convert(self, node: Node, span: FinishedSpan, above: Node | None) -> OutcomeEvent | None:
        """Return the event of the span alone; None where it is no action. Fill in what others need of it."""
        if semconv.OUTCOME_ACTION_TYPE in span.attributes:
            return self._convert_own(node, span)
        for convention in self._conventions:
            if span.attributes.get(_LOGFIRE_TYPE) == "pending_span":  # Logfire's own copy of a span that is open
                break
            if convention.matches(span):
                return self._convert_foreign(node, span, convention.read(span), above)
        self._pass_on(node)
        return None

    def _convert_own(self, node: Node, span: FinishedSpan) -> OutcomeEvent:
        said = self._own.to_event(span)
        event = priced_own(said, self.rules.price)
        node.own, node.kind = True, "own"
        node.said_place = event.parent_event_id, event.root_event_id, event.depth
        node.name = event.agent_name
        if event.own_tokens is not None or event.own_cost is not None or event.llm_calls or event.llm_latency_ms:
            node.said = Said(
                event.own_tokens, event.own_cost, CallUsage.CALL, event is not said, event.llm_calls or 0,
                event.llm_latency_ms or 0.0,
            )  # fmt: skip
        return event

    def _priced(self, event: OutcomeEvent, usage: TokenUsage, when_ns: int) -> tuple[OutcomeEvent, float | None]:
        price = None if self.rules.price is None else self.rules.price(event.model, event.provider, usage, when_ns)
        return (event, None) if price is None else (_with_source(event, price), price.usd)

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
        if self.rules.content:
            reading.metadata = {**reading.metadata, **read_content(span.attributes, reading.kind, self.rules.content)}
        evaluated = read_evaluations(span.attributes, span.events)
        if evaluated is not None:
            reading.quality_score = evaluated.quality_score
            reading.metadata = {**reading.metadata, **evaluated.metadata}
        if reading.usage is not None:
            reading.usage = normalise(reading.usage, reading.total_tokens)
        judged = judge(span, reading, is_root=above is None)
        if not judged.is_told and node.last_agent is not None and _is_told_by_parts(reading.kind, node.last_agent):
            judged = self._judge_by_agent(node, judged)
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
        if span.never_ended:
            judged = self._judge_never_ended(node)
        node.is_told = judged.is_told
        is_action = reading.kind in self.rules.kinds
        node.is_call = reading.kind in _CALLS
        if not span.never_ended:  # it may still end, and is noted then
            self._note_for_parents(node, reading, judged, is_action=is_action)
        event = to_event(span, reading, judged, node.identity) if is_action else None
        usage = reading.usage
        tokens = None if usage is None else (usage.input or 0) + (usage.output or 0)
        if tokens is None:
            tokens = reading.total_tokens
        if tokens is not None or reading.cost is not None or node.is_call:
            cost, is_priced = reading.cost, False
            if cost == 0 and tokens is None:  # of no tokens that anybody knows of
                cost = None
            if cost is None and usage is not None and event is not None:
                event, cost = self._priced(event, usage, span.end_ns)
                is_priced = cost is not None
            usage_of = reading.usage_of if not node.is_call else CallUsage.CALL
            node.said = Said(tokens, cost, usage_of, is_priced)
        if reading.kind == "llm" and not span.never_ended:
            node.intervals = node.intervals or Intervals()
            node.intervals.add(span.start_ns, span.end_ns)
        return event

    def _is_wrapper(self, node: Node, reading: Reading) -> bool:
        """Tell whether what calls itself an agent only runs one: it has no name of its own, or the same."""
        below = node.agents_below
        return bool(below) and (reading.may_be_wrapper or reading.agent_name is None or reading.agent_name in below)  # type: ignore[operator]

    def _judge_by_agent(self, node: Node, judged: Judgement) -> Judgement:
        """A workflow that says nothing of its end, not even by an exception, ended as its last agent did."""
        status = node.last_agent or judged.status
        last = None if node.family is None else node.family[-1].event
        if last is None:
            return Judgement(status, SEVERITY_OF[status])
        return Judgement(status, last.severity, last.error_type, last.error_message, last.stack_trace)

    def _judge_never_ended(self, node: Node) -> Judgement:
        root = node.run.root
        is_over = (
            root is node or not root.is_ended or root.event is None or root.event.status is not OutcomeStatus.SUCCESS
        )
        last: Judgement | None = node.last_below
        if is_over and last is not None and last.status in _FAILED:  # by the same error, for all that can be seen
            return last._replace(note="the span never ended")
        if is_over:
            return Judgement(OutcomeStatus.CANCELLED, Severity.WARNING, note="the span never ended")
        return Judgement(OutcomeStatus.PENDING, Severity.WARNING, note="the span was open when its root ended")

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
            parent.child_errors += judged.status in _FAILED
        else:
            parent.child_errors += node.child_errors
        self._pass_on_agents(node)
        if judged.note in (ABANDONED, NO_ANSWER) and parent.is_ended:
            self._abandon(parent, judged)
        if reading.kind == "agent" or judged.status is OutcomeStatus.PENDING:
            parent.last_agent, parent.family = judged.status, [node]
        elif not is_action and node.last_agent is not None:
            parent.last_agent, parent.family = node.last_agent, node.family

    def _abandon(self, ended: Node, judged: Judgement) -> None:
        """A stream was given up whose consumers had ended before it, as generators do that are closed from outside."""
        current: Node | None = ended
        while current is not None and current.is_ended and not current.is_told:
            event = current.event
            if event is not None and event.status is OutcomeStatus.SUCCESS:
                current.event = msgspec.structs.replace(
                    event, status=judged.status, severity=judged.severity, error_type=judged.error_type,
                    revision=event.revision + 1, metadata={**event.metadata, semconv.METADATA_STATUS_REASON: ABANDONED},
                )  # fmt: skip
                self._ready.append(Emitted(current.event, current.key, current.sampled))
            current = current.parent

    def _pass_on(self, node: Node) -> None:
        """Give the parent what stands below a span that is nothing itself."""
        parent = node.parent
        if parent is not None:
            parent.child_errors += node.child_errors
            self._pass_on_agents(node)
            if node.last_agent is not None:
                parent.last_agent, parent.family = node.last_agent, node.family

    @staticmethod
    def _pass_on_agents(node: Node) -> None:
        parent = node.parent
        if node.agents_below and parent is not None:
            known = parent.agents_below
            parent.agents_below = node.agents_below if known is None or len(known) > 8 else known | node.agents_below

    # -- what the others add -------------------------------------------------------------------------------

    def _own_amounts(self, node: Node) -> tuple[Amounts, int | None, float | None]:
        """Return what counts as used by the span itself, and its tokens and cost for the event."""
        own, said, below = Amounts(), node.said, node.amounts
        if said is None:
            return own, None, None
        tokens, cost = said.tokens, said.cost
        if node.own:
            if below is not None:
                if tokens is not None:
                    own.seen_tokens = -min(tokens, below.seen_tokens)
                    tokens += own.seen_tokens
                if cost is not None:
                    own.seen_cost = -min(cost, below.seen_cost)
                    cost += own.seen_cost
            own.tokens, own.token_parts = tokens or 0, tokens is not None
            own.cost, own.cost_parts = cost or 0.0, cost is not None
            own.calls = max(0, said.calls - (0 if below is None else below.calls))
            return own, tokens, cost
        if below is not None:
            if below.counted_calls:
                tokens = None
                if said.is_priced or below.cost_parts:
                    cost = None
            elif below.token_parts and tokens is not None and said.usage_of == CallUsage.TOTAL:
                tokens = max(0, tokens - below.tokens)
            if below.cost_parts and cost is not None and (node.is_call or said.usage_of == CallUsage.TOTAL):
                cost = max(0.0, cost - below.cost)
        calls = node.kind == "llm" and not (below is not None and below.calls)
        own.add_own(tokens, cost, int(calls), is_call=node.is_call)
        return own, tokens, cost

    def _with_others(self, node: Node, event: OutcomeEvent) -> OutcomeEvent:
        """Return the event with what the spans above and below say."""
        changes: dict[str, Any] = {}
        above = node.above
        if node.own and above is None:  # it may have a parent that is no span of ours
            place = node.said_place
        else:
            parent_id = None if above is None else self._event_id(above)
            place = parent_id, event.event_id if above is None else self._event_id(node.root), node.depth
        if place != (event.parent_event_id, event.root_event_id, event.depth):
            changes["parent_event_id"], changes["root_event_id"], changes["depth"] = place
        if (
            event.agent_name is None
            and not node.own
            and node.agent is not None
            and event.action_type not in ("agent", "workflow")
        ):
            changes["agent_name"] = node.agent
        if not node.own or (node.amounts is not None and node.foreign_below) or node.intervals is not None:
            self._put_amounts(node, event, changes)
        is_complete = node.open_below == 0
        if event.usage_complete is not is_complete:
            changes["usage_complete"] = is_complete
        if node.child_errors and event.status is OutcomeStatus.SUCCESS and not node.own:
            changes["metadata"] = {**event.metadata, "child_errors": node.child_errors}
        return msgspec.structs.replace(event, **changes) if changes else event

    def _put_amounts(self, node: Node, event: OutcomeEvent, changes: dict[str, Any]) -> None:
        own, tokens, cost = self._own_amounts(node)
        if node.amounts is not None:
            own.add(node.amounts)
        told = {
            "tokens_used": own.tokens if own.token_parts else None,
            "cost_estimate": round(own.cost, 12) if own.cost_parts else None,
            "llm_calls": own.calls or None,
            "own_tokens": tokens,
            "own_cost": None if cost is None else round(cost, 12),
        }
        if not node.own and tokens is None:  # not its own: they are on the events below
            told["input_tokens"] = told["output_tokens"] = None
            told["cached_input_tokens"] = told["reasoning_tokens"] = None
        if node.intervals is not None:
            said_ms = node.said.llm_ms if node.own and node.said is not None else 0.0
            told["llm_latency_ms"] = max(said_ms, node.intervals.length / 1e6)
        changes.update({field: value for field, value in told.items() if getattr(event, field) != value})

    @staticmethod
    def _event_id(node: Node) -> str:
        return node.event_id or f"{node.trace_id:032x}-{node.span_id:016x}"

    def _pass_up(self, node: Node) -> None:
        """Give the parent what is new here; where it has ended it is revised, and so are those above it."""
        current = node
        while (parent := current.parent) is not None:
            total, _, _ = self._own_amounts(current)
            if current.amounts is not None:
                total.add(current.amounts)
            passed = current.passed
            is_same = passed is not None and total.equals(passed)
            if not is_same and (passed is not None or total.token_parts or total.cost_parts or total.calls):
                parent.amounts = parent.amounts or Amounts()
                parent.amounts.add(total)
                if passed is not None:
                    parent.amounts.add(passed, -1)
                current.passed = total
            if current.intervals is not None:
                parent.intervals = parent.intervals or Intervals()
                parent.intervals.add_all(current.intervals)
            if not current.own or current.foreign_below:
                parent.foreign_below = True
            if not (parent.is_ended or parent.is_given_up):
                return
            if parent.event is not None:
                self._changed[id(parent)] = parent
            current = parent

    # -- who is above whom ---------------------------------------------------------------------------------

    def _move(self, node: Node, above: Node | None) -> None:
        """Say which action is above it, also to those below."""
        for moved in self._tree.move(node, above):
            self._changed[id(moved)] = moved

    def _wait(self, node: Node) -> None:
        """Let the span above tell this one what it turned out to be, where that is not known yet."""
        if node.event is not None:
            self._tree.keep(node)
        parent = self._tree.unsure_above(node)
        if parent is not None and node.event is not None:
            parent.waiting = parent.waiting or []
            if len(parent.waiting) < MAX_WAITING:
                parent.waiting.append(node)

    def _tell_waiting(self, node: Node) -> None:
        waiting, node.waiting = node.waiting, None
        if not waiting:
            return
        above = node if node.is_action else self._tree.above(node)
        knows_agent = above is not None and (above.name is not None or above.agent is not None)
        for below in waiting:
            if below.above is not above or (below.agent is None and knows_agent):
                self._move(below, above)
                self._tree.keep(below)
                self._changed[id(below)] = below
        if node.is_action:
            return
        parent = self._tree.unsure_above(node)
        if parent is not None and (node.is_ended or not parent.is_given_up):
            parent.waiting = (parent.waiting or []) + waiting
            del parent.waiting[MAX_WAITING:]

    def _match_double(self, node: Node, span: FinishedSpan, event: OutcomeEvent | None) -> None:
        """Find the span of a client library that recorded the same call, and put it below this one."""
        double = self._doubles.take(node, span, event)
        if double is None or double.open_below:
            return
        old = double.parent
        if old is not None and double.passed is not None and old.amounts is not None:
            old.amounts.add(double.passed, -1)
            if old.is_ended:
                self._pass_up(old)
                if old.event is not None:
                    self._changed[id(old)] = old
        double.parent = double.next_up = node
        double.passed = None
        self._move(double, node)
        self._tree.keep(double)
        self._pass_up(double)
        self._changed[id(double)] = double
        if node.event is not None:
            self._changed[id(node)] = node
        self._pass_up(node)

    # -- spans that do not end -----------------------------------------------------------------------------

    def _close_run(self, root: Node) -> None:
        for node in self._tree.open_below(root):
            self._give_up(node)

    def _give_up(self, node: Node) -> None:
        """Record an open span as it is; should it end after all, that is a higher revision."""
        live = node.live
        if live is None or node.is_given_up or node.own:
            return
        node.is_given_up = True
        event: OutcomeEvent | None = None
        above = self._tree.above(node)
        self._move(node, above)
        try:
            attributes = plain(live.attributes)
            if self.is_marked(attributes):
                event_id = self._event_id(node)
                span = FinishedSpan(
                    event_id, event_id[:32], event_id[33:], node.start_ns, time.time_ns(), attributes, None, None,
                    name=live.name, scope=node.scope, never_ended=True,
                )  # fmt: skip
                event = self._convert(node, span, above)
        except Exception:  # another thread may be setting attributes
            logger.debug("an open span cannot be read")
        if event is not None:
            metadata = {**event.metadata, "never_ended": True}
            event = node.event = self._with_others(node, msgspec.structs.replace(event, metadata=metadata))
            self._ready.append(Emitted(event, node.key, node.sampled))
        node.is_action = event is not None
        self._pass_up(node)
        waiting = node.waiting
        self._tell_waiting(node)
        unsure = self._tree.unsure_above(node)
        if node.is_action or unsure is None or unsure.is_given_up:  # they were not passed on
            node.waiting = waiting  # should it end after all, as something else
        self._wait(node)

    def tend(self) -> None:
        """Give up spans that have been open for too long. Called now and then, from any thread."""
        oldest_s = time.monotonic() - self.rules.open_s
        with self._lock:
            self._owner = threading.get_ident()
            try:
                for node in self._tree.open_nodes():
                    if node.begun_s > oldest_s:
                        break
                    self._give_up(node)
                self._revise()
            finally:
                ready, self._ready, self._owner = self._ready, [], 0
        self._hand_out(ready)

    def finish(self) -> None:
        """Give up everything that is open: the program ends."""
        with self._lock:
            self._owner = threading.get_ident()
            try:
                for node in self._tree.open_nodes():
                    self._give_up(node)
                    self._end_pending(node)
                self._revise()
            finally:
                ready, self._ready, self._owner = self._ready, [], 0
        self._hand_out(ready)

    def _end_pending(self, node: Node) -> None:
        """What was still open when its root ended well, and is so when the program ends, was dropped."""
        event = node.event
        if event is not None and event.status is OutcomeStatus.PENDING:
            node.event = msgspec.structs.replace(
                event, status=OutcomeStatus.CANCELLED, revision=event.revision + 1,
                metadata={**event.metadata, semconv.METADATA_STATUS_REASON: "the span never ended"},
            )  # fmt: skip
            self._ready.append(Emitted(node.event, node.key, node.sampled))

    # -- what is said beside the spans ---------------------------------------------------------------------

    def keep_recent(self) -> None:
        """Remember which spans the newest events are of, so that `add()` finds them."""
        self._recent = self._recent or {}

    def _keep(self, node: Node) -> None:
        if self._recent is not None:
            self._recent[node.span_id] = node
            if len(self._recent) > MOST_RECENT:
                del self._recent[next(iter(self._recent))]

    def add(self, trace_id: int, span_id: int, addition: Addition) -> None:
        """Add to the event of a span: with its end where it is open, as a revision where it has ended."""
        if self._owner == threading.get_ident():
            self._aside.append(lambda: self.add(trace_id, span_id, addition))
            return
        with self._lock:
            self._owner = threading.get_ident()
            try:
                node = self._tree.find(trace_id, span_id) or (self._recent or {}).get(span_id)
                if node is not None and node.span_id == span_id and node.trace_id == trace_id:
                    if node.event is None:
                        node.additions = (*node.additions, addition)
                    else:
                        node.event = msgspec.structs.replace(
                            _added(node.event, (addition,)), revision=node.event.revision + 1
                        )
                        self._ready.append(Emitted(node.event, node.key, node.sampled))
            finally:
                ready, self._ready, self._owner = self._ready, [], 0
        self._hand_out(ready)

    def renew_after_fork(self) -> None:
        """In a forked child: a thread that is not here may have held the lock."""
        self._lock = threading.RLock()
        self._owner = 0

    # -- revisions -----------------------------------------------------------------------------------------

    def _revise(self) -> None:
        changed, self._changed = self._changed, {}
        for node in changed.values():
            event = node.event
            if event is None:
                continue
            revised = self._with_others(node, event)
            if revised is not event:
                node.event = msgspec.structs.replace(revised, revision=event.revision + 1)
                self._ready.append(Emitted(node.event, node.key, node.sampled))


def _added(event: OutcomeEvent, additions: tuple[Addition, ...]) -> OutcomeEvent:
    """Return the event with what was said beside its span; what the span said itself stays."""
    fields: dict[str, Any] = {}
    metadata = event.metadata
    for addition in additions:
        if addition.metadata:
            metadata = {**metadata, **addition.metadata}
        if addition.quality_score is not None and event.quality_score is None:
            fields["quality_score"] = addition.quality_score
        if event.status is not OutcomeStatus.SUCCESS:
            if addition.error_type is not None and event.error_type in (None, OTHER):
                fields["error_type"] = tail(addition.error_type)
            if addition.error_message is not None and event.error_message is None:
                fields["error_message"] = addition.error_message
            if addition.stack_trace is not None and event.stack_trace is None:
                fields["stack_trace"] = addition.stack_trace
    return msgspec.structs.replace(event, metadata=metadata, **fields)


def priced_own(event: OutcomeEvent, pricing: Pricing | None) -> OutcomeEvent:
    """Return the event of an action of our own with what its tokens cost, where it does not say so itself."""
    if pricing is None or event.own_cost is not None or event.model is None or event.end_time is None:
        return event
    usage = TokenUsage(event.input_tokens, event.output_tokens, event.cached_input_tokens, None, event.reasoning_tokens)
    price = pricing(event.model, event.provider, usage, int(event.end_time.timestamp() * 1e9))
    if price is None:
        return event
    priced = _with_source(event, price)
    cost = round((event.cost_estimate or 0.0) + price.usd, 12)
    return msgspec.structs.replace(priced, own_cost=round(price.usd, 12), cost_estimate=cost)


def _with_source(event: OutcomeEvent, price: Price) -> OutcomeEvent:
    told = {"price_source": price.source}
    if price.version is not None:
        told["price_version"] = price.version
    return msgspec.structs.replace(event, metadata={**event.metadata, **told})


def _is_told_by_parts(kind: str, status: OutcomeStatus) -> bool:
    """Tell whether what says nothing of its own end ended as its last agent did, or waits as a part of it does."""
    if status is OutcomeStatus.PENDING:
        return kind in ("agent", "workflow", "step")
    return kind == "workflow" and status is not OutcomeStatus.SUCCESS
