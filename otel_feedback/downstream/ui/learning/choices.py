"""Who chose agents, how, and what came of it; and what other policies would have brought on the same decisions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from otel_feedback.downstream.learning.policies.decisions import UnusableError, read
from otel_feedback.downstream.learning.policies.policy import usual
from otel_feedback.downstream.learning.policies.valuing import as_data, value_of
from otel_feedback.downstream.learning.selectors.choices import MEASURES, of_policy
from otel_feedback.downstream.learning.selectors.choices import choices as choices_of
from otel_feedback.downstream.ui.asking import Asked, RefusedError
from otel_feedback.downstream.ui.learning.beliefs import Beliefs, States, belief_of
from otel_feedback.downstream.ui.learning.newest import open_newest
from otel_feedback.downstream.ui.picture import step_s
from otel_feedback.downstream.ui.reader import Reader
from otel_feedback.errors import FeedbackError
from otel_feedback.events.model import epoch_us
from otel_feedback.learning.reward import Reward

__all__ = ["choices", "reward_of", "table", "values"]

MOST_POINTS = 100
LEAST_S = 900
"""How long a picture is at least, where more is asked for."""
MOST_DECISIONS = 20_000
"""Of a policy, the newest: it takes a second to say what others would have brought of these."""

CHOSEN = "choice_policy IS NOT NULL"
_COLUMNS = ("agent", "share", *MEASURES)


def reward_of(given: Mapping[str, str]) -> Reward | None:
    """Return the reward whose weights a query string has; None: it has none.

    Raises:
        RefusedError: One is no number from 0.
    """
    weights = {name: given[name] for name in ("cost_weight", "latency_weight") if name in given}
    try:
        return Reward(**{name: float(text) for name, text in weights.items()}) if weights else None
    except (ValueError, FeedbackError):
        said = ", ".join(f"{name}={text[:80]!r}" for name, text in weights.items())
        raise RefusedError(
            400, said, "use numbers from 0: what a US dollar, and a second, takes from a reward"
        ) from None


def choices(reader: Reader, asked: Asked, reward: Reward | None, beliefs: Beliefs | None) -> dict[str, Any]:
    """Return what `selectors.choices` returns, and of each policy `belief`: what is in its selector's file, as of now;
    besides `unread`, why a file says nothing.

    What selectors know is of all tenants, and shown to none of them. Where nobody gives weights, those of the selector
    count, where one is known.
    """
    states: States = [] if beliefs is None or reader.tenant is not None else beliefs.states()
    known = [state for _, state, _ in states if state is not None]
    objective = reward or (known[0].objective if len(known) == 1 else Reward())
    open_newest(reader, asked, only=CHOSEN)
    told = choices_of(
        reader, objective, lambda length_s: step_s(max(length_s, LEAST_S), most=MOST_POINTS), asked.until_ms
    )
    for policy in told["policies"]:
        policy["belief"] = belief_of(states, policy["candidates"])
    return {**told, "unread": [why for _, _, why in states if why is not None]}


def values(
    reader: Reader, asked: Asked, reward: Reward | None, policy: str, candidates: Sequence[str]
) -> dict[str, Any]:
    """Return what `valuing.as_data` returns, of each agent always and of any alike, on the newest decisions of a policy.

    `refused`: why nothing can be said of any.
    """
    open_newest(reader, asked, only=CHOSEN)
    reader.choose(of_policy(policy, candidates))
    cut = reader.query(f"SELECT event_time FROM outcomes ORDER BY event_time DESC LIMIT 1 OFFSET {MOST_DECISIONS}")
    if cut:
        reader.choose(f"epoch_us(event_time) > {epoch_us(cut[0][0])}")
    try:
        log = read(reader, (reward or Reward()).of)
    except UnusableError as exc:
        return {"refused": str(exc)}
    data = as_data(log, [value_of(log, each) for each in usual(log.agents)])
    return {**data, "is_cut": bool(cut), "refused": None}


def table(reader: Reader, asked: Asked) -> Iterator[Sequence[Any]]:
    """Yield the names of the columns, and then a row for each agent of each policy."""
    told = choices(reader, asked, None, None)
    rows = [
        [policy["policy"], policy["version"], policy["candidates"], *(agent[name] for name in _COLUMNS)]
        for policy in told["policies"]
        for agent in policy["agents"]
    ]
    yield ["policy", "version", "candidates", *_COLUMNS]
    yield rows
