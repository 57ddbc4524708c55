"""Who may ask: the host that was meant, the page's own origin, a token where there are any; and headers that keep browsers safe.

    request ──method──► host ──► origin ──► token ──► the app, with `scope["tenant"]`
                405      403      403        401
       └── /feedback, where there is a door ──► host ──► the door, which has rules of its own

Around the app as plain ASGI, so that nothing that is served is reached past it. Tokens are compared in constant time, and come in
an address once: then a cookie that is made of the token, and does not tell it, stands for it. For an event loop.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import ipaddress
import socket
from collections.abc import Collection, Mapping, Sequence
from http.cookies import CookieError, SimpleCookie
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from otel_feedback.errors import ConfigError

__all__ = ["Access", "Guard", "Token", "is_loopback", "token_of"]

LEAST_TOKEN = 16
COOKIE_S = 30 * 86_400
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Token(NamedTuple):
    """What lets somebody in; `tenant` None: to everything."""

    secret: str
    tenant: str | None = None


def token_of(text: str) -> Token:
    """Return the token that a text means: the secret alone, or `tenant=NAME:SECRET`.

    Raises:
        ConfigError: It means none, or is too short to be one.
    """
    tenant: str | None = None
    secret = text.strip()
    if secret.startswith("tenant="):
        tenant, _, secret = secret.removeprefix("tenant=").rpartition(":")
        if not tenant:
            raise ConfigError("token", "tenant=…", "tenant=NAME:SECRET")
    if len(secret) < LEAST_TOKEN or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ConfigError(
            "token", "…", f"at least {LEAST_TOKEN} characters of ASCII without blanks, that nobody guesses"
        )
    return Token(secret, tenant)


def is_loopback(host: str) -> bool:
    """Tell whether what listens there is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Access(NamedTuple):
    """Whom to let in.

    `tokens`: none means everybody who reaches it. `hosts`: names, besides addresses and localhost, that it is called by.
    """

    tokens: Sequence[Token] = ()
    hosts: Collection[str] = ()


class Guard:
    """The app with its guard.

    Args:
        app: What is guarded.
        access: Whom to let in.
        port: Where it listens; cookies do not tell ports apart, so their name does.
        doors: Apps by their paths that see for themselves who may ask.
    """

    def __init__(self, app: ASGIApp, access: Access, port: int, doors: Mapping[str, ASGIApp] | None = None) -> None:
        self._app = app
        self._doors = doors or {}
        self._access = access
        self._cookie = f"otel_feedback_{port}"
        self._hosts = {host.lower() for host in access.hosts} | {"localhost"}
        if access.tokens:  # a name that an attacker has made point here brings no cookie
            self._hosts.add(socket.gethostname().lower())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the app."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        answer = self._at_door(scope) or self._refusal(scope) or self._app
        await answer(scope, receive, send_safely)

    def _at_door(self, scope: Scope) -> ASGIApp | None:
        door = self._doors.get(scope["path"])
        return door and (self._refused_host(Headers(scope=scope).get("host", "")) or door)

    def _refused_host(self, host: str) -> Response | None:
        if self._is_ours(host):
            return None
        return _said(
            403, f"this is not called {host[:80]!r}", "start it with --allow-host and that name, if it is meant"
        )

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if scope["method"] not in ("GET", "HEAD"):
            return _said(405, f"{scope['method']} is not allowed", "this page only reads", {"allow": "GET, HEAD"})
        host = headers.get("host", "")
        refused = self._refused_host(host)
        if refused is not None:
            return refused
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return _said(403, "the request comes from another site", "open the page itself")
        is_of_others = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        is_visit = headers.get("sec-fetch-mode") == "navigate" and not scope["path"].startswith(("/api/", "/static/"))
        if is_of_others and not is_visit:
            return _said(403, "the request comes from another site", "open the page itself")
        return self._unknown(scope, headers, is_visit=is_of_others)

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name.rstrip(".") in self._hosts
        return True  # an address cannot be made to point elsewhere

    def _unknown(self, scope: Scope, headers: Headers, *, is_visit: bool) -> Response | None:
        """Note whose the token is; return the answer to who has none."""
        scope["tenant"] = None
        if not self._access.tokens:
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = dict(query).get("token")
        if given is not None and not scope["path"].startswith("/api/"):
            token = self._token(given)
            if token is None:
                return _refused(scope, "the token is not right")
            return self._let_in(scope, token, [(name, value) for name, value in query if name != "token"])
        bearer = headers.get("authorization", "")
        found = self._token(bearer[7:]) if bearer[:7].lower() == "bearer " else self._of_cookie(headers)
        if found is None:
            # a link from elsewhere: the browser keeps back the cookie, and sends it when the page itself asks
            return _again(scope) if is_visit else _refused(scope, "a token is needed")
        scope["tenant"] = found.tenant
        return None

    def _token(self, given: str) -> Token | None:
        found: Token | None = None
        for token in self._access.tokens:  # all of them: the time tells nothing
            if hmac.compare_digest(token.secret.encode(), given.encode("utf-8", "surrogateescape")):
                found = token
        return found

    def _of_cookie(self, headers: Headers) -> Token | None:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return None
        found: Token | None = None
        for token in self._access.tokens if cookie is not None else ():
            if cookie is not None and hmac.compare_digest(
                _stand_in(token).encode(), cookie.value.encode("utf-8", "replace")
            ):
                found = token
        return found

    def _let_in(self, scope: Scope, token: Token, query: Sequence[tuple[str, str]]) -> Response:
        answer = _again(scope, query)
        is_secure = scope.get("scheme") == "https"
        answer.set_cookie(
            self._cookie, _stand_in(token), max_age=COOKIE_S, httponly=True, samesite="strict", secure=is_secure
        )
        return answer


def _stand_in(token: Token) -> str:
    """Return what a cookie has in place of a token: whoever sees it elsewhere on this host does not know the token."""
    return hmac.new(token.secret.encode(), b"otel-feedback ui", hashlib.sha256).hexdigest()


def _again(scope: Scope, query: Sequence[tuple[str, str]] | None = None) -> Response:
    """Have the page itself ask once more, so that it is no other site's request."""
    path = quote("/" + scope["path"].lstrip("/\\"))  # never //elsewhere
    text = scope["query_string"].decode("latin-1") if query is None else urlencode(query)
    address = html.escape(path + (f"?{text}" if text else ""), quote=True)
    return HTMLResponse(
        f'<!doctype html><meta http-equiv="refresh" content="0;url={address}"><title>One moment</title>'
    )


def _refused(scope: Scope, found: str) -> Response:
    remedy = "open the address with ?token=… once, or send it as `Authorization: Bearer …`"
    if scope["path"].startswith("/api/"):
        return _said(401, found, remedy, {"www-authenticate": "Bearer"})
    text = html.escape(f"{found}: {remedy}")
    return HTMLResponse(f"<!doctype html><title>Not let in</title><p>{text}</p>", 401, {"www-authenticate": "Bearer"})


def _said(status: int, found: str, remedy: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": found, "remedy": remedy}, status, headers)
