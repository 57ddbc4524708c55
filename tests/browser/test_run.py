"""A run: what it says of each of its actions, and the link into Jaeger."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Error, Route, expect

from otel_feedback import OutcomeEvent, OutcomeStatus, Severity
from otel_feedback.downstream.store.folder import StoreFolder
from tests.browser.made import RUN, minutes_ago
from tests.browser.serving import barriers, opened, serving
from tests.downstream.ui.serve import served, write
from tests.stack.jaeger import Jaeger
from tests.support import environment


def _run() -> list[OutcomeEvent]:
    """A run of which the second attempt worked, one action's process died, and one has not ended."""
    common: dict[str, Any] = {
        "run_id": RUN,
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "root_event_id": "root",
        "tenant_id": "acme",
    }
    below: dict[str, Any] = {**common, "parent_event_id": "root", "depth": 1}
    other = {"status": OutcomeStatus.FAILURE, "error_type": "_OTHER", "error_message": "the plan is empty"}
    failed = {"status": OutcomeStatus.FAILURE, "error_type": "RateLimitError", "error_message": "HTTP 429"}
    lost = {
        "status": OutcomeStatus.FAILURE,
        "severity": Severity.CRITICAL,
        "error_type": "process_lost",
        "error_message": "its process ended",
    }
    return [
        minutes_ago(9, event_id="root", action_type="workflow", **{**common, "status": OutcomeStatus.PENDING, "revision": 0, "end_time": None, "duration_ms": None}),
        minutes_ago(8, event_id="first", tool_name="search", attempt=1, **{**below, **failed}),
        minutes_ago(7, event_id="second", tool_name="search", attempt=2, **below),
        minutes_ago(6, event_id="other", **{**below, **other}),
        minutes_ago(6, event_id="third", tool_name="search", attempt=3, **below),
        minutes_ago(5, event_id="lost", tool_name="fetch", **{**below, **lost}),
        minutes_ago(4, event_id="open", tool_name="wait", **{**below, "status": OutcomeStatus.PENDING, "revision": 0, "end_time": None, "duration_ms": None}),
    ]  # fmt: skip


def test_a_run_with_retries_a_lost_process_and_an_action_that_never_ended(
    browser: Browser, tmp_path: Path, axe: str
) -> None:
    write(StoreFolder(tmp_path / "store"), _run())
    link = "http://jaeger.example:16686/trace/{trace_id}"
    with served(tmp_path / "store", jaeger=link) as server:
        server.wait_for_rows(7)
        with opened(browser, f"{server.address}run/{RUN}") as page:
            expect(page.locator(".run-title")).to_contain_text("pending")
            expect(page.get_by_label("The run")).to_contain_text("under way")
            for name, words in (
                ("second", "1 retry"),
                ("third", "2 retries"),
                ("lost", "process lost"),
                ("open", "not ended"),
                ("first", "failure"),
            ):
                expect(page.locator(f'[data-event="{name}"]')).to_contain_text(words)
            assert "retr" not in page.locator('[data-event="first"]').inner_text()
            widths = [
                page.locator(f'[data-event="{name}"] .stretch').evaluate("one => one.getBoundingClientRect().width")
                for name in ("open", "first")
            ]
            assert widths[0] > 10 * widths[1], "what has not ended goes on up to now"
            for name, words in (
                ("other", "Error: the plan is empty"),
                ("lost", "Its process died: how it ended is not known"),
                ("open", "It has not ended, as far as was told"),
                ("third", "2"),
            ):
                page.locator(f'[data-event="{name}"] .run-name').click()
                expect(page.locator(".detail")).to_contain_text(words)
            assert barriers(page, axe) == []
            for link_ in (
                page.get_by_role("link", name="Trace in Jaeger", exact=True),
                page.get_by_role("link", name="Its trace in Jaeger"),
            ):
                expect(link_).to_have_attribute("href", link.format(trace_id="4bf92f3577b34da6a3ce929d0e0e4736"))
                expect(link_).to_have_attribute("target", "_blank")
                expect(link_).to_have_attribute("rel", "noopener noreferrer")
            write(
                StoreFolder(tmp_path / "store"),
                [
                    minutes_ago(
                        0,
                        event_id="root",
                        action_type="workflow",
                        run_id=RUN,
                        root_event_id="root",
                        status=OutcomeStatus.PARTIAL,
                    )
                ],
            )
            expect(page.locator(".run-title")).to_contain_text("partial")


def test_the_link_into_jaeger_comes_where_its_address_is_known_late(browser: Browser, tmp_path: Path) -> None:
    write(StoreFolder(tmp_path / "store"), _run())
    held: list[Route] = []
    with served(tmp_path / "store", jaeger="http://jaeger.example:16686/trace/{trace_id}") as server:
        server.wait_for_rows(7)
        with opened(browser, f"{server.address}pipeline") as page:
            page.route("**/api/state", lambda route: held.append(route))  # noqa: PLW0108  # Playwright writes on what it calls
            page.goto(f"{server.address}run/{RUN}")
            expect(page.locator(".run-table tbody tr")).to_have_count(7)
            expect(page.get_by_role("link", name="Trace in Jaeger")).to_have_count(0)
            for route in held:
                with contextlib.suppress(Error):  # the page before may have asked, too
                    route.continue_()
            expect(page.get_by_role("link", name="Trace in Jaeger")).to_be_visible()


AGENT = """
import otel_feedback as feedback
feedback.configure(service_name="jaeger-page")
with feedback.action("answer", agent="planner", run_id="run-1"):
    with feedback.action("search", agent="scout"):
        pass
"""


def test_the_link_leads_to_the_trace_of_a_real_run(browser: Browser, jaeger: Jaeger, tmp_path: Path) -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{jaeger.otlp_http_endpoint}/v1/traces",
        "OTEL_FEEDBACK_LOG_FILE": "outcomes.jsonl",
        "XDG_STATE_HOME": "state",
    }
    subprocess.run([sys.executable, "-c", AGENT], check=True, cwd=tmp_path, env=environment(**variables))
    arguments = ["--from", str(tmp_path / "outcomes.jsonl"), "--jaeger", jaeger.query_url]
    with serving(tmp_path, arguments, 2) as ui, opened(browser, f"{ui.url}/run/{RUN}") as page:
        link = page.get_by_role("link", name="Trace in Jaeger").get_attribute("href")
        assert link is not None
        spans = jaeger.wait_for_spans("jaeger-page", 2)
        assert {f"{jaeger.query_url}/trace/{span['traceID']}" for span in spans} == {link}
        with urllib.request.urlopen(link) as answer:
            assert answer.status == 200
