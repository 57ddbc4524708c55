"""The demo's agents: a support team that really sleeps, raises, is cancelled and runs late.

Input: how long a nominal second lasts. Output: nothing; what happens is seen by `action()` alone, as in anybody's
program. What is drawn by lot comes from a fixed seed for each action, so that only timings differ between runs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from random import Random

from otel_feedback import Action, action

__all__ = ["NOMINAL_S", "TREE_RUN", "SupportTeam"]

NOMINAL_S = 8.0
"""How long all runs together take at full pace, in seconds (measured: 8.0)."""
TREE_RUN = "run-2"
"""The run with the most to see in it: nesting, a retry, a timeout, a partial result."""

# provider, US dollars for a million tokens of input and of output
PRICES = {
    "gpt-4o": ("openai", 2.5, 10.0),
    "claude-sonnet": ("anthropic", 3.0, 15.0),
    "gpt-4o-mini": ("openai", 0.15, 0.6),
}


class RateLimitError(Exception):
    """The search service wants fewer requests."""


class CrmError(ConnectionError):
    """The customer database does not answer."""


class SupportTeam:
    """A coordinator, a planner, researchers with tools, a writer, a guard and an evaluator.

    Args:
        second_s: How long a nominal second of work lasts, in seconds.
        tenants: Whose customers they are, in turn; none: nobody's.
    """

    def __init__(self, second_s: float, tenants: Sequence[str] = ()) -> None:
        self._second_s = second_s
        self._tenants = tenants

    async def serve_customers(self, before: int = 0) -> None:
        """Answer six customers, some of them at the same time, of which the first comes after so many before."""
        customers: tuple[tuple[float, str, Callable[[Action], Awaitable[None]]], ...] = (
            (0.0, "refund", self._refund),
            (0.6, "market-report", self._market_report),
            (2.2, "delivery-status", self._delivery_status),
            (3.0, "outage", self._outage),
            (4.2, "warranty-claim", self._warranty_claim),
            (4.9, "product-question", self._product_question),
        )
        runs = [
            asyncio.create_task(self._serve(number, after_s, topic, answer))
            for number, (after_s, topic, answer) in enumerate(customers, before + 1)
        ]
        try:
            for ended in await asyncio.gather(*runs, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended  # a defect of the demo, and no part of it
        finally:
            for run in runs:
                run.cancel()
            await asyncio.gather(*runs, return_exceptions=True)

    async def _serve(
        self, number: int, after_s: float, topic: str, answer: Callable[[Action], Awaitable[None]]
    ) -> None:
        await self._spend(after_s)
        tenant = self._tenants[number % len(self._tenants)] if self._tenants else None
        # a run that fails has been recorded; the next customer is served all the same
        with contextlib.suppress(CrmError):
            async with action(
                "answer_customer", agent="coordinator", agent_type="orchestrator",
                run_id=f"run-{number}", tenant_id=tenant, workflow_id=topic, tags=["support", topic],
            ) as act:  # fmt: skip
                await answer(act)

    # -- six customers -------------------------------------------------------------------------------------

    async def _refund(self, act: Action) -> None:
        await self._plan("run-1")
        await _both(
            self._research("run-1", "order history", "order_lookup"),
            self._research("run-1", "refund policy", "policy_search"),
        )
        await self._write("run-1", 1)
        await self._check("run-1", 1)
        act.score(quality=await self._evaluate("run-1", 0.94))

    async def _market_report(self, act: Action) -> None:
        await self._plan("run-2")
        await _both(self._compare_prices(), self._research_competitors())
        await self._write("run-2", 1)
        await self._check("run-2", 1)
        act.score(quality=await self._evaluate("run-2", 0.78))
        act.partial("the chapter on prices has one source of two")

    async def _delivery_status(self, act: Action) -> None:
        await self._plan("run-3")
        with action("research", agent="researcher", agent_type="react", metadata={"topic": "parcel"}):
            for attempt in (1, 2):
                try:
                    await self._order_lookup_without_crm(attempt)
                except CrmError:
                    if attempt == 2:
                        raise

    async def _outage(self, act: Action) -> None:
        await self._plan("run-4")
        await self._research("run-4", "status page", "status_lookup")
        run = asyncio.current_task()
        if run is not None:  # the customer hangs up while the answer is being written
            asyncio.get_running_loop().call_later(0.45 * self._second_s, run.cancel)
        await self._write("run-4", 1, seconds=60.0)

    async def _warranty_claim(self, act: Action) -> None:
        await self._plan("run-5")
        await self._research("run-5", "warranty terms", "policy_search")
        await self._write("run-5", 1)
        if not await self._check("run-5", 1, objection="the draft promises more than the limit of $100"):
            await self._write("run-5", 2)
            await self._check("run-5", 2)
        # late, though it succeeds: nobody enforces the deadline, the outcome says so
        with action("evaluate", agent="evaluator", agent_type="llm", timeout_s=round(0.5 * self._second_s, 3)) as late:
            await self._think(late, "run-5 evaluate", "gpt-4o", 0.9, 1_400, 60)

    async def _product_question(self, act: Action) -> None:
        await self._plan("run-6")
        await self._research("run-6", "manual", "kb_search")
        await self._write("run-6", 1)
        await self._check("run-6", 1)
        act.score(quality=await self._evaluate("run-6", 0.91))

    # -- the team ------------------------------------------------------------------------------------------

    async def _plan(self, run: str) -> None:
        async with action("plan", agent="planner", agent_type="llm") as act:
            await self._think(act, f"{run} plan", "gpt-4o", 0.4, 900, 120)
            act.score(confidence=0.9)

    async def _research(self, run: str, topic: str, tool: str) -> None:
        async with action("research", agent="researcher", agent_type="react", metadata={"topic": topic}) as act:
            await self._tool(run, tool)
            await self._think(act, f"{run} {topic}", "gpt-4o-mini", 0.35, 2_300, 260)

    async def _research_competitors(self) -> None:
        async with action("research", agent="researcher", agent_type="react", metadata={"topic": "rivals"}) as act:
            try:
                await self._search(blocked=True)
            except RateLimitError:
                await self._spend(0.2)
                await self._search(blocked=False)
            await self._think(act, "run-2 competitors", "gpt-4o-mini", 0.4, 3_100, 420)

    async def _compare_prices(self) -> None:
        async with action("research", agent="researcher", agent_type="react", metadata={"topic": "prices"}) as act:
            pages = await asyncio.gather(
                self._fetch_page("shop.example", 0.3, patience_s=60.0),
                self._fetch_page("slow.example", 60.0, patience_s=0.8),
                return_exceptions=True,
            )
            await self._think(act, "run-2 prices", "gpt-4o-mini", 0.3, 1_800, 210)
            missing = sum(isinstance(page, asyncio.TimeoutError) for page in pages)
            if missing:
                act.partial(f"{missing} of {len(pages)} pages did not answer")

    async def _write(self, run: str, draft: int, seconds: float = 0.75) -> None:
        async with action("write_answer", agent="writer", agent_type="llm", metadata={"draft": draft}) as act:
            await self._think(act, f"{run} draft {draft}", "claude-sonnet", seconds, 3_600, 640)

    async def _check(self, run: str, draft: int, objection: str | None = None) -> bool:
        async with action("check_policy", agent="guard", agent_type="llm", metadata={"draft": draft}) as act:
            await self._think(act, f"{run} check {draft}", "gpt-4o-mini", 0.2, 900, 30)
            if objection:
                act.fail(objection)
        return objection is None

    async def _evaluate(self, run: str, quality: float) -> float:
        async with action("evaluate", agent="evaluator", agent_type="llm") as act:
            await self._think(act, f"{run} evaluate", "gpt-4o", 0.3, 1_400, 60)
            act.score(confidence=0.85)
        return quality

    # -- tools and models ----------------------------------------------------------------------------------

    async def _tool(self, run: str, name: str) -> None:
        async with action(name, agent="researcher", agent_type="tool"):
            await self._spend(_lot(f"{run} {name}").uniform(0.25, 0.45))

    @action("order_lookup", agent="researcher", agent_type="tool")
    async def _order_lookup_without_crm(self, attempt: int) -> None:
        await self._spend(0.3)
        raise CrmError(f"HTTP 503 from the CRM, attempt {attempt} of 2")

    async def _search(self, *, blocked: bool) -> None:
        async with action("web_search", agent="researcher", agent_type="tool"):
            await self._spend(0.15 if blocked else 0.45)
            if blocked:
                raise RateLimitError("HTTP 429, retry after 0.2 s")

    async def _fetch_page(self, host: str, seconds: float, patience_s: float) -> str:
        async with action("fetch_page", agent="researcher", agent_type="tool", metadata={"host": host}):
            try:
                return await asyncio.wait_for(self._spend(seconds, host), patience_s * self._second_s)
            except asyncio.TimeoutError as exc:
                raise asyncio.TimeoutError(f"{host} did not answer in time") from exc

    async def _think(self, act: Action, what: str, model: str, seconds: float, tokens_in: int, tokens_out: int) -> None:
        """Ask a language model: here a sleep, with usage as a provider would report it."""
        lot = _lot(what)
        provider, price_in, price_out = PRICES[model]
        duration = seconds * lot.uniform(0.85, 1.15)
        read, written = int(tokens_in * lot.uniform(0.8, 1.2)), int(tokens_out * lot.uniform(0.8, 1.2))
        await self._spend(duration)
        act.add_usage(
            model=model, provider=provider, input_tokens=read, output_tokens=written,
            cost=(read * price_in + written * price_out) / 1e6, llm_latency_ms=duration * self._second_s * 1e3,
        )  # fmt: skip

    async def _spend(self, seconds: float, result: str = "") -> str:
        await asyncio.sleep(seconds * self._second_s)
        return result


def _lot(what: str) -> Random:
    return Random(what)  # noqa: S311 - nothing here is secret


async def _both(*steps: Awaitable[None]) -> None:
    """Wait until all have ended, also where one is cancelled: gather() alone goes on before the others have."""
    for ended in await asyncio.gather(*steps, return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended
