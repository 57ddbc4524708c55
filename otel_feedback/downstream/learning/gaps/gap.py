"""A gap: a slice of the actions in which success or quality is lower than elsewhere, and what that cost. No I/O.

lost   what the slice lost more than as many actions elsewhere: actions that failed, or points of quality, 1 a whole one
cost   of what was paid for that which was lost, the part that this is: US dollars; took_ms, the time, alike
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from otel_feedback.downstream.learning.gaps.chance import FALSE_SHARE, Counted

__all__ = ["METRICS", "SORTS", "Example", "Gap", "Gaps", "LeftOut", "Slice", "as_data", "gap_of"]

Metric = Literal["success", "quality"]
METRICS: tuple[Metric, ...] = ("success", "quality")
SORTS: Mapping[str, str] = {"lost": "lost", "cost": "cost", "time": "took_ms"}
"""What gaps can be ordered by: the field for it."""


class Slice(msgspec.Struct, frozen=True):
    """One value of a dimension: `agent`, `action`, `tool`, `model`, `tenant`, `variant`, `tag`, or `metadata.<key>`."""

    dimension: str
    value: str

    def __str__(self) -> str:
        return f"{self.dimension} {self.value}"


class Example(msgspec.Struct, frozen=True):
    """An action that lost something: its ids."""

    event_id: str
    run_id: str | None


class Gap(msgspec.Struct, frozen=True):
    """Where less comes out than elsewhere. `here` and `elsewhere` are rates of success, or means of quality: 0 to 1."""

    metric: Metric
    number: int  # of those of its metric, as they were found: what an earlier one has is no part of it
    slices: tuple[Slice, ...]  # one, or two of which an action has both
    actions: int
    runs: int
    here: float
    elsewhere: float
    lost: float
    cost: float | None  # None: nobody said what any of it cost
    took_ms: float | None
    p: float  # accounts for all that was looked at
    same_as: tuple[tuple[Slice, ...], ...]  # others that are nearly the same actions
    examples: tuple[Example, ...]


class LeftOut(NamedTuple):
    """A dimension of which not all was looked at: how many values it has, and how many of them were."""

    dimension: str
    values: int
    looked_at: int


class Gaps(NamedTuple):
    """What was found: the gaps, the worst first, in what, and what was not looked at."""

    gaps: list[Gap]
    actions: int
    tests: int
    left_out: Sequence[LeftOut]


def gap_of(
    metric: Metric, number: int, slices: tuple[Slice, ...], here: Counted, rest: Counted, runs: int, p: float,
    same_as: tuple[tuple[Slice, ...], ...], examples: tuple[Example, ...],
) -> Gap:  # fmt: skip
    """Return the gap between what a slice and all the rest come to."""
    lost = here.loss - here.actions * rest.mean_loss
    part = lost / here.loss
    return Gap(
        metric, number, slices, here.actions, runs, 1 - here.mean_loss, 1 - rest.mean_loss, lost,
        here.cost * part if here.cost else None, here.took_ms * part if here.took_ms else None, p, same_as, examples,
    )  # fmt: skip


def as_data(found: Gaps) -> dict[str, Any]:
    """Return what was found as JSON has it, for a page or a program.

    `actions`, how many were looked at; `tests`, how many slices; `false_share`, how large a share of the gaps may be there by
    chance; `gaps`, a list with the fields of `Gap`, a slice as {"dimension", "value"}; `left_out`, a list of {"dimension",
    "values", "looked_at"}.
    """

    gaps = msgspec.json.decode(msgspec.json.encode(found.gaps))  # to_builtins would keep tuples
    left_out = [each._asdict() for each in found.left_out]
    return {
        "actions": found.actions, "tests": found.tests, "false_share": FALSE_SHARE, "gaps": gaps, "left_out": left_out,
    }  # fmt: skip
