# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""Agents of pydantic-ai."""

import asyncio

import openai
from harness import KEY, LONG_S, MODEL, SHORT_S, URL, WRONG_KEY, cancelled, main, raises, scenario
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


def agent(name="assistant", does="", tools=(), **options):
    client = openai.AsyncOpenAI(base_url=URL, max_retries=0, **{"api_key": KEY, **options})
    model = OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=client))
    return Agent(model, name=name, instructions=f"You help.\n{does}", tools=tools)


def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"dry in {city}"


def broken(city: str) -> str:
    """Tell the weather, or rather not."""
    raise ConnectionError("no weather today")


@scenario
async def tool_call():
    await agent(does="DO call weather", tools=[weather]).run("Is it raining?")


@scenario
async def tool_error():
    with raises(ConnectionError):
        await agent(does="DO call broken", tools=[broken]).run("Is it raining?")


@scenario
async def model_error():
    with raises(ModelHTTPError):
        await agent(does="DO fail 500").run("hello")


@scenario
async def auth_error():
    with raises(ModelHTTPError):
        await agent(api_key=WRONG_KEY).run("hello")


@scenario
async def timeout():
    with raises(ModelAPIError):
        await agent(does=f"DO wait {LONG_S}", timeout=SHORT_S).run("hello")


@scenario
async def cancellation():
    await cancelled(agent(does=f"DO wait {LONG_S}").run("hello"))


@scenario
async def stream_read():
    async with agent().run_stream("hello") as result:
        async for _ in result.stream_text():
            pass


@scenario
async def stream_abandoned():
    async with agent(does="DO drip 0.05").run_stream("hello") as result:
        async for _ in result.stream_text(debounce_by=None):
            break


@scenario
async def nested():
    researcher = agent("researcher", "DO call weather", [weather])

    async def research(city: str) -> str:
        """Find out about a city."""
        return (await researcher.run(city)).output

    await agent("coordinator", "DO call research", [research]).run("Find out")


@scenario
async def parallel():
    await asyncio.gather(*(agent(f"assistant_{n}", "DO call weather", [weather]).run("hello") for n in range(3)))


if __name__ == "__main__":
    main()
