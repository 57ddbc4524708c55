# pyright: basic, reportMissingImports=false
import os

from calls import ask
from langfuse import Langfuse
from langfuse.openai import OpenAI

import otel_feedback as feedback

server, order = os.environ["MODEL_SERVER"], os.environ["ORDER"]
if order == "vendor last":
    feedback.configure()
langfuse = Langfuse(public_key="a", secret_key="b", base_url=server)
if order == "vendor first":
    feedback.configure()
ask(OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0))
langfuse.flush()
