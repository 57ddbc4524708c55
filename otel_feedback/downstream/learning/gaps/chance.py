"""Whether a slice loses more than elsewhere by chance: p-values, as logarithms, and what is left of many of them.

- Failures: Fisher's exact test. The tail of a normal distribution is too thin where few failures are expected.
- Quality: the sum of ranks (Wilcoxon, Mann, Whitney), of which the variance without a difference is known.
- Actions of one run go together. A number of them counts as if it were as many times smaller as the variance of sums by run
  is larger than that of actions alone (the design effect of Rao and Scott, 1992), never as more.
- Many slices: Benjamini and Yekutieli (2001), which holds whatever the tests have to do with each other. Slices overlap, and
  a slice and its rest contradict each other, for which Benjamini and Hochberg's is not proven; it costs about ln of how many
  there are, at p-values where what is worth mending is far beyond.

Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["FALSE_SHARE", "Counted", "adjusted", "log_p", "log_p_of_failures", "log_p_of_ranks"]

FALSE_SHARE = 0.05
"""How large a share of what is told may be there by chance; without any gap, in how many of all looks one is told."""


class Counted(NamedTuple):
    """What a number of actions comes to: how many, what they lost, and the sum of their scores and of its squares."""

    actions: int
    loss: float
    score: float
    squares: float
    cost: float
    took_ms: float

    def without(self, part: Counted) -> Counted:
        """Return what is left of these without a part of them."""
        own = (max(each - of_part, 0.0) for each, of_part in zip(self[1:], part[1:], strict=True))
        return Counted(self.actions - part.actions, *own)

    @property
    def mean_loss(self) -> float:
        """What an action lost, of a whole success: 0 to 1."""
        return self.loss / self.actions if self.actions else 0.0


def log_p(metric: str, here: Counted, whole: Counted, factor: float) -> float:
    """Return the logarithm of how likely a part of actions loses as much as it does, or more, by chance.

    Args:
        metric: "success" or "quality".
        here: The part.
        whole: All of them.
        factor: As how many times fewer actions they count, since those of one run go together; at least 1.
    """
    if metric == "success":
        counts = (round(here.loss), here.actions, round(whole.loss), whole.actions)
        if factor > 1:  # down, where that makes it less
            failed, all_failed, everything = (
                math.floor(here.loss / factor),
                *(round(each / factor) for each in counts[2:]),
            )
            counts = (
                failed,
                min(round(here.actions / factor), failed + everything - all_failed),
                all_failed,
                everything,
            )
        return log_p_of_failures(*counts)
    return log_p_of_ranks(here, whole, factor)


def log_p_of_failures(failed: int, actions: int, all_failed: int, all_actions: int) -> float:
    """Return log P(X >= failed), X of a hypergeometric distribution: `actions` drawn of all, of which `all_failed` failed."""
    most = min(actions, all_failed)
    if failed > most or failed <= actions * all_failed / max(all_actions, 1):
        return 0.0 if failed <= most else -math.inf
    log_term = (
        _log_choose(all_failed, failed)
        + _log_choose(all_actions - all_failed, actions - failed)
        - _log_choose(all_actions, actions)
    )
    # each term is the one before it times a ratio below 1 that falls: beyond the mean
    term, total = 1.0, 1.0
    for number in range(failed, most):
        rest = all_actions - all_failed - actions + number + 1
        term *= (all_failed - number) * (actions - number) / ((number + 1) * rest)
        total += term
        if term < 1e-17 * total:
            break
    return min(log_term + math.log(total), 0.0)


def _log_choose(whole: int, part: int) -> float:
    if not 0 <= part <= whole:
        return -math.inf
    return math.lgamma(whole + 1) - math.lgamma(part + 1) - math.lgamma(whole - part + 1)


def log_p_of_ranks(here: Counted, whole: Counted, factor: float = 1.0) -> float:
    """Return the logarithm of how likely the scores of a part of actions are as high on average as they are, or higher."""
    rest = whole.actions - here.actions
    if min(here.actions, rest) < 1 or whole.actions < 2:
        return 0.0
    mean = whole.score / whole.actions
    variance = (whole.squares - whole.actions * mean * mean) / (whole.actions - 1)
    if variance <= 0:
        return 0.0
    z = (here.score / here.actions - mean) / math.sqrt(variance * factor / here.actions * rest / whole.actions)
    if z > 30:  # where erfc() is near to what a float can hold
        return -z * z / 2 - math.log(z * math.sqrt(2 * math.pi))
    return math.log(math.erfc(z / math.sqrt(2)) / 2)


def adjusted(log_ps: Sequence[float]) -> list[float]:
    """Return p-values that account for how many there are (Benjamini and Yekutieli), in the order of those given as logarithms."""
    count = len(log_ps)
    harmonic = math.log(count * sum(1 / number for number in range(1, count + 1))) if count else 0.0
    order = sorted(range(count), key=log_ps.__getitem__, reverse=True)
    result, least = [1.0] * count, 0.0
    for place, index in enumerate(order):
        least = min(least, log_ps[index] + harmonic - math.log(count - place))
        result[index] = math.exp(least)
    return result
