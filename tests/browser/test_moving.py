"""Filters, the address, the keyboard, what is saved, and times that are chosen."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from otel_feedback import OutcomeStatus
from tests.browser.conftest import Served
from tests.browser.serving import opened, overflow


def test_filters_combine_are_in_the_address_and_go_back(browser: Browser, served: Served) -> None:
    with opened(browser, served.url) as page:
        page.get_by_role("table", name="Agents").get_by_role("link", name="researcher", exact=True).click()
        expect(page).to_have_url(re.compile(r"\?agent=researcher$"))
        page.locator("summary", has_text="Filter").click()
        menu = page.locator("details[open]")
        menu.get_by_label("What").select_option("status")
        menu.get_by_label("Is").fill("failure")
        page.get_by_role("button", name="Add filter").click()
        expect(page).to_have_url(re.compile(r"\?agent=researcher&status=failure$"))
        expect(page.get_by_label("Filters in force").get_by_role("listitem")).to_have_count(3)
        failed = {
            e.event_id for e in served.events if e.agent_name == "researcher" and e.status is OutcomeStatus.FAILURE
        }
        shown = page.locator(".feed li")
        expect(shown).to_have_count(min(30, len(failed)))
        assert {one.get_attribute("data-id") for one in shown.all()} <= failed
        page.get_by_role("link", name="Cost", exact=True).click()  # they go along
        expect(page).to_have_url(re.compile(r"/cost\?agent=researcher&status=failure$"))
        page.go_back()
        page.go_back()
        expect(page).to_have_url(re.compile(r"\?agent=researcher$"))
        expect(page.get_by_label("Filters in force").get_by_role("listitem")).to_have_count(1)
        page.get_by_role("button", name="Without agent researcher").click()
        expect(page).to_have_url(f"{served.url}/")


def test_text_time_and_dates(browser: Browser, served: Served) -> None:
    with opened(browser, served.url) as page:
        page.keyboard.press("/")
        page.keyboard.type("RateLimit")
        expect(page).to_have_url(re.compile(r"text=RateLimit"))
        expect(page.locator(".feed li", has_text="RateLimitError").first).to_be_visible()
        page.get_by_label("Time", exact=True).select_option("1h")
        expect(page).to_have_url(re.compile(r"since=1h.*text=RateLimit|text=RateLimit.*since=1h"))
        page.locator("summary", has_text="Dates").click()
        expect(page.locator(".range")).to_contain_text("America/New_York")
        page.get_by_label("From").fill("2026-01-15T08:00")
        page.get_by_role("button", name="Show").click()
        expect(page).to_have_url(re.compile(r"since=2026-01-15T13%3A00%3A00.000Z"))  # New York's winter


def test_saved_filters_are_there_tomorrow(browser: Browser, served: Served) -> None:
    with opened(browser, f"{served.url}/failures?agent=coder") as page:
        page.locator("summary", has_text="Saved").click()
        page.get_by_label("Name for these filters").fill("<b>coder's</b>")
        page.get_by_role("button", name="Save these").click()
        page.goto(f"{served.url}/cost")
        page.locator("summary", has_text="Saved").click()
        page.get_by_role("link", name="<b>coder's</b>").click()
        expect(page).to_have_url(f"{served.url}/failures?agent=coder")
        page.locator("summary", has_text="Saved").click()
        page.get_by_role("button", name="Forget <b>coder's</b>").click()
        assert json.loads(page.evaluate("localStorage.getItem('otel-feedback.filters')")) == []


def test_what_is_exported_is_what_is_shown(browser: Browser, served: Served) -> None:
    with opened(browser, f"{served.url}/?agent=coder&status=failure&status=timeout", accept_downloads=True) as page:
        shown = {e.event_id for e in served.events if e.agent_name == "coder" and e.status in ("failure", "timeout")}
        assert shown
        assert {each["event_id"] for each in json.loads(_downloaded(page, "JSON"))} == shown
        rows = list(csv.DictReader(io.StringIO(_downloaded(page, "CSV"))))
        assert {row["event_id"] for row in rows} == shown
        assert {row["agent_name"] for row in rows} == {"coder"}
        page.goto(f"{served.url}/failures?agent=coder")
        expect(page.locator(".failure").first).to_be_visible()
        told = json.loads(_downloaded(page, "JSON"))
        assert sum(each["times"] for each in told) == len(shown)
        page.goto(f"{served.url}/cost?agent=coder&by=model")
        rows = list(csv.DictReader(io.StringIO(_downloaded(page, "CSV"))))
        spent = sum(event.own_cost or 0 for event in served.events if event.agent_name == "coder")
        assert [row["key"] for row in rows if row["key"]] == ["claude-sonnet-4"]
        assert sum(float(row["cost"] or 0) for row in rows) == pytest.approx(spent)


def _downloaded(page: Page, form: str) -> str:
    page.locator("summary", has_text="Export").click()
    with page.expect_download() as coming:
        page.locator("details[open]").get_by_role("link", name=form).click()
    page.keyboard.press("Escape")
    return Path(coming.value.path()).read_text("utf-8")


def test_a_drag_over_a_picture_chooses_that_time(browser: Browser, served: Served) -> None:
    with opened(browser, served.url) as page:
        over = page.locator("figure", has_text="Outcomes").locator(".u-over")
        expect(page.locator(".feed li").first).to_be_visible()
        box = over.bounding_box()
        assert box is not None
        begin, end = box["x"] + 0.5 * box["width"], box["x"] + 0.75 * box["width"]
        page.mouse.move(begin, box["y"] + 40)
        page.mouse.down()
        page.mouse.move((begin + end) / 2, box["y"] + 50, steps=4)
        page.mouse.move(end, box["y"] + 50, steps=4)
        page.mouse.up()
        expect(page).to_have_url(re.compile(r"since=.*Z&until=.*Z"))
        asked = parse_qs(urlsplit(page.url).query)
        since, until = (datetime.fromisoformat(asked[name][0].replace("Z", "+00:00")) for name in ("since", "until"))
        chosen = [
            e
            for e in served.events
            if e.status is not OutcomeStatus.PENDING and since <= (e.end_time or e.timestamp) < until
        ]
        assert 0 < len(chosen) < len(served.events)
        expect(page.get_by_label("Summary").locator(".figure", has_text="Actions")).to_have_attribute(
            "title", f"{len(chosen):,}"
        )
        expect(page.get_by_label("Time", exact=True)).to_contain_text(" to ")
        page.go_back()
        expect(page).to_have_url(f"{served.url}/")
        page.mouse.move(begin, box["y"] + 40)  # a click is no drag
        page.mouse.down()
        page.mouse.up()
        expect(page).to_have_url(f"{served.url}/")


@pytest.mark.brief
def test_everything_by_keyboard(browser: Browser, served: Served) -> None:
    with opened(browser, served.url) as page:
        expect(page.locator(".feed li").first).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        page.keyboard.press("2")
        expect(page.get_by_role("heading", name="Failures", level=1)).to_be_visible()
        expect(page.locator(".failure").first).to_be_visible()
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("k")
        focused = page.locator(":focus")
        expect(focused).to_have_text("Example")
        assert focused.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        expect(page.locator(".detail")).to_be_visible()
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        expect(page.locator(".run-name[aria-expanded=true]")).to_be_focused()
        page.keyboard.press("1")
        page.keyboard.press("/")
        expect(page.get_by_role("searchbox")).to_be_focused()
        page.keyboard.type("j?1")  # while one types these are letters
        expect(page.get_by_role("searchbox")).to_have_value("j?1")
        page.keyboard.press("Escape")
        page.keyboard.press("c")
        expect(page).to_have_url(f"{served.url}/")


def test_dark_and_light_are_kept(browser: Browser, served: Served) -> None:
    def ground(page: Page) -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    with opened(browser, served.url) as page:
        light = ground(page)
        page.get_by_role("button", name="Colours: as the system").click()
        dark = ground(page)
        assert dark != light
        page.reload()
        assert ground(page) == dark
        page.keyboard.press("t")
        assert ground(page) == light
    with opened(browser, served.url, dark=True) as page:
        assert ground(page) == dark


def test_menus_fit_on_a_phone(browser: Browser, served: Served) -> None:
    with opened(browser, served.url, "phone") as page:
        for name in ("Dates", "Filter", "Saved", "Export"):
            page.locator("summary", has_text=re.compile(f"^{name}$")).click()
            box = page.locator("details[open] .menu-body").bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 400
            assert overflow(page) <= 0
            page.keyboard.press("Escape")
            expect(page.locator("details[open]")).to_have_count(0)
