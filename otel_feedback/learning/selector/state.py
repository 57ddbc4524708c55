"""What selectors have learned, in a file that several processes share: JSON, for people, too.

    FILE            what is believed of each agent: written whole, synced, renamed
    FILE.lock       flock of who adds to it
    FILE.new        what was being written when a process was killed; the next one writes over it

Each process adds what it has learned since it last did, so a file has what all have learned, in whatever order: sums of what
decays are sums. A process that is killed, at any moment, takes with it what it has learned in its last second, and nothing
else: before the rename the file is as it was, after it the sum is whole, and the lock goes with its process. No lanes by
process, of which those of dead ones would have to be added up by somebody, once.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import time
from collections.abc import Callable, Generator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from otel_feedback.errors import FeedbackError
from otel_feedback.learning.reward import Reward
from otel_feedback.learning.selector.beliefs import Belief, Beliefs

__all__ = [
    "FOLLOWER",
    "PROGRAMS",
    "STATE_VERSION",
    "Known",
    "State",
    "StateError",
    "StateFile",
    "new_epoch",
    "read_state",
]

STATE_VERSION = "1.0"
PROGRAMS, FOLLOWER = "programs", "follower"
LOCK_S = 1.0
"""How long another process may hold the lock before this one puts off what it has to add."""
LOOK_S = 0.01


def new_epoch() -> str:
    """Return what is told from every other beginning."""
    return secrets.token_hex(8)


class StateError(FeedbackError):
    """A selector's file cannot be read or written; the message says which and what to do."""


class Known(msgspec.Struct, frozen=True):
    """What a file says of one agent.

    `probability` to be chosen, and `mean` reward, are as of `State.at`; `successes` and `failures` are decayed sums of rewards
    and of what is missing to 1; `outcomes` and `feedback` count.
    """

    probability: float = 0.0
    mean: float = 0.5
    successes: float = 0.0
    failures: float = 0.0
    outcomes: int = 0
    feedback: int = 0

    @property
    def interval(self) -> tuple[float, float]:
        """Where the mean reward lies with 95 %, about: the posterior's mean and 1.96 of its deviations."""
        total = self.successes + self.failures + 2.0
        spread = 1.96 * math.sqrt(self.mean * (1.0 - self.mean) / (total + 1.0))
        return max(0.0, self.mean - spread), min(1.0, self.mean + spread)


class State(msgspec.Struct, frozen=True):
    """What is in a file.

    `version` counts its changes, `epoch` is new where somebody began anew. `learned_from` says who adds to it: the programs, or
    one follower of events, in which case programs read it and add nothing.
    """

    schema_version: str = STATE_VERSION
    version: int = 0
    epoch: str = msgspec.field(default_factory=new_epoch)
    at: datetime = datetime.fromtimestamp(0, timezone.utc)
    learned_from: str = PROGRAMS
    half_life_s: float | None = None
    floor: float = 0.0
    objective: Reward = Reward()
    agents: dict[str, Known] = {}

    def beliefs(self, half_life_s: float | None) -> Beliefs:
        """Return what is believed, which from now on halves so."""
        of = {name: Belief(k.successes, k.failures, k.outcomes, k.feedback) for name, k in self.agents.items()}
        return Beliefs(half_life_s, self.at.timestamp(), of)

    def with_beliefs(self, beliefs: Beliefs, probabilities: Mapping[str, float], **more: Any) -> State:
        """Return the next version, with this in place of what was believed."""
        agents = {
            name: Known(
                probabilities.get(name, 0.0), belief.mean, max(0.0, belief.successes), max(0.0, belief.failures),
                belief.outcomes, belief.feedback,
            )
            for name, belief in sorted(beliefs.of.items())
        }  # fmt: skip
        at = datetime.fromtimestamp(beliefs.at, timezone.utc)
        half_life_s = beliefs.half_life_s
        return msgspec.structs.replace(
            self, version=self.version + 1, at=at, half_life_s=half_life_s, agents=agents, **more
        )

    def to_json(self) -> bytes:
        """Return it as it is in a file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def read_state(data: bytes, whose: str) -> State:
    """Read what is in a file.

    Raises:
        StateError: It is no state of a selector, or of a later version than this one knows.
    """
    try:
        state = msgspec.json.decode(data, type=State)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise StateError(f"{whose} is no state of a selector ({exc}): expected what `selector export` writes") from exc
    if state.schema_version.partition(".")[0] != STATE_VERSION.partition(".")[0]:
        raise StateError(f"{whose} is of schema_version {state.schema_version!r}: expected {STATE_VERSION}")
    return state


class StateFile:
    """A file that processes share. For one thread; whatever waits, waits here and on nobody's agents."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._seen: tuple[int, int, int] | None = None

    def has_changed(self) -> bool:
        """Tell whether somebody has written it since it was last read here."""
        return self._look() != self._seen

    def read(self) -> State | None:
        """Return what is in it; None where it is not there.

        Raises:
            StateError: It cannot be read.
        """
        seen = self._look()
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            self._seen = None
            return None
        except OSError as exc:
            raise StateError(f"{self.path} cannot be read: {exc.strerror}") from exc
        state = read_state(data, str(self.path))
        self._seen = seen
        return state

    def update(self, change: Callable[[State | None], State | None], *, discards: bool = False) -> State | None:
        """Put in place of what is in it what comes of that, while nobody else does; return what is in it then.

        Args:
            change: Given what is in it; what it returns is written, None: nothing is.
            discards: What cannot be read may go.

        Raises:
            StateError: It cannot be read or written, or somebody holds it for longer than a second.
        """
        with self._locked():
            try:
                state = self.read()
            except StateError:
                if not discards:
                    raise
                state = None
            changed = change(state)
            if changed is None:
                return state
            self._write(changed.to_json())
            self._seen = self._look()
            return changed

    @contextlib.contextmanager
    def owned(self) -> Generator[None, None, None]:
        """Be the one follower that writes it.

        Raises:
            StateError: Another one is.
        """
        with self._locked(".follower", 0.0, "another follower has"):
            yield

    @contextlib.contextmanager
    def _locked(
        self, suffix: str = ".lock", limit_s: float = LOCK_S, held: str = "another process holds"
    ) -> Generator[None, None, None]:
        try:
            import fcntl

            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(f"{self.path}{suffix}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except ImportError:
            raise StateError(f"{self.path} cannot be shared: this platform has no flock") from None
        except OSError as exc:
            raise StateError(f"{self.path} cannot be used: {exc.strerror}") from exc
        try:
            until = time.monotonic() + limit_s
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= until:
                        raise StateError(f"{held} {self.path}") from None
                    time.sleep(LOOK_S)
            try:
                yield
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)  # by hand: a child that was forked meanwhile has the file open, too
        finally:
            os.close(file)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            told = self.path.stat()
        except OSError:
            return None
        return told.st_ino, told.st_mtime_ns, told.st_size

    def _write(self, data: bytes) -> None:
        new = self.path.with_name(f"{self.path.name}.new")
        try:
            file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            new.replace(self.path)
        except OSError as exc:
            raise StateError(f"{self.path} cannot be written: {exc.strerror}") from exc
