"""`OrchestrationDispatcher`: several agents as one workflow, one after the other or at once.

    workflow span ──► agent ──► agent ──► agent        sequential: each gets what the one before it gave
                 └──► agent, agent, agent              parallel: each gets the task

Every agent that was started gets its event, also when the workflow is cancelled or out of time.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import functools
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from opentelemetry import context as context_api

from otel_feedback import semconv
from otel_feedback.capture.action import action, current_action
from otel_feedback.capture.ending import ErrorInfo
from otel_feedback.capture.handle import IDENTITY_KEY, Action
from otel_feedback.capture.names import name_of
from otel_feedback.dispatch.calling import call_agent
from otel_feedback.dispatch.choosing import chosen, is_selector
from otel_feedback.dispatch.dispatcher import ActionDispatcher
from otel_feedback.dispatch.requests import Request, check_loop, check_seconds, declare
from otel_feedback.dispatch.running import LateError, Running, start, stop_for_good, under_way, within
from otel_feedback.errors import FeedbackError
from otel_feedback.events.model import OutcomeStatus

if TYPE_CHECKING:
    from typing_extensions import TypedDict, Unpack

    class Shared(TypedDict, total=False):
        """The identifiers of a workflow besides its own two."""

        correlation_id: str | None
        session_id: str | None
        user_id: str | None
        tenant_id: str | None


__all__ = ["OrchestrationDispatcher"]

Mode = Literal["sequential", "parallel"]
OnError = Literal["stop", "continue"]
_ENDED_WELL = (OutcomeStatus.SUCCESS, OutcomeStatus.PARTIAL)


class OrchestrationDispatcher:
    """Runs agents as a workflow.

    Args:
        dispatcher: Runs the agents; default: one of its own, with this process's settings.

    Thread-safe.
    """

    def __init__(self, dispatcher: ActionDispatcher | None = None, **options: Any) -> None:
        if dispatcher is not None and options:
            raise FeedbackError(f"{sorted(options)} belong to the dispatcher that was given: expected only one of both")
        self.dispatcher = dispatcher or ActionDispatcher(**options)

    async def execute_workflow(
        self,
        agents: Sequence[Any],
        task: Any,
        *,
        tags: Iterable[str] | None = None,
        mode: Mode = "sequential",
        on_error: OnError = "stop",
        context: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
        agent_timeout_s: float | None = None,
        name: str = "workflow",
        action_type: str = "execute",
        workflow_id: str | None = None,
        run_id: str | None = None,
        **identity: Unpack[Shared],
    ) -> dict[str, Any]:
        """Run the agents and return what came of each and of all.

        Args:
            agents: As for `dispatch()`.
            task: What the first agent gets (sequential), or every agent (parallel).
            mode: "sequential": each agent gets the output of the one before it, the first the task. "parallel": at once.
            on_error: "stop": after an agent that did not succeed, no other is started, and in parallel those under way
                are cancelled; "continue": the others go on, sequential with the last output that there was.
            context: Goes to each agent.
            timeout_s: How long the whole workflow may take, in seconds; what runs then is cancelled, and waited for: at
                most a second for an agent that does not heed it, and for the post hooks.
            agent_timeout_s: How long each agent may take, in seconds.
            name: The name of the workflow's own action.
            action_type: What the agents do.
            workflow_id: The workflow that this is a run of; default: that of the action around it, else a random one.
            run_id: This run; default: that of the action around it, else a random one. All of its events are in one
                Kafka partition, in order.
            tags: As for `action()`; the agents inherit them.
            identity: `correlation_id`, `session_id`, `user_id`, `tenant_id`, as for `action()`.

        Returns:
            `{"status", "workflow_id", "run_id", "event_id", "outputs", "duration_ms", "total_tokens", "total_cost"}`.
            `outputs` has `{"agent", "status", "output", "error", "duration_ms", "event_id"}` for each agent that was
            started, in the order given. `status`, in this order: "timeout" when `timeout_s` passed; "success" when
            every agent was started and succeeded; "partial" when at least one succeeded; else that of the agent
            that was the first to end otherwise. `total_tokens` and `total_cost` are None where no agent told any.

        Raises:
            FeedbackError: An argument that cannot be used; nothing was started.
            asyncio.CancelledError: This was cancelled; workflow and agents are recorded as cancelled.
        """
        check_loop()
        team = _team_of(agents)
        _check(team, mode, on_error, timeout_s, agent_timeout_s)
        around_workflow, around_run = _ids_around()
        workflow_id = workflow_id or around_workflow or secrets.token_hex(8)
        run_id = run_id or around_run or secrets.token_hex(16)
        declared = action(
            "workflow", agent=name, agent_type="workflow", tags=tags, workflow_id=workflow_id, run_id=run_id, **identity
        )
        act = Action.begin(declared._declared)
        started_ns = time.perf_counter_ns()
        outputs: list[dict[str, Any] | None] = [None] * len(team)
        steps = _Steps(self.dispatcher, team, outputs, context, agent_timeout_s, action_type, stops=on_error == "stop")
        timed_out: TimeoutError | None = None
        try:
            if await steps.run(mode, task, timeout_s):
                timed_out = TimeoutError(f"took longer than timeout_s={timeout_s}")
        except BaseException as exc:
            act._end(exc)
            raise
        done = [output for output in outputs if output is not None]
        status = OutcomeStatus.TIMEOUT if timed_out is not None else _status_of(outputs, steps.failed_as)
        _end(act, status, timed_out, steps.failure)
        event = act.event
        return {
            "status": status.value,
            "workflow_id": workflow_id,
            "run_id": run_id,
            "event_id": act.event_id,
            "outputs": done,
            "duration_ms": (time.perf_counter_ns() - started_ns) / 1e6 if event is None else event.duration_ms,
            "total_tokens": None if event is None else event.tokens_used,
            "total_cost": None if event is None else event.cost_estimate,
        }


def _end(act: Action, status: OutcomeStatus, timed_out: TimeoutError | None, failure: ErrorInfo | None) -> None:
    """End the workflow's action as its agents did."""
    if timed_out is None and status is not OutcomeStatus.SUCCESS:
        reason = None if failure is None else failure.message
        act._force(status, None if status is OutcomeStatus.PARTIAL else failure, reason)
    act._end(timed_out)


class _Steps:
    """The agents' part of one workflow; puts what came of each in its place."""

    def __init__(
        self,
        dispatcher: ActionDispatcher,
        team: Sequence[Any],
        outputs: list[dict[str, Any] | None],
        context: Mapping[str, Any] | None,
        timeout_s: float | None,
        action_type: str,
        *,
        stops: bool,
    ) -> None:
        self._dispatcher = dispatcher
        self._team = team
        self._outputs = outputs
        self._context = context
        self._timeout_s = timeout_s
        self._action_type = action_type
        self._stops = stops
        self._attempts = dispatcher.attempts
        self.failed_as: OutcomeStatus | None = None
        self.failure: ErrorInfo | None = None  # of the first agent that did not succeed

    async def run(self, mode: Mode, task: Any, timeout_s: float | None) -> bool:
        """Run the agents; return whether the time was up."""
        run = functools.partial(self.one_by_one if mode == "sequential" else self.at_once, task)
        if timeout_s is None:
            await run()
            return False
        try:
            _, error = await within(start(run), timeout_s, stop_for_good)
        except LateError:
            return True
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback has this frame
        return False

    async def one_by_one(self, task: Any) -> None:
        given = task
        for place in range(len(self._team)):
            output = await self._run(place, given)
            if output["status"] in _ENDED_WELL:
                given = output["output"]
            elif self._stops:
                return

    async def at_once(self, task: Any) -> None:
        running = [
            start(functools.partial(self._run, place, task, in_parallel=True), at_once=False)
            for place in range(len(self._team))
        ]
        try:
            while running:
                await asyncio.wait(under_way(running), return_when=asyncio.FIRST_COMPLETED)
                done = [one for one in running if one.ended is not None]
                running = [one for one in running if one.ended is None]
                if self._goes_no_further(done):
                    return
        finally:
            await stop_for_good(*running)

    def _goes_no_further(self, done: Iterable[Running]) -> bool:
        is_over = False
        for one in done:
            assert one.ended is not None
            output, error, _ = one.ended
            if error is not None:
                raise error
            is_over = is_over or (self._stops and output["status"] not in _ENDED_WELL)
        return is_over

    async def _run(self, place: int, given: Any, *, in_parallel: bool = False) -> dict[str, Any]:
        agent = self._team[place]
        begun: list[Action] = []
        context = {} if self._context is None else self._context
        choice = chosen(agent, context) if is_selector(agent) else None
        agent, name = (agent, name_of(agent)) if choice is None else (choice.agent, choice.name)
        declared = declare(agent, self._action_type, choice)
        request = Request(
            agent, declared, given, context, self._timeout_s, self._attempts, choice=choice, in_parallel=in_parallel
        )
        try:
            result = (await self._dispatcher.perform(request, begun.append))[0]
        except BaseException:
            for act in begun:
                self._outputs[place] = _output(name, _of_event(act))
            raise
        output = self._outputs[place] = _output(name, result)
        if output["status"] not in _ENDED_WELL and self.failure is None:
            message = f"{name}: {result['error'] or result['status']}"
            self.failed_as = OutcomeStatus(output["status"])
            self.failure = ErrorInfo(result["error_type"] or semconv.ERROR_TYPE_OTHER, message, None)
        return output


def _output(name: str, result: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("status", "output", "error", "duration_ms", "event_id")
    return {"agent": name, **{key: result.get(key) for key in kept}}


def _of_event(act: Action) -> dict[str, Any]:
    event = act.event
    status = OutcomeStatus.CANCELLED if event is None else event.status
    duration_ms = None if event is None else event.duration_ms
    error = None if event is None else event.error_message or event.error_type
    return {"status": status.value, "error": error, "duration_ms": duration_ms, "event_id": act.event_id}


def _ids_around() -> tuple[str | None, str | None]:
    """Return the workflow and the run that this one is inside of, in this process or another."""
    act = current_action()
    if act is not None:
        return act.identity.get(semconv.OUTCOME_WORKFLOW_ID), act.partition_key
    foreign = cast("Mapping[str, str]", context_api.get_value(IDENTITY_KEY) or {})
    return foreign.get(semconv.OUTCOME_WORKFLOW_ID), foreign.get(semconv.OUTCOME_RUN_ID)


def _team_of(agents: Any) -> list[Any]:
    try:
        return list(agents)
    except TypeError:
        raise FeedbackError(f"agents is {type(agents).__name__}: expected a list of agents") from None


def _check(
    team: Sequence[Any], mode: str, on_error: str, timeout_s: float | None, agent_timeout_s: float | None
) -> None:
    for name, seconds in (("timeout_s", timeout_s), ("agent_timeout_s", agent_timeout_s)):
        if seconds is not None:
            check_seconds(name, seconds)
    if mode not in ("sequential", "parallel"):
        raise FeedbackError(f'mode is {mode!r}: expected "sequential" or "parallel"')
    if on_error not in ("stop", "continue"):
        raise FeedbackError(f'on_error is {on_error!r}: expected "stop" or "continue"')
    if not team:
        raise FeedbackError("agents is empty: expected at least one")
    for agent in team:
        if not is_selector(agent):
            call_agent(agent, None, {})


def _status_of(outputs: Sequence[Mapping[str, Any] | None], failed_as: OutcomeStatus | None) -> OutcomeStatus:
    statuses = [None if output is None else OutcomeStatus(output["status"]) for output in outputs]
    if all(status is OutcomeStatus.SUCCESS for status in statuses):
        return OutcomeStatus.SUCCESS
    if any(status in _ENDED_WELL for status in statuses):
        return OutcomeStatus.PARTIAL
    return failed_as or OutcomeStatus.FAILURE
