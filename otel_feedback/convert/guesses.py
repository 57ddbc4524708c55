"""What open spans seemed to be that were looked at: those of one instrumentation say so in the same words again and again.

    names of its attributes, scope, name, and the values that tell ──► guess

Not thread-safe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from otel_feedback.convert.node import Guess
from otel_feedback.convert.span import Convention

__all__ = ["Guesses"]

MOST = 512
MOST_TEXT = 256
_LISTED = "metadata"
"""May name the agent among other things, and is another one each time."""

Key = tuple[Any, ...]


class Guesses:
    """The guesses of one reader, by all that decides them.

    Args:
        conventions: Nothing is remembered unless each says by which attributes' values it tells kind and agent, in
            `telling`. A user's own does not.
    """

    def __init__(self, conventions: Sequence[Convention]) -> None:
        told: list[frozenset[str] | None] = [getattr(known, "telling", None) for known in conventions]
        self._telling = frozenset[str]().union(*(names for names in told if names is not None))
        self._is_on = None not in told
        self._of_names: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._guesses: dict[Key, Guess] = {}
        self.get = self._guesses.get

    def __len__(self) -> int:
        return len(self._guesses)

    def key_of(self, attributes: Mapping[str, Any], name: str, scope: str) -> Key | None:
        """Return what decides the guess; None where that is not to be remembered."""
        if not self._is_on or _LISTED in attributes or len(name) > MOST_TEXT:
            return None
        names = tuple(attributes)
        telling = self._of_names.get(names)
        if telling is None:
            if len(self._of_names) >= MOST:
                self._of_names.clear()
            telling = self._of_names[names] = tuple(known for known in names if known in self._telling)
        values = [attributes[known] for known in telling]
        for value in values:
            if value.__class__ is not str or len(value) > MOST_TEXT:
                return None
        return names, scope, name, *values

    def put(self, key: Key, guess: Guess) -> None:
        """Remember one."""
        if len(self._guesses) >= MOST:
            self._guesses.clear()
        self._guesses[key] = guess
