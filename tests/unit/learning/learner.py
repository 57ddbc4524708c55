"""Learns without end, in a process of its own that is killed: `python -m tests.unit.learning.learner FILE AGENT [hang]`.

Says on stdout after each look how many outcomes it has learned that are in the file by then; with `hang` it stops for good in
the middle of writing the file for the third time, and says so.
"""

from __future__ import annotations

import os
import sys
import time

from otel_feedback.learning.selector.selector import AgentSelector

AGENTS: tuple[str, ...] = ("a", "b", "c")


def main(path: str, agent: str, *, hangs: bool) -> None:
    writes = 0

    def hang(file: int) -> None:
        nonlocal writes
        writes += 1
        if writes == 3:
            os.truncate(file, 40)  # half of it is on the disk
            print("hangs", flush=True)
            time.sleep(1_000)

    if hangs:
        os.fsync = hang
    selector = AgentSelector(AGENTS, state=path, refresh_s=None, half_life_s=None)
    learned = 0
    while True:
        choice = selector.choose()
        while choice.name != agent:
            choice = selector.choose()
        choice.learn(1.0)
        selector.refresh()
        learned += 1
        print(learned, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], hangs="hang" in sys.argv)
