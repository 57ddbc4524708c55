"""`--since`: how long ago, or a time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from otel_feedback.downstream.tables.since import moment_of

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("30m", NOW - timedelta(minutes=30)),
        (" 2H ", NOW - timedelta(hours=2)),
        ("1.5d", NOW - timedelta(hours=36)),
        ("2026-03-02", NOW.replace(hour=0, minute=0)),
        ("2026-03-02T09:30Z", NOW),
        ("2026-03-02 11:30+02:00", NOW),
        ("2026-03-02T09:30:00", NOW),
    ],
)
def test_what_it_means(text: str, moment: datetime) -> None:
    assert moment_of(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "soon", "2 weeks", "-2h", "2026-13-01", "99999999d"])
def test_what_means_nothing_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="neither how long ago"):
        moment_of(text, NOW)
