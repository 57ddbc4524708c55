"""What the spans of others say of how their runs ended, beside what really happened: the table in README."""

from __future__ import annotations

from collections import Counter

from tests.replay.captures import FILES, Run, load_runs
from tests.replay.replaying import VARIANTS, events_of
from tests.replay.scoring import misses_of, visible

__all__ = ["table"]

_HAPPENED = {
    "it worked": {"success"},
    "it failed": {"failure"},
    "time ran out": {"timeout"},
    "it was cancelled, or its stream was left": {"cancelled", "partial"},
}


def table() -> str:
    """Return the runs by what happened, with what the span at the top says, and how many events say it right."""
    counts: dict[str, Counter[str]] = {happened: Counter() for happened in _HAPPENED}
    for run in (run for file in FILES for run in load_runs(file)):
        for happened, statuses in _HAPPENED.items():
            if run.is_certain and run.truth.status[0] in statuses:
                counts[happened].update(("runs", _says(run)))
                if "status" in visible(run.truth):
                    missed = {miss.fact for miss in misses_of(run, events_of(run, next(iter(VARIANTS.values()))))}
                    counts[happened].update(("shown", *(() if "status" in missed else ("right",))))
    lines = [
        "| What happened | runs | span says nothing or OK | span says ERROR | span never ends | `status` here |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for happened, count in counts.items():
        cells = (
            count["runs"],
            count["ok"],
            count["error"],
            count["open"],
            f"{count['right']} of {count['shown']} right",
        )
        lines.append(f"| {happened} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _says(run: Run) -> str:
    ids = {row.span_id for row in run.rows}
    named = [row for row in run.rows if row.span_id in run.truth.run_span_ids]
    rows = named or [
        row for row in run.rows if row.parent_id not in ids and row.span_id not in run.truth.not_run_span_ids
    ]
    if not all(row.ended for row in rows):
        return "open"
    return "error" if any(row.status.code.upper() == "ERROR" for row in rows) else "ok"
