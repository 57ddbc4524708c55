"""What an agent says of its action, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import decimal
import enum
import pathlib
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import otel_feedback as feedback
from tests.conformance.wire.cases import Cases
from tests.conformance.wire.making import Stage
from tests.made_up_secrets import SECRETS

__all__ = ["CASES", "everything"]

CASES = Cases()


class Colour(enum.Enum):
    RED = "red"


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def everything(stage: Stage) -> None:
    """Say all that can be said."""
    with feedback.action(
        "reasoning",
        agent="react_agent",
        agent_type="react",
        workflow_id="wf-1",
        run_id="run-1",
        correlation_id="c-1",
        session_id="s-1",
        user_id="u-1",
        tenant_id="t-1",
        tags=["one", "two"],
        metadata={"client": "acme", "tries": 3, "share": 0.5, "is_new": True, "steps": ["a", "b"], "deep": {"er": 1}},
        timeout_s=60.0,
    ) as act:
        act.add_usage(
            model="gpt-4o",
            provider="openai",
            input_tokens=900,
            output_tokens=80,
            cached_input_tokens=300,
            reasoning_tokens=20,
            cost=0.004,
            llm_latency_ms=640.5,
        )
        stage.look("after the first call")
        act.add_usage(model="gpt-4o-mini", total_tokens=50)
        act.score(quality=0.92, confidence=0.8)
        act.tag("three")
        act.set_metadata({"client": "other", "late": "yes"})
        act.set_metadata("one", 1)
        act.set_metadata(more=[1, 2])
        stage.look("before the end")


CASES()(everything)


@CASES()
def what_is_said_is_not_on_the_span_before_the_end(stage: Stage) -> None:
    with feedback.action("reasoning", metadata={"n": 1}) as act:
        before = stage.span.attributes
        act.set_metadata(n=2, late=True)
        act.tag("x")
        act.score(quality=1.0)
        act.add_usage(input_tokens=1)
        stage.note("before", dict(before))
        stage.note("after", dict(stage.span.attributes))


@CASES()
def metadata_of_every_type(stage: Stage) -> None:
    values: dict[Any, Any] = {
        "text": "x", "empty": "", "number": 7, "negative": -1, "big": 2**62, "too big": 2**70, "real": 1.5, "whole": 2.0,
        "tiny": 5e-324, "yes": True, "no": False, "nothing": None, "nan": float("nan"), "inf": float("inf"),
        "texts": ["a", "b"], "numbers": (1, 2), "reals": [1.5, 2.0], "bools": [True, False], "mixed": [1, "a", 2.5, None],
        "none of many": [], "set": {1}, "nested": {"a": {"b": 1}, "c": [1, 2]}, "bytes": b"ab", "list of lists": [[1], [2]],
        "uuid": uuid.UUID(int=5), "decimal": decimal.Decimal("1.10"), "path": pathlib.PurePosixPath("/a/b"),
        "time": dt.datetime(2026, 1, 2, tzinfo=dt.timezone.utc), "enum": Colour.RED, "object": Unprintable(),
        1: "number as key", "": "empty key",
    }  # fmt: skip
    with feedback.action("reasoning", metadata=values) as act:
        stage.look("live")
        act.set_metadata({f"late {key}": value for key, value in values.items()})


@CASES()
def unicode(stage: Stage) -> None:
    with feedback.action(
        "denken ☕", agent="агент", tags=["ä", "🙂"], metadata={"schlüssel": "世界", "lone": "a\ud800b"}
    ):
        stage.look("live")


@CASES()
def long_texts(stage: Stage) -> None:
    with feedback.action(
        "a" * 500, agent="b" * 300, run_id="r" * 999, tags=["t" * 400], metadata={"k": "v" * 9_000}
    ) as act:
        act.set_metadata({f"key {n}": n for n in range(100)})
        act.tag(*(f"tag {n}" for n in range(100)))


@CASES()
def values_that_cannot_be_used(stage: Stage) -> None:
    wrong: Any = 5
    with feedback.action(wrong, agent=wrong, tags=wrong, metadata=wrong, timeout_s=-1.0) as act:
        act.add_usage(input_tokens=-1, output_tokens="many", cost=float("nan"), model=wrong)  # type: ignore[arg-type]
        act.score(quality=7)


@CASES()
def secrets(stage: Stage) -> None:
    texts = [secret.text for secret in SECRETS[:12]]
    with feedback.action(
        "tool", agent=f"a {texts[0]}", metadata={f"k{n}": text for n, text in enumerate(texts)}
    ) as act:
        stage.look("live")
        act.set_metadata(password="hunter2", note=f"it is {texts[1]}")
        act.tag(f"t {texts[2]}")
        act.fail(f"refused {texts[3]}")


@CASES()
def secret_in_an_exception(stage: Stage) -> None:
    with contextlib.suppress(ValueError), feedback.action("tool"):
        raise ValueError(f"with {SECRETS[0].text}")


@CASES()
def error_with_stack_trace(stage: Stage) -> None:
    with contextlib.suppress(RuntimeError), feedback.action("tool", agent="searcher"):
        try:
            {}["missing"]
        except KeyError as exc:
            raise RuntimeError("no such page") from exc


@CASES(actions=2)
def error_that_leaves_two_actions(stage: Stage) -> None:
    with contextlib.suppress(RuntimeError), feedback.action("plan"), feedback.action("tool"):
        raise RuntimeError("broken")


@CASES(actions=3)
def error_that_an_outer_action_catches(stage: Stage) -> None:
    with feedback.action("plan"):
        with contextlib.suppress(RuntimeError), feedback.action("tool"):
            raise RuntimeError("once")
        with feedback.action("tool"):
            pass


@CASES()
def error_without_a_message(stage: Stage) -> None:
    with contextlib.suppress(ValueError), feedback.action("tool"):
        raise ValueError


@CASES()
def long_error(stage: Stage) -> None:
    def deeper(depth: int) -> None:
        if depth:
            deeper(depth - 1)
        else:
            raise ValueError("x" * 10_000)

    with contextlib.suppress(ValueError), feedback.action("tool"):
        deeper(60)


@CASES()
def timeout(stage: Stage) -> None:
    with contextlib.suppress(TimeoutError), feedback.action("tool"):
        raise TimeoutError("30 s are over")


@CASES()
def deadline_that_passed(stage: Stage) -> None:
    with feedback.action("tool", timeout_s=0.0):
        pass


@CASES()
def cancelled(stage: Stage) -> None:
    with contextlib.suppress(asyncio.CancelledError), feedback.action("tool"):
        raise asyncio.CancelledError


@CASES()
def cancelled_by_hand(stage: Stage) -> None:
    with feedback.action("tool") as act:
        act.cancel("nobody waits")


@CASES()
def cancelled_without_a_reason(stage: Stage) -> None:
    with feedback.action("tool") as act:
        act.cancel()


@CASES()
def partial(stage: Stage) -> None:
    with feedback.action("tool") as act:
        act.partial("half of it")


@CASES()
def partial_and_an_error(stage: Stage) -> None:
    with contextlib.suppress(ValueError), feedback.action("tool") as act:
        act.partial()
        raise ValueError("the other half")


@CASES()
def failed_by_hand(stage: Stage) -> None:
    with feedback.action("tool") as act:
        act.fail("it says no")


@CASES()
def failed_without_a_word(stage: Stage) -> None:
    with feedback.action("tool") as act:
        act.fail()


@CASES()
def failed_by_an_exception_that_was_caught(stage: Stage) -> None:
    with feedback.action("tool") as act:
        try:
            pathlib.Path("/no/such/file").read_bytes()
        except OSError as exc:
            act.fail(exc)


@CASES()
def group_of_errors(stage: Stage) -> None:
    group: Any = getattr(__import__("builtins"), "ExceptionGroup", None)
    with contextlib.suppress(Exception), feedback.action("tool"):
        raise group("both", [ValueError("one"), asyncio.TimeoutError("two")]) if group else ValueError("one")


@CASES(actions=2)
def usage_of_a_child(stage: Stage) -> None:
    with feedback.action("plan") as plan:
        plan.add_usage(input_tokens=1, cost=0.5)
        with feedback.action("tool") as tool:
            tool.add_usage(input_tokens=10, output_tokens=5, cost=0.25, llm_latency_ms=3)


@CASES(actions=2)
def pending_first(stage: Stage) -> None:
    with feedback.action("plan", emit_pending=True, run_id="r"), feedback.action("tool", emit_pending=True):
        pass


@CASES()
def said_after_the_end(stage: Stage) -> None:
    with feedback.action("tool") as act:
        pass
    act.tag("late")
    act.set_metadata(late=1)
    act.add_usage(input_tokens=1)
    act.score(quality=1)
    act.fail("late")


@CASES(actions=2)
def decorated_function(stage: Stage) -> None:
    @feedback.action("tool", agent="searcher")
    def search(word: str) -> str:
        if word == "bad":
            raise ValueError(word)
        return word

    search("good")
    with contextlib.suppress(ValueError):
        search("bad")


@CASES(actions=2)
def decorated_generator(stage: Stage) -> None:
    @feedback.action("stream")
    def words(count: int) -> Iterator[int]:
        for number in range(count):
            stage.span.add_event("item", {"number": number})
            yield number

    list(words(2))
    stream: Any = words(3)
    next(stream)
    stream.close()


@CASES(actions=3)
def coroutines_and_async_generators(stage: Stage) -> None:
    @feedback.action("stream")
    async def words() -> AsyncIterator[int]:
        yield 1

    @feedback.action("call")
    async def call() -> None:
        await asyncio.sleep(0)
        _ = [word async for word in words()]

    async def main() -> None:
        async with feedback.action("main"):
            await call()

    asyncio.run(main())


@CASES(actions=2)
def dispatched_agent_that_is_tried_again(stage: Stage) -> None:
    errors: Iterator[OSError | None] = iter([OSError("once"), None])

    class Agent:
        name = "flaky"

        async def run(self, input_data: Any) -> str:
            stage.span.set_attribute("by the agent", True)
            error = next(errors)
            if error is not None:
                raise error
            return "done"

    async def main() -> None:
        with feedback.action("plan"):
            await feedback.create_dispatcher(retries=1, backoff_s=0.0).dispatch(Agent(), "tool", "x")

    asyncio.run(main())
