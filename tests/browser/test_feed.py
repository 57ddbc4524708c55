"""What comes, changes and goes while one looks: the feed, and a run under way."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from otel_feedback import OutcomeEvent
from otel_feedback.downstream.store import erasures
from otel_feedback.downstream.store.folder import StoreFolder
from tests.browser.serving import Ui, opened, serving, write
from tests.downstream.ui.serve import write as into_store
from tests.stack.waiting import wait_until
from tools.traffic import run


def _now() -> datetime:
    return datetime.now(timezone.utc)


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ui, Path]]:
    """A page on a log that tests write to."""
    folder = tmp_path_factory.mktemp("growing")
    log = folder / "outcomes.log"
    rows = write(log, run(random.Random(1), 1, _now() - timedelta(minutes=3), _now()))
    with serving(folder, ["--from", str(log)], rows) as ui:
        yield ui, log


def _event(**fields: object) -> OutcomeEvent:
    given = {"action_type": "tool", "agent_name": "lookup", "run_id": "run-live", "revision": 0, **fields}
    return msgspec.convert(given, OutcomeEvent)


def _ended(**fields: object) -> OutcomeEvent:
    return _event(
        **{"status": "success", "revision": 1, "start_time": _now(), "end_time": _now(), "timestamp": _now(), **fields}
    )


def _told(page: Page) -> bool:
    page.wait_for_timeout(50)  # what is held is told while the page is waited for
    return True


@pytest.mark.brief
def test_a_pending_row_changes_when_its_action_ends(browser: Browser, growing: tuple[Ui, Path]) -> None:
    ui, log = growing
    began = _now() - timedelta(seconds=2)
    pending = _event(event_id="live-1", status="pending", start_time=began, timestamp=began)
    with opened(browser, ui.url) as page:
        expect(page.locator("#link-words")).to_have_text("Live")
        before = page.locator(".feed li").count()
        write(log, [pending])
        row = page.locator('.feed li[data-id="live-1"]')
        expect(row).to_contain_text("pending")
        write(log, [_event(
            event_id="live-1", revision=1, status="failure", start_time=began, end_time=_now(), timestamp=_now(),
            duration_ms=2_000.0, error_type="RateLimitError", error_message="HTTP 429",
        )])  # fmt: skip
        expect(row).to_contain_text("failure")
        expect(row).to_contain_text("RateLimitError: HTTP 429")
        expect(page.locator(".feed li")).to_have_count(before + 1)


def test_a_row_that_fits_the_filters_no_more_goes(browser: Browser, growing: tuple[Ui, Path]) -> None:
    ui, log = growing
    began = _now() - timedelta(seconds=2)
    names = ("leave-1", "leave-2", "leave-3")
    with opened(browser, f"{ui.url}/?status=pending&agent=leaver") as page:
        expect(page.locator("main")).to_contain_text("Nothing fits these filters")
        write(
            log,
            [
                _event(event_id=name, agent_name="leaver", status="pending", start_time=began, timestamp=began)
                for name in names
            ],
        )
        expect(page.locator(".feed li")).to_have_count(3)
        second = page.locator('.feed li[data-id="leave-2"] a')
        second.focus()
        write(log, [_ended(event_id="leave-2", agent_name="leaver", start_time=began)])
        expect(page.locator('.feed li[data-id="leave-2"]')).to_have_count(0)
        expect(page.locator(".feed li a:focus")).to_have_count(1)  # who goes by keyboard is still among them
        page.get_by_role("button", name="Pause").click()
        write(log, [_ended(event_id="leave-1", agent_name="leaver", start_time=began)])
        with opened(browser, f"{ui.url}/?status=success&agent=leaver") as other:  # there it comes
            expect(other.locator('.feed li[data-id="leave-1"]')).to_be_visible()
        expect(page.locator(".feed li")).to_have_count(2)
        page.get_by_role("button", name="Resume").click()
        expect(page.locator(".feed li")).to_have_count(1)
        write(
            log,
            [
                _event(
                    event_id="leave-3",
                    agent_name="another",
                    status="pending",
                    start_time=began,
                    timestamp=began,
                    revision=1,
                )
            ],
        )
        expect(page.locator("main")).to_contain_text("Nothing fits these filters")


def test_rows_of_the_filters_before_do_not_come_into_those_of_now(browser: Browser, growing: tuple[Ui, Path]) -> None:
    ui, log = growing
    held: list[Route] = []
    with opened(browser, ui.url) as page:
        expect(page.locator("#link-words")).to_have_text("Live")
        page.route("**/api/feed?agent=planner*", lambda route: held.append(route))  # noqa: PLW0108  # Playwright writes on what it calls
        page.get_by_role("table", name="Agents").get_by_role("link", name="planner", exact=True).click()
        wait_until(lambda: _told(page) and bool(held), timeout_s=30, what="the question of the feed")
        write(
            log, [_ended(event_id="early-1", agent_name="coder")]
        )  # the answer is not there yet, nor the stream of it
        with opened(browser, ui.url) as other:
            expect(other.locator('.feed li[data-id="early-1"]')).to_be_visible()
        held[0].continue_()
        expect(page.locator(".feed li", has_text="planner").first).to_be_visible()
        assert page.locator(".feed li", has_text="coder").count() == 0


def test_what_is_erased_goes_from_a_page_that_is_open(browser: Browser, tmp_path: Path) -> None:
    folder = StoreFolder(tmp_path / "store")
    into_store(folder, [_ended(event_id="erase-1", user_id="u-1"), _ended(event_id="erase-2", user_id="u-2")])
    with serving(tmp_path, ["--from", str(folder.path)], 2) as ui, opened(browser, ui.url) as page:
        expect(page.locator(".feed li")).to_have_count(2)
        erasures.add(folder, "user_id", "u-1", None, _now())
        into_store(folder, [])
        expect(page.locator(".feed li")).to_have_count(1)
        expect(page.locator('.feed li[data-id="erase-2"]')).to_be_visible()


def test_a_paused_feed_stands_still_and_goes_on(browser: Browser, growing: tuple[Ui, Path]) -> None:
    ui, log = growing
    with opened(browser, ui.url) as page:
        expect(page.locator("#link-words")).to_have_text("Live")
        page.get_by_role("button", name="Pause").click()
        write(log, [_event(event_id="live-2", status="success", end_time=_now(), timestamp=_now(), start_time=_now())])
        with opened(browser, ui.url) as other:  # there it is
            expect(other.locator('.feed li[data-id="live-2"]')).to_be_visible()
        assert page.locator('.feed li[data-id="live-2"]').count() == 0
        page.get_by_role("button", name="Resume").click()
        expect(page.locator('.feed li[data-id="live-2"]')).to_be_visible()


def test_a_run_under_way_grows_while_one_looks(browser: Browser, growing: tuple[Ui, Path]) -> None:
    ui, log = growing
    at = _now()
    write(
        log,
        [
            _event(
                event_id="grow-1",
                run_id="run-grow",
                status="pending",
                start_time=at,
                timestamp=at,
                root_event_id="grow-1",
            )
        ],
    )
    with opened(browser, ui.url) as first:
        expect(first.locator('.feed li[data-id="grow-1"]')).to_be_visible()
    with opened(browser, f"{ui.url}/run/run-grow") as page:
        expect(page.locator(".run-table tbody tr")).to_have_count(1)
        expect(page.locator("main")).to_contain_text("under way")
        write(log, [
            _event(event_id="grow-2", run_id="run-grow", parent_event_id="grow-1", status="success", start_time=at, end_time=_now(), timestamp=_now()),
            _event(event_id="grow-1", run_id="run-grow", revision=1, status="success", start_time=at, end_time=_now(), timestamp=_now(), duration_ms=50.0, root_event_id="grow-1"),
        ])  # fmt: skip
        expect(page.locator(".run-table tbody tr")).to_have_count(2)
        expect(page.locator("main")).not_to_contain_text("under way")
