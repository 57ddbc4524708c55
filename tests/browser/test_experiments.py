"""Experiments, and what was said of actions, as one sees them: numbers, words, pictures; by keyboard, on a phone, with harmful names."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import quote_plus

import msgspec
import pytest
from playwright.sync_api import Browser, Page, expect

from otel_feedback import Feedback, OutcomeEvent
from otel_feedback.downstream.store.folder import StoreFolder
from tests.browser.made import RUN, minutes_ago
from tests.browser.serving import barriers, opened, overflow
from tests.browser.test_harm import PICTURE, SCRIPT, TURNED
from tests.downstream.learning.compare.trials import Variant, trial
from tests.downstream.ui.serve import Server, served, write

changed = msgspec.structs.replace
TWO = {"brief": Variant(0.95), "with sources": Variant(0.8, cost_usd=0.02)}
HARM = {f"{PICTURE} one": Variant(0.9), f"{TURNED} {'x' * 300}": Variant(0.5)}


def _hours_ago(hours: float, events: Sequence[OutcomeEvent]) -> list[OutcomeEvent]:
    begin = datetime.now(timezone.utc) - timedelta(hours=hours)
    moved = [(begin + (event.timestamp - events[0].timestamp), event) for event in events]
    return [changed(event, timestamp=at, end_time=at) for at, event in moved]


PROMPTS = _hours_ago(3, [*trial(TWO, 900, name="prompt-7")])
FEW = [
    changed(event, event_id=f"few-{number}", model="gpt-4o" if number % 2 else "gpt-4o-mini", agent_name="coder")
    for number, event in enumerate(_hours_ago(6, [*trial({name: Variant(0.9, weight=0.25) for name in "abcd"}, 600, name="few-shot", seed=2)]))
    if event.variant != "b" or number % 3 == 0
]  # fmt: skip
HOSTILE = [
    changed(event, event_id=f"harm-{number}", action_type=f"{SCRIPT}{'z' * 170}")
    for number, event in enumerate(_hours_ago(9, [*trial(HARM, 260, name=f"{SCRIPT}{'y' * 300}", seed=3)]))
]  # fmt: skip


@pytest.fixture(scope="module")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A page on three experiments, the newest of which is well-behaved."""
    path = tmp_path_factory.mktemp("experiments") / "store"
    write(StoreFolder(path), [*HOSTILE, *FEW, *PROMPTS])
    with served(path) as server:
        server.wait_for_rows(len(HOSTILE) + len(FEW) + len(PROMPTS))
        yield server


def _loaded(page: Page) -> None:
    expect(page.locator("main .loading, main [aria-busy]")).to_have_count(0)
    expect(page.get_by_role("region", name="Comparison")).to_be_visible()


@pytest.mark.brief
def test_experiments_say_what_they_came_to(browser: Browser, page_of: Server) -> None:
    with opened(browser, f"{page_of.address}experiments") as page:
        _loaded(page)
        rows = page.get_by_role("table", name="Experiments").locator("tbody tr")
        expect(rows).to_have_count(3)
        expect(rows.nth(0)).to_contain_text("prompt-7")
        expect(rows.nth(0)).to_contain_text(re.compile(r"brief (49|50|51|52|48)\.\d % of 50\.0 %"))
        expect(rows.nth(0)).to_contain_text("as drawn")
        expect(rows.nth(1)).to_contain_text("not as drawn")
        for words in _words(page_of, "prompt-7"):
            expect(page.locator("main")).to_contain_text(words)
        expect(page.get_by_role("table", name="Metrics of answer").locator("tbody tr")).to_have_count(8)
        expect(page.locator("canvas")).to_have_count(8)
        shown = page.get_by_role("img", name=re.compile(r"^Success: brief 9\d\.\d % \(.* to .*\), with sources"))
        expect(shown).to_be_visible()
        page.get_by_role("link", name="few-shot").click()
        expect(page).to_have_url(re.compile(r"/experiments\?experiment=few-shot$"))
        for words in _words(page_of, "few-shot"):
            expect(page.locator("main")).to_contain_text(words)
        expect(page.get_by_role("region", name="Comparison")).to_contain_text(
            "There are not as many units as were drawn"
        )
        page.reload()
        expect(page.get_by_role("link", name="few-shot")).to_have_attribute("aria-current", "true")
        page.go_back()
        expect(page.get_by_role("link", name="prompt-7")).to_have_attribute("aria-current", "true")


def _words(server: Server, experiment: str) -> list[str]:
    told = server.get(f"api/compare?experiment={experiment}")
    rows = [row for action in told["actions"] for metric in action["metrics"] for row in metric["rows"]]
    return [
        told["basis"],
        *(one["text"] for one in told["remarks"]),
        *(row[part] for row in rows for part in ("mean", "interval", "state") if row[part] and row["verdict"]),
    ]


def test_another_baseline_other_values_and_filters_stay_in_the_address(browser: Browser, page_of: Server) -> None:
    with opened(browser, f"{page_of.address}experiments") as page:
        _loaded(page)
        page.get_by_label("Against").select_option("with sources")
        expect(page).to_have_url(re.compile(r"experiment=prompt-7&baseline=with\+sources"))
        expect(page.get_by_role("table", name="Metrics of answer").locator("tbody tr").nth(1)).to_contain_text("better")
        what = page.locator(".comparison-form select")
        what.select_option("model")
        page.keyboard.type("gpt-4o")  # the first value has the focus
        page.keyboard.press("Tab")
        page.keyboard.type("gpt-4o-mini")
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(r"compare=model&value=gpt-4o&value=gpt-4o-mini$"))
        expect(page.get_by_role("heading", name="model: gpt-4o against gpt-4o-mini")).to_be_visible()
        expect(page.get_by_role("region", name="Comparison")).to_contain_text("Nobody drew who got which")
        page.locator("summary", has_text="Filter").click()
        page.locator("details[open]").get_by_label("What").select_option("agent")
        page.locator("details[open]").get_by_label("Is").fill("coder")
        page.get_by_role("button", name="Add filter").click()
        expect(page).to_have_url(re.compile(r"compare=model.*agent=coder"))
        expect(page.get_by_role("table", name="Experiments").locator("tbody tr")).to_have_count(1)
        expect(page.get_by_label("one", exact=True)).to_have_value("gpt-4o")
        page.get_by_label("the other").fill("gpt-4o")
        page.get_by_role("button", name="Compare").click()
        expect(page).to_have_url(re.compile("gpt-4o-mini"))  # with itself nothing is compared
        page.locator(".comparison-form select").select_option("an experiment")
        expect(page).to_have_url(re.compile(r"/experiments\?agent=coder$"))
        expect(page.get_by_role("link", name="few-shot")).to_have_attribute("aria-current", "true")
        page.get_by_role("link", name="Cost", exact=True).click()
        expect(page).to_have_url(re.compile(r"/cost\?agent=coder$"))


def test_rows_are_reached_by_keyboard(browser: Browser, page_of: Server) -> None:
    with opened(browser, f"{page_of.address}experiments") as page:
        _loaded(page)
        page.keyboard.press("j")
        page.keyboard.press("j")
        expect(page.get_by_role("link", name="few-shot")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("few-shot"))


def test_what_is_exported_is_the_comparison(browser: Browser, page_of: Server) -> None:
    with opened(browser, f"{page_of.address}experiments?experiment=few-shot&baseline=c", accept_downloads=True) as page:
        _loaded(page)
        page.locator("summary", has_text="Export").click()
        with page.expect_download() as coming:
            page.locator("details[open]").get_by_role("link", name="CSV").click()
        rows = [*csv.DictReader(io.StringIO(Path(coming.value.path()).read_text("utf-8")))]
        assert [row["variant"] for row in rows[:4]] == ["c", "a", "b", "d"]
        assert {row["baseline"] for row in rows} == {"", "c"}


@pytest.mark.parametrize("size", ["phone", "tablet", "desk"])
def test_it_fits_and_keeps_nobody_out(size: str, browser: Browser, page_of: Server, axe: str) -> None:
    for path in ("experiments", "experiments?experiment=few-shot", "experiments?compare=metadata.a&value=1&value=2"):
        for dark in (False, True):
            with opened(browser, f"{page_of.address}{path}", size, dark=dark) as page:
                _loaded(page)
                assert overflow(page) <= 0, path
                assert barriers(page, axe) == []


def test_names_that_mean_harm_are_texts(browser: Browser, page_of: Server, axe: str) -> None:
    name = HOSTILE[0].experiment or ""
    for size in ("phone", "desk"):
        with opened(browser, f"{page_of.address}experiments?experiment={quote_plus(name)}", size) as page:
            _loaded(page)
            expect(page.get_by_role("heading", name=SCRIPT)).to_have_count(
                2
            )  # the experiment, and the type of its actions
            expect(page.locator("canvas")).to_have_count(8)
            assert page.locator("main script, main img").count() == 0
            assert overflow(page) <= 0
            assert barriers(page, axe) == []


def test_without_any_it_says_how_one_begins(browser: Browser, tmp_path: Path, axe: str) -> None:
    write(StoreFolder(tmp_path / "store"), [minutes_ago(1)])
    with served(tmp_path / "store") as server:
        server.wait_for_rows(1)
        with opened(browser, f"{server.address}experiments") as page:
            expect(page.locator("main")).to_contain_text("No experiment yet")
            expect(page.locator("main code")).to_contain_text('feedback.variant("prompt-7"')
            assert barriers(page, axe) == []
            page.goto(f"{server.address}experiments?experiment=gone")
            expect(page.get_by_role("region", name="Comparison")).to_contain_text("no event of this experiment")
            page.goto(f"{server.address}experiments?compare=modle&value=a&value=b")
            expect(page.locator("main")).to_contain_text("Did you mean model?")


# -- feedback ------------------------------------------------------------------------------------------------------


def _said(number: int, of: str, score: float | None, **fields: object) -> Feedback:
    given = {
        "feedback_id": f"said-{number}", "target": "event", "event_id": of, "name": "user_rating", "source": "human", "score": score,
        "timestamp": datetime.now(timezone.utc), **fields,
    }  # fmt: skip
    return msgspec.convert(given, Feedback)


def _run() -> list[OutcomeEvent]:
    below = {"run_id": RUN, "parent_event_id": "root", "root_event_id": "root"}
    return [
        minutes_ago(3, event_id="root", run_id=RUN, root_event_id="root"), minutes_ago(4, event_id="first", **below),
        minutes_ago(5, event_id="second", agent_name="writer", **below),
    ]  # fmt: skip


def test_what_was_said_stands_where_its_actions_do(browser: Browser, tmp_path: Path, axe: str) -> None:
    folder = StoreFolder(tmp_path / "store")
    given = [
        _said(1, "first", 0.25, by="u-1", label="wrong", comment=SCRIPT), _said(2, "first", 0.75, by=PICTURE),
        _said(3, "root", None, target="run", event_id=None, run_id=RUN, name=TURNED, source="judge", label="fine"),
    ]  # fmt: skip
    write(folder, _run(), given=given)
    with served(folder.path) as server:
        server.wait_for_rows(3)
        with opened(browser, server.address) as page:
            summary = page.get_by_label("Summary").locator(".figure", has_text="Feedback")
            expect(summary).to_contain_text("0.50")
            expect(summary).to_contain_text("66.7 % rated")
            agents = page.get_by_role("table", name="Agents")
            expect(agents.get_by_role("row", name="planner")).to_contain_text("0.50 (100 %)")
            expect(agents.get_by_role("row", name="writer").get_by_role("cell").last).to_have_text("")
            expect(page.get_by_role("img", name=re.compile(r"^Feedback: rated 66\.7 %, mean 0\.50"))).to_be_visible()
            assert barriers(page, axe) == []
            page.goto(f"{server.address}run/{RUN}")
            panel = page.get_by_role("region", name="Feedback")
            expect(panel).to_contain_text("3 given, on 2 of 3 actions that ended")
            expect(panel.get_by_role("row", name="user_rating")).to_contain_text("0.50")
            expect(panel).to_contain_text(SCRIPT)
            panel.get_by_role("button", name="user_rating 0.25").click()
            ratings = page.get_by_role("list", name="Feedback")
            expect(ratings).to_contain_text("user_rating human 0.50 wrong 2 raters")
            assert page.url.endswith("#first")
            assert barriers(page, axe) == []
            write(folder, [], given=[_said(4, "second", 1.0, name="helpfulness")])  # late, while one looks
            expect(panel).to_contain_text("4 given, on 3 of 3 actions that ended")
        for path in ("", f"run/{RUN}#first"):
            with opened(browser, f"{server.address}{path}", "phone") as page:
                expect(page.locator("main")).to_contain_text("Feedback")
                assert overflow(page) <= 0


def test_late_feedback_comes_into_its_window(browser: Browser, tmp_path: Path) -> None:
    folder = StoreFolder(tmp_path / "store")
    write(folder, _run())
    with served(folder.path) as server:
        server.wait_for_rows(3)
        with opened(browser, server.address) as page:
            expect(page.locator("main .loading")).to_have_count(0)
            assert "Feedback" not in page.locator("main").inner_text(), "nothing is said where nothing was"
            write(folder, [], given=[_said(1, "first", 0.25)])
            expect(page.get_by_label("Summary").locator(".figure", has_text="Feedback")).to_contain_text("0.25")
            expect(page.get_by_role("img", name=re.compile(r"^Feedback: rated 33\.3 %, mean 0\.25"))).to_be_visible()
            series = json.loads(page.evaluate("fetch('/api/now').then((told) => told.text())"))["series"]
            assert [score for score in series["feedback"] if score is not None] == [0.25]
