"""What comes while somebody looks: rows soon, actions that end, nothing kept for who is slow, nothing left of who is gone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.downstream.store import erasures
from otel_feedback.downstream.store.folder import StoreFolder
from otel_feedback.downstream.ui.access import Token
from otel_feedback.downstream.ui.asking import RefusedError
from otel_feedback.downstream.ui.live import MOST_ROWS, MOST_STREAMS, Hub
from tests.downstream.ui.serve import TOKEN, Server, served, token_of, write
from tests.stack.waiting import wait_until


def event(number: int, **fields: Any) -> OutcomeEvent:
    given: dict[str, Any] = {"status": OutcomeStatus.SUCCESS, "agent_name": f"agent-{number % 3}", **fields}
    return OutcomeEvent(event_id=f"event-{number}", action_type="step", **given)


@pytest.fixture
def folder(tmp_path: Path) -> StoreFolder:
    folder = StoreFolder(tmp_path / "store")
    write(folder, [event(0)])
    return folder


def next_rows(messages: Any) -> dict[str, Any]:
    return next(data for name, data in messages if name == "rows")


def test_rows_come_and_change(folder: StoreFolder) -> None:
    with served(folder.path) as server:
        server.wait_for_rows(1)
        with server.stream() as messages:
            kind, tick = next(iter(messages))
            assert (kind, tick["totals"]["actions"], tick["rows"]) == ("tick", 1, 1)
            write(folder, [event(1, status=OutcomeStatus.PENDING, revision=0)])
            [row] = next_rows(messages)["rows"]
            assert (row["event_id"], row["status"], row["end"]) == ("event-1", "pending", None)
            now = datetime.now(timezone.utc)
            write(folder, [event(1, end_time=now), event(0)])  # the second is a repeat
            [row] = next_rows(messages)["rows"]
            assert (row["event_id"], row["status"], row["revision"]) == ("event-1", "success", 1)
            tick = next(data for name, data in messages if name == "tick" and data["totals"]["actions"] == 2)
            assert tick["totals"]["pending"] == 0
            assert tick["rows"] > 1, "the foot of the page says how many there are by now"
        assert [row["event_id"] for row in server.get("api/feed")["events"]] == ["event-1", "event-0"]


def test_a_stream_has_what_is_asked_for(folder: StoreFolder) -> None:
    tokens = [Token(TOKEN), Token(token_of("acme"), "acme")]
    with served(folder.path, tokens) as server:
        wait_until(lambda: server.get("api/state", TOKEN)["rows"] == 1, timeout_s=60, what="a row")
        with server.stream("?agent=agent-1", TOKEN) as of_agent, server.stream("", token_of("acme")) as of_tenant:
            next(iter(of_agent))
            next(iter(of_tenant))
            write(folder, [event(number, tenant_id="globex") for number in range(1, 10)])
            told = next_rows(of_agent)
            assert {row["event_id"] for row in told["rows"]} == {"event-1", "event-4", "event-7"}
            write(folder, [event(20, tenant_id="acme", agent_name="agent-1"), event(21, tenant_id="globex")])
            assert [row["event_id"] for row in next_rows(of_tenant)["rows"]] == ["event-20"]
            assert [row["event_id"] for row in next_rows(of_agent)["rows"]] == ["event-20"]


def test_who_comes_again_is_told_what_came_meanwhile(folder: StoreFolder) -> None:
    with served(folder.path) as server:
        server.wait_for_rows(1)
        mark = server.get("api/feed")["seen"]
        write(folder, [event(1)])
        server.wait_for_rows(2)
        with server.stream(f"?after={mark}") as messages:
            assert [row["event_id"] for row in next_rows(messages)["rows"]] == ["event-1"]
        for other in ("elsewhere-0", mark.replace("-", "-9"), "-", ""):
            with server.stream(f"?after={other}") as messages:
                assert next(iter(messages))[0] == "tick", "nothing of another process's numbers"


def test_of_many_rows_the_newest_and_how_many_more(folder: StoreFolder) -> None:
    with served(folder.path) as server:
        server.wait_for_rows(1)
        with server.stream() as messages:
            next(iter(messages))
            write(folder, [event(number) for number in range(1, 1_001)])
            told = next_rows(messages)
            assert (len(told["rows"]), told["skipped"]) == (MOST_ROWS, 1_000 - MOST_ROWS)


HOUR = timedelta(hours=1)
UNTIL = datetime.now(timezone.utc).replace(microsecond=0)
CHANGES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("status=pending", {"status": OutcomeStatus.PENDING}, {"status": OutcomeStatus.FAILURE}),
    ("agent=scout", {"agent_name": "scout"}, {"agent_name": "lookup"}),
    ("agent=-", {"agent_name": None}, {"agent_name": "scout"}),
    ("run=run-1", {"run_id": "run-1"}, {"run_id": "run-2"}),
    ("error_type=-", {"error_type": None}, {"error_type": "TimeoutError"}),
    ("tag=new", {"tags": ("new",)}, {"tags": ("seen",)}),
    ("text=odd", {"tool_name": "odd"}, {"tool_name": "even"}),
    (f"until={UNTIL:%Y-%m-%dT%H:%M:%SZ}", {"timestamp": UNTIL - HOUR}, {"timestamp": UNTIL + HOUR}),  # it ended later
]


def test_what_a_revision_takes_out_of_a_filter_is_gone(folder: StoreFolder) -> None:
    with served(folder.path) as server, contextlib.ExitStack() as stack:
        server.wait_for_rows(1)
        streams = [stack.enter_context(server.stream(f"?{asked}")) for asked, _, _ in CHANGES]
        for messages in streams:
            next(iter(messages))

        def heard(revision: int, fields: int) -> list[tuple[bool, bool]]:
            """Write all events, and return whether each stream is told that its own came, or went."""
            events = [
                event(place, **{**case[1], **(case[2] if fields == 2 else {})}, revision=revision)
                for place, case in enumerate(CHANGES, 1)
            ]
            write(folder, events)
            told = map(next_rows, streams)
            return [
                (any(row["event_id"] == f"event-{place}" for row in each["rows"]), f"event-{place}" in each["gone"])
                for place, each in enumerate(told, 1)
            ]

        assert heard(1, 1) == [(True, False)] * len(CHANGES)
        assert heard(2, 2) == [(False, True)] * len(CHANGES), [asked for asked, _, _ in CHANGES]
        assert heard(3, 1) == [(True, False)] * len(CHANGES), "it may come again"


def test_what_is_gone_is_told_to_no_other_tenant(folder: StoreFolder) -> None:
    tokens = [Token(token_of("acme"), "acme"), Token(token_of("globex"), "globex")]
    with served(folder.path, tokens) as server:
        with server.stream("?status=pending", token_of("acme")) as messages:
            next(iter(messages))
            write(
                folder,
                [event(number, tenant_id="globex", status=OutcomeStatus.PENDING, revision=0) for number in (1, 2)],
            )
            wait_until(lambda: server.get("api/state", token_of("globex"))["rows"] == 2, timeout_s=60, what="its rows")
            write(folder, [event(1, tenant_id="globex"), event(2, tenant_id="acme")])  # that one changed hands
            write(folder, [event(3, tenant_id="acme", status=OutcomeStatus.PENDING, revision=0)])
            told = next_rows(messages)
            assert ([row["event_id"] for row in told["rows"]], told["gone"]) == (["event-3"], [])


def test_who_comes_again_is_told_what_has_gone_or_that_it_is_not_known(
    folder: StoreFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(folder.path) as server:
        write(folder, [event(number, status=OutcomeStatus.PENDING, revision=0) for number in range(1, 4)])
        server.wait_for_rows(4)
        mark = server.get("api/feed")["seen"]
        write(folder, [event(1)])
        wait_until(lambda: server.mirror.mark != mark, timeout_s=60, what="the change")
        with server.stream(f"?status=pending&after={mark}") as messages:
            assert next_rows(messages)["gone"] == ["event-1"]
        monkeypatch.setattr("otel_feedback.downstream.ui.mirror.MOST_PAST", 1)
        known = server.mirror.mark
        write(folder, [event(2), event(3)])  # more than is kept
        wait_until(lambda: server.mirror.mark != known, timeout_s=60, what="the change")
        with server.stream(f"?status=pending&after={mark}") as messages:
            assert next_rows(messages)["skipped"] is None


def test_who_looks_is_told_that_something_was_erased(folder: StoreFolder) -> None:
    with served(folder.path) as server:
        write(folder, [event(1, user_id="u-1")])
        server.wait_for_rows(2)
        with server.stream() as messages:
            next(iter(messages))
            erasures.add(folder, "user_id", "u-1", None, datetime.now(timezone.utc))
            write(folder, [])
            assert next_rows(messages)["skipped"] is None
        assert [row["event_id"] for row in server.get("api/feed")["events"]] == ["event-0"]


def test_a_closed_tab_leaves_nothing(folder: StoreFolder) -> None:
    with served(folder.path) as server:
        server.wait_for_rows(1)
        for _ in range(5):
            with server.stream() as messages:
                next(iter(messages))
                assert server.hub.streams == 1
            wait_until(lambda: server.hub.streams == 0, timeout_s=30, what="the end of the stream")
        with server.stream(), server.stream("?agent=agent-1"):
            wait_until(lambda: server.hub.streams == 2, timeout_s=30, what="two streams")
        wait_until(lambda: server.hub.streams == 0, timeout_s=30, what="the end of both")
        tasks = asyncio.run_coroutine_threadsafe(_tasks(), server.hub.loop).result(30)
        assert tasks == 0, "tasks that wait for something"


async def _tasks() -> int:
    return sum("stream" in repr(task.get_coro()) for task in asyncio.all_tasks())


def _open_and_read_nothing(server: Server) -> socket.socket:
    place = urlsplit(server.address)
    slow = socket.create_connection((place.hostname, place.port or 0))
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    slow.sendall(b"GET /api/live HTTP/1.1\r\nhost: localhost\r\n\r\n")
    return slow


def test_who_reads_nothing_holds_up_nobody(folder: StoreFolder) -> None:
    """Rows go on to others and into the mirror, and what waits for the slow one does not grow."""
    with served(folder.path) as server:
        server.wait_for_rows(1)
        slow = [_open_and_read_nothing(server) for _ in range(3)]
        try:
            wait_until(lambda: server.hub.streams == 3, timeout_s=30, what="the slow ones")
            with server.stream() as messages:
                next(iter(messages))
                for start in range(1, 1_601, 400):
                    write(folder, [event(number, error_message="x" * 400) for number in range(start, start + 400)])
                    assert next_rows(messages)["rows"], "the other one is told"
            assert server.get("api/state")["rows"] == 1_601
            assert server.hub.waiting <= 64
        finally:
            for one in slow:
                one.close()
        wait_until(lambda: server.hub.streams == 0, timeout_s=30, what="their end")


def test_alerts_are_told_when_they_change(folder: StoreFolder) -> None:
    told: list[dict[str, Any]] = []
    with served(folder.path, alerts=lambda _tenant: {"open": list(told), "history": [], "remedy": None}) as server:
        server.wait_for_rows(1)
        with server.stream() as messages:
            assert next(data for name, data in messages if name == "alerts") == {"open": []}
            told.append({"rule": "errors"})
            assert next(data for name, data in messages if name == "alerts") == {"open": [{"rule": "errors"}]}


def test_there_is_room_for_so_many_streams() -> None:
    hub = Hub(lambda: 0, lambda _tenant: [])
    hub.streams = MOST_STREAMS
    with pytest.raises(RefusedError) as refused:
        hub.admit()
    assert refused.value.status == 503
