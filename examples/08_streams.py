"""Streams as actions: a generator and an async generator, read to the end and left early."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Generator

import otel_feedback as feedback


# the action lasts from the first item asked for until the generator is exhausted or closed
@feedback.action("answer", agent="writer")
def write(words: list[str]) -> Generator[str]:
    act = feedback.current_action()
    assert act is not None
    for count, word in enumerate(words, 1):
        yield word
        act.set_metadata(words=count)
    act.add_usage(model="local-model", input_tokens=50, output_tokens=len(words))


@feedback.action("answer", agent="speaker")
async def speak(words: list[str]) -> AsyncGenerator[str]:
    for word in words:
        await asyncio.sleep(0.001)
        if word == "unspeakable":
            raise ValueError("no")
        yield word


async def listen(words: list[str], most: int) -> str:
    heard: list[str] = []
    # a generator that is left early should be closed at once, which is what aclosing() does
    async with contextlib.aclosing(speak(words)) as stream:
        async for word in stream:
            heard.append(word)
            if len(heard) == most:
                break
    return " ".join(heard)


def main() -> None:
    os.environ.setdefault("OTEL_TRACES_EXPORTER", "none")  # no collector is needed
    pipeline = feedback.configure(service_name="example-8", enable_outcome_logging=False)

    print(" ".join(write(["to", "the", "end"])))
    stream = write(["left", "after", "two", "words"])
    print(next(stream), next(stream))
    stream.close()

    print(asyncio.run(listen(["to", "the", "end"], most=10)))
    print(asyncio.run(listen(["left", "after", "two", "words"], most=2)))
    try:
        asyncio.run(listen(["an", "unspeakable", "word"], most=10))
    except ValueError as error:
        print("the exception comes out unchanged:", error)

    print()
    for event in pipeline.get_recent_events():
        print(f"{event.agent_name}: {event.status}, tokens {event.tokens_used}, metadata {event.metadata}")


if __name__ == "__main__":
    main()
