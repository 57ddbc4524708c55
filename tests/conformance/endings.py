"""Code that ends in each way the tables name: what raises, what hangs, and who cuts it short.

The first are bodies, the user's code inside of the action; who cuts it short gets that running, and does something to it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import grpc
import grpc.aio
import httpx
import pytest
import requests
import trio

from tests.conformance.ways import LIMIT_S, ExceptionGroup, Work, aio

# -- exceptions, as users and libraries make them --------------------------------------------------------------


class Awkward(Exception):
    """Whatever is asked of it, it raises."""

    def __str__(self) -> str:
        raise ValueError("no text")

    def __bool__(self) -> bool:
        raise ValueError("neither")

    @property
    def exceptions(self) -> None:
        raise ValueError("no members")

    response = code = exceptions


class APIError(Exception):
    """As openai and anthropic make theirs, with a code or an HTTP status where there is one."""

    def __init__(self, code: str | None = None, status_code: int | None = None) -> None:
        super().__init__("the API said no")
        self.code, self.status_code = code, status_code


OwnError, OwnBase = type("OwnError", (Exception,), {}), type("OwnBase", (BaseException,), {})
AwkwardRefusal = type("AwkwardRefusal", (Awkward,), {"status_code": 401})
APITimeoutError, AuthenticationError, PermissionDeniedError, RateLimitError = (
    type(name, (APIError,), {})
    for name in ("APITimeoutError", "AuthenticationError", "PermissionDeniedError", "RateLimitError")
)


def raising(kind: Callable[..., BaseException], *args: Any) -> Any:
    def body() -> None:
        raise kind(*args)

    return body


def raising_async(kind: Callable[..., BaseException], *args: Any) -> Any:
    async def body() -> None:
        raise kind(*args)

    return body


def from_another() -> None:
    raise ValueError("no") from KeyError("why")


def while_handling() -> None:
    try:
        {}["why"]
    except KeyError:
        raise ValueError("no")  # noqa: B904


def deep_group() -> None:
    exc: BaseException = ValueError("deep")
    for _ in range(2_000):
        exc = ExceptionGroup("group", [exc])
    raise exc


class Net:
    """Addresses: of a server that accepts and never answers, and of one of gRPC that knows nobody."""

    silent = refusing = ""


def reading_socket() -> None:
    host, port = Net.silent.split(":")
    with socket.create_connection((host, int(port)), timeout=LIMIT_S) as connection:
        connection.recv(1)


def getting_with_requests() -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.get(f"http://{Net.silent}", timeout=LIMIT_S)


def getting_with_httpx() -> None:
    with httpx.Client(verify=False, trust_env=False, timeout=LIMIT_S) as client:
        client.get(f"http://{Net.silent}")


async def getting_with_async_httpx() -> None:
    async with httpx.AsyncClient(verify=False, trust_env=False, timeout=LIMIT_S) as client:
        await client.get(f"http://{Net.silent}")


def refused(status: int) -> Any:
    def body() -> None:
        httpx.Response(status, request=httpx.Request("GET", "http://api.test")).raise_for_status()

    return body


def refused_to_requests() -> None:
    response = requests.Response()
    response.status_code = 403
    response.raise_for_status()


def calling(use: Callable[[Any], object], server: str = "silent") -> Any:
    def body() -> None:
        with grpc.insecure_channel(getattr(Net, server)) as channel:
            use(channel)

    return body


def calling_one(use: Callable[[Any], object], server: str = "silent") -> Any:
    return calling(lambda channel: use(channel.unary_unary("/agents/Ask")), server)


def cancelled_future(channel: grpc.Channel) -> None:
    call: Any = channel.unary_unary("/agents/Ask")
    future = call.future(b"")
    future.cancel()
    future.result()


def cancelled_stream(channel: grpc.Channel) -> None:
    method: Any = channel.unary_stream("/agents/Ask")
    items = method(b"")
    items.cancel()
    next(items)


async def calling_grpc_aio() -> None:
    async with grpc.aio.insecure_channel(Net.silent) as channel:
        method: Any = channel.unary_unary("/agents/Ask")
        await method(b"", timeout=LIMIT_S)


# -- code that hangs, and who cuts it short --------------------------------------------------------------------


async def forever() -> None:
    await anyio.sleep(30)


async def succeeding() -> str:
    await anyio.sleep(2 * LIMIT_S)
    return "done"


async def until_the_limit_then_fail() -> None:
    await anyio.sleep(LIMIT_S)
    raise OwnError


async def wait_for_inside() -> None:
    await asyncio.wait_for(forever(), LIMIT_S)


async def timeout_inside() -> None:
    async with aio.timeout(LIMIT_S):
        await forever()


async def fail_after_inside() -> None:
    with anyio.fail_after(LIMIT_S):
        await forever()


async def move_on_after_inside() -> None:
    with anyio.move_on_after(LIMIT_S):
        await forever()


async def trio_fail_after_inside() -> None:
    with trio.fail_after(LIMIT_S):
        await forever()


async def task_group_inside() -> None:
    async with aio.TaskGroup() as group:
        group.create_task(forever())
        group.create_task(until_the_limit_then_fail())


async def anyio_group_inside() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(forever)
        await until_the_limit_then_fail()


async def gather_inside() -> None:
    await asyncio.gather(anyio.sleep(2 * LIMIT_S), until_the_limit_then_fail())


async def nobody(running: Work) -> None:
    with suppress(BaseException):
        await running()


async def task_cancel(running: Work) -> None:
    task = asyncio.ensure_future(running())
    await asyncio.sleep(LIMIT_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def wait_for(running: Work) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(running(), LIMIT_S)


async def timeout(running: Work) -> None:
    with pytest.raises(TimeoutError):
        async with aio.timeout(LIMIT_S):
            await running()


async def fail_after(running: Work) -> None:
    with pytest.raises(TimeoutError), anyio.fail_after(LIMIT_S):
        await running()


async def cancel_scope(running: Work) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(running)
        await anyio.sleep(LIMIT_S)
        group.cancel_scope.cancel()


async def anyio_sibling_fails(running: Work) -> None:
    with pytest.raises(ExceptionGroup):
        async with anyio.create_task_group() as group:
            group.start_soon(running)
            await until_the_limit_then_fail()


async def sibling_fails(running: Work) -> None:
    with pytest.raises(ExceptionGroup):
        async with aio.TaskGroup() as group:
            group.create_task(running())
            group.create_task(until_the_limit_then_fail())


async def gathered_sibling_fails(running: Work) -> None:
    task = asyncio.ensure_future(running())
    with pytest.raises(OwnError):
        await asyncio.gather(task, until_the_limit_then_fail())
    await task


async def end_of_the_loop(running: Work) -> None:
    left_open.append(asyncio.ensure_future(running()))
    await asyncio.sleep(LIMIT_S)


async def closing_the_coroutine(running: Work) -> None:
    coroutine = running()
    coroutine.send(None)
    await asyncio.sleep(LIMIT_S)
    coroutine.send(None)  # over the short sleep that every action has, to where it hangs
    coroutine.close()


left_open: list[Any] = []
"""What somebody still holds when its event loop ends."""
