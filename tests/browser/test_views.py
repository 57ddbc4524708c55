"""Every view with data: what it says, that nothing is wider than its window, and that nothing keeps anybody out."""

from __future__ import annotations

from collections import Counter

import pytest
from playwright.sync_api import Browser, Page, expect

from otel_feedback import OutcomeStatus
from tests.browser.conftest import Served
from tests.browser.serving import barriers, opened, overflow

VIEWS = (
    "/", "/failures", "/cost?by=model&bucket=hour", "/experiments", "/choices", "/gaps", "/objectives", "/alerts", "/pipeline",
)  # fmt: skip


def _run_of(served: Served, *, failed: bool = True) -> str:
    runs = [
        event.run_id for event in served.events if (event.status is OutcomeStatus.FAILURE) is failed and event.run_id
    ]
    return runs[-1]


def _loaded(page: Page) -> None:
    expect(page.locator("main .loading")).to_have_count(0)
    expect(page.locator("main [aria-busy]")).to_have_count(0)


@pytest.mark.brief
def test_now_says_what_happened(browser: Browser, served: Served) -> None:
    with opened(browser, served.url) as page:
        _loaded(page)
        expect(page.get_by_role("link", name="Now", exact=True)).to_have_attribute("aria-current", "page")
        agents = page.get_by_role("table", name="Agents")
        for agent in {event.agent_name for event in served.events if event.agent_name}:
            expect(agents.get_by_role("link", name=agent, exact=True)).to_be_visible()
        ended = [event for event in served.events if event.status is not OutcomeStatus.PENDING]
        summary = page.get_by_label("Summary")
        expect(summary.locator(".figure", has_text="Actions")).to_have_attribute("title", f"{len(ended):,}")
        counts = Counter(event.status for event in served.events)
        shown = page.locator("figure", has_text="Outcomes").get_by_role("img").first.get_attribute("aria-label") or ""
        assert f"failure {counts[OutcomeStatus.FAILURE]}" in shown
        assert page.locator("canvas").count() == 4
        newest = page.locator(".feed li").first
        assert newest.locator("a").get_attribute("href") in _newest(served)


def _newest(served: Served) -> set[str]:
    last = max(event.timestamp for event in served.events)
    return {f"/run/{event.run_id}#{event.event_id}" for event in served.events if event.timestamp == last}


@pytest.mark.brief
def test_a_run_as_tree_and_along_time(browser: Browser, served: Served) -> None:
    run = _run_of(served)
    actions = [event for event in served.events if event.run_id == run]
    with opened(browser, f"{served.url}/run/{run}") as page:
        _loaded(page)
        rows = page.locator(".run-table tbody tr")
        expect(rows).to_have_count(len(actions))
        failed = next(event for event in actions if event.status is OutcomeStatus.FAILURE and event.stack_trace)
        row = page.locator(f'[data-event="{failed.event_id}"]')
        row.get_by_role("button", expanded=False).last.click()
        expect(page.locator(".detail")).to_contain_text(failed.error_message or "")
        expect(page.locator(".detail pre")).to_contain_text("Traceback")
        assert page.url.endswith(f"/run/{run}#{failed.event_id}")
        page.reload()
        expect(page.locator(".detail")).to_contain_text(failed.error_message or "")
        page.locator(".fold[aria-expanded=true]").first.click()
        expect(page.locator(".run-table tbody tr[data-event]")).not_to_have_count(len(actions))


def test_a_run_that_is_not_there_says_so(browser: Browser, served: Served) -> None:
    with opened(browser, f"{served.url}/run/no%20such/run") as page:
        expect(page.locator("main")).to_contain_text("There is no run 'no such/run'")


def test_failures_lead_to_an_example(browser: Browser, served: Served) -> None:
    groups = Counter(
        (event.agent_name, event.action_type, event.error_type)
        for event in served.events
        if event.status in (OutcomeStatus.FAILURE, OutcomeStatus.TIMEOUT)
    )
    (agent, _, error), times = groups.most_common(1)[0]
    with opened(browser, f"{served.url}/failures") as page:
        first = page.locator(".failure").first
        expect(first.locator("b").first).to_have_text(str(times))
        expect(first).to_contain_text(str(agent))
        expect(first).to_contain_text(str(error))
        first.get_by_role("link", name="Example").click()
        expect(page.locator(".detail")).to_contain_text(str(error))
        page.go_back()
        expect(page.locator(".failure").first).to_contain_text(str(error))


def test_alerts_that_are_open(browser: Browser, served: Served) -> None:
    with opened(browser, served.url) as page:
        card = page.get_by_role("article", name="firing: errors").first
        expect(card).to_contain_text("agent")
        card.get_by_role("link", name="Example run").click()
        expect(page.locator(".run-table tbody tr").first).to_be_visible()
        page.get_by_role("link", name="Alerts").click()
        expect(page.get_by_role("article", name="firing: errors").first).to_contain_text("%")
        assert page.locator("nav .count").inner_text().endswith(str(page.get_by_role("article").count()))


def test_cost_by_what_one_chooses(browser: Browser, served: Served) -> None:
    with opened(browser, f"{served.url}/cost") as page:
        for by in ("tenant", "user", "session", "workflow", "agent", "model"):
            page.locator(".choice select").first.select_option(by)
            expect(page.get_by_role("table")).to_have_accessible_name(f"Cost by {by}, the most first")
        spent = sum(event.own_cost or 0 for event in served.events if event.model == "claude-sonnet-4")
        row = page.get_by_role("row", name="claude-sonnet-4")
        expect(row).to_contain_text(f"${spent:.2f}" if spent >= 1 else f"${spent:.4f}")
        expect(page.locator("main")).to_contain_text("whose price is not known")
        expect(page.get_by_role("row", name="house-7b")).to_contain_text("\u2013")


@pytest.mark.parametrize("size", ["phone", "tablet", "desk"])
@pytest.mark.parametrize("view", [*VIEWS, "run"])
def test_nothing_is_wider_than_the_window(view: str, size: str, browser: Browser, served: Served) -> None:
    path = f"/run/{_run_of(served)}" if view == "run" else view
    with opened(browser, served.url + path, size) as page:
        _loaded(page)
        assert overflow(page) <= 0


@pytest.mark.parametrize("view", [*VIEWS, "run"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_keeps_anybody_out(view: str, dark: bool, browser: Browser, served: Served, axe: str) -> None:
    path = f"/run/{_run_of(served)}" if view == "run" else view
    with opened(browser, served.url + path, dark=dark) as page:
        _loaded(page)
        if view == "run":
            page.locator(".run-table .run-name").nth(1).click()
        assert barriers(page, axe) == []


@pytest.mark.brief
def test_nothing_keeps_anybody_out_of_now_on_a_phone(browser: Browser, served: Served, axe: str) -> None:
    with opened(browser, served.url, "phone") as page:
        _loaded(page)
        assert barriers(page, axe) == []
        assert overflow(page) <= 0
