# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""The OpenAI SDK: model calls, and no agents around them."""

import asyncio

import openai
from harness import KEY, LONG_S, MODEL, SHORT_S, URL, WRONG_KEY, cancelled, main, raises, scenario

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]


def client(kind=openai.AsyncOpenAI, **options):
    return kind(base_url=URL, max_retries=0, **{"api_key": KEY, **options})


def ask(text, **options):
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **options}


STREAM = {"stream": True, "stream_options": {"include_usage": True}}


@scenario
async def tool_call():
    chat = client(openai.OpenAI).chat.completions
    asked = ask("Is it raining?\nDO call weather", tools=TOOLS)
    message = chat.create(**asked).choices[0].message
    answer = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "dry"}
    chat.create(**{**asked, "messages": [*asked["messages"], message, answer]})


@scenario
async def model_error():
    with raises(openai.InternalServerError):
        client(openai.OpenAI).chat.completions.create(**ask("DO fail 500"))


@scenario
async def rate_limit():
    with raises(openai.RateLimitError):
        await client().chat.completions.create(**ask("DO fail 429"))


@scenario
async def auth_error():
    with raises(openai.AuthenticationError):
        await client(api_key=WRONG_KEY).chat.completions.create(**ask("hello"))


@scenario
async def timeout():
    with raises(openai.APITimeoutError):
        await client(timeout=SHORT_S).chat.completions.create(**ask(f"DO wait {LONG_S}"))


@scenario
async def cancellation():
    await cancelled(client().chat.completions.create(**ask(f"DO wait {LONG_S}")))


@scenario
async def stream_read():
    async for _ in await client().chat.completions.create(**ask("hello", **STREAM)):
        pass


@scenario
async def stream_abandoned():
    stream = client(openai.OpenAI).chat.completions.create(**ask("DO drip 0.05", **STREAM))
    with stream:
        for _ in stream:
            break


@scenario
async def stream_cancelled():
    async def read():
        async for _ in await client().chat.completions.create(**ask(f"DO drip {LONG_S}", **STREAM)):
            pass

    await cancelled(read())


@scenario
async def parallel():
    chat = client().chat.completions
    await asyncio.gather(*(chat.create(**ask(f"number {number}")) for number in range(3)))


@scenario
async def responses():
    await client().responses.create(model=MODEL, input="hello")


@scenario
async def responses_stream():
    async for _ in await client().responses.create(model=MODEL, input="hello", stream=True):
        pass


@scenario
async def responses_error():
    with raises(openai.InternalServerError):
        await client().responses.create(model=MODEL, input="DO fail 500")


if __name__ == "__main__":
    main()
