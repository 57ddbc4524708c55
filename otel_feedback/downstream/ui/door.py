"""`POST /feedback`: where front ends give feedback, with a token of its own, which opens nothing else.

    request ──method──► origin ──► token ──► rate ──► size, JSON ──► checked field by field ──► give ──► 202
                405       403       401      429        413 415 400          400, the field        503

Beside the page, behind the same rule of hosts; off unless it has a token. What was answered with 202 survives this process,
as `give()` promises. A token that a browser has is no secret: what it can do is here, and is limited. For an event loop.
"""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from otel_feedback.downstream.ui.access import Token
from otel_feedback.errors import ConfigError
from otel_feedback.events.feedback import Feedback, is_event_id

__all__ = ["PATH", "Door", "Rate", "Taking"]

PATH = "/feedback"
MOST_BYTES = 16 * 1024
MOST_ADDRESSES = 10_000
ALL_OF_THEM = 50
"""So many times what one address may send all of them may together."""
AGAIN_S = 86_400
"""How long a browser may remember what it may ask."""


class Taking(NamedTuple):
    """Who takes feedback; both are called with a target and what was said, by name."""

    give: Callable[..., Feedback | None]
    problems_of: Callable[..., Sequence[ConfigError]]


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    event_id: str | None = None
    run_id: str | None = None
    score: float | None = None
    label: str | None = None
    comment: str | None = None
    name: str = "user_rating"
    source: Literal["human", "judge", "rule", "program"] = "human"
    by: str | None = None
    key: str | None = None
    tenant_id: str | None = None


_decode = msgspec.json.Decoder(_Asked).decode
_SAID = ("score", "label", "comment", "name", "source", "by", "key")


class _RefusedError(Exception):
    def __init__(self, status: int, found: str, remedy: str, field: str | None = None, **headers: str) -> None:
        super().__init__(found)
        told = (
            {"error": found, "remedy": remedy} if field is None else {"error": found, "field": field, "remedy": remedy}
        )
        self.answer = JSONResponse(
            told, status, headers={name.replace("_", "-"): each for name, each in headers.items()}
        )


class Rate:
    """So many a minute for each address, as many at once, and `ALL_OF_THEM` times that for all; for one thread.

    Args:
        per_minute: A whole number of at least 1.
        clock: Seconds; monotonic.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # by address: how many, as of when
        self._all = (float(per_minute * ALL_OF_THEM), clock())

    def wait_s(self, address: str) -> float:
        """Take one, and return 0.0; where there is none left, return after how many seconds there is one."""
        now_s = self._clock()
        all_left = self._grown(self._all, now_s, ALL_OF_THEM)
        left = self._grown(self._left.pop(address, (float(self._per_minute), now_s)), now_s, 1)
        is_taken = all_left >= 1 and left >= 1
        self._all = (all_left - is_taken, now_s)
        self._left[address] = (left - is_taken, now_s)
        if len(self._left) > MOST_ADDRESSES:
            self._left.popitem(last=False)
        per_s = self._per_minute / 60
        return 0.0 if is_taken else max((1 - left) / per_s, (1 - all_left) / (per_s * ALL_OF_THEM))

    def _grown(self, known: tuple[float, float], now_s: float, times: int) -> float:
        left, at_s = known
        most = self._per_minute * times
        return min(float(most), left + (now_s - at_s) * most / 60)


class Door:
    """The door, as an app.

    Args:
        taking: Who takes what is given.
        tokens: What opens it: each for everything, or for what is a tenant's.
        origins: Sites whose pages may ask, such as `https://app.example.com`; what is no browser says none.
        rate: How much may come.
    """

    def __init__(self, taking: Taking, tokens: Sequence[Token], origins: Collection[str], rate: Rate) -> None:
        self._taking = taking
        self._tokens = tokens
        self._origins = {origin.lower().rstrip("/") for origin in origins}
        self._rate = rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        request = Request(scope, receive)
        cors: dict[str, str] = {}
        try:
            cors = self._cors(request)
            answer = self._preflight() if request.method == "OPTIONS" else await self._take(request)
        except _RefusedError as exc:
            answer = exc.answer
        for name, value in cors.items():
            answer.headers[name] = value
        await answer(scope, receive, send)

    def _cors(self, request: Request) -> dict[str, str]:
        """Return the headers that let a page of another site read the answer."""
        if request.method not in ("POST", "OPTIONS"):
            raise _RefusedError(405, f"{request.method} is not allowed", "POST it", allow="POST, OPTIONS")
        origin = request.headers.get("origin")
        if origin is None:
            return {}
        is_own = urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()
        if not is_own and origin.lower() not in self._origins:
            raise _RefusedError(
                403,
                f"pages of {origin[:80]} may not give feedback",
                "start it with --feedback-origin and that, if it is meant",
            )
        return {"access-control-allow-origin": origin, "access-control-expose-headers": "retry-after", "vary": "origin"}

    def _preflight(self) -> Response:
        allowed = {"methods": "POST", "headers": "authorization, content-type"}
        return Response(
            status_code=204,
            headers={
                **{f"access-control-allow-{name}": value for name, value in allowed.items()},
                "access-control-max-age": str(AGAIN_S),
            },
        )

    async def _take(self, request: Request) -> Response:
        token = self._token(request)
        wait_s = self._rate.wait_s("" if request.client is None else request.client.host)
        if wait_s:
            raise _RefusedError(
                429, "too much feedback from this address", "try again later", retry_after=str(int(wait_s) + 1)
            )
        target, said = _checked(await _body(request), token)
        # it may wait for a disk
        feedback, left_out = await anyio.to_thread.run_sync(self._give, target, said)
        if feedback is None:
            raise _RefusedError(
                503, "feedback cannot be recorded just now", "try again; the log of this process says why"
            )
        told: dict[str, Any] = {"feedback_id": feedback.feedback_id, "target": feedback.target}
        return JSONResponse({**told, "left_out": left_out} if left_out else told, 202)

    def _token(self, request: Request) -> Token:
        bearer = request.headers.get("authorization", "")
        given = bearer[7:] if bearer[:7].lower() == "bearer " else ""
        found: Token | None = None
        for token in self._tokens:  # all of them: the time tells nothing
            if hmac.compare_digest(token.secret.encode(), given.encode("utf-8", "surrogateescape")):
                found = token
        if found is None:
            remedy = "send the token of --feedback-token as `Authorization: Bearer …`"
            found_out = "the token is not right" if given else "a token is needed"
            raise _RefusedError(401, found_out, remedy, www_authenticate="Bearer")
        return found

    def _give(self, target: str, said: Mapping[str, Any]) -> tuple[Feedback | None, list[str]]:
        checked = {name: value for name, value in said.items() if name not in ("by", "key")}
        problems = list(self._taking.problems_of(target, **checked))
        # who has nothing else to say is told so by another problem
        left_out = [each.variable for each in problems if each.variable == "comment"]
        for problem in problems:
            if problem.variable != "comment":
                raise _RefusedError(400, str(problem), "correct it", problem.variable)
        return self._taking.give(target, **said), left_out


def _checked(body: bytes, token: Token) -> tuple[str, dict[str, Any]]:
    """Return what the body is about, and what it says of it.

    Raises:
        _RefusedError: It is not what is taken; the answer names the field.
    """
    try:
        asked = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        detail, _, path = str(exc).partition(" - at `$.")
        field = path.rstrip("`") or (detail.split("`")[1] if "unknown field `" in detail else None)
        raise _RefusedError(
            400, detail, "send one JSON object with event_id or run_id, and a score, label or comment", field
        ) from exc
    targets = {name: value for name in ("event_id", "run_id") if (value := getattr(asked, name))}
    if len(targets) != 1:
        found = "both event_id and run_id are given" if targets else "neither event_id nor run_id is given"
        raise _RefusedError(400, found, "give one of them", "event_id")
    [(field, target)] = targets.items()
    if is_event_id(target) != (field == "event_id"):
        right = (
            "32 hex digits, a hyphen, 16 hex digits, as events have it"
            if field == "event_id"
            else "a run's, not an event's"
        )
        raise _RefusedError(400, f"{field}={target[:80]!r}: this is no such id", right, field)
    if token.tenant is not None and asked.tenant_id not in (None, token.tenant):
        raise _RefusedError(
            403, f"tenant_id={asked.tenant_id[:80]!r}: the token is another tenant's", "leave it out", "tenant_id"
        )
    said = {name: getattr(asked, name) for name in _SAID}
    return target, {**said, "tenant_id": token.tenant or asked.tenant_id}


async def _body(request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _RefusedError(415, "this takes JSON", "send `Content-Type: application/json`")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise _RefusedError(413, f"more than {MOST_BYTES:,} bytes", "send less")
    return body
