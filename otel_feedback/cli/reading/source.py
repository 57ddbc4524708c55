"""`--from`: a topic, a store or log files; and the events of it as tables, while something is seen to go on.

nothing said ──► a store, if there is one ──► the topic, if Kafka is configured ──► the log file of the settings
"""

from __future__ import annotations

import contextlib
import glob
import os
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from otel_feedback.cli import env_file
from otel_feedback.cli.console import CORRECT_IT, failed, number_of, progress_console, remark
from otel_feedback.cli.kafka.admin import check_network, open_admin
from otel_feedback.cli.kafka.problem import KafkaSetupError
from otel_feedback.cli.listening import listening
from otel_feedback.downstream.tables.selection import Selection
from otel_feedback.downstream.topic.reading import TopicMissingError, TopicReader, open_reader
from otel_feedback.errors import ConfigError, FeedbackError, describe
from otel_feedback.settings.kafka import KafkaConfig
from otel_feedback.settings.settings import get_settings
from otel_feedback.settings.store import get_store_settings

if TYPE_CHECKING:
    from otel_feedback.downstream.tables.tables import Tables

__all__ = ["Source", "SourceUnknownError", "answering", "connected", "opened", "source_of", "tell", "watched"]

Result = TypeVar("Result")
MORE = "give it more memory or disk, or ask for less: --since, filters"
LOOK_S = 0.1
INTERRUPTS = 30
INTERRUPTED = 130
PATIENCE_S = 0.6
"""How long something may take before it is said that it goes on."""
TOPIC, STORE, LOG = "topic", "store", "log"


class SourceUnknownError(FeedbackError):
    """Nothing says where the events are; the message has what would be right."""


class Source(NamedTuple):
    """Where events are read from: the kind, in words, and either of these."""

    kind: str
    said: str
    paths: tuple[Path, ...] = ()
    config: KafkaConfig | None = None


def source_of(given: Sequence[str], bootstrap_servers: str | None) -> Source:
    """Return what is meant by `--from`, or by the settings where nothing is.

    Raises:
        SourceUnknownError: Nothing is, or what is named is not there.
        ConfigError: A setting cannot be used.
    """
    if given and list(given) not in ([TOPIC], [STORE]):  # whatever the settings are
        return _of_paths([path for each in given for path in _named(each)])
    settings = get_settings(kafka_bootstrap_servers=bootstrap_servers)
    topic = Source(
        TOPIC, f"{settings.kafka.topic} on {', '.join(settings.kafka.bootstrap_servers)}", (), settings.kafka
    )
    if list(given) == [TOPIC] or (not given and bootstrap_servers):
        return topic
    store = get_store_settings().directory
    if given:
        return Source(STORE, str(store), (store,))
    if (store / "manifest.json").exists():
        return Source(STORE, str(store), (store,))
    if settings.enable_kafka:
        return topic
    if settings.log_file:
        written = Path(settings.log_file)
        files = [written, *(written.with_name(f"{written.name}.{n}") for n in range(1, settings.log_backups + 1))]
        there = [file for path in files for file in (path, path.with_name(f"{path.name}.gz")) if file.exists()]
        if there:
            return Source(LOG, settings.log_file, tuple(there))
        raise SourceUnknownError(f"there is no log file {settings.log_file} yet (OTEL_FEEDBACK_LOG_FILE)")
    raise SourceUnknownError("neither a store, nor Kafka, nor a log file is configured")


def _named(text: str) -> list[Path]:
    if Path(text).expanduser().exists():
        return [Path(text).expanduser()]
    found = sorted(Path(path) for path in glob.glob(os.path.expanduser(text)))  # noqa: PTH111, PTH207 # absolute ones, too
    if not found:
        raise SourceUnknownError(f"there is no {text}")
    return found


def _of_paths(paths: Sequence[Path]) -> Source:
    folders = [path for path in paths if path.is_dir()]
    if not folders:
        return Source(LOG, str(paths[0]) if len(paths) == 1 else f"{len(paths)} log files", tuple(paths))
    if len(paths) > 1:
        raise SourceUnknownError(f"{folders[0]} is a folder: of stores one at a time is read, and nothing beside it")
    if not (folders[0] / "manifest.json").exists():
        raise SourceUnknownError(f"{folders[0]} is no store: it has no manifest.json")
    return Source(STORE, str(folders[0]), (folders[0],))


@contextmanager
def connected(config: KafkaConfig, purpose: str, *, is_shown: bool = True) -> Generator[TopicReader, None, None]:
    """Connect to Kafka, with words for what is in the way, and with a bar while the topic is read."""
    check_network(config)
    with open_admin(config):
        pass
    shown_on = progress_console() if is_shown else None
    columns = TextColumn("reading {task.description}"), BarColumn(), TaskProgressColumn()
    with listening("kafka"), Progress(*columns, console=shown_on, transient=True, disable=shown_on is None) as bar:
        task = bar.add_task(config.topic, total=None)

        def show(topic: str, read: int, total: int) -> None:
            bar.update(task, description=topic, completed=read, total=total)
            if read >= total:
                bar.stop()

        with open_reader(config, purpose, show) as reader:
            yield reader


@contextmanager
def opened(
    source: Source, selection: Selection, columns: Iterable[str] | None, window_s: int = 300, keep: str = "true"
) -> Generator[Tables, None, None]:
    """Give the events of a source as tables; what is outside the time that is looked at may be missing.

    Args:
        source: Where from.
        selection: Which; `Tables.choose` is left to the caller.
        columns: Those that will be asked for, beside the selection's; None: all.
        window_s: How long a window is, in seconds.
        keep: A condition of SQL on columns that no revision changes; what it does not hold for may be missing, too.
    """
    from otel_feedback.downstream.tables import opening, stored, topic
    from otel_feedback.downstream.tables.tables import Tables

    wanted = None if columns is None else {*columns, *selection.columns}
    if source.config is not None:
        with connected(source.config, "read") as reader:
            config = source.config
            tables = topic.open_topic(
                reader, config.topic, wanted, window_s, selection.since, keep, config.feedback_topic
            )
    elif source.kind == STORE:
        tables = stored.open_store(source.paths[0], selection.since, window_s)
    else:
        tables = Tables(wanted, window_s, keep)
    with tables:
        if source.kind == LOG:
            tables.make_table()
            watched(tables, lambda: opening.add_log(tables, source.paths), f"reading {source.said}")
        yield tables


def watched(tables: Tables, work: Callable[[], Result], what: str = "counting") -> Result:
    """Do what takes DuckDB some time: Ctrl-C ends it at once, and a terminal sees how far it is."""
    done: list[Any] = []
    is_over = threading.Event()  # join() that Ctrl-C interrupts takes the thread for one that has ended (Python 3.11)

    def run() -> None:
        try:
            done.append(work())
        except BaseException as exc:
            done.append(exc)
        finally:
            is_over.set()

    thread = threading.Thread(target=run, name="otel-feedback-query", daemon=True)
    thread.start()
    shown_on = progress_console()
    columns = TextColumn("{task.description}"), BarColumn()
    try:
        is_over.wait(PATIENCE_S)
        if not is_over.is_set():
            with Progress(*columns, console=shown_on, transient=True, disable=shown_on is None) as bar:
                # without a share: DuckDB promises nothing to who asks it how far it is from another thread
                bar.add_task(what, total=None)
                while not is_over.wait(LOOK_S):
                    pass
    except KeyboardInterrupt:
        for _ in range(INTERRUPTS):
            with contextlib.suppress(Exception):  # DuckDB 2 at moments says that the connection is busy
                tables.connection.interrupt()
            if is_over.wait(LOOK_S):
                thread.join()
                raise
        tables.leave()
        os._exit(INTERRUPTED)  # it does not listen; an exit that waits for its thread would abort
    thread.join()  # the interpreter must not end while its frames still hold something of DuckDB's
    if isinstance(done[0], BaseException):
        raise done[0]
    return done[0]


def tell(tables: Tables) -> None:
    """Say on stderr what could not be read."""
    if tables.unread:
        remark(f"{number_of(tables.unread, 'line')} left out: no outcome event")
    if tables.unfit:
        remark(f"{number_of(tables.unfit, 'value')} left out: not of its column's type, or too large")
    for path, why in tables.left_out.items():
        remark(f"{path} is left out: it cannot be read ({why})")
    for path in tables.damaged:
        remark(f"{path} ends early, or is not compressed: read as far as it goes")


def answering(work: Callable[[], int]) -> int:
    """Do a command's work; what stands in its way is said in two lines, and the exit code is 1."""
    env_file.load()
    try:
        return work()
    except ConfigError as exc:
        failed(str(exc), CORRECT_IT)
    except SourceUnknownError as exc:
        failed(str(exc), "say where the events are: --from topic, --from STORE_FOLDER, or --from 'outcomes.jsonl*'")
    except KafkaSetupError as exc:
        failed(f"Kafka: {exc.found}", exc.todo)
    except TopicMissingError as exc:
        failed(f"Kafka: {exc}", "create it: `otel-feedback topics`; or correct KAFKA_OUTCOME_TOPIC")
    except FeedbackError as exc:
        failed(str(exc), "see that it is there, and may be read")
    except Exception as exc:  # of others, of which each has a class
        whose = type(exc).__module__.partition(".")[0].strip("_")
        if whose == "duckdb":
            is_of_a_file = type(exc).__name__ == "IOException"  # DuckDB is not imported where nothing needs it
            todo = "see that the file may be used, and that its disk has room" if is_of_a_file else MORE
            failed(f"DuckDB: {str(exc).strip()}", todo)
        elif whose == "kafka":
            failed(f"Kafka: {describe(exc)}", "look at the broker's log; `otel-feedback doctor` looks at permissions")
        else:
            raise
    return 1
