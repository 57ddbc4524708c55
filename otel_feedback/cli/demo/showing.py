"""What the demos show while they run: nothing, lines, or a view that is drawn anew on a terminal.

Input: all that there is so far, again and again. Output: the terminal. Used by one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from rich.console import Console, RenderableType
from rich.live import Live

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Feed", "Screen", "Silent"]

Shown_contra = TypeVar("Shown_contra", contravariant=True)


class Feed(Protocol[Shown_contra]):
    """Shows what there is while it gets more."""

    def show(self, so_far: Sequence[Shown_contra], at_s: float) -> None:
        """Show these, among which are those of the last call, or later revisions of them, so many seconds after the begin."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None: ...


class Silent(Generic[Shown_contra]):
    """Shows nothing; what shows lines only needs no end either."""

    def show(self, so_far: Sequence[Shown_contra], at_s: float) -> None:
        """Nothing: all is written at the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Nothing was opened."""


class Screen:
    """A view at the end of a terminal, which the next one replaces; the last one stays."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)

    def draw(self, view: RenderableType) -> None:
        """Put this in place of what is there."""
        self._live.update(view, refresh=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._live.__exit__(exc_type, exc, tb)
