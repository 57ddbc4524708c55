"""`otel-feedback tail`: outcomes as they arrive, one line each, and feedback on them; what is under way waits at the foot of a terminal.

Each action is one line, when it ends. A pipe gets a line when it begins, too, where its beginning is an event.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timezone

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.cli.console import count, dollars, duration, number_of, open_console, remark, write
from otel_feedback.cli.outcomes import NARROW, OUTCOME, Column, Rows
from otel_feedback.cli.reading.feedback import feedback_line
from otel_feedback.cli.reading.feeds import open_feed
from otel_feedback.cli.reading.records import Record, id_of, is_wanted, time_of
from otel_feedback.cli.reading.selection import said_of
from otel_feedback.cli.reading.source import Source, answering, source_of
from otel_feedback.downstream.tables.selection import Selection
from otel_feedback.events.feedback import Feedback

__all__ = ["run"]

MOST_PENDING = 5
"""Actions under way that are named at the foot."""
REMEMBERED = 50_000
WITH_RUN = 130
"""Columns from which there is room for the run, too."""


def _clock(event: OutcomeEvent) -> str:
    return (event.end_time or event.timestamp).astimezone(timezone.utc).strftime("%H:%M:%S")


COLUMNS = (
    Column("Time", 8, False, _clock),
    Column("Agent", 12, False, lambda event: event.agent_name or ""),
    Column("Action", 15, False, lambda event: event.action_type),
    Column(OUTCOME, 11, False, lambda event: event.status.value),
    Column("Took", 7, True, lambda event: duration(event.duration_ms)),
    Column("Tokens", 6, True, lambda event: count(event.own_tokens), NARROW),
    Column("Cost", 7, True, lambda event: dollars(event.own_cost), NARROW),
    Column("Run", 12, False, lambda event: event.run_id or "", WITH_RUN),
)


def _line_of(given: Feedback) -> Text:
    line = Text("  ", no_wrap=True, overflow="ellipsis")
    line.append(f"{given.timestamp.astimezone(timezone.utc).strftime('%H:%M:%S')}  ", "dim")
    line.append_text(feedback_line({**msgspec.structs.asdict(given), "delay_s": None}))
    of = given.run_id if given.target == "run" else given.event_id
    return line.append(f"  of {given.target} {of or ''}", "not bold dim")


def run(
    *, source: Sequence[str], bootstrap_servers: str | None, selection: Selection, lines: int | None, follow: bool, as_json: bool
) -> int:  # fmt: skip
    """Show, and return the exit code.

    Args:
        source: What `--from` says.
        bootstrap_servers: In place of the setting.
        selection: Which events.
        lines: How many there are to begin with; None: all.
        follow: Go on with what comes.
        as_json: Write events as lines of JSON.
    """

    def work() -> int:
        asked = source_of(source, bootstrap_servers)
        with open_feed(asked) as feed:
            news = News(selection)
            begin = feed.newest(lines, selection)
            if as_json:
                for event in news.of(begin):
                    print(event.to_json())
                while follow:
                    for event in news.of(feed.more()):
                        print(event.to_json(), flush=True)
            else:
                _show(asked, selection, news, begin, feed.more if follow else None)
            if feed.unread:
                remark(f"{number_of(feed.unread, 'line')} left out: no outcome event")
        return 0

    return answering(work)


def _show(
    source: Source,
    selection: Selection,
    news: News,
    begin: Iterable[Record],
    more: Callable[[], Iterable[Record]] | None,
) -> None:
    console = open_console()
    chosen = said_of(selection)
    title = Text(source.said, "bold").append(f"  {chosen}" if chosen else "", "not bold")
    screen = Screen(console, lives=more is not None and console.is_terminal)
    write(console, title, "", screen.head())
    with screen.living():
        for event in news.of(begin):
            screen.add(event)
        screen.update()
        while more is not None:
            for event in news.of(more()):
                screen.add(event)
            screen.update()


class News:
    """Lets through what is selected, and no repeats nor revisions that are no newer."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._newer: dict[str, int] = {}
        self._older: dict[str, int] = {}

    def of(self, events: Iterable[Record]) -> Iterable[Record]:
        """Yield those that are new."""
        for event in events:
            key, revision = id_of(event)
            if revision > self._newer.get(key, self._older.get(key, -1)):
                if len(self._newer) >= REMEMBERED:
                    self._older, self._newer = self._newer, {}
                self._newer[key] = revision
                if is_wanted(event, self._selection):
                    yield event


class Screen:
    """Lines that stay, and below them, where it lives, what is under way."""

    def __init__(self, console: Console, *, lives: bool) -> None:
        self._console = console
        self._rows = Rows(console, COLUMNS)
        self._lives = lives
        self._live: Live | None = None
        self._pending: dict[str, OutcomeEvent] = {}
        self._ended: dict[str, None] = {}
        self._day: date | None = None

    def head(self) -> Text:
        """Return the titles."""
        return self._rows.head()

    @contextmanager
    def living(self) -> Generator[None, None, None]:
        """Have a foot meanwhile."""
        if not self._lives:
            yield
            return
        with Live(console=self._console, auto_refresh=False, transient=True) as self._live:
            yield

    def add(self, event: Record) -> None:
        """Show an event, or feedback; of an event that ended and is told again with more cost there is a line already."""
        if isinstance(event, Feedback):
            self._put(event.timestamp, _line_of(event))
            return
        if event.status is OutcomeStatus.PENDING:
            if self._lives:
                self._pending[event.event_id] = event
                return
        else:
            self._pending.pop(event.event_id, None)
            if event.event_id in self._ended:
                return
            if len(self._ended) >= REMEMBERED:
                self._ended.clear()
            self._ended[event.event_id] = None
        self._put(time_of(event), self._rows.row(event))

    def _put(self, at: datetime, line: Text) -> None:
        day = at.astimezone(timezone.utc).date()
        lines = [] if day == self._day else [Text(f"  {day}", "dim")]
        self._day = day
        lines.append(line)
        if self._live is None:
            write(self._console, *lines)
        else:
            self._live.console.print(Group(*lines))

    def update(self) -> None:
        """Draw the foot anew."""
        if self._live is None:
            self._console.file.flush()
            return
        under_way = list(self._pending.values())
        lines = [self._rows.row(event) for event in under_way[-MOST_PENDING:]]
        more = len(under_way) - len(lines)
        said = f"{more:,} more under way; " if more else ""
        self._live.update(Group(*lines, Text(f"  {said}Ctrl-C ends", "dim")), refresh=True)
