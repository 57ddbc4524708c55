"""What a page does where things are wrong: nothing there, a broken store, no server, another's data, texts that mean harm."""

from __future__ import annotations

import json
import re
import urllib.request
from datetime import datetime, timedelta, timezone
from pathlib import Path

from playwright.sync_api import Browser, expect

from otel_feedback import OutcomeEvent, OutcomeStatus
from tests.browser.serving import Ui, barriers, opened, overflow, serving, write
from tests.stack.waiting import wait_until

SCRIPT = "<script>alert(1)</script>"
PICTURE = '"><img src=x onerror=alert(2)>'
TURNED = "user\u202egnp.exe\u202c \u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd"
LONG = "x" * 10_000
VIEWS = (
    "/", "/failures", "/cost?by=user", "/cost?by=agent", "/experiments", "/choices", "/gaps", "/objectives", "/alerts",
    "/pipeline",
)  # fmt: skip


def _hostile() -> list[OutcomeEvent]:
    now = datetime.now(timezone.utc)
    names = [
        SCRIPT,
        PICTURE,
        TURNED,
        LONG,
        "javascript:alert(3)",
        "../../etc/passwd",
        "a\u0000b\u0007\u200b",
        "?&#%2e/%",
    ]
    return [
        OutcomeEvent(
            event_id=f"hostile-{number}", action_type=name[:200], agent_name=name, tool_name=name, model=name, user_id=name,
            tenant_id=name, session_id=name, workflow_id=name, run_id=name or None, service_name=name,
            status=OutcomeStatus.FAILURE, error_type=name, error_message=name, stack_trace=name, tags=(name[:100],),
            start_time=now - timedelta(seconds=number + 2), end_time=now - timedelta(seconds=number), duration_ms=2_000.0,
            timestamp=now, own_tokens=7, own_cost=0.5, trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
            choice_policy=f"{name}:7", choice_candidates=tuple(names), choice_propensity=0.2,
        )
        for number, name in enumerate(names)
    ]  # fmt: skip


def test_texts_that_mean_harm_are_texts(browser: Browser, tmp_path: Path, axe: str) -> None:
    log = tmp_path / "outcomes.log"
    with serving(tmp_path, ["--from", str(log)], write(log, _hostile())) as ui:
        for size in ("phone", "desk"):
            for view in VIEWS:
                with opened(browser, ui.url + view, size) as page:  # no dialog, nobody asked: that is looked at there
                    expect(page.locator("main .loading")).to_have_count(0)
                    assert overflow(page) <= 0, view
                    assert page.locator("main script, main img, main iframe").count() == 0
        with opened(browser, ui.url) as page:
            expect(page.locator(".feed li")).to_have_count(8)
            expect(page.locator(".feed")).to_contain_text(SCRIPT)
            assert barriers(page, axe) == []
            for number in range(8):  # each leads to its run, whatever it is called
                page.locator(f'[data-id="hostile-{number}"] a').click()
                expect(page.locator(".run-table tbody tr[data-event]")).to_have_count(1)
                expect(page.locator(".detail")).to_be_visible()
                assert overflow(page) <= 0
                page.go_back()
            page.get_by_role("table", name="Agents").get_by_role("link", name=SCRIPT, exact=True).click()
            expect(page.locator(".feed li")).to_have_count(1)


def test_nothing_yet_says_how_to_begin(browser: Browser, tmp_path: Path, axe: str) -> None:
    log = tmp_path / "outcomes.log"
    log.touch()
    with serving(tmp_path, ["--from", str(log)]) as ui, opened(browser, ui.url) as page:
        expect(page.locator("main")).to_contain_text("No actions yet")
        expect(page.locator("main code")).to_have_text("otel-feedback demo --ui")
        for view, words in (
            ("failures", "Nothing failed"),
            ("cost", "Nothing was spent"),
            ("experiments", "No experiment yet"),
            ("choices", "No choices"),
            ("gaps", "No actions"),
            ("objectives", "No objectives yet"),
        ):
            page.get_by_role("link", name=view.title(), exact=True).click()
            expect(page.locator("main")).to_contain_text(words)
            assert barriers(page, axe) == []
        page.goto(f"{ui.url}/?agent=nobody")
        expect(page.locator("main")).to_contain_text("Nothing fits these filters")
        page.goto(f"{ui.url}/nowhere")
        expect(page.locator("body")).to_contain_text(re.compile("no page|not found"))


def test_without_its_server_the_page_says_so_and_comes_back(browser: Browser, tmp_path: Path) -> None:
    log = tmp_path / "outcomes.log"
    rows = write(log, _hostile()[:3])
    with serving(tmp_path, ["--from", str(log)], rows) as ui, opened(browser, ui.url) as page:
        expect(page.locator("#link-words")).to_have_text("Live")
        expect(page.locator(".feed li")).to_have_count(3)
        ui.process.kill()
        expect(page.locator("#link-words")).to_have_text("Disconnected")
        expect(page.locator("#banners")).to_contain_text("Is `otel-feedback ui` still running?")
        expect(page.locator(".feed li")).to_have_count(3)  # what was there stays to be read
        page.get_by_role("link", name="Failures", exact=True).click()
        expect(page.locator("main")).to_contain_text("could not be loaded")
        write(log, _hostile()[3:5])
        ui.start(5)
        expect(page.locator("#link-words")).to_have_text("Live", timeout=60_000)
        expect(page.locator("#banners")).to_be_empty()
        expect(page.locator(".failure")).to_have_count(5)


def test_a_filter_that_there_is_not_says_what_there_is(browser: Browser, tmp_path: Path) -> None:
    log = tmp_path / "outcomes.log"
    with serving(tmp_path, ["--from", str(log)], write(log, _hostile()[:1])) as ui:
        with opened(browser, f"{ui.url}/failures?status=failed") as page:
            expect(page.locator("main")).to_contain_text("There is no status 'failed'")
            expect(page.locator("main")).to_contain_text("Did you mean failure?")


def test_a_tenant_sees_its_own_in_every_view(browser: Browser, tmp_path: Path) -> None:
    log = tmp_path / "outcomes.log"
    rows = write(log, [*_of("acme"), *_of("globex")])
    tokens = ["--token", f"tenant=acme:{'a' * 24}", "--token", f"tenant=globex:{'g' * 24}", "--token", "e" * 24]
    with serving(tmp_path, ["--from", str(log), *tokens], rows=None) as ui:
        wait_until(lambda: _rows(ui, "e" * 24) == rows, timeout_s=30, what="its rows")
        for mine, other in (("acme", "globex"), ("globex", "acme")):
            with opened(browser, f"{ui.url}/?token={mine[0] * 24}") as page:
                expect(page.locator(f'[data-id="{mine}-2"]')).to_be_visible()
                expect(page).not_to_have_url(re.compile("token"))
                for view in (
                    "/",
                    "/failures",
                    "/cost?by=tenant",
                    "/cost?by=user",
                    "/experiments?compare=agent&value=a&value=b",
                    "/choices",
                    "/gaps",
                    f"/run/run-{mine}",
                    "/objectives",
                    "/alerts",
                    "/pipeline",
                ):
                    page.goto(ui.url + view)
                    expect(page.locator("main .loading, main [aria-busy]")).to_have_count(0)
                    assert other not in page.content(), view
                    assert (
                        view in ("/objectives", "/alerts", "/pipeline") or "compare" in view or mine in page.content()
                    ), view
                expect(page.locator("main")).to_contain_text("Ask with a token for everything")
                page.goto(f"{ui.url}/run/run-{other}")
                expect(page.locator("main")).to_contain_text(f"There is no run 'run-{other}'")
                page.goto(f"{ui.url}/?tenant={other}")
                expect(page.locator("main")).to_contain_text("Nothing fits these filters")
                write(log, _of(other, more=1)[-1:])  # nor when it comes
                write(log, _of(mine, more=1)[-1:])
                page.goto(ui.url)
                expect(page.locator(f'[data-id="{mine}-3"]')).to_be_visible()
                assert other not in page.content()


def _of(tenant: str, more: int = 0) -> list[OutcomeEvent]:
    now = datetime.now(timezone.utc)
    return [
        OutcomeEvent(
            event_id=f"{tenant}-{number}", action_type="tool", agent_name=f"agent-{tenant}", user_id=f"user-{tenant}", tenant_id=tenant,
            run_id=f"run-{tenant}", status=OutcomeStatus.FAILURE, error_type=f"Error{tenant}", error_message=f"of {tenant}",
            start_time=now - timedelta(seconds=9), end_time=now - timedelta(seconds=8 - number), timestamp=now, own_cost=0.25,
            choice_policy=f"policy-{tenant}", choice_candidates=(f"agent-{tenant}",), choice_propensity=1.0,
        )
        for number in range(3 + more)
    ]  # fmt: skip


def _rows(ui: Ui, token: str) -> int:
    request = urllib.request.Request(f"{ui.url}/api/state", headers={"authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request) as answer:
        return int(json.load(answer)["rows"])


def test_a_broken_store_says_what_is_wrong(browser: Browser, tmp_path: Path) -> None:
    log, store = tmp_path / "outcomes.log", tmp_path / "store"
    rows = write(log, _of("acme"))
    with serving(tmp_path, ["--from", str(log), "--store", str(store)], rows):
        pass
    (store / "manifest.json").write_text("{ not what it was", "utf-8")
    with serving(tmp_path, ["--from", str(store)], rows=None) as ui, opened(browser, ui.url) as page:
        expect(page.locator("#link-words")).to_have_text(re.compile("Problem|Disconnected"))
        expect(page.locator("#banners")).to_contain_text("manifest")
