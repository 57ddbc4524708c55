"""Pictures of next to nothing: one moment, and none, are drawn as what they are. Labels of axes are read where they are painted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec
import pytest
from playwright.sync_api import Browser, expect

from otel_feedback.downstream.store.folder import StoreFolder
from tests.browser.made import minutes_ago
from tests.browser.serving import opened
from tests.downstream.learning.compare.trials import Variant, trial
from tests.downstream.ui.serve import Server, served, write
from tests.stack.waiting import wait_until

PAINTED = """
const painted = [];
const { fillText } = CanvasRenderingContext2D.prototype;
CanvasRenderingContext2D.prototype.fillText = function (text, ...more) {
  painted.push([this.canvas, text]);
  return fillText.call(this, text, ...more);
};
const hasColour = (data, at) => data[at + 3] > 200 && Math.max(data[at], data[at + 1], data[at + 2]) - Math.min(data[at], data[at + 1], data[at + 2]) > 60;
const copied = (canvas) => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  return copy.getImageData(0, 0, canvas.width, canvas.height).data;
};
window.pictures = () => [...document.querySelectorAll("figure")].filter((one) => one.checkVisibility()).map((one) => {
  const canvas = one.querySelector("canvas");
  const data = canvas ? copied(canvas) : [];
  return {
    title: one.querySelector("h3").textContent, labels: painted.filter(([on]) => on === canvas).map(([, text]) => text), words: one.querySelector(".plot").textContent,
    ink: data.filter((_, at) => at % 4 === 0 && hasColour(data, at)).length,
  };
});
"""
"""Of each picture: the labels that were painted, and how many pixels have a colour, as lines, bars and points have, and axes have not."""
TIME = re.compile(r"\d\d:\d\d|(\d+) ([A-Z][a-z]+)")
ZONE = ZoneInfo("America/New_York")  # of `opened`


AT = datetime.now(timezone.utc) - timedelta(minutes=1)
TRIED = 400


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A page on one decision, one of each of two variants at the same moment, and what they cost."""
    chosen = {"choice_candidates": ("planner", "writer"), "choice_policy": "thompson:1", "choice_propensity": 0.5}
    variants = {"a": Variant(0.9, cost_usd=0.1), "b": Variant(0.5, cost_usd=0.1)}
    tried = [msgspec.structs.replace(event, timestamp=AT, end_time=AT) for event in trial(variants, TRIED)]
    path = tmp_path_factory.mktemp("one") / "store"
    write(StoreFolder(path), [minutes_ago(0, event_id="decision", **chosen), *tried])
    with served(path) as server:
        server.wait_for_rows(1 + len(tried))
        yield server


def _pictures(browser: Browser, address: str) -> list[dict[str, Any]]:
    with opened(browser, address) as page:
        page.add_init_script(PAINTED)
        page.reload()
        expect(page.locator("main .loading, main [aria-busy]")).to_have_count(0)
        drawn = "pictures().length > 0 && pictures().every((one) => one.labels.length > 0 || one.words)"
        wait_until(lambda: page.evaluate(drawn), timeout_s=30, what="the pictures")
        return page.evaluate("pictures()")


def _seconds(since: datetime, until: datetime) -> str:
    return "?" + urlencode(
        {name: at.isoformat(timespec="seconds") for name, at in (("since", since), ("until", until))}
    )


@pytest.mark.parametrize(("path", "many"), [("choices", 2), ("cost?bucket=day", 1), ("cost?bucket=hour", 1), ("", 4)])
def test_one_moment_has_the_time_that_it_is(path: str, many: int, browser: Browser, one: Server) -> None:
    shown = _pictures(browser, one.address + (path or _seconds(AT, AT + timedelta(seconds=1))))
    assert len(shown) == many
    days = {f"{at.day} {at:%b}" for at in (datetime.now(ZONE) + timedelta(days=1 - number) for number in range(4))}
    for each in shown:
        times = [label for label in each["labels"] if TIME.fullmatch(label)]
        assert times, each
        assert {label for label in times if ":" not in label} <= days, each
    assert shown[0]["ink"] > 0


def test_estimates_of_one_moment_are_points_with_their_intervals(browser: Browser, one: Server) -> None:
    shown = _pictures(browser, f"{one.address}experiments")
    assert len(shown) == 8
    for each in shown:
        counts = [label for label in each["labels"] if re.fullmatch(r"\d+", label)]
        assert set(counts) == {str(TRIED - 1), str(TRIED), str(TRIED + 1)}, each
        assert each["ink"] > 40, "points, which have ten pixels each, and their intervals"


def test_where_there_is_nothing_the_time_is_that_which_was_asked_for(browser: Browser, one: Server) -> None:
    shown = _pictures(browser, one.address + _seconds(AT - timedelta(days=1), AT - timedelta(days=1, seconds=-1)))
    for each in shown:
        times = [label for label in each["labels"] if TIME.fullmatch(label)]
        assert times, each
        assert all(":" in label for label in times), each
        assert each["ink"] == 0
