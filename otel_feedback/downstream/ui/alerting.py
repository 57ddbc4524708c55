"""Alerts as the page has them: what the alerts' own process keeps, read anew when its file has changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from otel_feedback.downstream.alerts.machine import Alert, Phase
from otel_feedback.downstream.alerts.messages import value_of
from otel_feedback.downstream.alerts.rules import Rule
from otel_feedback.downstream.alerts.state import Folder, Hand, State, StateError
from otel_feedback.downstream.ui.rows import milliseconds

__all__ = ["Alerts"]

REMEDY = "run `otel-feedback alerts run` beside this page: it looks at the same events"


class Alerts:
    """What is kept of alerts.

    Args:
        folder: Where.
        rules: By name, for units and meanings; a rule may have gone since.
    """

    def __init__(self, folder: Folder, rules: Mapping[str, Rule]) -> None:
        self._folder = folder
        self._rules = rules
        self._version: object = None
        self._kept = State(), Hand()
        self._problem: str | None = None

    def told(self, tenant: str | None) -> dict[str, Any]:
        """Return open alerts and those that were, of all or of a tenant."""
        self._read()
        state, hand = self._kept
        alerts = [alert for alert in state.alerts if tenant is None or alert.key.tenant == tenant]
        told = [(alert, self._told(alert, hand)) for alert in alerts if alert.phase is not Phase.PENDING]
        told.sort(key=lambda each: each[0].changed, reverse=True)
        remedy = self._problem or (REMEDY if state.looked_at is None else None)
        return {
            "open": [each for alert, each in told if alert.is_open],
            "history": [each for alert, each in told if not alert.is_open],
            "looked_at": milliseconds(state.looked_at),
            "remedy": remedy,
        }

    def _read(self) -> None:
        version = tuple(_version(self._folder, name) for name in ("state.json", "hand.json"))
        if version == self._version:
            return
        try:
            self._kept, self._problem = (self._folder.state(), self._folder.hand()), None
        except StateError as exc:
            self._problem = str(exc)
        self._version = version

    def _told(self, alert: Alert, hand: Hand) -> dict[str, Any]:
        rule = self._rules.get(alert.key.rule)
        known = hand.acknowledgement(alert)
        state = "flapping" if alert.is_open and alert.is_flapping else "firing" if alert.is_open else alert.phase.value
        return {
            "rule": alert.key.rule, "severity": alert.severity, "tenant": alert.key.tenant, "agent": alert.key.agent,
            "action": alert.key.action, "state": state, "since": milliseconds(alert.since),
            "until": None if alert.is_open else milliseconds(alert.changed), "value": value_of(rule, alert.value),
            "usual": None if alert.usual is None else value_of(rule, alert.usual), "worst": value_of(rule, alert.worst),
            "count": alert.count, "run_id": alert.run_id, "meaning": "" if rule is None else rule.measures.meaning,
            "acknowledged": None if known is None else known.who,
            "silenced": hand.is_silenced(alert.key, datetime.now(timezone.utc)),
        }  # fmt: skip


def _version(folder: Folder, name: str) -> tuple[int, int] | None:
    try:
        told = (folder.path / name).stat()
    except OSError:
        return None
    return told.st_mtime_ns, told.st_ino
