"""A page with a day of traffic, which all tests of this folder look at."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import NamedTuple

import pytest

from otel_feedback import OutcomeEvent
from tests.browser.serving import Ui, look_once, serving, write
from tests.stack.browser import axe_source
from tools.traffic import traffic

RULES = """
[settings]
recent = "3h"

[[rule]]
name = "errors"
kind = "errors"
above = 0.02
min_count = 2
window = "3h"
"""


class Served(NamedTuple):
    """A page's program, and what it shows."""

    ui: Ui
    events: list[OutcomeEvent]

    @property
    def url(self) -> str:
        return self.ui.url


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Six hours of it; nobody adds to it."""
    folder = tmp_path_factory.mktemp("page")
    log = folder / "outcomes.log"
    events = list(traffic(datetime.now(timezone.utc), hours=6, a_minute=0.6))
    rows = write(log, events)
    with serving(folder, ["--from", str(log), *look_once(folder, log, RULES)], rows) as ui:
        yield Served(ui, events)


@pytest.fixture(scope="package")
def axe() -> str:
    """The script of axe-core."""
    return axe_source()
