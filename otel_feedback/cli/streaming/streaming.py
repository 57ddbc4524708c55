"""`otel-feedback stream`: a job's text on stdout, or a job until Ctrl-C or SIGTERM.

Exit code 0 when it was stopped or, with `--once`, has come to the end; 1 when it cannot begin or go on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from otel_feedback.cli import env_file
from otel_feedback.cli.console import CORRECT_IT, failed
from otel_feedback.cli.kafka.admin import check_network
from otel_feedback.cli.kafka.problem import KafkaSetupError
from otel_feedback.cli.storing.store import stopped_by_signals
from otel_feedback.downstream.streaming.local import FlinkError, LocalJob, find_flink, settings_of
from otel_feedback.downstream.streaming.security import java_options
from otel_feedback.downstream.streaming.texts import JOBS, REFUSED_TOPIC, Options, text
from otel_feedback.errors import ConfigError
from otel_feedback.settings.settings import Settings, get_settings

__all__ = ["run", "show"]


def show(job: str, **given: Any) -> int:
    """Write a job's text, and return the exit code."""
    try:
        _, options = _options(shows_password=False, **given)
        sys.stdout.write(text(job, options))
    except ConfigError as exc:
        return _wrong(exc)
    return 0


def run(
    job: str, *, state: str | None, jars: str | None, once: bool, anew: bool, savepoint: str | None, parallelism: int,
    **given: Any,
) -> int:  # fmt: skip
    """Run a job, and return the exit code.

    Args:
        job: Its name.
        state: Folder of its checkpoints.
        jars: Folder of jars.
        once: End when all is taken that is on the topic.
        anew: Begin with the topic's first event.
        savepoint: Begin there.
        parallelism: How many work side by side.
        given: What `stream sql` takes, too.
    """
    try:
        settings, options = _options(shows_password=True, **given)
        plain = text(job, _options(shows_password=False, **given)[1])
        flink = find_flink(_place(jars, "XDG_DATA_HOME", "~/.local/share", "otel-feedback/flink"))
        folder = _place(state, "XDG_STATE_HOME", "~/.local/state", "otel-feedback-stream")
        local = LocalJob(flink, folder / (f"{job}-once" if once else job))
        check_network(settings.kafka)
        with local.owned(), stopped_by_signals(local.stop):
            begin = local.begin_at(plain, savepoint, anew=anew or once)
            more = {**settings_of(local.checkpoints, begin, parallelism), **options.settings}
            sink = options.sink or JOBS[job].topic
            where = "the beginning of the topic" if begin is None else begin
            _say(f"{job}: {options.topic} to {sink}, from {where}; the log is {local.folder / 'flink.log'}")
            local.run(text(job, options._replace(once=once, settings=more)))
    except ConfigError as exc:
        return _wrong(exc)
    except KafkaSetupError as exc:
        failed(f"Kafka: {exc.found}", exc.todo)
        return 1
    except FlinkError as exc:
        failed(str(exc), exc.todo)
        return 1
    return 0


def _options(
    *, shows_password: bool, bootstrap_servers: str | None, sink: str | None, refused: str | None,
    window_s: int, ttl_s: int, latency_s: float, checkpoint_s: float, kafka: Mapping[str, str], flink: Mapping[str, str],
) -> tuple[Settings, Options]:  # fmt: skip
    env_file.load()
    settings = get_settings(kafka_bootstrap_servers=bootstrap_servers)
    if settings.kafka.value_format != "json":
        raise ConfigError("KAFKA_VALUE_FORMAT", settings.kafka.value_format, "json, which is all that a job reads")
    security = java_options(settings.kafka.client_options, shows_password=shows_password)
    return settings, Options(
        bootstrap_servers=",".join(settings.kafka.bootstrap_servers), topic=settings.kafka.topic, sink=sink,
        refused=refused or REFUSED_TOPIC, window_s=window_s, ttl_s=ttl_s, retention_s=settings.journal_max_age_s,
        latency_s=latency_s, checkpoint_s=checkpoint_s, kafka={**security, **kafka}, settings=flink,
    )  # fmt: skip


def _place(given: str | None, variable: str, default: str, name: str) -> Path:
    if given is not None:
        return Path(given).expanduser()
    base = os.environ.get(variable, "").strip()
    return Path(base or default).expanduser() / name


def _wrong(exc: ConfigError) -> int:
    where = "give another --ttl" if exc.variable == "ttl" else CORRECT_IT
    failed(str(exc), where)
    return 1


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()  # somebody reads it while this runs on
