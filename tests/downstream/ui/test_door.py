"""`POST /feedback`, over real HTTP: who may, what is taken, what is answered to the rest; and that it opens nothing else."""

from __future__ import annotations

import json
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

from otel_feedback import FeedbackPipeline, configure, give
from otel_feedback.downstream.store.folder import StoreFolder
from otel_feedback.downstream.ui.access import Token
from otel_feedback.downstream.ui.door import ALL_OF_THEM, MOST_ADDRESSES, MOST_BYTES, Door, Rate, Taking
from otel_feedback.events.feedback import Feedback, decode_feedback
from otel_feedback.learning.giving import problems_of
from tests.downstream.store.stores import append, lines
from tests.downstream.topics import event
from tests.downstream.ui.serve import TOKEN, Server, served, token_of, write
from tests.downstream.ui.test_commands import command
from tests.stack.waiting import wait_until
from tests.support import run_cli

WRITES = "the-token-that-writes"
SITE = "https://app.example.com"
EVENT = "a" * 32 + "-" + "b" * 16


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FeedbackPipeline:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    return configure(log_file=str(tmp_path / "given.jsonl"), journal_dir=str(tmp_path / "journal"))


@pytest.fixture
def page(pipeline: FeedbackPipeline, tmp_path: Path) -> Generator[Server, None, None]:
    write(StoreFolder(tmp_path / "store"), [event(1)])
    tokens = [Token(WRITES), Token(token_of("acme"), "acme")]
    door = Door(Taking(give, problems_of), tokens, [SITE], Rate(600))
    with served(tmp_path / "store", [Token(TOKEN)], door=door) as server:
        yield server


def post(page: Server, body: Any, token: str | None = WRITES, **headers: str) -> httpx.Response:
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return page.client.post("feedback", content=content, headers={"content-type": "application/json", **headers})


def given(pipeline: FeedbackPipeline, tmp_path: Path) -> list[Feedback]:
    assert pipeline.force_flush(30)
    path = tmp_path / "given.jsonl"
    return [decode_feedback(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def test_what_is_given_is_recorded_as_it_was_said(page: Server, pipeline: FeedbackPipeline, tmp_path: Path) -> None:
    answer = post(page, {"event_id": EVENT, "score": 0.25, "label": "meh", "by": "u-1"})
    assert answer.status_code == 202
    assert post(page, {"run_id": "run-7", "score": 1, "name": "solved", "source": "program"}).status_code == 202
    assert post(page, {"event_id": EVENT, "score": 0.75, "by": "u-1"}).json() == answer.json()
    first, second, third = given(pipeline, tmp_path)
    assert (first.feedback_id, first.event_id, first.score, first.label, first.by, first.source) == (
        answer.json()["feedback_id"], EVENT, 0.25, "meh", "u-1", "human"
    )  # fmt: skip
    assert (second.target, second.run_id, second.name, second.source) == ("run", "run-7", "solved", "program")
    assert (third.feedback_id, third.score) == (first.feedback_id, 0.75)


def test_who_has_no_token_or_one_of_the_page_is_not_let_in(
    page: Server, pipeline: FeedbackPipeline, tmp_path: Path
) -> None:
    for token in (None, "not-the-right-token", TOKEN):
        answer = post(page, {"run_id": "r", "score": 1}, token)
        assert answer.status_code == 401
        assert "--feedback-token" in answer.json()["remedy"]
    assert given(pipeline, tmp_path) == []
    # nor does the door's open the page
    assert page.ask("api/state", WRITES).status_code == 401
    assert page.ask("api/state", TOKEN).status_code == 200
    assert page.client.post("api/state", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 405


def test_a_tenants_token_gives_for_that_tenant_alone(page: Server, pipeline: FeedbackPipeline, tmp_path: Path) -> None:
    token = token_of("acme")
    assert post(page, {"run_id": "r", "score": 1}, token).status_code == 202
    answer = post(page, {"run_id": "r", "score": 1, "tenant_id": "globex"}, token)
    assert (answer.status_code, answer.json()["field"]) == (403, "tenant_id")
    assert post(page, {"run_id": "r", "score": 0, "tenant_id": "globex"}).status_code == 202
    assert [one.tenant_id for one in given(pipeline, tmp_path)] == ["acme", "globex"]


REFUSED: list[tuple[Any, str | None]] = [
    ({"event_id": EVENT, "score": 1.5}, "score"),
    ({"event_id": EVENT, "score": "good"}, "score"),
    ({"event_id": EVENT, "label": 7}, "label"),
    ({"event_id": EVENT, "score": 1, "source": "nobody"}, "source"),
    ({"event_id": EVENT, "score": 1, "name": ""}, "name"),
    ({"event_id": EVENT, "score": 1, "rating": 1}, "rating"),
    ({"event_id": EVENT}, "score"),
    ({"event_id": "run-7", "score": 1}, "event_id"),
    ({"run_id": EVENT, "score": 1}, "run_id"),
    ({"run_id": "r", "event_id": EVENT, "score": 1}, "event_id"),
    ({"score": 1}, "event_id"),
    ([], None),
    (b"{", None),
    (b"\xff", None),
]


def test_what_cannot_be_taken_is_refused_with_the_field(page: Server) -> None:
    for body, field in REFUSED:
        answer = post(page, body)
        told = answer.json()
        assert (answer.status_code, told.get("field")) == (400, field), body
        assert told["error"]
        assert told["remedy"]


def test_comments_are_left_out_and_said_to_be_where_nobody_allowed_them(
    page: Server, pipeline: FeedbackPipeline, tmp_path: Path
) -> None:
    answer = post(page, {"run_id": "r", "score": 1, "comment": "my name is …"})
    assert (answer.status_code, answer.json()["left_out"]) == (202, ["comment"])
    assert post(page, {"run_id": "r", "comment": "my name is …"}).status_code == 400
    [one] = given(pipeline, tmp_path)
    assert one.comment is None


def test_other_forms_sizes_and_methods(page: Server) -> None:
    assert post(page, {"run_id": "r", "label": "x" * MOST_BYTES}).status_code == 413
    form = post(page, b"run_id=r", **{"content-type": "application/x-www-form-urlencoded"})
    assert form.status_code == 415
    for method in ("GET", "PUT", "DELETE"):
        answer = page.client.request(method, "feedback", headers={"authorization": f"Bearer {WRITES}"})
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST, OPTIONS")


def test_pages_of_the_sites_that_were_named_may_ask_and_no_others(page: Server) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    preflight = page.client.options("feedback", headers={"origin": SITE, **asked})
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == SITE
    assert preflight.headers["access-control-allow-methods"] == "POST"
    assert preflight.headers["access-control-allow-headers"] == "authorization, content-type"
    assert preflight.headers["vary"] == "origin"
    for body, status in (({"run_id": "r", "score": 1}, 202), ({"run_id": "r", "score": 2}, 400)):
        answer = post(page, body, origin=SITE)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, SITE)
    for origin in ("https://elsewhere.example", "http://app.example.com", f"{SITE}.evil.example", "null"):
        for answer in (
            page.client.options("feedback", headers={"origin": origin, **asked}),
            post(page, {"run_id": "r", "score": 1}, origin=origin),
        ):
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers
    # and by another name than its own it is not reached, as the page is not
    assert post(page, {"run_id": "r", "score": 1}, host="elsewhere.example").status_code == 403
    # what the page answers is for itself alone, as before
    assert page.ask("api/state", TOKEN, origin=SITE).status_code == 403


def test_too_much_is_answered_with_when_to_come_again(pipeline: FeedbackPipeline, tmp_path: Path) -> None:
    write(StoreFolder(tmp_path / "store"), [event(1)])
    door = Door(Taking(give, problems_of), [Token(WRITES)], [SITE], Rate(3))
    with served(tmp_path / "store", door=door) as page:
        answers = [post(page, {"run_id": "r", "score": 1}, origin=SITE) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [202, 202, 202, 429, 429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 21
        assert answers[-1].headers["access-control-allow-origin"] == SITE
    assert len(given(pipeline, tmp_path)) == 3


def test_the_rate_is_by_address_grows_again_and_is_bounded() -> None:
    now = [0.0]
    rate = Rate(6, lambda: now[0])
    assert [rate.wait_s("a") for _ in range(7)] == [0.0] * 6 + [10.0]
    assert rate.wait_s("b") == 0.0
    now[0] = 10.0
    assert [rate.wait_s("a"), rate.wait_s("a")] == [0.0, 10.0]
    taken = sum(rate.wait_s(f"c-{number}") == 0.0 for number in range(MOST_ADDRESSES * 2))
    assert taken <= 6 * ALL_OF_THEM, "all of them together"


def test_without_a_token_there_is_no_door(tmp_path: Path) -> None:
    write(StoreFolder(tmp_path / "store"), [event(1)])
    with served(tmp_path / "store") as page:
        answer = post(page, {"run_id": "r", "score": 1})
        assert (answer.status_code, answer.json()["remedy"]) == (405, "this page only reads")


def test_the_command_takes_it_and_the_page_has_it_in_its_store(tmp_path: Path) -> None:
    append(tmp_path / "outcomes.jsonl", lines([1]))
    variables = {"OTEL_FEEDBACK_UI_FEEDBACK_TOKEN": WRITES, "OTEL_FEEDBACK_LOG_FILE": "outcomes.jsonl"}
    with command(tmp_path, "ui", "--store", "kept", "--from", "outcomes.jsonl", **variables) as page:
        page.wait_for_rows(1)
        answer = httpx.post(
            f"{page.address}feedback",
            json={"run_id": "run-1", "score": 0.5},
            headers={"authorization": f"Bearer {WRITES}"},
        )
        assert answer.status_code == 202
        log = tmp_path / "outcomes.jsonl"
        wait_until(lambda: answer.json()["feedback_id"].encode() in log.read_bytes(), timeout_s=60, what="its line")
        code, out, err = page.end(signal.SIGTERM)
        assert (code, err) == (0, "")
        assert f"takes feedback: POST {page.address}feedback" in out
    asked = run_cli("sql", "SELECT feedback_score FROM outcomes", "--from", "outcomes.jsonl", "--csv", folder=tmp_path)
    assert asked.stdout.split() == ["feedback_score", "0.5"]


def test_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    append(tmp_path / "outcomes.jsonl", lines([1]))
    ui = ("ui", "--from", "outcomes.jsonl", "--port", "0")
    cases = [
        (("--feedback-token", WRITES), "feedback has to go somewhere"),
        (("--feedback-token", "short"), "at least 16 characters"),
        (("--feedback-token", WRITES, "--token", WRITES), "another one than those of the page"),
        (
            ("--feedback-token", WRITES, "--feedback-origin", "app.example.com"),
            "a site, such as https://app.example.com",
        ),
    ]
    for arguments, said in cases:
        done = run_cli(*ui, *arguments, folder=tmp_path)
        assert done.returncode == 1
        assert said in " ".join(done.stderr.split())
