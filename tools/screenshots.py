"""Take the pictures of the page that stand in README and docs: `python -m tools.screenshots`.

Made-up traffic of a day and of the day before, `otel-feedback ui` on it, and a real Chromium; with `--all FOLDER` every view at
three widths, in dark and light, for who works on the page to look at.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

from playwright.sync_api import Page, expect

from otel_feedback import OutcomeEvent, OutcomeStatus
from tests.browser.serving import WIDTHS, look_once, opened, serving, write
from tests.stack.browser import launched
from tests.support import ROOT
from tools.traffic import traffic

MOST_BYTES = 200_000
RULES = """
[[rule]]
name = "errors"
kind = "errors"
by = ["agent", "action"]
above = 0.05
min_count = 3
"""
OBJECTIVES = """
[[objective]]
name = "answers"
kind = "success"
target = 0.95
by = ["agent"]

[[objective]]
name = "quick"
kind = "latency"
target = 0.9
threshold_ms = 5000
"""
PICTURES = ("page-now", "page-run")


def main() -> int:
    """Take them, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.screenshots", description=__doc__)
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="every view, at three widths, dark and light")
    folder: Path | None = parser.parse_args().all
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "outcomes.log"
        events = list(traffic(datetime.now(timezone.utc), hours=48, a_minute=2))
        rows = write(log, events)
        (Path(place) / "slo.toml").write_text(OBJECTIVES, "utf-8")
        arguments = ["--from", str(log), *look_once(Path(place), log, RULES)]
        with serving(Path(place), arguments, rows) as ui, launched() as browser:
            run = _interesting(events)
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                for size in WIDTHS:
                    for dark in (False, True):
                        for name, path in _views(run):
                            with opened(browser, ui.url + path, size, dark=dark) as page:
                                _settle(page, name)
                                page.screenshot(
                                    path=folder / f"{name}-{size}-{'dark' if dark else 'light'}.png", full_page=True
                                )
                return 0
            for name, path in zip(PICTURES, ("/", f"/run/{run.run_id}"), strict=True):
                file = ROOT / "docs" / f"{name}.png"
                with opened(browser, ui.url + path) as page:
                    page.set_viewport_size({"width": 1280, "height": 1180})
                    _settle(page, name)
                    page.screenshot(path=file, animations="disabled")
                if file.stat().st_size > MOST_BYTES:
                    sys.stderr.write(f"{file.name} has {file.stat().st_size:,} bytes, more than {MOST_BYTES:,}\n")
                    return 1
    return 0


def _views(run: OutcomeEvent) -> Iterator[tuple[str, str]]:
    views = "", "failures", "cost?by=model", "experiments", "choices", "gaps", "objectives", "alerts", "pipeline"
    for view in views:
        yield view.partition("?")[0] or "now", f"/{view}"
    yield "run", f"/run/{run.run_id}"


def _interesting(events: list[OutcomeEvent]) -> OutcomeEvent:
    """Return a failed search of the longest run that was given up in the last hours."""
    since = events[-1].timestamp - timedelta(hours=6)
    failed = [event for event in events if event.status is OutcomeStatus.FAILURE and event.timestamp > since]
    searched = {event.run_id: event for event in failed if event.tool_name == "web_search"}
    given_up = [event for event in failed if event.depth == 0 and event.run_id in searched]
    counts = Counter(event.run_id for event in events)
    return searched[max(given_up, key=lambda event: counts[event.run_id]).run_id]


def _settle(page: Page, name: str) -> None:
    expect(page.locator("#link-words")).to_have_text("Live")
    expect(page.locator("main .loading, main [aria-busy]")).to_have_count(0)
    if name.endswith("run"):
        page.locator(".run-table tr.is-bad .run-name", has_text="web_search").first.click()
    page.wait_for_timeout(300)  # the pictures are drawn on the next frames


if __name__ == "__main__":
    sys.exit(main())
