"""`AgentSelector`: chooses agents by what came of their actions, more often the better they do, and goes on trying all.

    choose() ──► a random number, a table ──► Choice ──► the agent runs ──► learn(event)        on the agent's thread: microseconds
                          ▲                                                     │ a queue
                          └── P(best), floor ◄── beliefs ◄── lessons ◄──────────┘ a thread, once a second

Guarantee: choosing and learning never wait, for nobody's lock, disk or network; nothing here raises into an agent's code.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from random import Random
from typing import Any, cast

from otel_feedback.errors import FeedbackError
from otel_feedback.events.ended import EndedAction
from otel_feedback.events.feedback import Feedback
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.learning.reward import Reward
from otel_feedback.learning.selector.arguments import check, check_left, fallback_of, named, names_in, state_of, texts
from otel_feedback.learning.selector.beliefs import Belief, Beliefs
from otel_feedback.learning.selector.best import mixed, probabilities_of_being_best
from otel_feedback.learning.selector.choice import Choice, Outcome, Table
from otel_feedback.learning.selector.contexts import Contexts
from otel_feedback.learning.selector.contextual import Model
from otel_feedback.learning.selector.knowledge import Knowledge
from otel_feedback.learning.selector.looking import THREAD_NAME, close_at_end, look
from otel_feedback.learning.selector.state import State, StateFile
from otel_feedback.logger import get_logger
from otel_feedback.pipeline.listening import Listeners
from otel_feedback.sdk.forks import HERE, begin_anew, call_at_end_of_child, renew_in_child, will_fork
from otel_feedback.throttle import ThrottledLog

__all__ = ["AgentSelector"]

MOST_WAITING = 20_000
"""Outcomes between two looks; of more the oldest are not learned from."""
LOOKS_A_HALF_LIFE = 64
"""How often what is believed is weighed anew though nothing was learned: it is forgotten meanwhile."""


class AgentSelector:
    """Chooses between agents that do the same, by Thompson sampling on what came of their actions.

    `dispatch(agent=selector)` runs the one that is chosen, and teaches what came of it; by hand it is
    `choice = selector.choose()`, `with choice.action("answer") as act: …`, `choice.learn(act.event)`.

    Args:
        candidates: The agents, at most 64, of different names; or a mapping of names to agents, which may be anything where
            they are not dispatched.
        objective: What an outcome is worth; default: success times quality.
        half_life_s: Seconds after which what was learned counts half, so that an agent which gets worse, or better, is found
            out: some hundred outcomes should be in it. None: nothing is forgotten.
        floor: The share of decisions that is spread evenly over all, whatever was learned, from 0 to 1: without it nobody
            would see that one has become better, or could say later what another policy would have brought.
        exclude: Names that are never chosen.
        fallback: Who is chosen where all candidates are excluded: a candidate's name, or another agent.
        state: A file, JSON, for what is learned, so that it outlives the process; several processes may share it. None: it
            is in memory only.
        warm_start: Such a file, or what `otel-feedback selector export` wrote, to begin with where `state` has nothing yet.
        contextual: Names of what in the context of a decision says what there is to do, for example `["topic"]`: texts, numbers
            or truths. Then it is learned for which context which agent is best, by Vowpal Wabbit (extra `select`), and the
            event says the context, as metadata with the prefix `choice.`. Where none of them is there the choice is as without.
        settle_s: How long an outcome waits for feedback before the model of contexts learns it, once, in seconds.
        refresh_s: Seconds between two looks at what has come; from 1. None: there is no thread, `refresh()` looks.
        clock: The seconds since 1970, in place of the system's.
        seed: Makes the decisions the same each time, for tests.

    Thread-safe. A forked child goes on with what is known, and draws other numbers.

    Raises:
        FeedbackError: An argument cannot be used; it says which, and what would be right.
    """

    def __init__(
        self,
        candidates: Iterable[Any] | Mapping[str, Any],
        objective: Reward | None = None,
        *,
        half_life_s: float | None = 3_600.0,
        floor: float = 0.05,
        exclude: Iterable[str] = (),
        fallback: Any = None,
        state: str | os.PathLike[str] | None = None,
        warm_start: str | os.PathLike[str] | None = None,
        contextual: Iterable[str] = (),
        settle_s: float = 0.0,
        refresh_s: float | None = 1.0,
        clock: Callable[[], float] | None = None,
        seed: int | None = None,
    ) -> None:
        self._agents = named(candidates)
        if objective is not None and not isinstance(objective, Reward):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise FeedbackError(f"objective is {objective!r}: expected a Reward, such as Reward(cost_weight=0.1)")
        if half_life_s is not None:
            check("half_life_s", half_life_s, 1e-3, 1e12)
        check("floor", floor, 0.0, 1.0)
        if refresh_s is not None:
            check("refresh_s", refresh_s, 1.0, 86_400.0)
        check("settle_s", settle_s, 0.0, 1e9)
        self.objective = objective or Reward()
        """What an outcome is worth."""
        self._half_life_s, self._floor, self._refresh_s = half_life_s, floor, refresh_s
        self._clock, self._seed = clock or time.time, seed
        self._fallback = fallback_of(self._agents, fallback)
        self._excluded = frozenset(names_in(self._agents, "exclude", exclude))
        check_left(self._agents, self._excluded, self._fallback)
        self._renew_locks()
        self._log = ThrottledLog(get_logger(__name__))
        self._queue: deque[tuple[Choice | None, Outcome | Feedback]] = deque(maxlen=MOST_WAITING)
        self._wake = threading.Event()
        self._is_running = self._is_closed = False
        self._random = Random(seed).random  # noqa: S311 # nothing is secret here
        self._knowledge = Knowledge(  # guarded by self._lock
            self.objective, half_life_s, floor, self._weigh, None if state is None else StateFile(state),
            None if warm_start is None else state_of(warm_start),
        )  # fmt: skip
        names, path = texts("contextual", contextual), None if state is None else Path(f"{os.fspath(state)}.vw")
        self._contexts = Contexts(Model(path, seed), names, floor, settle_s) if names else None
        self._weighed_at = 0.0
        self._version = ""  # of the table
        self.refresh()
        Listeners.add(self._listen)
        renew_in_child(self)
        close_at_end(self)

    # -- on the agent's thread -------------------------------------------------------------------------------

    def choose(self, context: Mapping[str, Any] | None = None) -> Choice:
        """Choose. Never waits, never raises.

        Args:
            context: What there is to do; looked at by a contextual selector alone.
        """
        if not HERE[0]:
            begin_anew()
        if not self._is_running:
            self._start()
        table = self._table
        if context and self._contexts is not None and len(table.choices) > 1:
            try:
                choice = self._contexts.choose(context, table, self._random, self)
            except Exception as exc:  # of a library in C++
                self._log.warning("context", "a context is not looked at: %r", exc)
            else:
                if choice is not None:
                    return choice
        return table.draw(self._random)

    def hear_of(self, choice: Choice, outcome: Outcome) -> None:
        """Take what came of a choice: see `Choice.learn()`."""
        if not HERE[0]:
            begin_anew()
        self._queue.append((choice, outcome))
        if not self._is_running:
            self._start()

    def hear(self, feedback: Feedback) -> None:
        """Take feedback on an outcome that was learned from, or will be, or on a run; one without a score teaches nothing.

        What `give()` takes in this process comes here by itself. Never waits, never raises.
        """
        self._listen(feedback)
        if not self._is_running:
            self._start()

    def _listen(self, known: OutcomeEvent | Feedback) -> None:
        if isinstance(known, Feedback) or known.choice_policy is not None or known.event_id in self._knowledge:
            self._queue.append((None, known))

    # -- what is chosen from ---------------------------------------------------------------------------------

    @property
    def candidates(self) -> tuple[str, ...]:
        """The names of the candidates, also of those that are excluded."""
        return tuple(self._agents)

    @property
    def probabilities(self) -> dict[str, float]:
        """How probably each candidate is chosen now, by name; they add up to 1."""
        return {**dict.fromkeys(self._agents, 0.0), **self._table.probabilities}

    @property
    def policy(self) -> str:
        """Name and version of what is drawn by, as events have it."""
        return self._table.policy

    def exclude(self, *names: str) -> None:
        """Choose these never again, from the next decision on.

        Raises:
            FeedbackError: There is no such candidate, or none would be left, and there is no fallback.
        """
        with self._weighing:
            excluded = self._excluded | set(names_in(self._agents, "exclude()", names))
            check_left(self._agents, excluded, self._fallback)
            self._excluded = excluded
            self._make_table()

    def include(self, *names: str) -> None:
        """Choose these again.

        Raises:
            FeedbackError: There is no such candidate.
        """
        with self._weighing:
            self._excluded -= set(names_in(self._agents, "include()", names))
            self._make_table()

    # -- learning --------------------------------------------------------------------------------------------

    def warm_up(self, outcomes: Iterable[OutcomeEvent | Feedback]) -> int:
        """Learn from what there is, now: events of these agents, as a consumer or a log file gives them, and feedback.

        Each counts as much as its age leaves of it. Waits until it is done; not for an agent's thread.

        Returns:
            How many events were of candidates.
        """
        found = 0
        with self._lock:
            now = self._clock()
            for outcome in outcomes:
                if isinstance(outcome, Feedback):
                    self._knowledge.hear(outcome, now)
                elif outcome.agent_name in self._agents:
                    self._knowledge.take(outcome.agent_name, outcome, now)
                    found += 1
            self._knowledge.settle(now)
            self._weigh_anew(now)
        return found

    def refresh(self) -> None:
        """Take in what has come, share it, and weigh it; what the selector's thread does once a second."""
        with self._lock:
            now = self._clock()
            self._drain(now)
            if self._contexts is not None:
                self._contexts.learn(self._knowledge.reward_of, now)
            self._knowledge.settle(now)
            is_forgotten = self._half_life_s is not None and (
                now - self._weighed_at >= self._half_life_s / LOOKS_A_HALF_LIFE
            )
            if is_forgotten or self._version != self._knowledge.version:
                self._weigh_anew(now)

    def state(self) -> State:
        """Return what is known, as its file has it."""
        with self._lock:
            beliefs = self._knowledge.believed(self._clock())
            return self._knowledge.state.with_beliefs(
                beliefs, self._weigh(beliefs), objective=self.objective, floor=self._floor
            )

    def close(self) -> None:
        """Write what was learned, and end the thread; what is learned from then on is written no more."""
        self._is_closed = True
        self._wake.set()
        self.refresh_quietly()
        if self._contexts is not None:
            self._contexts.save()
        self._queue = deque(maxlen=0)

    # -- within ----------------------------------------------------------------------------------------------

    def _drain(self, now: float) -> None:
        queue = self._queue
        for _ in range(len(queue)):  # and not what comes meanwhile
            choice, heard = queue.popleft()
            try:
                if isinstance(heard, Feedback):
                    self._knowledge.hear(heard, now)
                elif isinstance(heard, (OutcomeEvent, EndedAction)):
                    event = heard if isinstance(heard, OutcomeEvent) else heard.event()
                    self._knowledge.take(None if choice is None else choice.name, event, now)
                elif choice is not None:
                    self._knowledge.reward(choice.name, min(1.0, max(0.0, float(heard))), now)
                if choice is not None and choice.context and self._contexts is not None:
                    self._contexts.note(choice, cast("Outcome", heard), now)
            except Exception as exc:  # whatever somebody taught
                self._log.warning("lesson", "an outcome teaches a selector nothing: %r", exc)

    def _weigh(self, beliefs: Beliefs) -> dict[str, float]:
        names = [name for name in self._agents if name not in self._excluded]
        best = probabilities_of_being_best([beliefs.of.get(name) or Belief() for name in names])
        return mixed(dict(zip(names, best, strict=True)), self._floor)

    def _weigh_anew(self, now: float) -> None:
        self._weighed_at = now
        with self._weighing:
            self._version, self._beliefs = self._knowledge.version, self._knowledge.believed(now)
            self._make_table()

    def _make_table(self) -> None:
        probabilities, policy = self._weigh(self._beliefs), f"thompson:{self._version}"
        agents = {name: self._agents[name] for name in probabilities}
        if not agents:
            assert self._fallback is not None
            name, agent = self._fallback
            agents, probabilities, policy = {name: agent}, {name: 1.0}, "fallback"
        self._table = Table(agents, probabilities, policy, self)

    def refresh_quietly(self) -> None:
        """Refresh, and go on as before where that fails."""
        try:
            self.refresh()
        except Exception as exc:
            self._log.warning(
                "refresh", "a selector could not weigh what it has learned, and goes on as before: %r", exc
            )

    def _start(self) -> None:
        """Start what looks at what has come, for as long as somebody has this selector."""
        if self._refresh_s is None or self._is_closed or will_fork():
            return
        with self._weighing:
            if self._is_running:
                return
            self._is_running = True
        try:
            arguments = weakref.ref(self), self._wake, self._refresh_s
            threading.Thread(target=look, args=arguments, name=THREAD_NAME, daemon=True).start()
        except RuntimeError:  # no more threads, or the interpreter ends
            self._is_running = False

    def _renew_locks(self) -> None:
        # what is known; held while a file is written, so never asked for by an agent's thread
        self._lock = threading.Lock()
        self._weighing = threading.Lock()  # who is excluded, and the table: held for a millisecond

    def renew_after_fork(self) -> None:
        """In a forked child: what waits is the parent's to learn."""
        self._renew_locks()
        self._queue.clear()
        self._wake = threading.Event()
        self._is_running = False
        self._random = Random(None if self._seed is None else self._seed ^ os.getpid()).random  # noqa: S311
        self._knowledge.leave_to_parent()
        if self._contexts is not None:
            self._contexts.renew_after_fork()
        call_at_end_of_child(self.close)
