# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""Agents of OpenAI's Agents SDK."""

import asyncio

import openai
from agents import Agent, OpenAIResponsesModel, Runner, function_tool
from harness import KEY, LONG_S, MODEL, SHORT_S, URL, WRONG_KEY, cancelled, main, raises, scenario


def agent(name="assistant", does="", tools=(), handoffs=(), **options):
    client = openai.AsyncOpenAI(base_url=URL, max_retries=0, **{"api_key": KEY, **options})
    return Agent(
        name=name, instructions=f"You help.\n{does}", model=OpenAIResponsesModel(MODEL, client), tools=list(tools),
        handoffs=list(handoffs),
    )  # fmt: skip


@function_tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"dry in {city}"


def _broken(city: str) -> str:
    """Tell the weather, or rather not."""
    raise ConnectionError("no weather today")


broken = function_tool(_broken, name_override="broken", failure_error_function=None)


@scenario
async def tool_call():
    await Runner.run(agent(does="DO call weather", tools=[weather]), "Is it raining?")


@scenario
async def tool_error():
    with raises(Exception):
        await Runner.run(agent(does="DO call broken", tools=[broken]), "Is it raining?")


@scenario
async def model_error():
    with raises(openai.InternalServerError):
        await Runner.run(agent(does="DO fail 500"), "hello")


@scenario
async def auth_error():
    with raises(openai.AuthenticationError):
        await Runner.run(agent(api_key=WRONG_KEY), "hello")


@scenario
async def timeout():
    with raises(openai.APITimeoutError):
        await Runner.run(agent(does=f"DO wait {LONG_S}", timeout=SHORT_S), "hello")


@scenario
async def cancellation():
    await cancelled(Runner.run(agent(does=f"DO wait {LONG_S}"), "hello"))


@scenario
async def stream_read():
    async for _ in Runner.run_streamed(agent(), "hello").stream_events():
        pass


@scenario
async def stream_abandoned():
    result = Runner.run_streamed(agent(does="DO drip 0.05"), "hello")
    async for event in result.stream_events():
        if event.type == "raw_response_event":
            break
    result.cancel()
    await asyncio.sleep(0.2)


@scenario
async def handoff():
    researcher = agent("researcher", "DO call weather", [weather])
    await Runner.run(agent("coordinator", "DO call transfer_to_researcher", handoffs=[researcher]), "Find out")


@scenario
async def nested():
    researcher = agent("researcher", "DO call weather", [weather])
    research = researcher.as_tool("research", "Find out about a city")
    await Runner.run(agent("coordinator", "DO call research", [research]), "Find out")


@scenario
async def parallel():
    agents = (agent(f"assistant_{number}", "DO call weather", [weather]) for number in range(3))
    await asyncio.gather(*(Runner.run(one, "hello") for one in agents))


if __name__ == "__main__":
    main()
