# pyright: basic, reportMissingImports=false
"""Endpoints of Starlette and FastAPI that stream: /starlette/KIND, /starlette-sync/KIND, /fastapi/KIND, /whole."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Iterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse as FastAPIStreamingResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route

import otel_feedback as feedback

feedback.configure(service_name="servers")


@feedback.action("generate", agent="writer")
async def words(kind: str) -> AsyncIterator[str]:
    for number in range(3):
        yield f"word {number}\n"
    if kind == "fails":
        raise ValueError("no more words")
    while kind == "endless":
        yield "and on\n" * 1_000
        await asyncio.sleep(0.01)


@feedback.action("generate", agent="writer")
def words_of_a_thread(kind: str) -> Iterator[str]:
    for number in range(3):
        yield f"word {number}\n"
    if kind == "fails":
        raise ValueError("no more words")
    while kind == "endless":
        yield "and on\n" * 1_000
        time.sleep(0.01)


@feedback.action("answer", agent="starlette")
async def answer(request: Request) -> StreamingResponse:
    return StreamingResponse(words(request.path_params["kind"]))


@feedback.action("answer", agent="starlette-sync")
def answer_of_a_thread(request: Request) -> StreamingResponse:
    return StreamingResponse(words_of_a_thread(request.path_params["kind"]))


@feedback.action("answer", agent="whole")
async def whole(request: Request) -> PlainTextResponse:
    return PlainTextResponse("word 0\nword 1\nword 2\n")


async def collect(request: Request) -> PlainTextResponse:
    """Nobody closes a plain generator that ran in a thread: Python does when it collects it."""
    return PlainTextResponse(str(gc.collect()))


fastapi = FastAPI()


@fastapi.get("/{kind}")
@feedback.action("answer", agent="fastapi")
async def answer_of_fastapi(kind: str) -> FastAPIStreamingResponse:
    return FastAPIStreamingResponse(words(kind))


application = Starlette(
    routes=[
        Route("/starlette/{kind}", answer),
        Route("/starlette-sync/{kind}", answer_of_a_thread),
        Route("/whole/{kind}", whole),
        Route("/collect", collect),
        Mount("/fastapi", fastapi),
    ]
)
