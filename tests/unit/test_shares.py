"""A share is written in one way, whoever writes it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import otel_feedback
from otel_feedback.shares import percent

PACKAGE = Path(otel_feedback.__file__).parent
OTHERWISE = re.compile(r":[^{}\"]*%\}|[\d}]%[\"`\s),;]")
"""Python's own way, and a number with a sign right behind it; a width in a style sheet is none of these."""


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [(0.773, 1, "77.3 %"), (1, 0, "100 %"), (0, 1, "0.0 %"), (0.285, 0, "28 %"), (0.0435, 2, "4.35 %")],
)
def test_a_share_has_a_space_before_its_sign(share: float, digits: int, text: str) -> None:
    assert percent(share, digits) == text


def test_nothing_writes_shares_otherwise() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in sorted((*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.js")))
        for line in path.read_text().splitlines()
        if OTHERWISE.search(line) and not any(style in line for style in ("color-mix", "style:", "scrub"))
    ]
    assert found == []
