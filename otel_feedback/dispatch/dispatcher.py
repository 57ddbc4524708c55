"""`ActionDispatcher`: runs any agent as one recorded action, and answers with a dict instead of an exception.

    dispatch ─► pre hooks ─► a free place ─► attempt ─► attempt … ─► end ─► post hooks ─► result
    │◄───────────────────────── latency_ms ─────────────────────────►│
                                                       │◄ duration_ms ►│  of the last attempt

Used from any event loop, and from several at once. Each call that begins has one event, also one that is cancelled while
it waits. Cancellation always goes through; what the agent raised is in the result, or, with `raise_on_error=True`, raised.
"""

# pyright: reportPrivateUsage=false
# an action's handle belongs to its agent; what drives it stays out of the agent's sight

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from otel_feedback.capture.action import Identity
from otel_feedback.capture.handle import Action
from otel_feedback.capture.runtime import ensure_recorder, runtime
from otel_feedback.dispatch.answers import Extractor, take_metrics
from otel_feedback.dispatch.attempts import BACKOFF_S, Came, make_attempts
from otel_feedback.dispatch.calling import call_agent
from otel_feedback.dispatch.choosing import chosen, is_selector
from otel_feedback.dispatch.hooks import Hook, Hooks
from otel_feedback.dispatch.places import Place, Places
from otel_feedback.dispatch.requests import Request, check_count, check_hooks, check_loop, check_seconds, declare
from otel_feedback.dispatch.results import result_of, unrecorded
from otel_feedback.dispatch.running import keep, start
from otel_feedback.errors import FeedbackError
from otel_feedback.events.model import OutcomeEvent

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from otel_feedback.learning.selector.choice import Choice

__all__ = ["ActionDispatcher", "Request"]


class ActionDispatcher:
    """Runs agents as recorded actions. `create_dispatcher()` makes one and configures the process.

    Args:
        max_concurrency: Actions at a time, per event loop; others wait, which counts in `latency_ms`.
        retries: How often an agent that failed or timed out is tried again.
        backoff_s: Wait before the first retry, in seconds; doubles each time, with jitter, up to 30.
        hook_timeout_s: How long one hook may take, in seconds.
        extractor: Reads tokens, cost and scores off an answer that is no mapping; see `dispatch()`.
        raise_on_error: Raise what the agent raised, after it was recorded, instead of returning it.
        enable_metrics: Whether its actions count in OpenTelemetry metrics, as all outcomes do.

    Thread-safe.
    """

    def __init__(
        self,
        *,
        max_concurrency: int | None = None,
        retries: int = 0,
        backoff_s: float = BACKOFF_S,
        hook_timeout_s: float = 5.0,
        extractor: Extractor | None = None,
        raise_on_error: bool = False,
        enable_metrics: bool = True,
    ) -> None:
        if max_concurrency is not None:
            check_count("max_concurrency", max_concurrency, 1)
        check_count("retries", retries, 0)
        check_seconds("backoff_s", backoff_s)
        check_seconds("hook_timeout_s", hook_timeout_s)
        if extractor is not None and not callable(extractor):
            raise FeedbackError(f"extractor is {extractor!r}: expected a function that is given an answer")
        ensure_recorder()
        self._places = Places(max_concurrency)
        self._retries = retries
        self._backoff_s = backoff_s
        self._extractor = extractor
        self._raise_on_error = raise_on_error
        self._enable_metrics = enable_metrics
        self._pre = Hooks("pre", hook_timeout_s)
        self._post = Hooks("post", hook_timeout_s)

    def add_pre_hook(self, hook: Hook) -> Callable[[], None]:
        """Call `hook(agent, input_data, context)` before each action; return what removes it again."""
        return self._pre.add(hook)

    def add_post_hook(self, hook: Hook) -> Callable[[], None]:
        """Call `hook(agent, result, event)` after each action; return what removes it again.

        `result` is what `dispatch()` returns, `event` the finished `OutcomeEvent`.
        """
        return self._post.add(hook)

    def remove_hook(self, hook: Hook) -> None:
        """Remove a hook of either kind."""
        self._pre.remove(hook)
        self._post.remove(hook)

    @property
    def attempts(self) -> int:
        """How often an agent is tried at most."""
        return 1 + self._retries

    @property
    def hook_failures(self) -> dict[str, int]:
        """How many hooks raised or took too long, by kind."""
        return {"pre": self._pre.failures, "post": self._post.failures}

    def dispatch_sync(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Do what `dispatch()` does, in a program without an event loop.

        Raises:
            FeedbackError: There is an event loop here: await `dispatch()` instead.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self.dispatch(*args, **kwargs))
        raise FeedbackError("dispatch_sync() in a running event loop would block it: await dispatch(…) instead")

    async def dispatch(
        self,
        agent: Any,
        action_type: str = "execute",
        input_data: Any = None,
        context: Mapping[str, Any] | None = None,
        *,
        tags: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
        retries: int | None = None,
        agent_type: str | None = None,
        raise_on_error: bool | None = None,
        pre_hooks: Sequence[Hook] = (),
        post_hooks: Sequence[Hook] = (),
        **identity: Unpack[Identity],
    ) -> dict[str, Any]:
        """Run an agent as one action and return what came of it.

        Args:
            agent: Anything with `execute(input_data, context)`, `run(…)`, `invoke(…)`, or that can be called; plain
                (run in a thread, with the context variables) or async. Its name is `.name`, else its class's. What a
                generator yields comes as a list. An `AgentSelector` chooses one, and learns what came of it.
            action_type: What is done.
            input_data: Goes to the agent and the pre hooks, and nowhere else.
            context: Goes to the agent and the pre hooks, and nowhere else; `{}` when not given.
            tags: As for `action()`.
            metadata: As for `action()`.
            timeout_s: How long one attempt may take, in seconds. A plain agent's thread cannot be stopped: the action
                ends as TIMEOUT, is flagged `thread_left_running`, and is not tried again.
            retries: Instead of the dispatcher's.
            agent_type: As for `action()`; default: the agent's `agent_type`, where it is text.
            raise_on_error: Instead of the dispatcher's.
            pre_hooks: Hooks for this call, after the dispatcher's.
            post_hooks: Hooks for this call, after the dispatcher's.
            identity: `workflow_id`, `run_id`, `correlation_id`, `session_id`, `user_id`, `tenant_id`, as for `action()`.

        Returns:
            `{"status", "output", "error", "error_type", "duration_ms", "latency_ms", "event_id", "trace_id",
            "attempts"}`; `error` is a message, None when there was none. Of an answer that is a mapping, `tokens_used`,
            `usage`, `cost`, `model`, `provider`, `quality_score` and `confidence` go to the event.

        Raises:
            FeedbackError: `agent` is nothing that can be run, an argument cannot be used, or no event loop of asyncio
                runs here; nothing is recorded.
            asyncio.CancelledError: This was cancelled; the action is recorded as cancelled.
            BaseException: What the agent raised, with `raise_on_error`; KeyboardInterrupt and SystemExit always.
        """
        check_loop()
        if timeout_s is not None:
            check_seconds("timeout_s", timeout_s)
        if retries is not None:
            check_count("retries", retries, 0)
        choice: Choice | None = None
        if is_selector(agent):
            choice = chosen(agent, context)
            agent = choice.agent
        request = Request(
            agent,
            declare(agent, action_type, choice, agent_type, tags, metadata, identity),
            input_data, {} if context is None else context, timeout_s,
            1 + (self._retries if retries is None else retries),
            () if pre_hooks == () else check_hooks("pre_hooks", pre_hooks),
            () if post_hooks == () else check_hooks("post_hooks", post_hooks),
            choice,
        )  # fmt: skip
        result, error = await self.perform(request)
        try:
            if error is not None and (self._raise_on_error if raise_on_error is None else raise_on_error):
                raise error
            return result
        finally:
            del error  # its traceback has this frame

    async def perform(
        self, request: Request, started: Callable[[Action], None] | None = None
    ) -> tuple[dict[str, Any], BaseException | None]:
        """Run one request; return the result and what the agent raised. For dispatchers built on this one.

        Args:
            started: Told of the action when it starts.
        """
        requested_ns = time.perf_counter_ns()
        call = call_agent(request.agent, request.input_data, request.context)
        came = Came()
        act: Action | None = None
        place: Place | None = None
        try:
            if self._pre.added or request.pre_hooks:
                await self._pre.run(request.pre_hooks, request.agent, request.input_data, request.context)
            if self._places.most is not None:
                place = await self._places.take(self._places.most)
            act = Action.begin(request.declared)
            if started is not None:
                started(act)
            at_once = None if request.in_parallel or request.attempts > 1 else call.begin(request.timeout_s)
            if at_once is None:
                await make_attempts(act, call, request, came, self._backoff_s)
            else:
                came.attempts = 1
                came.output, came.error, came.duration_ms = at_once
        except BaseException as exc:  # cancelled, Ctrl-C, an exit: not ours to turn into a result
            came.output, came.error = None, exc
        finally:
            at_once = None
            if place is not None:
                self._places.give_back(place)
        if act is None:
            act = Action.begin(request.declared)
            if started is not None:
                started(act)
        act._requested_ns = requested_ns
        error = came.error
        try:
            if error is None:
                take_metrics(act, came.output, self._extractor)
            if not self._enable_metrics and (recorder := runtime().recorder) is not None:
                recorder.leave_unmeasured(act.event_id)
            act._end(error)
            outcome = act.recorded
            if outcome is None:
                outcome = unrecorded(act, request.declared, came, requested_ns)
            result = result_of(outcome, came)
            if request.choice is not None and came.attempts:  # cancelled before it ran, it did nothing to learn from
                request.choice.learn(outcome)
            if (self._post.added or request.post_hooks) and not isinstance(error, GeneratorExit):
                event = outcome if isinstance(outcome, OutcomeEvent) else outcome.event()
                await self._run_post(
                    request,
                    (request.agent, dict(result), event),
                    is_cancelled=isinstance(error, asyncio.CancelledError),
                )
            if error is not None and not isinstance(error, Exception):
                raise error
            return result, error
        finally:
            came.error = error = None  # its traceback has this frame

    async def _run_post(self, request: Request, told: tuple[Any, ...], *, is_cancelled: bool) -> None:
        """Run the post hooks; the first cancellation waits for them, the next leaves them to themselves."""
        running = start(functools.partial(self._post.run, request.post_hooks, *told))
        keep(running)
        try:
            ended = await running.finished()
        except asyncio.CancelledError:
            if not is_cancelled:
                await running.finished()
            raise
        if ended is not None and isinstance(ended[1], (KeyboardInterrupt, SystemExit)):
            raise ended[1]
