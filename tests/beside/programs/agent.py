# pyright: basic, reportMissingImports=false
"""An agent that knows nothing of telemetry."""

import contextlib
import os

import openai

client = openai.OpenAI(base_url=f"{os.environ['MODEL_SERVER']}/v1", api_key="none", max_retries=0)
QUESTION = [{"role": "user", "content": "the answer?"}]

print(client.chat.completions.create(model="gpt-4o", messages=QUESTION).choices[0].message.content)
stream = client.chat.completions.create(
    model="gpt-4o", messages=QUESTION, stream=True, stream_options={"include_usage": True}
)
print("".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices))
with contextlib.suppress(openai.NotFoundError):
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "DO fail 404"}])
client.embeddings.create(model="text-embedding-3-small", input="the answer?")
print(client.responses.create(model="gpt-4o", input="the answer?").output_text)
