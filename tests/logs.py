"""What a file holds that has a JSON object on each line: the log tier's events, or a journal's quarantine."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def lines_in(log: Path) -> list[dict[str, Any]]:
    """Return the objects, in their order; none where there is no file."""
    return [json.loads(line) for line in log.read_text("utf-8").splitlines()] if log.exists() else []


def newest(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the newest revision of each event, in the order of their first ones."""
    found: dict[str, dict[str, Any]] = {}
    for event in events:
        known = found.get(event["event_id"])
        if known is None or event["revision"] > known["revision"]:
            found[event["event_id"]] = event
    return list(found.values())
