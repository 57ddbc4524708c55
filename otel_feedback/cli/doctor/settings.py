"""The doctor's look at what is set: settings, misspelled variables, the log tier."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from otel_feedback.cli.doctor.findings import Finding, State
from otel_feedback.cli.env_file import EnvFile
from otel_feedback.errors import ConfigError
from otel_feedback.settings.misspelt import misspelt
from otel_feedback.settings.settings import Settings
from otel_feedback.settings.table import SETTINGS

__all__ = ["check_log_tier", "check_settings"]


def check_settings(
    settings: Settings | ConfigError, read: EnvFile, environ: Mapping[str, str] | None = None
) -> Iterator[Finding]:
    """Say whether the settings can be used, and where they come from."""
    environment = os.environ if environ is None else environ
    for problem in read.problems:
        yield Finding(".env", State.WARNING, problem, "write NAME=value, one a line")
    if isinstance(settings, ConfigError):
        where = "the file .env" if settings.variable in read.used else "the environment"
        given = (
            f"{settings.variable} in {where}"
            if settings.variable.isupper()
            else f"--{settings.variable.removeprefix('kafka_').replace('_', '-')}"
        )
        yield Finding("settings", State.FAILED, str(settings), f"correct {given}")
        return
    for name, near in misspelt(environment).items():
        todo = "remove it" if near is None else f"did you mean {near}?"
        yield Finding("settings", State.WARNING, f"{name} is no setting and changes nothing", todo)
    if settings.disabled:
        switches = "OTEL_FEEDBACK_DISABLED and OTEL_SDK_DISABLED"
        yield Finding(
            "settings", State.WARNING, "everything is switched off: nothing is recorded", f"look at {switches}"
        )
    elif not (settings.enable_kafka or settings.enable_otlp or settings.enable_outcome_logging):
        found = "no exporter is on: events stay in this process, the newest in the ring"
        yield Finding("settings", State.WARNING, found, "set KAFKA_BOOTSTRAP_SERVERS or ENABLE_OUTCOME_LOGGING=true")
    else:
        given = [setting.variable for setting in SETTINGS if environment.get(setting.variable, "").strip()]
        marked = ", ".join(f"{name} (.env)" if name in read.used else name for name in given)
        yield Finding("settings", State.OK, f"given: {marked}" if given else "all are at their defaults")


def check_log_tier(settings: Settings) -> Iterator[Finding]:
    """Say whether the log tier can write, without writing."""
    if settings.disabled or not settings.enable_outcome_logging:
        yield Finding("log tier", State.OFF, "events are not logged", "to switch on: ENABLE_OUTCOME_LOGGING=true")
        return
    if settings.log_file is None:
        yield Finding("log tier", State.OK, "each event is a line of JSON on stderr")
        return
    path = Path(settings.log_file).absolute()
    folder = next(parent for parent in path.parents if parent.exists())
    todo = "correct OTEL_FEEDBACK_LOG_FILE, or its permissions"
    if path.is_dir():
        yield Finding("log tier", State.FAILED, f"{path} is a folder", todo)
    elif not (os.access(path if path.exists() else folder, os.W_OK) and folder.is_dir()):
        yield Finding("log tier", State.FAILED, f"{path} cannot be written", todo)
    elif (free := shutil.disk_usage(folder).free) == 0:
        yield Finding(
            "log tier", State.FAILED, f"{path}: its disk is full", "make room, or move OTEL_FEEDBACK_LOG_FILE"
        )
    elif free < settings.log_max_bytes:
        found = f"{path}: less than OTEL_FEEDBACK_LOG_MAX_BYTES is free on its disk"
        yield Finding("log tier", State.WARNING, found, "make room, or lower OTEL_FEEDBACK_LOG_MAX_BYTES")
    else:
        yield Finding("log tier", State.OK, f"each event is a line of JSON in {path}")
