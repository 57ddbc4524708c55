"""`otel-feedback store`: follow the topic, or log files, into a folder of Parquet files; one process, until it is stopped.

Exit code 0 when it was stopped (SIGTERM, Ctrl-C) or, with `--once`, is up to date; 1 when it cannot go on.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from rich.live import Live
from rich.text import Text

from otel_feedback.cli import env_file
from otel_feedback.cli.console import CORRECT_IT, PlainConsole, failed, number_of, progress_console, size
from otel_feedback.cli.kafka.admin import check_network, open_admin
from otel_feedback.cli.kafka.problem import KafkaSetupError
from otel_feedback.downstream.store import manifest as manifests
from otel_feedback.downstream.store.folder import StoreBusyError, StoreError, StoreFolder
from otel_feedback.downstream.store.keeping import Limits
from otel_feedback.downstream.store.logs import LogSource
from otel_feedback.downstream.store.manifest import Manifest
from otel_feedback.downstream.store.source import Source, follow
from otel_feedback.downstream.store.topic import TopicSource
from otel_feedback.downstream.store.writer import StoreWriter
from otel_feedback.errors import ConfigError
from otel_feedback.settings.settings import get_settings
from otel_feedback.settings.store import StoreSettings, get_store_settings

__all__ = ["run"]

SAY_AGAIN_S = 60.0
SHOW_S = 0.5

_OTHERS = {
    "no_events": "no event", "erased": "erased", "missed": "deleted before they were read", "expired": "over the limits",
    "damaged": "in files that cannot be read",
}  # fmt: skip


def run(
    *, logs: Sequence[Path], once: bool, rebuild: bool, as_json: bool, bootstrap_servers: str | None, **given: Any
) -> int:
    """Write the store, and return the exit code.

    Args:
        logs: Follow these log files; none: the topic.
        once: End when all is written that is there.
        rebuild: Begin anew, with the rules of erasure that there are.
        as_json: At the end write one JSON object to stdout, and nothing else.
        bootstrap_servers: In place of the setting.
        given: Settings of the store, in place of those of the environment.
    """
    import duckdb  # noqa: F401 # pyright: ignore[reportUnusedImport]  # or nothing is begun

    env_file.load()
    try:
        settings = get_store_settings(**given)
        source = _make_source(logs, once, bootstrap_servers, settings.group)
        folder = StoreFolder(settings.directory)
        with folder.writing():
            if rebuild:
                manifests.save(folder, Manifest())
            return _follow(folder, settings, source, once=once, as_json=as_json)
    except ConfigError as exc:
        failed(str(exc), CORRECT_IT)
    except KafkaSetupError as exc:
        failed(f"Kafka: {exc.found}", exc.todo)
    except StoreBusyError as exc:
        failed(str(exc), "a store has one writer; its readers need none: otel-feedback stats --from STORE")
    except StoreError as exc:
        failed(str(exc), "nothing was changed")
    except OSError as exc:
        failed(
            f"{exc.filename or settings_of(given)}: {exc.strerror or exc}", "correct --store or OTEL_FEEDBACK_STORE_DIR"
        )
    return 1


def settings_of(given: dict[str, Any]) -> Path:
    """Return where the store is to be."""
    return get_store_settings(**given).directory


_MakeSource = Callable[[dict[str, Any], threading.Event, Callable[[str, str], None]], Source]


def _make_source(logs: Sequence[Path], once: bool, bootstrap_servers: str | None, group: str) -> _MakeSource:
    if logs:
        for path in logs:
            if once and not path.exists():
                raise StoreError(f"there is no {path}: --from takes the file that events are logged to")
            if path.is_dir():
                raise StoreError(f"{path} is a folder: --from takes the file that events are logged to")
        return lambda positions, stop, say: LogSource(logs, positions, stop, say)
    config = get_settings(kafka_bootstrap_servers=bootstrap_servers).kafka
    if once or sys.stderr.isatty():  # somebody waits for an answer; a service goes on trying
        check_network(config)
        with open_admin(config):
            pass
    return lambda positions, stop, say: TopicSource(config, group, positions, stop, say)


def _follow(folder: StoreFolder, settings: StoreSettings, make: _MakeSource, *, once: bool, as_json: bool) -> int:
    stop = threading.Event()
    saying = _Saying()
    writer = StoreWriter(
        folder, Limits(settings.retention_days, settings.max_bytes), saying.say,
        lambda _line, why: saying.say("row", f"an event cannot be a row, and is left out: {why}"), sorts_out=once,
    )  # fmt: skip
    before = writer.manifest
    source = make(before.positions, stop, saying.say)
    if not as_json:
        saying.note(f"{source.name} -> {folder.path} ({number_of(before.rows, 'row')} so far)")
    writer.start()
    with stopped_by_signals(stop.set), saying.showing(lambda: _status(writer, source)):
        try:
            follow(
                source, writer, stop, once=once, flush_rows=settings.flush_rows,
                flush_interval_s=settings.flush_interval_s, look=saying.look,
            )  # fmt: skip
        finally:
            source.close(writer.manifest.positions)
    return _end(folder, before, writer, source, as_json=as_json)


def _end(folder: StoreFolder, before: Manifest, writer: StoreWriter, source: Source, *, as_json: bool) -> int:
    after = writer.manifest
    counts = {
        name: after.counts.get(name, 0) - before.counts.get(name, 0) for name in (*_OTHERS, "feedback", "written")
    }
    is_whole = not writer.is_left
    if as_json:
        told = {
            "store": str(folder.path), "source": source.name, "up_to_date": source.is_at_end and is_whole,
            "rows": after.rows, "bytes": after.bytes, "files": len(after.files), **counts,
        }  # fmt: skip
        print(json.dumps(told, indent=2))
    else:
        rest = f", {number_of(counts['feedback'], 'record')} of feedback" if counts["feedback"] else ""
        rest += "".join(f", {counts[name]:,} {text}" for name, text in _OTHERS.items() if counts[name])
        torn = getattr(source, "torn_bytes", 0)
        waits = f"; {torn:,} bytes of a line that is not complete wait" if torn else ""
        print(
            f"{number_of(counts['written'], 'row')} written{rest}; {number_of(after.rows, 'row')} in "
            f"{number_of(len(after.files), 'file')}, {size(after.bytes)}{waits}"
        )
    if not is_whole:
        failed(writer.problem or "not all was written", "what was not written is read again the next time")
    return 0 if is_whole else 1


def _status(writer: StoreWriter, source: Source) -> str:
    manifest = writer.manifest
    behind = "" if source.behind is None else f", {source.behind:,} behind"
    return (
        f"{number_of(manifest.rows, 'row')} in {number_of(len(manifest.files), 'file')}, {size(manifest.bytes)}{behind}"
    )


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Generator[None, None, None]:
    """Call it by the first signal; a second one does what it did before."""
    before: dict[int, Any] = {}

    def end(_number: int, _frame: FrameType | None) -> None:
        stop()
        for one, handler in before.items():
            signal.signal(one, handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.getsignal(number)
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Saying:
    """Lines on stderr, each kind once a minute at most, and on a terminal below them how far it is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due_s: dict[str, float] = {}  # guarded by self._lock
        self._shown_on = progress_console()
        self._live: Live | None = None
        self._status: Callable[[], str] = str
        self._show_due_s = 0.0

    def say(self, kind: str, text: str) -> None:
        """Say what stands in the way; from any thread."""
        with self._lock:
            now_s = time.monotonic()
            if kind == "well":
                self._due_s.clear()
            elif now_s < self._due_s.get(kind, 0.0):
                return
            self._due_s[kind] = now_s + SAY_AGAIN_S
        self.note(text)

    def note(self, text: str) -> None:
        """Write one line."""
        console = self._shown_on or PlainConsole(stderr=True, no_color=True)
        console.print(Text(text), soft_wrap=True)

    @contextmanager
    def showing(self, status: Callable[[], str]) -> Generator[None, None, None]:
        """Show how far it is, where somebody sees it."""
        self._status = status
        if self._shown_on is None:
            yield
            return
        with Live(console=self._shown_on, transient=True, auto_refresh=False) as self._live:
            yield
        self._live = None

    def look(self) -> None:
        """Show it anew, twice a second."""
        if self._live is not None and time.monotonic() >= self._show_due_s:
            self._show_due_s = time.monotonic() + SHOW_S
            self._live.update(Text(self._status(), "dim", no_wrap=True, overflow="ellipsis"), refresh=True)
