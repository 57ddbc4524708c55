# pyright: basic, reportMissingImports=false
"""What every program does with a model: a call, a stream, one that fails, inside an action of ours."""

import contextlib
import os

import openai

import otel_feedback as feedback

QUESTION = [{"role": "user", "content": "the answer?"}]


def ask(client=None):
    client = client or openai.OpenAI(base_url=f"{os.environ['MODEL_SERVER']}/v1", api_key="none", max_retries=0)
    chat = client.chat.completions
    with feedback.action("answer", agent="writer"):
        print(chat.create(model="gpt-4o", messages=QUESTION).choices[0].message.content)
        stream = chat.create(model="gpt-4o", messages=QUESTION, stream=True, stream_options={"include_usage": True})
        print("".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices))
        with contextlib.suppress(openai.NotFoundError):
            chat.create(model="gpt-4o", messages=[{"role": "user", "content": "DO fail 404"}])
