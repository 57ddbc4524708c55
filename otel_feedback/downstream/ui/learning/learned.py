"""What the page asks of what outcomes teach: choices, what other policies would have brought, and gaps.

GET /api/choices, /api/choices/values, /api/gaps ──Slowly──► open(tenant) ──► choices, gaps ──► JSON
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Any

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from otel_feedback.downstream.learning.gaps.gap import SORTS
from otel_feedback.downstream.ui.asking import asked_of, choice_of
from otel_feedback.downstream.ui.learning import choices, gaps
from otel_feedback.downstream.ui.learning.beliefs import Beliefs
from otel_feedback.downstream.ui.learning.slowly import Slowly
from otel_feedback.downstream.ui.reader import Reader

__all__ = ["Learned"]

Asks = Callable[[Request, Callable[[Reader], Any], anyio.CapacityLimiter], Awaitable[Any]]
LIVE_S = 10.0
"""How long choices are kept at most: somebody looks how they change."""
WEIGHTS = ("cost_weight", "latency_weight")


class Learned:
    """The endpoints.

    Args:
        work: Does work with what the asker may see, on a thread.
        beliefs: What selectors know; None: that is not to be had.
    """

    def __init__(self, work: Asks, beliefs: Beliefs | None) -> None:
        self._work = work
        self._beliefs = beliefs
        self._choices = Slowly(LIVE_S)
        self._values = Slowly()
        self._gaps = Slowly()

    def by_name(self) -> dict[str, Callable[[Request], Any]]:
        """Return them by their addresses."""
        return {"choices": self.choices, "choices/values": self.values, "gaps": self.gaps}

    async def choices(self, request: Request) -> Response:
        given = request.query_params
        asked = asked_of(given.multi_items(), others=WEIGHTS)
        reward = choices.reward_of(given)
        return await self._answer(
            self._choices, request, lambda reader: choices.choices(reader, asked, reward, self._beliefs)
        )

    async def values(self, request: Request) -> Response:
        given = request.query_params
        asked = asked_of(given.multi_items(), others=(*WEIGHTS, "policy", "candidate"))
        reward = choices.reward_of(given)
        policy, candidates = given.get("policy", ""), given.getlist("candidate")
        return await self._answer(
            self._values, request, lambda reader: choices.values(reader, asked, reward, policy, candidates)
        )

    async def gaps(self, request: Request) -> Response:
        given = request.query_params
        asked = asked_of(given.multi_items(), others=("sort",))
        sort = choice_of(given, "sort", SORTS, "lost")
        return await self._answer(self._gaps, request, lambda reader: gaps.gaps(reader, asked, sort))

    async def _answer(self, kind: Slowly, request: Request, work: Callable[[Reader], Any]) -> Response:
        key: Hashable = (request.scope["tenant"], tuple(sorted(request.query_params.multi_items())))

        async def made(limiter: anyio.CapacityLimiter) -> bytes:
            return msgspec.json.encode(await self._work(request, work, limiter))

        return await kind.answer(request, key, made)
