"""Made-up traces of agents, played through the processor, and what they really used.

A `Plan` is one span with those below it. Each model call used something that no other did. What a span says of it is
drawn so that a reader of the rules of `convert/amounts.py` knows the truth: a call is counted once, whether one, two or
no span of it says its tokens; an agent's total counts where its calls say nothing; of what an action of our own says
that it used, what instrumented calls below it have said already does not count again.
"""

from __future__ import annotations

import contextvars
import json
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback

__all__ = ["Call", "Plan", "Player", "Totals", "make_plan", "totals_of"]

RATE = 1 / 1_024
"""US dollars a token: sums of it are exact."""

CONVENTIONS = ("genai", "openinference", "openllmetry", "langfuse", "mlflow", "pydantic")
_BRANCHES = ("agent", "agent", "workflow", "tool", "step", "chain", "plain", "http", "action", "retrieval")
_SCOPES = {
    "genai": "opentelemetry.instrumentation.genai.some",
    "openinference": "openinference.instrumentation.some",
    "openllmetry": "opentelemetry.instrumentation.some",
    "langfuse": "langfuse-sdk",
    "mlflow": "mlflow.tracing.provider",
    "pydantic": "pydantic-ai",
}


class Call(msgspec.Struct, frozen=True):
    """A model call. `cost` is what its span says."""

    number: int
    input: int
    output: int
    cached: int = 0
    is_cached_beside: bool = False
    cost: float | None = None

    @property
    def tokens(self) -> int:
        return self.input + self.output

    @property
    def model(self) -> str:
        return f"model-{self.number:05d}"  # none is the beginning of another


class Plan(msgspec.Struct, kw_only=True):
    """One span, and what is below it."""

    kind: str
    number: int
    convention: str = "genai"
    children: list[Plan] = []
    call: Call | None = None
    says_usage: bool = True  # of calls
    says_cost: bool = False  # of calls
    detached: Plan | None = None  # the same call, as a client library recorded it in a trace of its own
    claims: str = ""  # of agents: "total" or "own calls"
    adds_usage: bool = False  # of actions of our own: for each call below that no action has added yet
    extra: Call | None = None  # of actions of our own: a call that no span is of
    end: str = "in time"  # or "after parent", "last", "never"
    is_early: bool = False  # its attributes are there when it starts
    is_marked: bool = True  # has attributes at all; one that ends always has
    is_on_thread: bool = False

    @property
    def is_visible(self) -> bool:
        return self.end != "never" or self.is_marked

    def all(self) -> Iterator[Plan]:
        """Return this span and all below it."""
        yield self
        for child in self.children:
            yield from child.all()


# -- what is drawn -----------------------------------------------------------------------------------------


class _Maker:
    def __init__(self, rng: random.Random, *, is_priced: bool) -> None:
        self.rng = rng
        self.is_priced = is_priced
        self.number = 0
        self.is_late = False  # whether a span above may end late
        self.claims = rng.choice(("", "", "", "total", "own calls"))  # where agents say it, calls do not

    def maybe(self, probability: float) -> bool:
        return self.rng.random() < probability

    def new(self, kind: str, **given: Any) -> Plan:
        self.number += 1
        plan = Plan(kind=kind, number=self.number, convention=self.rng.choice(CONVENTIONS), **given)
        plan.is_early = self.maybe(0.5)
        if kind not in ("action", "http"):
            plan.end = self.rng.choice(("in time",) * 5 + ("after parent", "last", "never"))
            plan.is_marked = plan.end != "never" or self.maybe(0.7)
        plan.is_on_thread = self.maybe(0.15)
        is_none = not plan.is_marked or kind in ("plain", "workflow", "chain", "step")
        if plan.end == "never" and is_none and self.is_late:
            plan.end, plan.is_marked = "in time", True  # what it stood below would not be found
        return plan

    def new_call(self) -> Call:
        number = self.number + 1
        given, gotten = number * 1_000 + 500, number * 7  # unlike those of all others
        cached = self.rng.randint(0, given)
        return Call(
            number, given, gotten, cached, self.maybe(0.5) and cached > 0, round(self.rng.randint(0, 99) * RATE, 12)
        )

    def branch(self, depth: int, room: int) -> Plan:
        plan = self.new(self.rng.choice(_BRANCHES))
        was_late, self.is_late = self.is_late, self.is_late or plan.end != "in time"
        if plan.kind == "agent" and self.claims:
            plan.claims = self.claims if self.maybe(0.7) else ""
            plan.convention = "pydantic" if plan.claims == "own calls" else plan.convention
        for _ in range(self.rng.randint(0, room)):
            leads_on = depth < 4 and self.maybe(0.5)
            plan.children.append(self.branch(depth + 1, room) if leads_on else self.leaf())
        if plan.kind == "action" and not self.claims:
            plan.adds_usage = self.maybe(0.5)
            plan.extra = self.new_call() if plan.adds_usage and self.maybe(0.3) else None
            self.number += 1
        if plan.kind == "agent" and not self.claims and self.maybe(0.3):
            plan.claims = "repeats"
        self.is_late = was_late
        return plan

    def leaf(self) -> Plan:
        call = self.new_call()
        kind = "llm" if self.maybe(0.8) else "embedding"
        plan = self.new(kind, call=call, says_usage=not self.claims and self.maybe(0.8))
        plan.says_cost = not self.claims and self.maybe(0.4)
        was_late, self.is_late = self.is_late, self.is_late or plan.end != "in time"
        kind_of_double = self.rng.choice(("", "", "", "below", "detached"))
        if kind_of_double:
            # prices by two ways may differ: which of them counts is another matter
            plan.says_cost = plan.says_cost and not self.is_priced
        if kind_of_double == "below":
            inner = self.new(kind, call=call, says_usage=not self.claims and self.maybe(0.7))
            inner.says_cost = plan.says_cost and self.maybe(0.5)
            between = self.new(self.rng.choice(("plain", "http")))
            plan.children = [inner] if self.maybe(0.5) else [msgspec.structs.replace(between, children=[inner])]
            inner.convention = "genai"
        elif kind_of_double == "detached" and plan.end != "never":
            plan.detached = self.new(kind, call=call, says_usage=plan.says_usage)
            plan.detached.convention, plan.detached.end = "genai", "in time"
            plan.detached.is_on_thread = False
            plan.convention = self.rng.choice(CONVENTIONS[1:])
        self.is_late = was_late
        return plan


def make_plan(rng: random.Random, *, is_priced: bool) -> Plan:
    """Draw a trace."""
    return _Maker(rng, is_priced=is_priced).branch(0, 4)


# -- what is true ------------------------------------------------------------------------------------------


class Totals(msgspec.Struct):
    """What the spans show that was used: tokens, cost, model calls; `open` are calls that no action has added, as tokens, cost, and whether it is an llm's."""

    tokens: int = 0
    cost: float = 0.0
    calls: int = 0
    own: int = 0  # tokens of calls below, but not below another agent
    true: int = 0  # tokens of all calls below, shown or not
    open: list[tuple[int | None, float | None, bool]] = []

    def add(self, other: Totals) -> None:
        self.tokens += other.tokens
        self.cost += other.cost
        self.calls += other.calls
        self.own += other.own
        self.true += other.true
        self.open = [*self.open, *other.open]


def totals_of(plan: Plan, *, is_priced: bool) -> Totals:
    """Return what a reader should find."""
    if plan.call is not None:
        return _of_call(plan, plan.call, is_priced=is_priced)
    sums = Totals()
    for child in plan.children:
        sums.add(totals_of(child, is_priced=is_priced))
    if plan.kind == "action":
        if plan.adds_usage:  # to the action every call that it adds is a model call
            sums.calls += sum(not is_llm for _, _, is_llm in sums.open)
            sums.open = []
        if plan.extra is not None:
            sums.tokens += plan.extra.tokens
            sums.cost += plan.extra.cost or 0.0
            sums.calls += 1
    if plan.claims in ("total", "own calls"):
        claimed = sums.true if plan.claims == "total" else sums.own
        if plan.is_visible and plan.claims == "total":
            sums.tokens = claimed
            sums.cost = claimed * RATE if is_priced else 0.0
        elif plan.is_visible:
            sums.tokens += claimed
            sums.cost += claimed * RATE if is_priced else 0.0
    if plan.kind == "agent":
        sums.own = 0
    return sums


def _of_call(plan: Plan, call: Call, *, is_priced: bool) -> Totals:
    spans = [plan, *([] if plan.detached is None else [plan.detached])]
    spans += [below for below in plan.all() if below is not plan and below.call is not None]
    spans = [span for span in spans if span.is_visible]
    if not spans:
        return Totals(own=call.tokens, true=call.tokens)
    is_said = any(span.says_usage for span in spans)
    tokens = call.tokens if is_said else None
    cost: float | None = None
    if any(span.says_cost for span in spans):
        cost = call.cost
    elif is_said and is_priced:
        cost = call.tokens * RATE
    is_llm = plan.kind == "llm"
    return Totals(tokens or 0, cost or 0.0, int(is_llm), call.tokens, call.tokens, [(tokens, cost, is_llm)])


# -- how it is played --------------------------------------------------------------------------------------


class Player:
    """Plays plans on a provider; `plans` has what was played, by span id."""

    def __init__(self, provider: TracerProvider, rng: random.Random, *, is_priced: bool) -> None:
        self._provider = provider
        self._rng = rng
        self._is_priced = is_priced
        self._now_ns = 1_800_000_000 * 10**9
        self._last: list[Callable[[], None]] = []
        self.plans: dict[str, Plan] = {}

    def play(self, plan: Plan) -> None:
        """Play one trace to its end, in which some spans end late."""
        after: list[Callable[[], None]] = []
        self._play(plan, after)
        late = [*after, *self._last]
        self._rng.shuffle(late)
        for end in late:
            end()
        self._last = []

    def _tick(self) -> int:
        self._now_ns += self._rng.randint(2, 9) * 1_000_000
        return self._now_ns

    def _play(self, plan: Plan, after: list[Callable[[], None]]) -> None:
        if plan.is_on_thread:
            context = contextvars.copy_context()
            thread = threading.Thread(target=context.run, args=(self._play_here, plan, after))
            thread.start()
            thread.join()
        else:
            self._play_here(plan, after)

    def _play_here(self, plan: Plan, after: list[Callable[[], None]]) -> None:
        if plan.kind == "action":
            self._play_action(plan)
            return
        scope = (
            "client-library" if plan.call is not None and plan.number != plan.call.number else _SCOPES[plan.convention]
        )
        attributes = self._attributes(plan)
        is_early = plan.is_early or plan.kind == "http"
        span = self._provider.get_tracer(scope).start_span(
            f"span {plan.number}", attributes=attributes if is_early else {}, start_time=self._tick()
        )
        self.plans[f"{span.get_span_context().span_id:016x}"] = plan
        below: list[Callable[[], None]] = []
        with trace.use_span(span):
            if plan.detached is not None:
                self._play_detached(plan.detached)
            for child in plan.children:
                self._play(child, below)

        def end() -> None:
            if not is_early:
                span.set_attributes(attributes)
            span.end(self._tick())

        if plan.end == "in time":
            end()
        elif plan.end == "after parent":
            after.append(end)
        elif plan.end == "last":
            self._last.append(end)
        elif not is_early:
            span.set_attributes(attributes)
        for end_below in below:
            end_below()

    def _play_detached(self, plan: Plan) -> None:
        tracer = self._provider.get_tracer("client-library")
        span = tracer.start_span(f"span {plan.number}", Context(), start_time=self._tick())
        self.plans[f"{span.get_span_context().span_id:016x}"] = plan
        span.set_attributes(self._attributes(plan))
        span.end(self._tick())

    def _play_action(self, plan: Plan) -> None:
        below: list[Callable[[], None]] = []
        with feedback.action(f"action {plan.number}") as act:
            self.plans[f"{act.span_context.span_id:016x}"] = plan
            for child in plan.children:
                self._play(child, below)
            if plan.adds_usage:
                sums = Totals()
                for child in plan.children:
                    sums.add(totals_of(child, is_priced=self._is_priced))
                for tokens, cost, _ in sums.open:
                    act.add_usage(total_tokens=tokens, cost=cost)
            if plan.extra is not None:
                act.add_usage(input_tokens=plan.extra.input, output_tokens=plan.extra.output, cost=plan.extra.cost)
        for end_below in below:
            end_below()

    def _attributes(self, plan: Plan) -> dict[str, Any]:
        if not plan.is_marked or plan.kind == "plain":
            return {}
        if plan.kind == "http":
            return {"http.request.method": "POST", "server.address": "localhost"}
        return {**_marks(plan), **self._usage(plan)}

    def _usage(self, plan: Plan) -> dict[str, Any]:
        if plan.call is not None:
            return _call_attributes(plan, plan.call)
        if not plan.claims:
            return {}
        sums = totals_of(msgspec.structs.replace(plan, claims=""), is_priced=False)
        tokens = sums.true if plan.claims == "total" else sums.tokens
        if plan.claims == "own calls":
            below = [totals_of(child, is_priced=False) for child in plan.children]
            tokens = sum(one.own for one in below)
            return {"gen_ai.aggregated_usage.input_tokens": tokens, "gen_ai.aggregated_usage.output_tokens": 0}
        if plan.claims == "repeats":
            tokens = sum(_counted(child) for child in plan.children)
            if tokens == 0:
                return {}
        return _said(plan.convention, tokens, 0, 0, None)


def _counted(plan: Plan) -> int:
    """Return the tokens that instrumented calls show."""
    if plan.call is not None:
        return _of_call(plan, plan.call, is_priced=False).tokens
    return sum(_counted(child) for child in plan.children)


def _call_attributes(plan: Plan, call: Call) -> dict[str, Any]:
    convention = plan.convention
    model = {"langfuse": "langfuse.observation.model.name", "openinference": "llm.model_name"}
    found: dict[str, Any] = {model.get(convention, "gen_ai.request.model"): call.model}
    if convention == "mlflow":
        found = {"mlflow.llm.model": json.dumps(call.model)}
    if plan.says_usage:
        # some say cached tokens beside the others: then the total tells
        is_beside = call.is_cached_beside and convention in ("genai", "openinference", "mlflow")
        given = call.input - (call.cached if is_beside or convention == "langfuse" else 0)
        found |= _said(convention, given, call.output, call.cached, call.tokens)
    if plan.says_cost:
        found |= {
            "langfuse": {"langfuse.observation.cost_details": json.dumps({"total": call.cost})},
            "openinference": {"llm.cost.total": call.cost},
            "mlflow": {"mlflow.llm.cost": json.dumps({"total_cost": call.cost})},
        }.get(convention, {"gen_ai.usage.cost": call.cost})
    return found


def _said(convention: str, given: int, gotten: int, cached: int, total: int | None) -> dict[str, Any]:
    if convention == "openinference":
        said = {
            "llm.token_count.prompt": given, "llm.token_count.completion": gotten, "llm.token_count.total": total,
            "llm.token_count.prompt_details.cache_read": cached,
        }  # fmt: skip
    elif convention == "langfuse":
        details = {"input": given, "output": gotten, **({"input_cached_tokens": cached} if cached else {})}
        said = {"langfuse.observation.usage_details": json.dumps(details)}
    elif convention == "mlflow":
        used = {
            "input_tokens": given,
            "output_tokens": gotten,
            "total_tokens": total,
            "cache_read_input_tokens": cached,
        }
        said = {"mlflow.chat.tokenUsage": json.dumps(used)}
    elif convention == "openllmetry":
        said = {
            "gen_ai.usage.prompt_tokens": given, "gen_ai.usage.completion_tokens": gotten,
            "llm.usage.total_tokens": total, "gen_ai.usage.cache_read_input_tokens": cached,
        }  # fmt: skip
    else:
        said = {
            "gen_ai.usage.input_tokens": given, "gen_ai.usage.output_tokens": gotten,
            "gen_ai.usage.total_tokens": total, "gen_ai.usage.cache_read.input_tokens": cached,
        }  # fmt: skip
    return {name: value for name, value in said.items() if value is not None}


_OPERATIONS = {
    "agent": "invoke_agent", "workflow": "invoke_workflow", "tool": "execute_tool", "llm": "chat",
    "embedding": "embeddings", "retrieval": "retrieval",
}  # fmt: skip
_TRACELOOP = {"agent": "agent", "workflow": "workflow", "tool": "tool", "step": "task", "chain": "task"}
_REQUESTS = {"llm": "chat", "embedding": "embedding", "retrieval": "rerank"}
_LANGFUSE = {"llm": "generation", "retrieval": "retriever", "workflow": "chain", "step": "event"}
_MLFLOW = {"llm": "CHAT_MODEL", "retrieval": "RETRIEVER", "step": "PARSER"}


def _marks(plan: Plan) -> dict[str, Any]:
    kind, convention = plan.kind, plan.convention
    if convention == "openinference":
        word = {"retrieval": "RETRIEVER", "workflow": "CHAIN", "step": "PROMPT"}.get(kind, kind.upper())
        return {"openinference.span.kind": word, "agent.name": f"agent {plan.number}"}
    if convention == "openllmetry":
        if kind in _TRACELOOP:
            return {"traceloop.span.kind": _TRACELOOP[kind], "traceloop.entity.name": f"agent {plan.number}"}
        return {"llm.request.type": _REQUESTS[kind]}
    if convention == "langfuse":
        return {"langfuse.observation.type": _LANGFUSE.get(kind, kind)}
    if convention == "mlflow":
        return {"mlflow.spanType": json.dumps(_MLFLOW.get(kind, kind.upper()))}
    return {"gen_ai.operation.name": _OPERATIONS.get(kind, "execute_task"), "gen_ai.agent.name": f"agent {plan.number}"}
