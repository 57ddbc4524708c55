# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""Agents of LangGraph, with models of langchain-openai."""

import asyncio
import warnings

import openai
from harness import KEY, LONG_S, MODEL, SHORT_S, URL, WRONG_KEY, cancelled, main, raises, scenario
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent

warnings.simplefilter("ignore")  # create_react_agent has moved to langchain


def agent(name="assistant", does="", tools=(), **options):
    model = ChatOpenAI(
        model=MODEL, base_url=URL, max_retries=0, stream_usage=True, use_responses_api=False,
        **{"api_key": KEY, **options},
    )  # fmt: skip
    return create_react_agent(model, list(tools), prompt=f"You help.\n{does}", name=name)


def said(text):
    return {"messages": [("user", text)]}


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"dry in {city}"


@tool
def broken(city: str) -> str:
    """Tell the weather, or rather not."""
    raise ConnectionError("no weather today")


@scenario
async def tool_call():
    await agent(does="DO call weather", tools=[weather]).ainvoke(said("Is it raining?"))


@scenario
async def tool_call_sync():
    agent(does="DO call weather", tools=[weather]).invoke(said("Is it raining?"))


@scenario
async def tool_error():
    with raises(ConnectionError):
        await agent(does="DO call broken", tools=[broken]).ainvoke(said("Is it raining?"))


@scenario
async def model_error():
    with raises(openai.InternalServerError):
        await agent(does="DO fail 500").ainvoke(said("hello"))


@scenario
async def auth_error():
    with raises(openai.AuthenticationError):
        await agent(api_key=WRONG_KEY).ainvoke(said("hello"))


@scenario
async def timeout():
    with raises(openai.APITimeoutError):
        await agent(does=f"DO wait {LONG_S}", timeout=SHORT_S).ainvoke(said("hello"))


@scenario
async def cancellation():
    await cancelled(agent(does=f"DO wait {LONG_S}").ainvoke(said("hello")))


@scenario
async def stream_read():
    async for _ in agent().astream(said("hello"), stream_mode="messages"):
        pass


@scenario
async def stream_abandoned():
    stream = agent(does="DO drip 0.05").astream(said("hello"), stream_mode="messages")
    async for _ in stream:
        break
    await stream.aclose()


@scenario
async def nested():
    researcher = agent("researcher", "DO call weather", [weather])

    @tool
    async def research(city: str) -> str:
        """Find out about a city."""
        return (await researcher.ainvoke(said(city)))["messages"][-1].content

    await agent("coordinator", "DO call research", [research]).ainvoke(said("Find out"))


@scenario
async def parallel():
    agents = (agent(f"assistant_{number}", "DO call weather", [weather]) for number in range(3))
    await asyncio.gather(*(one.ainvoke(said("hello")) for one in agents))


if __name__ == "__main__":
    main()
