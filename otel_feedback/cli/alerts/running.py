"""`otel-feedback alerts run`: looks and tells until Ctrl-C or SIGTERM."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from datetime import datetime
from types import FrameType
from typing import TYPE_CHECKING

from opentelemetry import metrics

from otel_feedback.cli import env_file
from otel_feedback.cli.alerts.place import (
    NoEventsError,
    blind_rules,
    find_events,
    find_folder,
    find_objectives,
    name_of,
    read_rules,
    sees_nothing,
)
from otel_feedback.cli.console import CORRECT_IT, failed, remark
from otel_feedback.downstream.alerts.channels import missing_variables
from otel_feedback.downstream.alerts.observing import Observation
from otel_feedback.downstream.alerts.publishing import Publisher
from otel_feedback.downstream.alerts.rules import AlertFile, Rule
from otel_feedback.downstream.alerts.running import Runner
from otel_feedback.downstream.alerts.state import StateError
from otel_feedback.downstream.objectives.gauges import Gauges
from otel_feedback.downstream.objectives.reading import read
from otel_feedback.errors import ConfigError, FeedbackError, describe
from otel_feedback.logger import get_logger
from otel_feedback.settings.settings import get_settings
from otel_feedback.throttle import ThrottledLog

if TYPE_CHECKING:
    from otel_feedback.downstream.alerts.looking import Source

__all__ = ["run"]

SERVICE = "otel-feedback-alerts"
"""The service's name of its metrics, whatever agents are called."""
logger = get_logger(__name__)


def run(
    *, rules: str | None, source: Sequence[str] | None, state: str | None, once: bool, bootstrap_servers: str | None
) -> int:
    """Run, and return the exit code: 0 when it was stopped, 1 when it could not begin, or not look that once."""
    file = read_rules(rules)
    if file is None:
        return 1
    try:
        from otel_feedback.downstream.alerts.looking import look
        from otel_feedback.downstream.alerts.metrics import METRICS_TOPIC, MetricsTopic, blind_to_windows

        env_file.load()
        settings = get_settings(kafka_bootstrap_servers=bootstrap_servers)
        if source is not None and list(source) == [METRICS_TOPIC]:
            events = MetricsTopic(settings.kafka)
            gauges = None
            blind = sees_nothing(blind_to_windows(file), "ask for more than windows", "use a store for them")
        else:
            events = find_events(source)
            gauges = _gauges(file, events, rules)
            blind = blind_rules(file, events)
        log = ThrottledLog(logger)

        def failed_rule(rule: Rule, exc: Exception) -> None:
            why = str(exc) if isinstance(exc, FeedbackError) else f"rule {rule.name}: {describe(exc)}"
            log.warning(rule.name, "%s; the other rules go on", why)

        def see(now: datetime) -> list[Observation]:
            if gauges is not None:
                gauges.refresh(now)
            if isinstance(events, MetricsTopic):
                return events.look(file, now, failed_rule)
            return look(file, events, now, failed_rule)

        publisher = Publisher(settings.kafka) if settings.enable_kafka or bootstrap_servers else None
        folder = find_folder(state)
        with folder.owned():
            runner = Runner(file, folder, see, publisher=publisher, say=_say)

            def stop(_number: int, _frame: FrameType | None) -> None:
                runner.stop()

            before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
            try:
                if not once:
                    nobody = "" if file.channels else "; there is no channel, so nobody is told"
                    _say(f"looking at {events} every {file.settings.every:g} s, by {name_of(rules)}{nobody}")
                    if blind is not None:
                        remark(blind)
                for channel in file.channels:
                    if missing := missing_variables(channel):
                        remark(f"channel {channel.name}: {missing[0]} is not in the environment; what it is told waits")
                has_looked = runner.run(once=once)
            finally:
                for each, handler in before.items():
                    signal.signal(each, handler)
                if publisher is not None:
                    publisher.close()
    except NoEventsError as exc:
        failed(str(exc), "name a store or log files with --from, or set OTEL_FEEDBACK_LOG_FILE")
    except ConfigError as exc:
        failed(str(exc), CORRECT_IT)
    except StateError as exc:
        failed(str(exc), "see to it, or name another folder with --state")
    else:
        return 1 if once and not has_looked else 0
    return 1


def _gauges(file: AlertFile, events: Source, rules: str | None) -> Gauges | None:
    """Return the gauges of the objectives, where there are some and somewhere to send them."""
    path = find_objectives(rules)
    if not path.exists():
        return None
    from otel_feedback.sdk.provider import prepare_metrics

    prepare_metrics(SERVICE)
    if not hasattr(metrics.get_meter_provider(), "force_flush"):
        return None
    from otel_feedback.downstream.alerts.looking import look_at_objectives

    objectives = read(path)
    return Gauges(lambda now: look_at_objectives(file, events, objectives, now))


def _say(line: str) -> None:
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()  # somebody reads it while this runs on
    except BrokenPipeError:
        raise
    except OSError:  # a full disk: who is notified is, all the same
        return
