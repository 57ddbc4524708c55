"""Objectives as the page has them: how they stand now, of all events or of one tenant's; looked at again after a minute."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from otel_feedback.downstream.declared.reading import FileError
from otel_feedback.downstream.objectives.objective import Objective
from otel_feedback.downstream.objectives.reading import read
from otel_feedback.downstream.objectives.standings import Standing, since_of, standings
from otel_feedback.downstream.tables.stored import open_store
from otel_feedback.downstream.tables.tables import SourceError, quoted
from otel_feedback.downstream.ui.reader import Reader
from otel_feedback.downstream.ui.rows import milliseconds

__all__ = ["Goals"]

KEPT_S = 60.0
"""A look at the events of a month takes seconds; what it says changes slowly."""
MOST_KEPT = 100
"""Askers of whom an answer is kept."""

Told = dict[str, Any]


class Goals:
    """How the objectives of a file stand. Safe from any thread: one looks, others wait for it.

    Args:
        path: The file, which may come later.
        store: Where events are.
    """

    def __init__(self, path: Path, store: Path) -> None:
        self._path = path
        self._store = store
        self._lock = threading.Lock()
        self._kept: dict[str | None, tuple[float, object, Told]] = {}  # by tenant: until when, of which file, what

    def told(self, reader: Reader) -> Told:
        """Return what the page gets."""
        tenant = reader.tenant
        with self._lock:
            version = _version(self._path)
            until, of, told = self._kept.get(tenant, (0.0, None, {}))
            if of != version or time.monotonic() >= until:
                told = self._look(tenant)
                self._kept.pop(tenant, None)
                self._kept[tenant] = (time.monotonic() + KEPT_S, version, told)
                if len(self._kept) > MOST_KEPT:
                    self._kept.pop(next(iter(self._kept)))
        return told

    def _look(self, tenant: str | None) -> Told:
        if not self._path.exists():
            return _nothing(f"Write {self._path.name} beside the rules of alerts: there are no objectives yet.")
        try:
            objectives, now = read(self._path), datetime.now(timezone.utc)
            with open_store(self._store, since_of(objectives, now)) as tables:
                tables.choose("true" if tenant is None else f"tenant_id = {quoted(tenant)}")
                return {"objectives": _told(objectives, standings(tables, objectives, now)), "remedy": None}
        except FileError:
            return _nothing(f"{self._path.name} has mistakes: `otel-feedback slo check` explains them.")
        except SourceError as exc:
            return _nothing(str(exc))


def _told(objectives: Sequence[Objective], found: Sequence[Standing]) -> list[Told]:
    by_name = {each.name: each for each in objectives}
    return [_shown(by_name[each.objective], each) for each in found]


def _shown(objective: Objective, standing: Standing) -> Told:
    keys = {"tenant": standing.tenant_id, "agent": standing.agent_name, "action": standing.action_type}
    burn = {
        "1h": standing.burn_1h, "6h": standing.burn_6h, "24h": standing.burn_24h, "3d": standing.burn_3d,
    }  # fmt: skip
    return {
        "name": standing.objective,
        "kind": standing.kind,
        "group": ", ".join(f"{part} {keys[part] or '-'}" for part in objective.by),
        "target": standing.target,
        "period": f"{standing.period_days}d",
        "state": standing.state,
        "good": standing.attained,
        "count": standing.counted,
        "budget_left": standing.budget_remaining,
        "burn": burn,
        "forecast": milliseconds(standing.used_up_at),
        "note": _note(standing),
    }


def _note(standing: Standing) -> str | None:
    if standing.counted < standing.least:
        return f"{standing.counted} of the {standing.least} are there that are needed to say how it stands"
    if standing.coverage is not None and standing.coverage < 1:
        return f"{int(standing.coverage * 100)} % of the actions are known in this respect"
    return None


def _nothing(remedy: str) -> Told:
    return {"objectives": [], "remedy": remedy}


def _version(path: Path) -> object:
    try:
        seen = path.stat()
    except OSError:
        return None
    return seen.st_ino, seen.st_mtime_ns, seen.st_size
