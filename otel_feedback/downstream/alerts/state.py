"""What alerts keep on disk, so that a kill at any moment loses no notification, and repeats none that is known to be sent.

    FOLDER/lock          flock of the one that runs
    FOLDER/state.json    alerts, and what is still to be sent: written whole, synced, renamed
    FOLDER/hand.json     silences and acknowledgements: written by commands, read by the one that runs

An alert and the notification of its change are in one write: there is never one without the other. A notification leaves
with the write that notes its success; so the one that was under way when the process died is sent again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Generator, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

import msgspec

from otel_feedback.downstream.alerts.machine import Alert, Told
from otel_feedback.downstream.alerts.observing import Key
from otel_feedback.errors import FeedbackError

__all__ = ["Acknowledged", "Change", "Folder", "Hand", "Notice", "Silence", "State", "StateError"]

T = TypeVar("T", bound=msgspec.Struct)


class StateError(FeedbackError):
    """What is kept cannot be read or written, or somebody else runs on it; the message says which and what to do."""


class Notice(msgspec.Struct, frozen=True):
    """Something of an alert that a channel is to be told."""

    number: int
    channel: str
    told: Told
    alert: Alert


class Change(msgspec.Struct, frozen=True):
    """A key whose alert has changed since it was published."""

    number: int
    key: Key


class Silence(msgspec.Struct, frozen=True):
    """Alerts that nobody is told of: rule, tenant, agent and action as patterns, None: any; until when, who, and why."""

    number: int
    until: datetime
    who: str
    why: str
    rule: str = "*"
    tenant: str | None = None
    agent: str | None = None
    action: str | None = None

    @property
    def said(self) -> str:
        """What it is about, in words."""
        parts = {"tenant": self.tenant, "agent": self.agent, "action": self.action}
        return ", ".join([self.rule, *(f"{part} {pattern}" for part, pattern in parts.items() if pattern is not None)])

    def covers(self, key: Key, now: datetime) -> bool:
        """Tell whether an alert is silenced by it now."""
        wanted = ((self.rule, key.rule), (self.tenant, key.tenant), (self.agent, key.agent), (self.action, key.action))
        return now < self.until and all(
            pattern is None or fnmatchcase("" if value is None else value, pattern) for pattern, value in wanted
        )


class Acknowledged(msgspec.Struct, frozen=True):
    """Who knows of an alert: of the one that began at `since`, not of a later one."""

    key: Key
    since: datetime
    at: datetime
    who: str
    why: str


class Hand(msgspec.Struct, frozen=True):
    """What people said by command."""

    silences: tuple[Silence, ...] = ()
    acknowledged: tuple[Acknowledged, ...] = ()

    def is_silenced(self, key: Key, now: datetime) -> bool:
        """Tell whether nobody is to be told of an alert now."""
        return any(silence.covers(key, now) for silence in self.silences)

    def acknowledgement(self, alert: Alert) -> Acknowledged | None:
        """Return who knows of an alert."""
        return next((each for each in self.acknowledged if (each.key, each.since) == (alert.key, alert.since)), None)


class State(msgspec.Struct, frozen=True):
    """All that one that runs has to know."""

    version: int = 1
    looked_at: datetime | None = None
    alerts: tuple[Alert, ...] = ()
    outbox: tuple[Notice, ...] = ()
    changes: tuple[Change, ...] = ()
    last_number: int = 0
    sent: Mapping[str, tuple[datetime, ...]] = {}
    """By channel: when it was sent something in the last hour."""


class Folder:
    """Where it is kept. One process runs on it; commands may read and write beside it.

    Args:
        path: Made if it is not there, for its owner alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def owned(self) -> Generator[None, None, None]:
        """Hold it, as the one that runs.

        Raises:
            StateError: Somebody else does, or it cannot be made.
        """
        with self._locked("lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
            yield

    def state(self) -> State:
        """Return what is kept.

        Raises:
            StateError: It is there and cannot be read.
        """
        return self._read("state.json", State, State())

    def keep(self, state: State) -> None:
        """Keep it in place of what was kept; when this returns it outlives the process and the machine.

        Raises:
            StateError: The disk did not take it; what was kept before is.
        """
        self._write("state.json", state)

    def hand(self) -> Hand:
        """Return what people said.

        Raises:
            StateError: It is there and cannot be read.
        """
        return self._read("hand.json", Hand, Hand())

    @contextlib.contextmanager
    def changing(self) -> Generator[Hand, None, None]:
        """Hold what people said, to change it by `keep_hand()`; another command waits meanwhile."""
        with self._locked("hand.lock", fcntl.LOCK_EX):
            yield self.hand()

    def keep_hand(self, hand: Hand) -> None:
        """Keep what people said; within `changing()`."""
        self._write("hand.json", hand)

    @contextlib.contextmanager
    def _locked(self, name: str, how: int) -> Generator[None, None, None]:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise StateError(f"{self.path} cannot be used: {exc.strerror}") from exc
        try:
            try:
                fcntl.flock(file, how)
            except BlockingIOError:
                raise StateError(f"another `otel-feedback alerts run` has {self.path}") from None
            yield
        finally:
            os.close(file)

    def _read(self, name: str, kind: type[T], default: T) -> T:
        path = self.path / name
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except FileNotFoundError:
            return default
        except OSError as exc:
            raise StateError(f"{path} cannot be read: {exc.strerror}") from exc
        except msgspec.DecodeError as exc:
            raise StateError(f"{path} is not what this version keeps ({exc}): move it away to begin anew") from exc

    def _write(self, name: str, value: msgspec.Struct) -> None:
        new = self.path / f"{name}.new"
        try:
            file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "wb") as stream:
                stream.write(msgspec.json.encode(value))
                stream.flush()
                os.fsync(stream.fileno())
            new.replace(self.path / name)
            folder = os.open(self.path, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as exc:
            raise StateError(f"{self.path / name} cannot be written: {exc.strerror}") from exc
