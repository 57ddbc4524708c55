"""`otel-feedback slo check`: what is wrong with objectives, by line, and what would be right; else what they mean."""

from __future__ import annotations

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from otel_feedback.cli.console import number_of, open_console, write
from otel_feedback.cli.slo.place import OBJECTIVES, read_objectives
from otel_feedback.downstream.objectives.objective import Objective

__all__ = ["run"]


def run(*, objectives: str | None) -> int:
    """Check, and return the exit code: 0 when nothing is wrong, else 1."""
    wanted = read_objectives(objectives)
    if wanted is None:
        return 1
    console = open_console()
    write(console, Text(objectives or str(OBJECTIVES), "bold"))
    for each in wanted:
        lines = Group(*(Text(line) for line in _meaning(each)))
        write(console, Text(each.name, "bold"), Padding(lines, (0, 0, 0, 2)))
    write(console, Text(f"{number_of(len(wanted), 'objective')}, nothing wrong", "green"))
    return 0


def _meaning(objective: Objective) -> list[str]:
    each = f"of each {', '.join(objective.by)}" if objective.by else "of all together"
    patterns = (
        ("tenant", objective.tenant), ("agent", objective.agent), ("action", objective.action),
        ("service", objective.service),
    )  # fmt: skip
    only = [f"{part} {'|'.join(wanted)}" for part, wanted in patterns if "*" not in wanted]
    return [
        f"{objective.target * 100:.6g} % {_good(objective)} in {number_of(objective.days, 'day')}, {each}"
        + (f"; {', '.join(only)} only" if only else ""),
        f"budget: {objective.allowance * 100:.6g} % may be bad; with fewer than {objective.least:,d} nothing is said",
        _told(objective),
    ]


def _good(objective: Objective) -> str:
    match objective.kind:
        case "success":
            return "neither fail nor time out" + (", and are not partial" if objective.partial == "bad" else "")
        case "latency":
            return f"take at most {objective.threshold_ms:g} ms"
        case "cost" if objective.window is not None:
            return f"of the windows of {objective.window / 60:g} min cost at most ${objective.threshold_usd:g}"
        case "cost":
            return f"cost at most ${objective.threshold_usd:g}"
        case "quality":
            return f"of those that are scored have at least {objective.threshold_score:g}"


def _told(objective: Objective) -> str:
    if objective.told == "none":
        return "alerts: none"
    if objective.told == "burn":
        return "alerts: " + "; ".join(
            f"{burn.rate:g} times the budget over {_length(burn.long_s)} and {_length(burn.short_s)}"
            for burn in objective.burns
        )
    why = objective.unburnable
    return "alerts: when the budget is used up" + ("" if why is None else f" ({why})")


def _length(seconds: int) -> str:
    return f"{seconds // 3_600} h" if seconds >= 3_600 else f"{seconds // 60} min"
