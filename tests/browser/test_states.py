"""What a view says of each state that there is: objectives, alerts, the pipeline, a source that stands still or is gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.downstream.alerts.machine import Alert, Phase
from otel_feedback.downstream.alerts.observing import Key
from otel_feedback.downstream.alerts.reading import parse
from otel_feedback.downstream.alerts.state import Acknowledged, Folder, Hand, State
from otel_feedback.downstream.store.folder import StoreFolder
from otel_feedback.downstream.ui.alerting import Alerts
from otel_feedback.downstream.ui.goals import Goals
from otel_feedback.downstream.ui.pipeline import Journal, Pipeline
from otel_feedback.journal.interface import Account
from tests.browser.conftest import RULES
from tests.browser.made import NOW, RUN, minutes_ago
from tests.browser.serving import barriers, opened, overflow
from tests.downstream.alerts.stores import Sequenced
from tests.downstream.alerts.stores import write as write_sequenced
from tests.downstream.ui.serve import Server, served, write

SLO = """
[[objective]]
name = "answers"
kind = "success"
target = 0.9
by = ["agent"]
"""


def _answers() -> list[OutcomeEvent]:
    """A planner of which one answer in five is bad, a writer whose answers are good, and one who has hardly begun."""
    bad = OutcomeStatus.FAILURE
    planner = [minutes_ago(number, status=bad if number % 5 == 0 else OutcomeStatus.SUCCESS) for number in range(100)]
    writer = [minutes_ago(number, event_id=f"writer-{number}", agent_name="writer") for number in range(100)]
    return [*planner, *writer, minutes_ago(0, event_id="scout-0", agent_name="scout")]


def test_objectives_say_how_they_stand(browser: Browser, tmp_path: Path, axe: str) -> None:
    write(StoreFolder(tmp_path / "store"), _answers())
    (tmp_path / "slo.toml").write_text(SLO)
    goals = Goals(tmp_path / "slo.toml", tmp_path / "store")
    with served(tmp_path / "store", objectives=goals.told) as server:
        server.wait_for_rows(201)
        with opened(browser, f"{server.address}objectives") as page:
            cards = page.get_by_role("article", name="answers")
            planner, writer, scout = (cards.filter(has_text=f"agent {name}") for name in ("planner", "writer", "scout"))
            for card, words in (
                (planner, ["missed", "80.0 %", "of 100", "90.0 %", "over 30d", "-100 %", "24h 2.0\u00d7"]),
                (writer, ["met", "100 %", "24h 0.0\u00d7"]),
                (scout, ["not enough yet", "1 of the 10 are there that are needed"]),
            ):
                for said in words:
                    expect(card).to_contain_text(said)
            expect(writer.get_by_role("img", name="100 % of the budget is left")).to_be_visible()
            expect(scout.get_by_role("img", name="not known yet")).to_be_visible()
            assert barriers(page, axe) == []


def _alert(agent: str, phase: Phase, began: timedelta, **fields: Any) -> Alert:
    given: dict[str, Any] = {
        "key": Key("errors", "acme", agent, "answer"), "phase": phase, "since": NOW - began,
        "changed": NOW - began + timedelta(minutes=12), "seen": NOW, "value": 0.25, "worst": 0.5, "count": 40,
        "severity": "critical", **fields,
    }  # fmt: skip
    return Alert(**given)


def test_alerts_with_their_history(browser: Browser, tmp_path: Path, axe: str) -> None:
    write(StoreFolder(tmp_path / "store"), [minutes_ago(0, run_id=RUN)])
    alerts = (
        _alert("planner", Phase.FIRING, timedelta(minutes=30), run_id=RUN, usual=0.02),
        _alert("writer", Phase.FIRING, timedelta(hours=1), is_flapping=True),
        _alert("scout", Phase.RESOLVED, timedelta(hours=5), run_id=RUN),
        _alert("critic", Phase.EXPIRED, timedelta(hours=9)),
        _alert("nobody", Phase.PENDING, timedelta(hours=9)),  # not one yet
    )
    folder = Folder(tmp_path / "alerts")
    with folder.owned():
        folder.keep(State(looked_at=NOW, alerts=alerts))
    with folder.changing():
        folder.keep_hand(Hand(acknowledged=(Acknowledged(alerts[0].key, alerts[0].since, NOW, "dana", "on it"),)))
    rules = {rule.name: rule for rule in parse(RULES, "alerts.toml").rules}
    with served(tmp_path / "store", alerts=Alerts(folder, rules).told) as server:
        server.wait_for_rows(1)
        with opened(browser, f"{server.address}alerts") as page:
            card = page.get_by_role("article", name="firing: errors")
            for said in ("25.0 %", "usual is 2.0 %", "tenant acme, agent planner", "known to dana"):
                expect(card).to_contain_text(said)
            expect(page.get_by_role("article", name="flapping: errors")).to_contain_text("agent writer")
            expect(page.locator("nav .count")).to_contain_text("2")
            rows = page.get_by_role("table", name="Alerts that were").locator("tbody tr")
            expect(rows).to_have_count(2)
            for row, words in (
                (rows.first, ("resolved", "scout", "50.0 %", "12 min")),
                (rows.last, ("expired", "critic")),
            ):
                for said in words:
                    expect(row).to_contain_text(said)
            assert barriers(page, axe) == []
            with folder.owned():  # the first one is over
                folder.keep(
                    State(looked_at=NOW, alerts=(_alert("planner", Phase.RESOLVED, timedelta(minutes=30)), *alerts[1:]))
                )
            expect(rows).to_have_count(3)
            expect(page.locator("nav .count")).to_contain_text("1")
            rows.filter(has_text="scout").get_by_role("link", name="Run").click()
            expect(page.locator(".run-table tbody tr")).to_have_count(1)


ACCOUNTS = {
    "p-0": Journal("planner", 3_200_000, True, Account(120, 100, 13, {"retention": 5, "too_large": 2})),
    "p-1": Journal("writer", 4_000, False, Account(50, 50, 0, {})),
}


OFF = Journal("scout", 900, None, Account(10, 7, 1, {}))


@pytest.fixture
def account(tmp_path: Path) -> Iterator[tuple[Server, dict[str, Journal]]]:
    journals = dict(ACCOUNTS)
    write_sequenced(tmp_path / "store", [Sequenced(minutes_ago(0), 0), Sequenced(minutes_ago(1), 4)])
    with served(
        tmp_path / "store",
        pipeline=lambda reader, asked: Pipeline(reader.mirror, None, lambda: 3, lambda: journals).told(reader, asked),
    ) as server:
        server.wait_for_rows(2)
        yield server, journals


def test_the_pipeline_with_an_account_that_balances_and_one_that_does_not(
    browser: Browser, account: tuple[Server, dict[str, Journal]], axe: str
) -> None:
    server, journals = account
    with opened(browser, f"{server.address}pipeline") as page:
        whole = page.get_by_role("region", name="Account")
        for label, number in (("appended", "170"), ("delivered", "150"), ("pending", "13"), ("lost", "7")):
            expect(whole.locator(".term", has_text=label)).to_contain_text(number)
        expect(whole.locator(".status")).to_have_text("balances")
        expect(whole).to_contain_text("3 records of the topic not read yet")
        reasons = page.get_by_role("table", name="Lost, by reason")
        expect(reasons.locator("tbody tr")).to_have_count(2)
        expect(reasons.get_by_role("row", name="retention")).to_contain_text("5")
        expect(reasons.get_by_role("row", name="retention")).to_contain_text("the journal was full or too old")
        producers = page.get_by_role("table", name="Producers")
        for name, cells in (
            ("planner", ["\u2013", "\u2013", "13", "7", "3.2 MB"]),
            ("writer", ["2", "3", "0", "0", "4 kB"]),
        ):
            row = producers.get_by_role("row", name=name)
            expect(row.get_by_role("cell")).to_contain_text(cells)
        assert barriers(page, axe) == []
        journals["p-2"] = OFF
        expect(whole.locator(".status")).to_have_text("does not balance", timeout=60_000)
        assert barriers(page, axe) == []


def test_what_is_behind_says_by_how_much_and_where_to_look(browser: Browser, tmp_path: Path) -> None:
    write(StoreFolder(tmp_path / "store"), [minutes_ago(12)])
    behind = [12]
    with served(tmp_path / "store", behind=lambda: behind[0]) as server:
        server.wait_for_rows(1)
        with opened(browser, server.address) as page:
            expect(page.locator("#link-words")).to_have_text("Behind")
            expect(page.locator("#banners")).to_contain_text(re.compile(r"What is shown is 1\d min.* behind\."))
            expect(page.locator("#banners")).to_contain_text("Pipeline says which")
            behind[0] = 0
            expect(page.locator("#link-words")).to_have_text("Live")
            expect(page.locator("#banners")).to_be_empty()


def test_a_source_that_is_away_says_so_and_what_was_read_stays(browser: Browser, tmp_path: Path) -> None:
    write(StoreFolder(tmp_path / "store"), [minutes_ago(0)])
    problem: list[str | None] = ["Kafka: broker.example:9092: connection refused"]
    with served(tmp_path / "store", problem=lambda: problem[0]) as server:
        server.wait_for_rows(1)
        with opened(browser, server.address) as page:
            expect(page.locator("#link-words")).to_have_text("Problem")
            expect(page.locator("#banners")).to_contain_text("broker.example:9092: connection refused")
            expect(page.locator("#banners")).to_contain_text("The page goes on by itself when that is mended.")
            expect(page.locator(".feed li")).to_have_count(1)
            problem[0] = None
            expect(page.locator("#link-words")).to_have_text("Live")


def test_long_ago_fits_on_a_phone_and_the_view_is_named(browser: Browser, tmp_path: Path) -> None:
    """Days stand before the times, and words are long: "28 Nov, 21:08", "17 min ago"."""
    failed: dict[str, Any] = {
        "status": OutcomeStatus.FAILURE,
        "error_type": "RateLimitError",
        "run_id": RUN,
        "own_cost": 0.25,
    }
    write(StoreFolder(tmp_path / "store"), [minutes_ago(number, **failed) for number in (11, 3_000, 6_000)])
    with served(
        tmp_path / "store",
        pipeline=lambda reader, asked: Pipeline(reader.mirror, None, lambda: None, dict).told(reader, asked),
    ) as server:
        server.wait_for_rows(3)
        for view in ("", "failures", "cost", f"run/{RUN}", "pipeline"):
            with opened(browser, f"{server.address}{view}?since=30d", "phone") as page:
                expect(page.locator("main .loading, main [aria-busy]")).to_have_count(0)
                expect(page.locator("main h1")).to_have_count(1)
                assert overflow(page) <= 0, view
                for figure in page.locator(".figure dd:first-of-type").all():
                    assert figure.evaluate("one => one.scrollWidth <= one.clientWidth"), (view, figure.inner_text())
                if not view.startswith("run"):
                    expect(page.locator("nav [aria-current]")).to_be_in_viewport(ratio=1)


@pytest.mark.brief
def test_a_store_that_is_gone_says_so_and_comes_back(browser: Browser, tmp_path: Path) -> None:
    folder, elsewhere = StoreFolder(tmp_path / "store"), tmp_path / "elsewhere"
    write(folder, [minutes_ago(0, run_id=RUN)])
    with served(folder.path) as server:
        server.wait_for_rows(1)
        with opened(browser, server.address) as page:
            expect(page.locator(".feed li")).to_have_count(1)
            folder.path.rename(elsewhere)
            expect(page.locator("#link-words")).to_have_text("Problem")
            expect(page.locator("#banners")).to_contain_text("it was moved or removed; bring it back")
            page.locator(".feed a").click()  # what is in its files only
            expect(page.locator("main")).to_contain_text("The events cannot be read")
            page.go_back()
            expect(page.locator(".feed li")).to_have_count(1)  # what was read is there still
            elsewhere.rename(folder.path)
            write(folder, [minutes_ago(1)])
            expect(page.locator("#link-words")).to_have_text("Live")
            expect(page.locator(".feed li")).to_have_count(2)


def test_files_of_a_store_that_are_damaged_are_said_where_they_are_needed(browser: Browser, tmp_path: Path) -> None:
    folder = StoreFolder(tmp_path / "store")
    write(folder, [minutes_ago(0, run_id=RUN)])
    with served(folder.path) as server:
        server.wait_for_rows(1)
        for file in folder.path.rglob("*.parquet"):
            file.write_bytes(b"no Parquet")
        with opened(browser, f"{server.address}run/{RUN}") as page:
            expect(page.locator("main")).to_contain_text("The events cannot be read")
            expect(page.locator("main")).to_contain_text("see that the store is there")
            page.get_by_role("button", name="Try again").click()
            expect(page.locator("main")).to_contain_text("The events cannot be read")
