"""The agents of `demo --learn`: three that answer customers, of whom a selector chooses one each time. Half way one gets worse.

Input: how long a nominal second lasts. Output: each decision with what is true of it, for who watches; the selector sees what
`dispatch()` and `give()` record, as in anybody's program, and is told neither who is good nor when that changes. What is drawn by
lot comes from a fixed seed for each customer, so that only timings differ between runs. For one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import otel_feedback as feedback

__all__ = ["AGENTS", "CHANGE_S", "EXPERIMENT", "FLOOR", "LENGTH_S", "Agent", "Decision", "HelpDesk", "Quality"]

LENGTH_S = 120.0
"""How long it takes at full pace, in nominal seconds, as all that follows."""
CHANGE_S = 60.0
CUSTOMERS_A_S = 15.0
HALF_LIFE_S = 15.0
"""Some 200 decisions: enough to tell 0.91 from 0.75, and short enough to find a change within half a minute."""
FLOOR = 0.1
"""The least chosen agent gets a thirtieth of the decisions: 60, which say what it would have brought."""
USERS = 600
RATED = 0.3
"""The share of answers of which somebody says something."""
SAID_AFTER_S = (2.0, 8.0)
EXPERIMENT = "length"
ARRIVES = {"short": 0.98, "long": 0.80}
"""How often an answer of this length arrives; long ones are cut off. Beside the selector, and none of its business."""
UNKNOWN_TOPIC = "invoices"
TOPICS = ("delivery", "refunds", "warranty", "account", UNKNOWN_TOPIC)


class NoAnswerError(Exception):
    """The agent has none."""


class NoSuchPageError(LookupError):
    """Nobody has written down what the customer asks for."""


class Quality(NamedTuple):
    """How good an agent really is: how often it answers, and how often an answer pleases."""

    answers: float
    pleases: float

    @property
    def worth(self) -> float:
        """What a decision for it brings on average, from 0 to 1."""
        return self.answers * self.pleases


class Agent(NamedTuple):
    """Who can be chosen; `later` is how good it is after the change, None: as before. `cost` is US dollars an answer."""

    name: str
    model: str | None
    cost: float
    quality: Quality
    later: Quality | None = None

    def quality_at(self, now_s: float) -> Quality:
        """Return how good it is at a moment."""
        return self.quality if self.later is None or now_s < CHANGE_S else self.later


AGENTS = (
    Agent("researcher", "gpt-4o", 0.012, Quality(0.99, 0.92), later=Quality(0.95, 0.42)),
    Agent("writer", "claude-sonnet", 0.006, Quality(0.99, 0.76)),
    Agent("template", None, 0.0, Quality(1.0, 0.60)),
)


class Decision(NamedTuple):
    """Whom the selector chose, when, and what each agent was worth at that moment, by name."""

    at_s: float
    agent: str
    worths: dict[str, float]


class HelpDesk:
    """Customers, who are answered, and of whom some say later what they think of it.

    Args:
        second_s: How long a nominal second lasts, in seconds.
        state: Where the selector keeps what it learns.
    """

    def __init__(self, second_s: float, state: Path) -> None:
        self.decisions: list[Decision] = []
        """All so far, the oldest first."""
        self.selector = feedback.AgentSelector(
            {agent.name: _Candidate(agent, self) for agent in AGENTS},
            half_life_s=HALF_LIFE_S * second_s, floor=FLOOR, state=state, seed=11,
        )  # fmt: skip
        self._dispatcher = feedback.create_dispatcher(enable_metrics=False)
        self._second_s = second_s
        self._began_s: float | None = None

    @property
    def now_s(self) -> float:
        """How long it is open, in nominal seconds."""
        return 0.0 if self._began_s is None else (asyncio.get_running_loop().time() - self._began_s) / self._second_s

    async def serve(self) -> None:
        """Answer customers until the time is over; who has said nothing by then says nothing."""
        self._began_s = asyncio.get_running_loop().time()
        answering, number = set[asyncio.Task[None]](), 0
        looking = asyncio.create_task(self._look())
        try:
            while self.now_s < LENGTH_S:
                answering.add(task := asyncio.create_task(self._answer(number)))
                task.add_done_callback(answering.discard)
                number += 1
                await self.spend(max(0.0, number / CUSTOMERS_A_S - self.now_s))
            await asyncio.gather(*answering)
        finally:
            for task in (looking, *answering):
                task.cancel()
            await asyncio.gather(looking, *answering, return_exceptions=True)

    async def _look(self) -> None:
        """Where seconds are shorter, have the selector look each of them, which its thread does once a real one."""
        while self._second_s < 1.0:
            await self.spend(1.0)
            await asyncio.to_thread(self.selector.refresh_quietly)

    async def _answer(self, number: int) -> None:
        lot = _lot(f"customer {number}")
        user, topic = f"u-{lot.randrange(USERS)}", lot.choice(TOPICS)
        async with feedback.action(
            "answer_customer", agent="coordinator", agent_type="orchestrator", run_id=f"run-{number + 1}", user_id=user
        ) as task:
            length = feedback.variant(EXPERIMENT, dict.fromkeys(ARRIVES, 0.5), unit=user)
            question = {"number": number, "topic": topic}
            answer = await self._dispatcher.dispatch(self.selector, "write_answer", question, metadata={"topic": topic})
            if answer["error"] is not None:
                task.fail(answer["error"])
            elif lot.random() >= ARRIVES[length]:
                task.fail("the answer was cut off")
            elif lot.random() < RATED:
                liked = float(lot.random() < answer["output"]["quality_score"])
                after_s = lot.uniform(*SAID_AFTER_S) * self._second_s
                say = partial(feedback.give, answer["event_id"], score=liked, by=user)
                asyncio.get_running_loop().call_later(after_s, say)

    async def spend(self, seconds: float) -> None:
        """Let nominal seconds pass."""
        await asyncio.sleep(seconds * self._second_s)


class _Candidate:
    """An agent as the dispatcher runs it."""

    agent_type = "llm"

    def __init__(self, agent: Agent, desk: HelpDesk) -> None:
        self.name = agent.name
        self._agent = agent
        self._desk = desk

    async def execute(self, question: dict[str, Any], _context: object) -> dict[str, Any]:
        now_s = self._desk.now_s
        worths = {agent.name: agent.quality_at(now_s).worth for agent in AGENTS}
        self._desk.decisions.append(Decision(now_s, self.name, worths))
        quality, lot = self._agent.quality_at(now_s), _lot(f"{self.name} {question['number']}")
        if self._agent.model is None:
            await self._desk.spend(0.02)
            told: dict[str, Any] = {}
        else:
            with contextlib.suppress(NoSuchPageError):  # then it answers of what it knows
                await self._look_up(question["topic"], lot)
            await self._desk.spend(lot.uniform(0.2, 0.5))
            told = {"model": self._agent.model, "cost": self._agent.cost * lot.uniform(0.8, 1.2)}
        if lot.random() >= quality.answers:
            raise NoAnswerError("no answer to this question")
        # what a judge finds, which is right on average
        score = lot.betavariate(6.0 * quality.pleases, 6.0 * (1.0 - quality.pleases))
        return {"text": "an answer", "quality_score": score, **told}

    async def _look_up(self, topic: str, lot: Random) -> None:
        async with feedback.action("look_up", agent=self.name, agent_type="tool", metadata={"topic": topic}):
            await self._desk.spend(lot.uniform(0.05, 0.15))
            if topic == UNKNOWN_TOPIC and lot.random() < 0.4:
                raise NoSuchPageError(f"no page about {topic}")


def _lot(what: str) -> Random:
    return Random(what)  # noqa: S311 - nothing here is secret
