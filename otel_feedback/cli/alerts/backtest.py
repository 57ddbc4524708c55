"""`otel-feedback alerts backtest`: when the rules would have told somebody."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone

from rich.text import Text

from otel_feedback.cli.alerts.place import NoEventsError, find_events, read_rules
from otel_feedback.cli.console import failed, moment, number_of, open_console, remark, write
from otel_feedback.downstream.alerts.advancing import Said
from otel_feedback.downstream.alerts.machine import Told
from otel_feedback.downstream.alerts.messages import line_of
from otel_feedback.downstream.alerts.rules import AlertFile
from otel_feedback.errors import FeedbackError

__all__ = ["run"]


def run(
    *, rules: str | None, source: Sequence[str] | None, since: datetime, until: datetime | None, as_json: bool
) -> int:
    """Show it, and return the exit code: 0, or 1 when it cannot be found out."""
    file = read_rules(rules)
    if file is None:
        return 1
    try:
        events = find_events(source)
        from otel_feedback.downstream.alerts.looking import backtest

        said = list(backtest(file, events, since, until or datetime.now(timezone.utc)))
    except NoEventsError as exc:
        failed(str(exc), "name a store or log files with --from")
    except FeedbackError as exc:
        failed(str(exc), "correct --from, or the rule")
    else:
        if as_json:
            print(json.dumps([_as_data(each) for each in said], indent=2))
        else:
            _write(file, said, since)
        return 0
    return 1


def _as_data(said: Said) -> dict[str, object]:
    alert = said.alert
    return {
        "at": None if alert.told_at is None else alert.told_at.isoformat(), "told": said.told.value, **alert.key._asdict(),
        "since": alert.since.isoformat(), "value": alert.value, "worst": alert.worst, "usual": alert.usual,
        "count": alert.count, "run_id": alert.run_id,
    }  # fmt: skip


def _write(file: AlertFile, said: Sequence[Said], since: datetime) -> None:
    rules = {rule.name: rule for rule in file.rules}
    console = open_console()
    of_now = ", ".join(rule.name for rule in file.rules if rule.kind == "behind")
    if of_now:
        remark(f"{of_now}: looks at how far the store is now, so there is nothing of it here")
    for each in said:
        at = "" if each.alert.told_at is None else moment(each.alert.told_at)
        console.print(Text(f"{at}  {line_of(rules.get(each.alert.key.rule), each)}"), soft_wrap=True)
    opened = Counter(each.alert.key.rule for each in said if each.told in (Told.OPENED, Told.FLAPPING))
    counts = ", ".join(f"{rule} {opened[rule]}" for rule in rules)
    write(console, Text(f"{number_of(sum(opened.values()), 'alert')} since {moment(since)}: {counts}", "bold"))
