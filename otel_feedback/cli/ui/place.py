"""What the page shows: a store that somebody writes, or one that is written here, from the topic or from log files."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from otel_feedback.cli.alerts.place import find_folder, find_objectives, read_rules
from otel_feedback.cli.reading.source import LOG, STORE, TOPIC, Source, source_of
from otel_feedback.cli.ui.journals import find_journals
from otel_feedback.settings.settings import get_settings
from otel_feedback.settings.store import get_store_settings

if TYPE_CHECKING:
    from otel_feedback.downstream.ui.alerting import Alerts
    from otel_feedback.downstream.ui.app import Shown
    from otel_feedback.downstream.ui.hosting import Host, MakeSource

__all__ = ["opened", "shown_of", "source_for"]


@contextmanager
def opened(
    source: Source, store: Path | None, jaeger: str | None, rules: str | None, state: str | None,
    selectors: Sequence[Path] = (),
) -> Generator[Shown, None, None]:  # fmt: skip
    """Give what is shown, kept up until the end.

    Raises:
        ConfigError: A setting cannot be used.
    """
    goals = find_objectives(rules)
    with shown_of(source, store, jaeger, _alerts(rules, state), objectives=goals, selectors=selectors) as shown:
        yield shown


def source_for(given: Sequence[str], bootstrap_servers: str | None) -> Source:
    """Return what is to be shown.

    Raises:
        SourceUnknownError: Nothing says where events are, or what is named is not there.
        ConfigError: A setting cannot be used.
    """
    if not given and get_settings(kafka_bootstrap_servers=bootstrap_servers).enable_kafka:
        given = [TOPIC]  # into the store, which is there, too
    return source_of(given, bootstrap_servers)


def _alerts(rules: str | None, state: str | None) -> Alerts | None:
    from otel_feedback.downstream.ui.alerting import Alerts

    folder = find_folder(state)
    file = read_rules(rules)
    return Alerts(folder, {} if file is None else {rule.name: rule for rule in file.rules})


@contextmanager
def shown_of(
    source: Source, store: Path | None, jaeger: str | None, alerts: Alerts | None = None, journals: Path | None = None,
    objectives: Path | None = None, selectors: Sequence[Path] = (),
) -> Generator[Shown, None, None]:  # fmt: skip
    """Give what is shown of a source, kept up until the end.

    Args:
        source: Where events are.
        store: Where they are kept; None: in the settings' store, those of logs in one that does not stay.
        jaeger: Jaeger's page.
        alerts: What is kept of them.
        journals: Where the journals of the service are; None: as the settings say.
        objectives: Their file, which may come later; None: there are none.
        selectors: Files that selectors share, which may come later, too.
    """
    from otel_feedback.downstream.store.folder import StoreFolder
    from otel_feedback.downstream.ui.app import Shown
    from otel_feedback.downstream.ui.goals import Goals
    from otel_feedback.downstream.ui.learning.beliefs import Beliefs
    from otel_feedback.downstream.ui.mirror import Mirror
    from otel_feedback.downstream.ui.pipeline import Pipeline

    with TemporaryDirectory(prefix="otel-feedback-ui-") as aside:
        settings = get_store_settings(directory=store)
        path = settings.directory
        if source.kind == STORE:
            path = source.paths[0]
        elif source.kind == LOG and store is None:
            path = Path(aside) / "store"
        folder = StoreFolder(path.absolute())
        host = None if source.kind == STORE else _host(source, folder, settings.group)
        mirror = Mirror(folder)
        behind: Callable[[], int | None] = lambda: None if host is None else host.behind  # noqa: E731
        pipeline = Pipeline(mirror, source.config, behind, lambda: find_journals(journals))
        try:
            if host is not None:
                host.start()
            mirror.start()
            pipeline.start()
            link = None if jaeger is None else f"{jaeger.rstrip('/')}/trace/{{trace_id}}"
            yield Shown(
                mirror, source.kind, source.said, link, problem=lambda: None if host is None else host.problem,
                behind=behind, alerts=None if alerts is None else alerts.told, pipeline=pipeline.told,
                objectives=None if objectives is None else Goals(objectives, folder.path).told,
                beliefs=Beliefs(selectors) if selectors else None,
            )  # fmt: skip
        finally:
            pipeline.close()
            mirror.close()
            if host is not None:
                host.close()


def _host(source: Source, folder: object, group: str) -> Host:
    from otel_feedback.downstream.store.folder import StoreFolder
    from otel_feedback.downstream.store.keeping import Limits
    from otel_feedback.downstream.ui.hosting import Host

    assert isinstance(folder, StoreFolder)
    settings = get_store_settings()
    limits = Limits(settings.retention_days, settings.max_bytes)
    return Host(folder, _maker(source, group), limits, settings.flush_rows)


def _maker(source: Source, group: str) -> MakeSource:
    from otel_feedback.downstream.store.logs import LogSource
    from otel_feedback.downstream.store.places import candidates
    from otel_feedback.downstream.store.topic import TopicSource

    if source.config is not None:
        config = source.config
        return lambda positions, stop, say: TopicSource(config, group, positions, stop, say)
    # what was rotated is found beside the file that is written to
    paths = [path.absolute() for path in source.paths]
    rotated = {old for path in paths for old in candidates(path) if old != path}
    live = [path for path in paths if path not in rotated]
    return lambda positions, stop, say: LogSource(live, positions, stop, say)
