"""Who is let in, and what they see: hosts, origins, tokens, tenants; every address of the API with another tenant's events."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from otel_feedback import OutcomeEvent
from otel_feedback.downstream.alerts.machine import Alert, Phase
from otel_feedback.downstream.alerts.observing import Key
from otel_feedback.downstream.alerts.state import Folder, State
from otel_feedback.downstream.store.folder import StoreFolder
from otel_feedback.downstream.ui.access import Token
from otel_feedback.downstream.ui.access import token_of as read_token
from otel_feedback.downstream.ui.alerting import Alerts
from otel_feedback.errors import ConfigError
from tests.downstream.tables import made
from tests.downstream.ui.serve import TOKEN, Server, served, token_of, write
from tests.stack.waiting import wait_until

SECRET = "globex-only"
HOSTILE = "x' OR '1'='1'; DROP TABLE hot; --"
TIME = "since=2026-03-02&until=2026-03-03"


def _mine(event: OutcomeEvent) -> OutcomeEvent:
    """Put something into each text of another tenant's event that is nowhere else."""
    if event.tenant_id != "globex":
        return event
    return msgspec.structs.replace(
        event, agent_name=f"{SECRET}-{event.agent_name}", action_type=f"{SECRET}-{event.action_type}", model=f"{SECRET}-m",
        service_name=f"{SECRET}-s", user_id=f"{SECRET}-u", session_id=f"{SECRET}-se", workflow_id=f"{SECRET}-w",
        error_message=None if event.error_message is None else f"{SECRET}-e", tags=(f"{SECRET}-tag",),
        metadata={"note": f"{SECRET}-note", "experiment.exposure": True}, experiment=f"{SECRET}-ex", variant=f"{SECRET}-v",
        propensity=0.5, run_id=f"{SECRET}-{event.run_id}",
    )  # fmt: skip


RECORDS = [_mine(event) for event in made.events(2_000)]


def _alert(tenant: str) -> Alert:
    return Alert(
        key=Key("errors", tenant, f"{SECRET}-agent" if tenant == "globex" else "writer"), phase=Phase.FIRING,
        since=made.BEGIN, changed=made.BEGIN, seen=made.BEGIN, value=0.5, worst=0.5, count=10, severity="critical",
    )  # fmt: skip


@pytest.fixture(scope="module", params=["in memory", "from sums"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("access")
    write(StoreFolder(path / "store"), RECORDS, files=3)
    state = Folder(path / "alerts")
    with state.owned():
        state.keep(State(looked_at=made.BEGIN, alerts=(_alert("acme"), _alert("globex"))))
    tenants = ["acme", "globex", "nobody", HOSTILE]
    tokens = [Token(TOKEN), *(Token(token_of(tenant), tenant) for tenant in tenants)]
    most = 10**9 if request.param == "in memory" else 0
    alerts = Alerts(state, {}).told
    with served(path / "store", tokens, most, alerts=alerts, pipeline=lambda *_: {"of": SECRET}) as server:
        wait_until(
            lambda: (told := server.get("api/state", TOKEN))["rows"] >= len(RECORDS) and told["problem"] is None,
            timeout_s=60, what="the store",
        )  # fmt: skip
        yield server


ADDRESSES = [
    "api/state", f"api/now?{TIME}", f"api/feed?{TIME}&limit=1000", f"api/failures?{TIME}", "api/alerts", "api/objectives",
    f"api/experiments?{TIME}",
    *(f"api/cost?{TIME}&by={by}" for by in ("tenant", "user", "session", "workflow", "agent", "model")),
    *(f"api/values?field={field}" for field in ("agent", "tenant", "service", "action", "model", "tag")),
    *(f"api/export?{TIME}&view={view}&format={form}" for view in ("events", "failures", "cost", "experiments") for form in ("csv", "json")),
    f"api/feed?{TIME}&text={SECRET}", f"api/feed?{TIME}&tenant=globex", f"api/now?{TIME}&tenant=globex",
    f"api/export?{TIME}&tenant=globex&format=json", f"api/values?field=agent&prefix={SECRET}",
]  # fmt: skip
NOBODYS = ("api/state", "api/objectives")
"""Where nobody sees what is a tenant's."""


def test_a_tenant_sees_nothing_of_another(page: Server) -> None:
    is_hot = page.mirror.begin is None
    for address in ADDRESSES:
        seen = page.ask(address, token_of("acme"))
        assert seen.status_code == 200, address
        assert SECRET not in seen.text, address
        assert "globex" not in seen.text, address
        if address not in NOBODYS and (is_hot or "field=tag" not in address):
            everything = page.ask(address, TOKEN)
            assert SECRET in everything.text or "globex" in everything.text, f"or {address} could not fail"


def test_a_tenant_sees_all_of_its_own(page: Server) -> None:
    own = [event for event in made.outcomes(RECORDS) if event.tenant_id == "acme"]
    ended = sum(event.status.value != "pending" for event in own)
    now = page.get(f"api/now?{TIME}", token_of("acme"))
    assert now["totals"]["actions"] == ended
    exported = page.get(f"api/export?{TIME}&format=json", token_of("acme"))
    assert {row["event_id"] for row in exported} == {event.event_id for event in own}
    assert page.get("api/values?field=tenant", token_of("acme"))["values"] in (["acme"], [])
    assert [each["tenant"] for each in page.get("api/alerts", token_of("acme"))["open"]] == ["acme"]


def test_another_tenants_run_is_none(page: Server) -> None:
    run = next(event.run_id for event in RECORDS if event.tenant_id == "globex")
    assert page.ask(f"api/run/{run}", token_of("acme")).status_code == 404
    assert page.ask(f"api/run/{run}", token_of("globex")).status_code == 200


def test_the_pipeline_is_no_tenants(page: Server) -> None:
    assert page.ask("api/pipeline", token_of("acme")).status_code == 403
    assert page.get("api/pipeline", TOKEN) == {"of": SECRET}


@pytest.mark.parametrize("tenant", ["nobody", HOSTILE])
def test_a_tenant_without_events_sees_none(page: Server, tenant: str) -> None:
    for address in ADDRESSES:
        seen = page.ask(address, token_of(tenant))
        assert seen.status_code == 200, address
        assert "acme" not in seen.text, address
        assert "globex" not in seen.text, address
    assert page.get(f"api/now?{TIME}", token_of(tenant))["totals"]["actions"] == 0
    assert page.get(f"api/now?{TIME}", TOKEN)["totals"]["actions"] > 0


def test_nothing_without_a_token(page: Server) -> None:
    for address in [*ADDRESSES, "", "static/index.html", "api/live", "api/run/run-1", "api/pipeline", "nowhere"]:
        for token in (None, "x", "a-token-for-everythinG", TOKEN[:-1]):
            answer = page.ask(address, token)
            assert answer.status_code == 401, (address, token)
            assert "acme" not in answer.text
    odd = page.client.get("api/state", headers={b"authorization": "Bearer ä-token".encode()})
    assert odd.status_code == 401


def test_a_token_comes_once_in_the_address_and_then_as_a_cookie(page: Server) -> None:
    with httpx.Client(base_url=page.address) as browser:
        first = browser.get("/run/a%22b", params={"token": token_of("acme"), "since": "2h"})
        assert first.status_code == 200
        assert 'url=/run/a%22b?since=2h"' in first.text
        assert token_of("acme") not in first.text
        cookie = first.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
        assert token_of("acme") not in cookie
        assert browser.get("/api/state").json()["tenant"] == "acme"
        assert browser.get("/api/state", headers={"authorization": f"Bearer {TOKEN}"}).json()["tenant"] is None
    assert page.ask("?token=not-the-token-of-acme").status_code == 401
    forged = httpx.get(f"{page.address}api/state", headers={"cookie": re.sub("=[0-9a-f]", "=g", cookie)})
    assert forged.status_code == 401


def test_a_link_from_elsewhere_has_the_page_ask_itself(page: Server) -> None:
    """A browser keeps back a strict cookie where another site leads to the page; it sends it when the page asks again."""
    visit = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    answer = page.ask("run/run-1?since=2h", **visit)
    assert answer.status_code == 200
    assert 'content="0;url=/run/run-1?since=2h"' in answer.text
    assert page.ask("//elsewhere.example/", **visit).text.count('url=/elsewhere.example/"') == 1
    assert page.ask("run/run-1", **{"sec-fetch-site": "same-origin", "sec-fetch-mode": "navigate"}).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost"}, 200),
        ({"host": "LOCALHOST:1"}, 200),
        ({"host": "[::1]:80"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "localhost.evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example:80"}, 403),
        ({"host": "a@localhost@evil.example"}, 403),
        ({"host": "[::1"}, 403),
        ({"host": ""}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "localhost:9", "origin": "http://localhost:9"}, 200),
        ({"host": "localhost:9", "origin": "http://localhost:10"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
    ],
)
def test_hosts_and_origins(page: Server, headers: dict[str, str], status: int) -> None:
    answer = page.ask("api/state", TOKEN, **headers)
    assert answer.status_code == status
    assert ("rows" in answer.json()) == (status == 200)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_it_only_reads(page: Server, method: str) -> None:
    for path in ("api/state", "", "static/index.html", "api/live"):
        answer = page.client.request(method, path, headers={"authorization": f"Bearer {TOKEN}"})
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["api/state", "", "static/index.html", "api/nothing", "nowhere", "api/feed?x=1"])
def test_every_answer_keeps_the_browser_safe(page: Server, path: str) -> None:
    for token in (TOKEN, None):
        headers = page.ask(path, token).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


@pytest.mark.parametrize(
    "path", ["static/../app.py", "static/%2e%2e/app.py", "static//etc/passwd", "static/..%2f..%2fapp.py"]
)
def test_files_of_the_page_and_no_others(page: Server, path: str) -> None:
    with httpx.Client() as client:
        request = client.build_request("GET", page.address, headers={"authorization": f"Bearer {TOKEN}"})
        request.url = request.url.copy_with(raw_path=f"/{path}".encode())
        assert client.send(request).status_code in (404, 405)


@pytest.mark.parametrize(
    "text", ["short", "tenant=acme", "tenant=:0123456789abcdef0", "with a blank in it, and long", "ümläut-0123456789"]
)
def test_tokens_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError):
        read_token(text)


def test_tokens() -> None:
    secret = secrets.token_urlsafe(16)
    assert read_token(f" {secret}\n") == Token(secret)
    assert read_token(f"tenant=a:b:{secret}") == Token(secret, "a:b")


def test_json_of_hostile_texts_is_json(tmp_path: Path) -> None:
    texts = [
        "<script>alert(1)</script>",
        "\u202eevil",
        "x" * 10_000,
        "\x00\x1b[31m",
        '"}]',
        "=cmd|' /C calc'!A0",
        "ünïcödé \U0001f600",
    ]
    events = [
        OutcomeEvent(action_type=text, status="failure", agent_name=text, error_message=text, run_id=text, tags=(text,))  # type: ignore[arg-type]
        for text in texts
    ]
    write(StoreFolder(tmp_path / "store"), events)
    with served(tmp_path / "store") as server:
        server.wait_for_rows(len(texts))
        feed = server.ask("api/feed")
        assert feed.headers["content-type"] == "application/json"
        assert {row["agent"] for row in feed.json()["events"]} == set(texts)
        assert json.loads(server.ask("api/failures").text)["groups"]
        exported = server.ask("api/export?format=csv").text
        assert "\n=cmd" not in exported
        assert ",'=cmd" in exported, "a spreadsheet would run it"
