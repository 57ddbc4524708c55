"""Choosing by what there is to do: a model of Vowpal Wabbit says how probable each agent is in a context. Extra `select`.

    context ──► features ──► model ──► probabilities, a floor for each ──► one is drawn         on the agent's thread: 0.2 ms
                               ▲
    outcomes, once each ───────┴── by the selector's thread, one at a time

Squarecb explores where the model does not know; its learning rate does not fall, so that agents may change. A model cannot be
taught otherwise later, nor can two be added up: so each outcome is learned once, after it has had time for feedback, and one
process keeps a file's model.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from otel_feedback.errors import FeedbackError
from otel_feedback.learning.selector.best import mixed
from otel_feedback.logger import get_logger

__all__ = ["Model", "features_of"]

logger = get_logger(__name__)

ARGUMENTS = "--cb_explore_adf --squarecb --gamma_scale 100 -q CA --power_t 0 --quiet"
MOST_TEXT = 256
MOST_WAIT_S = 0.0005
"""How long a decision waits for an example that is being learned, seldom; for a file it does not."""
_SPECIAL = re.compile(r"[\s:|]")


def features_of(context: Mapping[str, Any], names: Sequence[str]) -> dict[str, str | bool | int | float]:
    """Return of a context what is named, where it is a text, a number or a truth."""
    found: dict[str, str | bool | int | float] = {}
    for name in names:
        value = context.get(name)
        if isinstance(value, (bool, int, float)):
            found[name] = value
        elif isinstance(value, str):
            found[name] = value[:MOST_TEXT]
    return found


class Model:
    """A model, and its file. Thread-safe.

    Args:
        path: Where it is kept; None: in memory only.
        seed: As Vowpal Wabbit takes it.

    Raises:
        FeedbackError: Vowpal Wabbit is not installed.
    """

    def __init__(self, path: Path | None, seed: int | None) -> None:
        try:
            from vowpalwabbit import Workspace
        except ImportError as exc:
            raise FeedbackError(
                f"a contextual selector needs vowpalwabbit ({exc}): expected pip install 'otel-feedback[select]'"
            ) from exc
        self._path = path
        self._owner = None if path is None else _owned(path)
        self._lock = threading.Lock()
        self.learned = 0
        """Outcomes that it has learned here: its version."""
        self._saved = 0
        arguments = ARGUMENTS if seed is None else f"{ARGUMENTS} --random_seed {seed}"
        self._model: Any = None
        if path is not None and path.exists():
            try:
                self._model = Workspace(arg_list=[*arguments.split(), "-i", str(path)])
            except Exception as exc:  # of a library in C++, about a file
                logger.warning("%s cannot be read, so a contextual selector begins anew: %s", path, exc)
        if self._model is None:
            self._model = Workspace(arguments)

    def renew_after_fork(self) -> None:
        """In a forked child: a lock of its own; the file is the parent's."""
        self._lock = threading.Lock()
        self._owner = None

    def probabilities(self, context: Mapping[str, Any], names: Sequence[str], floor: float) -> dict[str, float] | None:
        """Return how probable each is in this context; they add up to 1. None where the model is being written just now."""
        if not self._lock.acquire(timeout=MOST_WAIT_S):
            return None
        try:
            found = self._model.predict(_example(context, names))
        finally:
            self._lock.release()
        total = sum(found)
        return mixed({name: each / total for name, each in zip(names, found, strict=True)}, floor)

    def learn(
        self, context: Mapping[str, Any], names: Sequence[str], chosen: str, propensity: float, reward: float
    ) -> None:
        """Learn what came of a decision."""
        with self._lock:
            self._model.learn(_example(context, names, chosen, f"0:{-reward:.6g}:{propensity:.6g}"))
        self.learned += 1

    def save(self) -> None:
        """Write what was learned since, where this process keeps the file.

        Raises:
            OSError: It cannot be written.
        """
        if self._path is None or self._owner is None or self._saved == self.learned:
            return
        learned = self.learned
        new = self._path.with_name(f"{self._path.name}.new")
        with self._lock:
            self._model.save(str(new))
        new.replace(self._path)
        self._saved = learned


def _example(context: Mapping[str, Any], names: Sequence[str], chosen: str | None = None, label: str = "") -> list[str]:
    shared = " ".join(_feature(name, value) for name, value in context.items())
    return [
        f"shared |C {shared}",
        *(f"{label if name == chosen else ''} |A agent={_plain(name)}" for name in names),
    ]


def _feature(name: str, value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{_plain(name)}:{value:.6g}" if abs(value) < 1e30 else ""
    return f"{_plain(name)}={_plain(str(value))}"


def _plain(text: str) -> str:
    return _SPECIAL.sub("_", text)


def _owned(path: Path) -> int | None:
    """Return the lock of the process that keeps a model's file; None, and a line in the log, where another one does."""
    try:
        import fcntl

        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (ImportError, OSError) as exc:
        logger.warning("%s is not kept: %s", path, exc)
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        logger.warning("%s is kept by another process: what this one learns of contexts is in memory only", path)
        return None
    return file
