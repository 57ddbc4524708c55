"""An endpoint that returns a streaming response lasts until its body was sent or the client left, on real servers."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.beside.running import surroundings
from tests.beside.serving import ENDS_WITHIN_S, Server, serving
from tests.logs import lines_in, newest
from tests.stack.waiting import wait_for, wait_until

LEFT = {"cancelled", "partial"}
WHOLE = "word 0\nword 1\nword 2\n"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers") / "outcomes.jsonl"


@pytest.fixture(scope="module")
def asgi(servers: Path, log: Path) -> Iterator[Server]:
    command = [str(servers / "python"), "-m", "uvicorn", "--port", "PORT", "streaming_asgi:application"]
    with serving(command, surroundings(log), log.parent, alive="/nothing") as server:
        yield server


@pytest.fixture(scope="module")
def wsgi(servers: Path, log: Path) -> Iterator[Server]:
    command = [
        str(servers / "python"), "-m", "gunicorn", "--threads", "4", "--bind", "127.0.0.1:PORT",
        "streaming_wsgi:application",
    ]  # fmt: skip
    with serving(command, surroundings(log), log.parent, alive="/nothing") as server:
        yield server


@pytest.fixture(
    params=["asgi:starlette", "asgi:starlette-sync", "asgi:fastapi", "wsgi:flask", "wsgi:flask-iterator", "wsgi:django"]
)
def place(request: pytest.FixtureRequest) -> tuple[Server, str]:
    kind, _, framework = request.param.partition(":")
    return request.getfixturevalue(kind), framework


@pytest.fixture
def events(log: Path, place: tuple[Server, str]) -> Any:
    """Wait for the events of one more answer and of its generator, and return both."""
    before = len(newest(lines_in(log)))

    def both() -> tuple[dict[str, Any], dict[str, Any]] | None:
        found = newest(lines_in(log))[before:]
        for answer in found:
            for generate in found:
                if answer.get("agent_name") == place[1] and generate.get("parent_event_id") == answer["event_id"]:
                    return answer, generate
        return None

    def wait() -> tuple[dict[str, Any], dict[str, Any]]:
        answer, generate = wait_for(both, timeout_s=ENDS_WITHIN_S, what="two events")
        assert (answer["action_type"], generate["action_type"]) == ("answer", "generate")
        assert (generate["depth"], generate["trace_id"]) == (1, answer["trace_id"])
        assert answer["start_time"] <= generate["start_time"]
        return answer, generate

    return wait


def test_it_lasts_until_the_body_was_sent(place: tuple[Server, str], events: Any) -> None:
    server, framework = place
    assert server.ask(f"/{framework}/whole") == (200, WHOLE)
    answer, generate = events()
    assert (answer["agent_name"], answer["status"], generate["status"]) == (framework, "success", "success")
    assert answer["duration_ms"] >= generate["duration_ms"]


@pytest.mark.brief
def test_one_that_the_client_left_is_no_success(place: tuple[Server, str], events: Any, log: Path) -> None:
    server, framework = place
    with server.answer(f"/{framework}/endless") as answer:
        lines = server.lines(answer)
        assert [next(lines) for _ in range(4)] == ["word 0", "word 1", "word 2", "and on"]
    if framework == "starlette-sync":
        wait_until(
            lambda: any(event["agent_name"] == framework and event["status"] in LEFT for event in lines_in(log)),
            timeout_s=ENDS_WITHIN_S,
            what="the answer's event",
        )
        server.ask("/collect")
    outer, generate = events()
    assert outer["status"] in LEFT
    assert generate["status"] in LEFT


def test_one_whose_body_fails_is_a_failure(place: tuple[Server, str], events: Any) -> None:
    server, framework = place
    with server.answer(f"/{framework}/fails") as answer:
        assert next(server.lines(answer)) == "word 0"
        with contextlib.suppress(http.client.HTTPException, OSError):
            answer.read()
    outer, generate = events()
    assert (outer["status"], outer["error_type"]) == ("failure", "ValueError")
    assert (generate["status"], generate["error_type"]) == ("failure", "ValueError")


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_a_response_that_is_whole_stays_as_it_is(kind: str, request: pytest.FixtureRequest, log: Path) -> None:
    before = len(newest(lines_in(log)))
    assert request.getfixturevalue(kind).ask("/whole/x") == (200, WHOLE)
    [event] = wait_for(lambda: newest(lines_in(log))[before:] or None, timeout_s=ENDS_WITHIN_S, what="an event")
    assert event["status"] == "success"
