"""`otel-feedback selector learn`: what a selector's file would have, had it learned from all events that there are.

Each time it is worked out anew from the events, so nothing is lost or counted twice, whenever this ends.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from datetime import datetime, timezone

import msgspec

from otel_feedback.cli.console import failed, moment, number_of
from otel_feedback.cli.reading.source import Source, answering, opened, source_of, tell, watched
from otel_feedback.downstream.learning.selectors.learning import COLUMNS, learned, since_of
from otel_feedback.downstream.tables.selection import Selection
from otel_feedback.learning.reward import Reward
from otel_feedback.learning.selector.beliefs import Beliefs
from otel_feedback.learning.selector.best import mixed, probabilities_of_being_best
from otel_feedback.learning.selector.state import FOLLOWER, PROGRAMS, State, StateError, StateFile, new_epoch

__all__ = ["run"]

HALF_LIFE_S = 3_600.0
FLOOR = 0.05


def run(
    file: str, *, source: Sequence[str], bootstrap_servers: str | None, selection: Selection, half_life_s: float | None,
    floor: float | None, cost_weight: float | None, latency_weight: float | None, every_s: float | None,
) -> int:  # fmt: skip
    """Learn, and return the exit code.

    Args:
        file: Where what was learned goes.
        source: What `--from` says.
        bootstrap_servers: In place of the setting.
        selection: Which events.
        half_life_s: As of an `AgentSelector`, and so are those that follow; None: as the file has it.
        every_s: How often, until Ctrl-C; None: once.
    """

    def work() -> int:
        asked = source_of(source, bootstrap_servers)
        shared = StateFile(file)
        try:
            known = shared.read()
            with shared.owned() if every_s is not None else contextlib.nullcontext():
                learning = _Learning(shared, known, selection, half_life_s, floor, cost_weight, latency_weight)
                learning.once(asked, FOLLOWER if every_s is not None else PROGRAMS)
                while every_s is not None:
                    time.sleep(every_s)
                    learning.once(asked, FOLLOWER)
        except StateError as exc:
            failed(str(exc), "see that it may be read and written, and that only one follows for it")
            return 1
        except KeyboardInterrupt:
            return 0
        return 0

    return answering(work)


class _Learning:
    """Works out what is known, and writes it."""

    def __init__(
        self, shared: StateFile, known: State | None, selection: Selection, half_life_s: float | None,
        floor: float | None, cost_weight: float | None, latency_weight: float | None,
    ) -> None:  # fmt: skip
        is_new = known is None or not known.version
        before = State(half_life_s=HALF_LIFE_S, floor=FLOOR) if known is None or is_new else known
        self._shared, self._selection, self._epoch = shared, selection, new_epoch()
        self._half_life_s = before.half_life_s if half_life_s is None else half_life_s
        self._floor = before.floor if floor is None else floor
        self._objective = Reward(
            before.objective.cost_weight if cost_weight is None else cost_weight,
            before.objective.latency_weight if latency_weight is None else latency_weight,
        )
        self._is_said = False

    def once(self, source: Source, learned_from: str) -> None:
        now = datetime.now(timezone.utc)
        since = self._selection.since or since_of(self._half_life_s, now)
        selection = self._selection._replace(since=since)
        with opened(source, selection, COLUMNS) as tables:
            beliefs = watched(tables, lambda: learned(tables, self._objective, self._half_life_s, now, selection))
            if not self._is_said:
                tell(tables)
        self._write(beliefs, learned_from)
        if not self._is_said:
            outcomes = sum(belief.outcomes for belief in beliefs.of.values())
            feedback = sum(belief.feedback for belief in beliefs.of.values())
            print(
                f"{number_of(outcomes, 'outcome')} of {number_of(len(beliefs.of), 'agent')}, {feedback:,} with feedback, "
                f"{'all' if since is None else f'since {moment(since)}'}, of {source.said} -> {self._shared.path}"
                + ("; Ctrl-C ends" if learned_from == FOLLOWER else ""),
                flush=True,
            )
            self._is_said = True

    def _write(self, beliefs: Beliefs, learned_from: str) -> None:
        names = sorted(beliefs.of)
        best = probabilities_of_being_best([beliefs.of[name] for name in names])
        weighed = mixed(dict(zip(names, best, strict=True)), self._floor)

        def change(known: State | None) -> State:
            before = State() if known is None else known
            return msgspec.structs.replace(
                before.with_beliefs(beliefs, weighed, objective=self._objective, floor=self._floor),
                learned_from=learned_from, epoch=self._epoch,
            )  # fmt: skip

        self._shared.update(change)
