"""`otel-feedback ui` in a process of its own, on events that a test writes; and what a test wants to know of a page."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import sys
import urllib.error
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Dialog, Page, Request, expect

from otel_feedback import OutcomeEvent
from otel_feedback.events.model import encode
from tests.stack.processes import LOOPBACK, ChildProcess, free_port
from tests.stack.waiting import wait_until
from tests.stack.web import get_json
from tests.support import environment

PROGRAM = Path(sys.executable).with_name("otel-feedback")
WIDTHS = {"phone": (400, 800), "tablet": (900, 1000), "desk": (1440, 1000)}
expect.set_options(timeout=30_000)
_HARMLESS = (
    "net::ERR_CONNECTION_REFUSED",
    "net::ERR_CONNECTION_RESET",
    "net::ERR_INCOMPLETE_CHUNKED_ENCODING",
    "net::ERR_EMPTY_RESPONSE",
    "status of 4",
    "status of 503",
)
"""What a browser writes itself about answers that a test wants."""


class Ui:
    """A page's program: a context manager that ends it; it can be ended and started again before."""

    def __init__(self, folder: Path, arguments: Sequence[str]) -> None:
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        command = [str(PROGRAM), "ui", "--port", str(self.port), *arguments]
        state = {"XDG_STATE_HOME": str(folder / "state"), "NO_COLOR": "1"}
        self.process = ChildProcess("ui", command, directory=folder, environment=state)

    def start(self, rows: int | None = 0) -> None:
        """Start it, and wait until it answers and has so many rows; None: it answers, whatever that is."""
        self.process.start()
        wait_until(
            lambda: self._is_ready(rows), timeout_s=30, what="the page's server: " + self.process.output()[-400:]
        )

    def _is_ready(self, rows: int | None) -> bool:
        assert self.process.is_running(), self.process.output()
        try:
            return int(get_json(f"{self.url}/api/state")["rows"]) >= (rows or 0)
        except urllib.error.HTTPError:
            return rows is None
        except (OSError, http.client.HTTPException):
            return False


@contextlib.contextmanager
def serving(folder: Path, arguments: Sequence[str], rows: int | None = 0) -> Generator[Ui]:
    """Start `otel-feedback ui`, wait until it has so many rows, and end it."""
    ui = Ui(folder, arguments)
    try:
        ui.start(rows)
        yield ui
    finally:
        ui.process.stop()


def look_once(folder: Path, log: Path, rules: str) -> list[str]:
    """Have `otel-feedback alerts run` look once at a log; return the arguments by which a page shows what it found."""
    (folder / "alerts.toml").write_text(rules, "utf-8")
    shared = ["--rules", str(folder / "alerts.toml"), "--state", str(folder / "alerts")]
    command = [str(PROGRAM), "alerts", "run", "--once", "--from", str(log), *shared]
    subprocess.run(
        command, check=True, stdout=subprocess.DEVNULL, env=environment(XDG_STATE_HOME=str(folder / "state"))
    )
    return shared


def write(log: Path, events: Iterable[OutcomeEvent]) -> int:
    """Add events to a log; return how many."""
    lines = [encode(event) + b"\n" for event in events]
    with log.open("ab") as file:
        file.writelines(lines)
    return len(lines)


@contextlib.contextmanager
def opened(browser: Browser, url: str, size: str = "desk", dark: bool = False, **more: Any) -> Generator[Page]:
    """Open a page in New York; afterwards it has asked no third party, and has not complained."""
    width, height = WIDTHS[size]
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light",
        timezone_id="America/New_York", locale="en-US", reduced_motion="reduce", **more,
    )  # fmt: skip
    page = context.new_page()
    page.set_default_timeout(60_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("console", lambda told: _complaint(told.type, told.text, wrong))
    page.on("request", lambda request: _asked(request, url, wrong))
    page.on("dialog", lambda dialog: _opened(dialog, wrong))
    try:
        page.goto(url)
        yield page
        assert not wrong, wrong
    finally:
        context.close()


def _opened(dialog: Dialog, wrong: list[str]) -> None:
    wrong.append(f"dialog: {dialog.message}")
    dialog.dismiss()


def _complaint(kind: str, text: str, wrong: list[str]) -> None:
    if kind in ("error", "warning") and not any(words in text for words in _HARMLESS):
        wrong.append(f"{kind}: {text}")


def _asked(request: Request, url: str, wrong: list[str]) -> None:
    if urlsplit(request.url).netloc != urlsplit(url).netloc:
        wrong.append(f"asked {request.url}")


def overflow(page: Page) -> int:
    """Return by how many pixels a page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def barriers(page: Page, axe: str) -> list[str]:
    """Return what axe-core calls serious or critical, with the places."""
    page.evaluate(axe)  # not a script of the page: its policy would refuse it
    found: list[dict[str, Any]] = page.evaluate(
        "axe.run(document, {resultTypes: ['violations']}).then(told => told.violations)"
    )
    return [
        f"{each['id']}: {each['help']} ({', '.join(' '.join(node['target']) for node in each['nodes'][:3])})"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
