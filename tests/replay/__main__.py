"""`python -m tests.replay`: play all recorded runs again, and print what is right of what their spans show."""

from __future__ import annotations

import sys

from tests.replay.captures import FILES, load_runs
from tests.replay.replaying import VARIANTS, events_of
from tests.replay.scoring import Miss, Table, misses_of


def main() -> int:
    for name, variant in VARIANTS.items():
        table = Table()
        missed: list[Miss] = []
        for run in (run for file in FILES for run in load_runs(file)):
            misses = misses_of(run, events_of(run, variant))
            table.add(run, misses)
            missed += misses
        print(f"\n{name}: {table.right} of {table.seen} right")
        if name == next(iter(VARIANTS)):
            print(f"\n{table}\n")
        for miss in missed:
            print(f"  {miss.run}: {miss.fact} {miss.why}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
