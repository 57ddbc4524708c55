"""Choices and gaps: what they say of a selector that learned and of slices that fail, where they lead, and what is said of nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from otel_feedback import AgentSelector, OutcomeStatus
from otel_feedback.downstream.store.folder import StoreFolder
from otel_feedback.downstream.ui.learning.beliefs import Beliefs
from tests.browser.serving import barriers, opened, overflow
from tests.downstream.learning.policies.learners import AGENTS
from tests.downstream.ui.serve import Server, served, write
from tests.downstream.ui.taught import actions, decisions

BEGIN = datetime.now(timezone.utc) - timedelta(hours=2)
DECISIONS = decisions("acme", BEGIN)
ACTIONS = actions("acme", BEGIN)
PAIR = "agent researcher, model small"
PRO = urlencode({"text": '"plan":"pro"'})
"""Of those for whom nothing else fails more."""


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path = tmp_path_factory.mktemp("learned")
    write(StoreFolder(path / "store"), [*DECISIONS, *ACTIONS])
    selector = AgentSelector(list(AGENTS), state=path / "selector.json", refresh_s=None, seed=1, half_life_s=1_800.0)
    for _ in range(30):
        selector.choose().learn(0.75)
    selector.refresh()
    with served(path / "store", beliefs=Beliefs([path / "selector.json"])) as server:
        server.wait_for_rows(len(DECISIONS) + len(ACTIONS))
        yield server


def _loaded(page: Page) -> None:
    expect(page.locator("main .loading, main [aria-busy]")).to_have_count(0)


@pytest.mark.brief
def test_whom_a_selector_chose_and_what_came_of_it(browser: Browser, learned: Server, axe: str) -> None:
    with opened(browser, f"{learned.address}choices") as page:
        policy = page.get_by_role("region", name="thompson: planner, researcher, writer")
        expect(policy.get_by_role("table", name="Other policies")).to_be_visible()
        summary = policy.get_by_label("How it chooses")
        under_way = sum(event.status is OutcomeStatus.PENDING for event in DECISIONS)
        for label, words in (
            ("Decisions", f"1,000{under_way} under way"), ("Newest version", "13"), ("Half-life", "30 min 0 s"), ("Floor", "5.0 %")
        ):  # fmt: skip
            expect(summary.locator(".figure", has_text=label)).to_contain_text(words)
        shown = policy.get_by_role("img").first.get_attribute("aria-label") or ""
        agents = policy.get_by_role("table", name="Agents of this policy")
        for name in AGENTS:
            chosen = [event for event in DECISIONS if event.agent_name == name]
            share = f"{100 * len(chosen) / len(DECISIONS):.1f} %"
            assert f"{name} {share}" in shown
            row = agents.get_by_role("row", name=name)
            expect(row).to_contain_text(share)
            ended = [event for event in chosen if event.status is not OutcomeStatus.PENDING]
            good = sum(event.status is OutcomeStatus.SUCCESS for event in ended)
            expect(row).to_contain_text(f"{100 * good / len(ended):.1f} %")
            expect(row).to_contain_text(re.compile(r"0\.\d{3} 0\.\d\d\u20130\.\d\d"))  # what is believed of it
        others = policy.get_by_role("table", name="Other policies")
        expect(others.get_by_role("row")).to_have_count(len(AGENTS) + 2)
        expect(others.get_by_role("row", name="always:planner")).to_contain_text(
            re.compile("better|worse|not told apart")
        )
        assert barriers(page, axe) == []


def test_a_reward_is_weighed_as_the_address_says(browser: Browser, learned: Server) -> None:
    with opened(browser, f"{learned.address}choices") as page:
        _loaded(page)
        reward = page.get_by_label("How it chooses").locator(".figure", has_text="Reward").locator("dd").first
        before = reward.inner_text()
        page.get_by_label("Off a reward, per dollar").fill("10")
        page.keyboard.press("Tab")
        expect(page).to_have_url(re.compile("cost_weight=10"))
        expect(reward).not_to_have_text(before)
        page.reload()
        expect(page.get_by_label("Off a reward, per dollar")).to_have_value("10")
        page.goto(f"{learned.address}choices?cost_weight=-1")
        expect(page.locator("main")).to_contain_text("Use numbers from 0")


def test_an_agent_of_a_policy_leads_to_what_it_did(browser: Browser, learned: Server) -> None:
    with opened(browser, f"{learned.address}choices") as page:
        _loaded(page)
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(r"/\?agent=planner$"))
        page.go_back()
        expect(page.get_by_role("table", name="Agents of this policy")).to_be_visible()


def test_decisions_that_come_are_there_without_a_reload(browser: Browser, tmp_path: Path) -> None:
    now = datetime.now(timezone.utc)
    events = decisions("acme", now - timedelta(minutes=20), 300)
    folder = StoreFolder(tmp_path / "store")
    write(folder, events[:200])
    with served(folder.path) as server:
        server.wait_for_rows(200)
        with opened(browser, f"{server.address}choices") as page:
            figure = page.get_by_label("How it chooses").locator(".figure", has_text="Decisions")
            expect(figure).to_contain_text("200")
            canvas = page.locator("canvas").first.element_handle()
            write(folder, events[200:])
            expect(figure).to_contain_text("300")
            assert canvas is not None
            assert canvas.evaluate("one => one.isConnected"), "the picture moves, and is not another one"


@pytest.mark.brief
def test_what_to_improve_next_and_where_it_is_seen(browser: Browser, learned: Server, axe: str) -> None:
    with opened(browser, f"{learned.address}gaps?{PRO}") as page:
        gap = page.get_by_role("article", name=PAIR)
        named = [event for event in ACTIONS if (event.agent_name, event.model) == ("researcher", "small")]
        bad = [event for event in named if event.metadata["plan"] == "pro"]
        rate = sum(event.status is OutcomeStatus.SUCCESS for event in bad) / len(bad)
        expect(gap).to_contain_text(f"more failures than elsewhere; {100 * rate:.1f} % success, elsewhere")
        expect(gap.locator(".failure-facts")).to_contain_text(f"Actions{len(bad)}")
        expect(page.locator("main")).to_contain_text("of what is told may be there by chance")
        assert barriers(page, axe) == []
        gap.get_by_role("link", name="All of it").click()
        expect(page.locator(".chips")).to_contain_text("researcher")
        assert sorted(parse_qsl(urlsplit(page.url).query)) == [
            ("agent", "researcher"), ("model", "small"), ("text", '"plan":"pro"'),
        ]  # fmt: skip
        summary = page.get_by_label("Summary").locator(".figure", has_text="Actions")
        expect(summary).to_have_attribute("title", str(len(bad)))
        page.go_back()
        page.get_by_role("article", name=PAIR).get_by_role("link", name="Example 2").click()
        failed = {f"/run/{event.run_id}" for event in bad if event.status is OutcomeStatus.FAILURE}
        expect(page.locator(".run-table tbody tr").first).to_be_visible()
        assert urlsplit(page.url).path in failed


def test_gaps_by_what_one_chooses_and_their_actions_as_a_file(browser: Browser, learned: Server) -> None:
    with opened(browser, f"{learned.address}gaps?{PRO}") as page:
        _loaded(page)
        page.get_by_label("Most").select_option("cost")
        expect(page).to_have_url(re.compile("sort=cost"))
        expect(page.get_by_role("article", name=PAIR)).to_be_visible()
        page.locator("summary", has_text="Export").click()
        with page.expect_download() as download:
            page.get_by_role("link", name="Actions of gaps").click()
        assert download.value.suggested_filename == "gaps.jsonl"
        lines = Path(download.value.path()).read_text().splitlines()
        assert lines
        assert all('"gap":' in line and '"plan":"pro"' in line for line in lines)


@pytest.mark.parametrize("size", ["phone", "tablet", "desk"])
@pytest.mark.parametrize("view", ["choices", "gaps"])
def test_it_fits_and_keeps_nobody_out(view: str, size: str, browser: Browser, learned: Server, axe: str) -> None:
    with opened(browser, f"{learned.address}{view}", size, dark=True) as page:
        _loaded(page)
        assert page.locator("main article, main canvas").count() > 0
        assert overflow(page) <= 0
        assert barriers(page, axe) == []


def test_nothing_that_stands_out_is_an_answer(browser: Browser, tmp_path: Path) -> None:
    good = [event for event in ACTIONS if event.status is OutcomeStatus.SUCCESS]
    write(StoreFolder(tmp_path / "store"), good)
    with served(tmp_path / "store") as server:
        server.wait_for_rows(len(good))
        with opened(browser, f"{server.address}gaps") as page:
            expect(page.locator("main")).to_contain_text("No slice stands out")
            expect(page.locator("main")).to_contain_text("Nothing is lower than elsewhere by more than chance")
            page.goto(f"{server.address}choices")
            expect(page.locator("main")).to_contain_text("No choices")
            expect(page.locator("main code")).to_contain_text("AgentSelector([planner, writer])")
