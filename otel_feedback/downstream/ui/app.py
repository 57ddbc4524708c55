"""The app: the page's files, and what its views ask, as JSON. Each answer is made on a thread, with what its asker may see.

GET /api/…  ──Guard──► endpoint ──thread──► mirror.open(tenant) ──► picture, details, groups … ──► JSON
GET /…      ──Guard──► page/
"""

from __future__ import annotations

import mimetypes
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import duckdb
import msgspec
from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from otel_feedback.downstream.ui import details, exporting, groups, picture
from otel_feedback.downstream.ui.access import Access, Guard
from otel_feedback.downstream.ui.asking import Asked, RefusedError, asked_of, choice_of, number_of
from otel_feedback.downstream.ui.door import PATH
from otel_feedback.downstream.ui.learning import experiments
from otel_feedback.downstream.ui.learning.beliefs import Beliefs
from otel_feedback.downstream.ui.learning.learned import Learned
from otel_feedback.downstream.ui.live import MOST_ROWS, Hub
from otel_feedback.downstream.ui.mirror import Mirror
from otel_feedback.downstream.ui.reader import Reader
from otel_feedback.downstream.ui.rows import milliseconds
from otel_feedback.errors import FeedbackError
from otel_feedback.version import VERSION

__all__ = ["Shown", "make_app"]

PAGE = Path(__file__).parent / "page"
VIEWS = (
    "/", "/run/{run_id:path}", "/failures", "/cost", "/experiments", "/choices", "/gaps", "/objectives", "/alerts",
    "/pipeline",
)  # fmt: skip
THREADS = 4
"""Answers that are made at a time; others wait."""
MOST_LIMIT = 1_000
MOST_MS = 2**53

Work = Callable[[Reader], Any]


class Shown(NamedTuple):
    """What a page shows. `alerts`, `objectives`, `beliefs`, `pipeline`: None where there are none.

    `problem` is what stands in the way of the source, `behind` how many records there are still to read.
    """

    mirror: Mirror
    kind: str
    source: str
    jaeger: str | None = None
    problem: Callable[[], str | None] = lambda: None
    behind: Callable[[], int | None] = lambda: None
    alerts: Callable[[str | None], dict[str, Any]] | None = None
    objectives: Callable[[Reader], dict[str, Any]] | None = None
    beliefs: Beliefs | None = None
    pipeline: Callable[[Reader, Asked], dict[str, Any]] | None = None


def make_app(shown: Shown, access: Access, port: int, door: ASGIApp | None = None) -> tuple[ASGIApp, Hub]:
    """Return the app, guarded, and the hub of its streams.

    Args:
        shown: What it shows.
        access: To whom.
        port: Where it listens.
        door: Takes feedback; None: nobody does.
    """
    mimetypes.add_type("text/javascript", ".js")  # not what this machine's files may say
    hub = Hub(lambda: shown.mirror.seen, lambda tenant: shown.alerts(tenant)["open"] if shown.alerts else [])
    shown.mirror.listen(hub.tell)
    endpoints = _Endpoints(shown, hub)
    routes: list[BaseRoute] = [Route(path, _page, methods=["GET"]) for path in VIEWS]
    routes += [Route(f"/api/{name}", endpoint, methods=["GET"]) for name, endpoint in endpoints.by_name().items()]
    routes.append(Mount("/static", _Files(directory=PAGE)))
    doors = {} if door is None else {PATH: door}
    errors: Mapping[Any, Any] = {RefusedError: _refused, HTTPException: _http, Exception: _failed}
    return Guard(Starlette(routes=routes, exception_handlers=errors), access, port, doors), hub


class _Files(StaticFiles):
    """The page's files: asked for again each time, and then mostly not sent."""

    def file_response(self, *given: Any, **named: Any) -> Response:
        answer = super().file_response(*given, **named)
        answer.headers["cache-control"] = "no-cache"
        return answer


async def _page(_request: Request) -> Response:
    return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})


class _Endpoints:
    def __init__(self, shown: Shown, hub: Hub) -> None:
        self._shown = shown
        self._hub = hub
        self._limiter = anyio.CapacityLimiter(THREADS)

    def by_name(self) -> dict[str, Callable[[Request], Any]]:
        return {
            "state": self.state, "now": self.now, "feed": self.feed, "live": self.live, "run/{run_id:path}": self.run,
            "failures": self.failures, "cost": self.cost, "objectives": self.objectives, "alerts": self.alerts,
            "pipeline": self.pipeline, "values": self.values, "export": self.export,
            **experiments.Compared(self._work).by_name(),
            **Learned(self._work, self._shown.beliefs).by_name(),
        }  # fmt: skip

    async def _work(self, request: Request, work: Work, limiter: anyio.CapacityLimiter | None = None) -> Any:
        """Do the work with what the asker may see, on a thread."""

        def run() -> Any:
            try:
                with self._shown.mirror.open(request.scope["tenant"]) as reader:
                    return work(reader)
            except (FeedbackError, duckdb.Error, OSError) as exc:
                if isinstance(exc, RefusedError):
                    raise
                raise _unreadable(exc, request) from exc

        return await anyio.to_thread.run_sync(run, limiter=limiter or self._limiter)

    async def _answer(self, request: Request, work: Work) -> Response:
        return _json(await self._work(request, work))

    async def state(self, request: Request) -> Response:
        asked_of(request.query_params.multi_items())
        return await self._answer(request, self._state)

    def _state(self, reader: Reader) -> dict[str, Any]:
        shown, tenant = self._shown, reader.tenant
        mirror = shown.mirror
        rows: Any = mirror.manifest.rows
        newest: Any = milliseconds(mirror.newest)
        if tenant is not None:
            [row] = reader.rows("SELECT count(*) AS n, max(t) AS newest FROM hot")
            rows, newest = row["n"], row["newest"]
        problem = mirror.problem or shown.problem()
        if problem is not None and tenant is not None:  # it may name what is not theirs
            problem = "the page is not up to date"
        return {
            "source": shown.source if tenant is None else shown.kind, "kind": shown.kind, "rows": rows, "newest": newest,
            "behind_s": self._behind_s(newest), "problem": problem, "tenant": tenant, "version": VERSION,
            "jaeger": shown.jaeger, "alerts": shown.alerts is not None, "objectives": shown.objectives is not None,
        }  # fmt: skip

    def _behind_s(self, newest: Any) -> float | None:
        behind = self._shown.behind()
        if behind is None or newest is None:
            return None
        return max(0.0, round(time.time() - newest / 1e3, 1)) if behind else 0.0

    async def now(self, request: Request) -> Response:
        asked = asked_of(request.query_params.multi_items())
        return await self._answer(request, lambda reader: picture.picture(reader, asked))

    async def feed(self, request: Request) -> Response:
        given = request.query_params
        asked = asked_of(given.multi_items(), others=("limit", "before"), open_end=True)
        limit = number_of(given, "limit", 100, MOST_LIMIT)
        before = number_of(given, "before", 0, MOST_MS) if "before" in given else None
        return await self._answer(request, lambda reader: details.feed(reader, asked, limit, before))

    async def run(self, request: Request) -> Response:
        run_id = request.path_params["run_id"]
        return await self._answer(request, lambda reader: details.run(reader, run_id))

    async def failures(self, request: Request) -> Response:
        asked = asked_of(request.query_params.multi_items())
        return await self._answer(request, lambda reader: groups.failures(reader, asked))

    async def cost(self, request: Request) -> Response:
        given = request.query_params
        asked = asked_of(given.multi_items(), others=("by", "bucket"))
        by = choice_of(given, "by", groups.BY, "tenant")
        bucket = choice_of(given, "bucket", list(groups.LENGTHS_MS), "hour")
        return await self._answer(request, lambda reader: groups.costs(reader, asked, by, bucket))

    async def objectives(self, request: Request) -> Response:
        asked_of(request.query_params.multi_items())
        told = self._shown.objectives
        if told is None:
            return _json({"objectives": [], "remedy": "write a file slo.toml: there are no objectives yet"})
        return await self._answer(request, told)

    async def alerts(self, request: Request) -> Response:
        asked_of(request.query_params.multi_items())
        told = self._shown.alerts
        if told is None:
            return _json({"open": [], "history": [], "remedy": "there are no alerts: start `otel-feedback alerts run`"})
        return await self._answer(request, lambda reader: told(reader.tenant))

    async def pipeline(self, request: Request) -> Response:
        asked = asked_of(request.query_params.multi_items())
        told = self._shown.pipeline
        if request.scope["tenant"] is not None:
            raise RefusedError(403, "the pipeline is not a tenant's", "ask with a token for everything")
        if told is None:
            raise RefusedError(404, "nothing is known of the pipeline", "start the page with a topic, or a store")
        return await self._answer(request, lambda reader: told(reader, asked))

    async def values(self, request: Request) -> Response:
        given = request.query_params
        asked_of(given.multi_items(), others=("field", "prefix"))
        field = choice_of(given, "field", groups.VALUES, "agent")
        return await self._answer(request, lambda reader: groups.values(reader, field, given.get("prefix", "")))

    async def live(self, request: Request) -> Response:
        given = request.query_params.multi_items()
        asked = asked_of(given, others=("after",), open_end=True)
        seen = self._shown.mirror.seen_by(request.headers.get("last-event-id") or request.query_params.get("after"))
        given = [each for each in given if each[0] != "after"]
        self._hub.admit()

        async def changed(seen: int) -> dict[str, Any]:
            return await self._work(request, lambda reader: details.changed(reader, asked, seen, MOST_ROWS))

        async def totals() -> dict[str, Any]:
            return await self._work(
                request, lambda reader: picture.totals(reader, asked_of(given))
            )  # of now: a day ends with it

        async def news() -> dict[str, Any]:
            return await self._work(request, self._news)

        tenant = request.scope["tenant"]
        stream = self._hub.stream((tenant, tuple(sorted(given))), seen, tenant, changed, news, totals)
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    def _news(self, reader: Reader) -> dict[str, Any]:
        state = self._state(reader)
        return {
            "as_of": int(time.time() * 1e3),
            **{name: state[name] for name in ("rows", "newest", "behind_s", "problem")},
        }

    async def export(self, request: Request) -> Response:
        given = request.query_params
        asked = asked_of(given.multi_items(), others=("format", "view", "by", *experiments.NAMES))
        form = choice_of(given, "format", exporting.FORMS, "csv")
        view = choice_of(given, "view", exporting.VIEWS, "events")
        by = choice_of(given, "by", groups.BY, "tenant")
        stack = ExitStack()
        reader = stack.enter_context(self._shown.mirror.open(request.scope["tenant"]))
        try:
            own = experiments.table(reader, asked, given) if view == "experiments" else None
            pieces = exporting.export(reader, asked, view, form, by, own)
            first = await anyio.to_thread.run_sync(partial(next, pieces, b""), limiter=self._limiter)
        except BaseException as exc:
            stack.close()
            if isinstance(exc, (FeedbackError, duckdb.Error, OSError)) and not isinstance(exc, RefusedError):
                raise _unreadable(exc, request) from exc
            raise
        media_type = exporting.FORMS[form]
        headers = {"content-disposition": f'attachment; filename="{view}.{form}"'}
        return StreamingResponse(_all(first, pieces, stack), media_type=media_type, headers=headers)


async def _all(first: bytes, pieces: Iterator[bytes], stack: ExitStack) -> AsyncGenerator[bytes, None]:
    with stack:
        yield first
        async for piece in iterate_in_threadpool(pieces):
            yield piece


def _unreadable(exc: Exception, request: Request) -> RefusedError:
    said = str(exc).partition("\n")[0][:300] if request.scope["tenant"] is None else "the store"
    return RefusedError(
        503, f"the events cannot be read: {said}", "try again; see that the store is there, and may be read"
    )


def _json(data: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(data), status, media_type="application/json")


async def _refused(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RefusedError)
    return _json({"error": exc.found, "remedy": exc.remedy}, exc.status)


async def _http(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    remedy = "see the page's address" if exc.status_code == 404 else "this page only reads"
    return _json({"error": exc.detail.lower(), "remedy": remedy}, exc.status_code)


async def _failed(_request: Request, _exc: Exception) -> Response:
    return _json({"error": "this is a defect of the page", "remedy": "its log has more; please report it"}, 500)
