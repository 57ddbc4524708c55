"""From the query string of a request to what is asked: a time and filters, the same names in page and API.

A name that there is not is refused: a filter that is misspelt would show what was not asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from difflib import get_close_matches
from typing import NamedTuple

from otel_feedback.downstream.store.rollups import KEYS
from otel_feedback.downstream.tables.selection import Selection
from otel_feedback.downstream.tables.since import moment_of
from otel_feedback.errors import FeedbackError
from otel_feedback.events.model import OutcomeStatus, epoch_us

__all__ = ["FILTERS", "Asked", "RefusedError", "asked_of", "choice_of", "number_of"]

FILTERS: Mapping[str, str] = {
    "service": "service_name", "tenant": "tenant_id", "agent": "agent_name", "action": "action_type", "status": "status",
    "model": "model", "tool": "tool_name", "user": "user_id", "session": "session_id", "workflow": "workflow_id",
    "error_type": "error_type", "run": "run_id",
}  # fmt: skip
"""By name in the query string: the column whose value it names; `-` is no value."""
TIMES = ("since", "until")
LISTS = ("tag", "text")
NONE = "-"
DAY = timedelta(days=1)
MOST_VALUES = 200
MOST_CHARACTERS = 1_000


class RefusedError(FeedbackError):
    """A request cannot be answered: its status, what is wrong, and what would be right."""

    def __init__(self, status: int, found: str, remedy: str) -> None:
        self.status = status
        self.found = found
        self.remedy = remedy
        super().__init__(f"{found}: {remedy}")


class Asked(NamedTuple):
    """What a request is about; both ends of its time are there."""

    selection: Selection
    since: datetime
    until: datetime

    @property
    def length(self) -> timedelta:
        """How long its time is."""
        return self.until - self.since

    @property
    def since_ms(self) -> int:
        """Its beginning, in milliseconds since 1970."""
        return epoch_us(self.since) // 1_000

    @property
    def until_ms(self) -> int:
        """Its end."""
        return epoch_us(self.until) // 1_000

    @property
    def is_of_sums(self) -> bool:
        """Whether sums by the hour have what is asked for: they tell neither users nor words apart."""
        chosen = self.selection
        return not chosen.tags and not chosen.texts and chosen.values.keys() <= set(KEYS)

    @property
    def condition(self) -> str:
        """The filters alone, as SQL for what a reader has."""
        return self.selection._replace(since=None, until=None).condition("words", "said")

    @property
    def whole_condition(self) -> str:
        """The filters and the time."""
        return self.selection.condition("words", "said")


def asked_of(
    given: Iterable[tuple[str, str]], now: datetime | None = None, others: Collection[str] = (), open_end: bool = False
) -> Asked:
    """Return what a query string asks.

    Args:
        given: Its names and values.
        now: Default: what the clock says.
        others: Further names that the request may have.
        open_end: What is newer than now counts, too, where nothing says until when.

    Raises:
        RefusedError: There is no such name, or no such value.
    """
    now = now or datetime.now(timezone.utc)
    times: dict[str, datetime] = {}
    values: dict[str, list[str | None]] = {}
    lists: dict[str, list[str]] = {name: [] for name in LISTS}
    for count, (name, value) in enumerate(given, 1):
        if count > MOST_VALUES or len(value) > MOST_CHARACTERS:
            raise RefusedError(400, "that is too much to ask for", f"at most {MOST_VALUES} values of 1,000 characters")
        if name in TIMES:
            times[name] = _moment(name, value, now)
        elif name in FILTERS:
            if name == "status" and value not in list(OutcomeStatus):
                raise _no_such(name, value, [status.value for status in OutcomeStatus])
            values.setdefault(FILTERS[name], []).append(None if value == NONE else value)
        elif name in LISTS:
            lists[name].append(value)
        elif name not in others:
            raise _no_such("query", name, [*TIMES, *FILTERS, *LISTS, *others])
    end = times.get("until", now)
    since = times.get("since", end - DAY)
    if since >= end:
        raise RefusedError(400, "since is not before until", "let it begin earlier, or end later")
    until = times.get("until") if "until" in times or not open_end else None
    return Asked(Selection(since, until, values, lists["tag"], lists["text"]), since, end)


def number_of(given: Mapping[str, str], name: str, default: int, most: int) -> int:
    """Return a whole number of a query string, from 1 to `most`.

    Raises:
        RefusedError: It is none.
    """
    text = given.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 19 and 1 <= int(text) <= most):
        raise RefusedError(400, f"{name}={text[:80]!r}", f"use a whole number from 1 to {most:,}")
    return int(text)


def choice_of(given: Mapping[str, str], name: str, choices: Collection[str], default: str) -> str:
    """Return one of several words of a query string.

    Raises:
        RefusedError: It is another.
    """
    word = given.get(name, default)
    if word not in choices:
        raise _no_such(name, word, choices)
    return word


def _moment(name: str, text: str, now: datetime) -> datetime:
    try:
        # a + that nobody has quoted is a space
        return moment_of(text.replace(" ", "+") if "T" in text else text, now).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise RefusedError(
            400, f"{name}={text[:80]!r}", "use 90s, 30m, 24h, 7d, or a time (2026-03-02T09:30Z)"
        ) from None


def _no_such(name: str, value: str, known: Collection[str]) -> RefusedError:
    near = get_close_matches(value, list(known), 1, 0.6)
    remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return RefusedError(400, f"there is no {name} {value[:80]!r}", remedy)
