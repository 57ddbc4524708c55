"""`otel-feedback journal replay`: deliver now what dead processes left, with the settings of the environment.

Exit code 0 when nothing is left for these destinations, 1 when something is, 2 when it cannot be begun, 130 after
Ctrl-C. Whatever is not delivered stays in the journals.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import msgspec

from otel_feedback.cli import env_file
from otel_feedback.cli.console import failed, number_of
from otel_feedback.cli.journal.delivery import deliver, make_plan
from otel_feedback.cli.journal.ours import Ours
from otel_feedback.cli.journal.place import Place, PlaceError, find_places
from otel_feedback.cli.journal.progress import DeliveryProgress
from otel_feedback.cli.journal.replay_report import Report, write_json, write_reports
from otel_feedback.cli.journal.survey import Owner, Survey, survey
from otel_feedback.cli.listening import listening
from otel_feedback.errors import ConfigError
from otel_feedback.journal.folder import Folder
from otel_feedback.journal.redirect import redirect
from otel_feedback.journal.requeue import requeue
from otel_feedback.logger import get_logger
from otel_feedback.settings.settings import Settings, feedback_settings, get_settings

__all__ = ["run"]

logger = get_logger(__name__)

INTERRUPTED = 130
RESCAN_S = 5.0
UNLIMITED_BYTES = 2**50
UNLIMITED_S = 10.0**9


def run(*, path: str | None, as_json: bool, timeout_s: float, take: str | None, quarantine: bool = False) -> int:
    """Deliver and return the exit code.

    Args:
        path: The directory of a service's journals, or one journal's folder; default: that of the settings.
        as_json: Write one JSON object to stdout and nothing else.
        timeout_s: How long to try, in seconds.
        take: A destination whose events go to the one of the settings, of the same exporter.
        quarantine: Send what was refused once more, and leave the journals alone.
    """
    try:
        work = [(place, settings, _ours(settings)) for place in _places(path) for settings in [_settings(place)]]
    except PlaceError as exc:
        failed(exc.found, exc.todo)
        return 2
    until_s = time.monotonic() + timeout_s
    reports: list[Report] = []
    with listening("kafka"), listening("opentelemetry"), listening("otel_feedback") as heard:
        try:
            for place, settings, ours in work:
                left_s, said = until_s - time.monotonic(), len(heard)
                if quarantine:
                    report = _send_refused(place, settings, ours, left_s)
                else:
                    report = _send_left(place, settings, ours, left_s, take)
                report.notes += _notes(heard[said:])
                reports.append(report)
        except PlaceError as exc:
            failed(exc.found, exc.todo)
            return 2
    write_json(reports) if as_json else write_reports(reports)
    if any(report.is_interrupted for report in reports):
        return INTERRUPTED
    return int(any(not report.is_done for report in reports))


def _send_left(place: Place, settings: Settings, ours: Ours, timeout_s: float, take: str | None) -> Report:
    """Send what dead processes left."""
    taken = 0 if take is None else sum(_take(seen, take, ours) for seen in _look(place))
    plan = make_plan(_look(place), ours)
    with DeliveryProgress() as shown:
        outcome = deliver(settings, plan, ours, timeout_s, shown.say)
    # of a destination of events there is nothing here
    return Report(place, ours, plan, outcome, taken, None if place.is_of_feedback and not taken else take)


def _send_refused(place: Place, settings: Settings, ours: Ours, timeout_s: float) -> Report:
    """Send what is in the quarantine once more; what is refused again, or not delivered in time, goes back.

    Raises:
        PlaceError: It cannot be used.
    """
    exporters = {name: (there, ours.address(name)) for name, there in ours.names.items()}
    refused = 0
    try:
        requeued = requeue(place.directory, exporters, place.only)
        here = place if requeued is None else Place(requeued.root)
        plan = make_plan(_look(here) if requeued is not None else (), ours)
        try:
            with DeliveryProgress() as shown:
                there = msgspec.structs.replace(settings, journal_dir=here.directory)
                outcome = deliver(there, plan, ours, timeout_s, shown.say, tells_account=False)
        finally:
            refused = 0 if requeued is None else requeued.finish()
    except BlockingIOError:
        raise PlaceError("another process sends what is in this quarantine", "wait until it is done") from None
    except OSError as exc:
        todo = "nothing is lost; run this again as the user of the service"
        raise PlaceError(f"the quarantine cannot be used: {exc}", todo) from None
    notes: list[str] = []
    if refused:
        notes.append(f"{number_of(refused, 'record')} refused again, which stay in the quarantine")
    for exporter, count in () if requeued is None else requeued.not_ours.items():
        notes.append(f"{number_of(count, 'record')} refused by {exporter}, which is not switched on here: not touched")
    report = Report(place, ours, plan, outcome, 0, None, notes)
    report.refused_again = refused
    return report


def _places(path: str | None) -> list[Place]:
    """Return the place of one service, and that of its feedback."""
    places = find_places(path)
    services = [place for place in places if not place.is_of_feedback]
    if len(services) > 1:
        names = ", ".join(place.directory.name for place in services)
        raise PlaceError(
            f"{services[0].directory.parent} has journals of several services: {names}", "give one of them"
        )
    return places


def _settings(place: Place) -> Settings:
    env_file.load()
    try:
        settings = get_settings()
    except ConfigError as exc:
        raise PlaceError(str(exc), "correct it in the environment or in .env") from None
    if settings.disabled:
        raise PlaceError("everything is switched off", "look at OTEL_FEEDBACK_DISABLED and OTEL_SDK_DISABLED")
    if place.is_of_feedback:
        settings = feedback_settings(settings)
    # who asks for a replay wants all of it: no cap may drop what is old, large, or on a full disk
    return msgspec.structs.replace(
        settings,
        journal_dir=place.directory,
        durability="interval",
        journal_max_bytes=UNLIMITED_BYTES,
        journal_max_age_s=UNLIMITED_S,
        journal_min_free_bytes=0,
        journal_rescan_s=RESCAN_S,
        # on stderr nobody delivers for another process
        enable_outcome_logging=settings.enable_outcome_logging and settings.log_file is not None,
    )


def _ours(settings: Settings) -> Ours:
    """Return the destinations of the settings."""
    try:
        with listening("kafka"):
            ours = Ours(settings)
    except ConfigError as exc:
        raise PlaceError(str(exc), "correct it in the environment or in .env") from None
    if not ours:
        todo = (
            "set KAFKA_BOOTSTRAP_SERVERS, OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_FEEDBACK_LOG_FILE as the service has it"
        )
        raise PlaceError("no destination is switched on for which journals are kept", todo)
    return ours


def _look(place: Place) -> list[Survey]:
    return [seen for folder in place.folders() if (seen := survey(folder)) is not None]


def _take(seen: Survey, old: str, ours: Ours) -> bool:
    """Make cursors of another destination ours, where no living process has the journal."""
    if seen.owner is not Owner.DEAD:
        return False
    found = [c.exporter for c in seen.cursors or () if c.destination == old and c.exporter in ours.names]
    folder = Folder.claim(seen.path) if found else None
    if folder is None:
        return False
    try:
        redirected = [
            redirect(folder, exporter, old, ours.names[exporter], ours.address(exporter)) for exporter in found
        ]
    except OSError as exc:
        logger.warning("%s: its destination cannot be changed: %s", seen.path, exc.strerror or exc)
        return False
    else:
        return any(redirected)
    finally:
        folder.release()


def _notes(heard: Sequence[logging.LogRecord]) -> list[str]:
    """Return what was said of journals: of damage, and of what could not be taken over."""
    names = ("otel_feedback.journal", __name__)
    notes = [record.getMessage() for record in heard if record.name.startswith(names)]
    return list(dict.fromkeys(notes))
