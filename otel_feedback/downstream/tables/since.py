"""A moment as people say it: how long ago, or from when on."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

__all__ = ["moment_of"]

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_MOST_S = 366 * 86_400 * 100


def moment_of(text: str, now: datetime | None = None) -> datetime:
    """Return the moment that a text means.

    Args:
        text: `90s`, `30m`, `2h` or `7d` ago, or a date or time as ISO 8601 has it; without a zone it is UTC.
        now: default: what the clock says.

    Raises:
        ValueError: It means none; the message says what would be right.
    """
    ago = _AGO.fullmatch(text.strip().lower())
    if ago is not None:
        seconds = float(ago[1]) * _SECONDS[ago[2]]
        if seconds <= _MOST_S:
            return (now or datetime.now(timezone.utc)) - timedelta(seconds=seconds)
    else:
        try:
            moment = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text.strip()))
        except ValueError:
            pass
        else:
            return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
    raise ValueError(f"{text!r} is neither how long ago (90s, 30m, 2h, 7d) nor a time (2026-03-02, 2026-03-02T09:30Z)")
