"""Code that ends in an exception: those of users and libraries, the latter really raised where they are installed."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
import httpx
import requests

from tests.conformance.ways import LIMIT_S, BaseExceptionGroup, ExceptionGroup

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


class Odd:
    """It cannot be compared."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("no equal")

    __hash__ = None  # type: ignore[assignment]


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


def grouped(*members: BaseException) -> Any:
    return raising(BaseExceptionGroup, "group", members)


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


_HTTPX = httpx.Timeout(60, read=LIMIT_S)  # where connecting takes long, it is another one's timeout


def getting_with_httpx() -> None:
    with httpx.Client(verify=False, trust_env=False, timeout=_HTTPX) as client:
        client.get(f"http://{Net.silent}")


async def getting_async() -> None:
    async with httpx.AsyncClient(verify=False, trust_env=False, timeout=_HTTPX) as client:
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
