"""What a case is, and where all of them are: a named program, and the provider that it runs on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.conformance.wire.making import Setting, Stage

__all__ = ["Case", "Cases"]

Program = Callable[[Stage], object]


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        actions: how many spans actions have asked for; None: not looked at.
        counts_warnings: the same warnings as often; False: the same ones, however often. Where limits drop attributes,
            how often that is said depends on when they are put together.
        shares_times: an event has the times of the span with its ids; not where that has another end, or is not its own.
    """

    name: str
    program: Program
    setting: Setting
    actions: int | None = 1
    counts_warnings: bool = True
    shares_times: bool = True


class Cases(list[Case]):
    """The cases of one module; a decorator adds one."""

    def put(
        self,
        name: str,
        program: Program,
        *,
        actions: int | None = 1,
        counts_warnings: bool = True,
        shares_times: bool = True,
        **setting: Any,
    ) -> None:
        self.append(Case(name, program, Setting(**setting), actions, counts_warnings, shares_times))

    def __call__(self, **more: Any) -> Callable[[Program], Program]:
        """Add a function under its name."""

        def add(program: Program) -> Program:
            self.put(program.__name__.replace("_", " "), program, **more)
            return program

        return add
