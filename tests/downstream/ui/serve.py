"""What the tests of the page share: a store with events in it, and the real server on it, by uvicorn on a port of its own."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Generator, Iterable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx

from otel_feedback import Feedback, OutcomeEvent
from otel_feedback.downstream.store.folder import FEEDBACK, StoreFolder
from otel_feedback.downstream.store.keeping import Limits
from otel_feedback.downstream.store.rows import row_of_line
from otel_feedback.downstream.store.writer import Batch, StoreWriter
from otel_feedback.downstream.topic.given import row_of_feedback
from otel_feedback.downstream.ui.access import Access, Token
from otel_feedback.downstream.ui.app import Shown, make_app
from otel_feedback.downstream.ui.door import Door
from otel_feedback.downstream.ui.mirror import MOST_HOT, Mirror
from otel_feedback.downstream.ui.serving import PageServer, address_of, bind
from tests.stack.waiting import wait_until

TOKEN = "a-token-for-everything"


def token_of(tenant: str) -> str:
    return f"the-token-of-{tenant}-0123456789"


def write(
    folder: StoreFolder, events: Sequence[OutcomeEvent], files: int = 1, limits: Limits | None = None,
    given: Sequence[Feedback] = (),
) -> None:  # fmt: skip
    """Write events into a store, in so many files, and feedback with the first of them."""
    with folder.writing():
        writer = StoreWriter(folder, limits or Limits(), lambda *_: None, lambda *_: None)
        writer.start()
        size = -(-len(events) // files) or 1
        for start in range(0, len(events) or len(given[:1]), size):
            batch = Batch()
            for place, event in enumerate(events[start : start + size], start):
                batch.add(row_of_line(event.to_json().encode(), b'"made"', place))
            for one in given if start == 0 else ():
                batch.add_notice(FEEDBACK, row_of_feedback(one, "made"))
            assert writer.put(batch, 60)
        writer.close()


def kept_from(day: datetime) -> Limits:
    """Return the limits of a store that keeps a day and what is later, whatever time it is now."""
    return Limits(retention_days=(datetime.now(timezone.utc) - day.replace(hour=1)) / timedelta(days=1))


class Server:
    """A page that is served."""

    def __init__(self, address: str, mirror: Mirror, streams: Any) -> None:
        self.address = address
        self.mirror = mirror
        self.hub = streams
        self.client = httpx.Client(base_url=address, timeout=60)  # one: to make it takes longer than an answer

    def ask(self, path: str, token: str | None = None, **headers: str) -> httpx.Response:
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        return self.client.get(f"{self.address}{path}", headers=headers)

    def get(self, path: str, token: str | None = None) -> Any:
        """Return the answer to a request that is right."""
        answer = self.ask(path, token)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()

    def wait_for_rows(self, number: int) -> None:
        wait_until(lambda: self.get("api/state")["rows"] >= number, timeout_s=60, what=f"{number} rows")

    @contextlib.contextmanager
    def stream(self, query: str = "", token: str | None = None) -> Generator[Iterable[tuple[str, Any]], None, None]:
        """Give the messages of a stream: names and data."""
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        with self.client.stream("GET", f"api/live{query}", headers=headers) as answer:
            assert answer.status_code == 200, answer.read()
            yield _messages(answer)


def _messages(answer: httpx.Response) -> Generator[tuple[str, Any], None, None]:
    name = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


@contextlib.contextmanager
def served(
    path: Path, tokens: Sequence[Token] = (), most_hot: int = MOST_HOT, door: Door | None = None, **more: Any
) -> Generator[Server, None, None]:
    """Serve a store's folder."""
    mirror = Mirror(StoreFolder(path), most_hot)
    with bind("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        app, hub = make_app(Shown(mirror, "store", str(path), **more), Access(tokens), port, door)
        server = PageServer(app, hub, mirror.interrupt)
        thread = threading.Thread(target=server.run, args=(listening,))
        mirror.start()
        thread.start()
        try:
            shown = Server(address_of(listening), mirror, hub)
            with shown.client:
                yield shown
        finally:
            server.stop()
            thread.join()
            mirror.close()


def ms(moment: datetime) -> int:
    """Return a moment as the page has it."""
    return (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(milliseconds=1)
