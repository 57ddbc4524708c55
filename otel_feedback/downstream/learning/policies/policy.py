"""A policy: how probable each agent is, of those that may be chosen. Read from what people write. No threads; files alone are read.

always:planner    uniform    weights:planner=0.7,writer=0.3    state:selector.json
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec

from otel_feedback.errors import FeedbackError

__all__ = ["FORMS", "UNIFORM", "Policy", "PolicyError", "policy_of", "usual"]

FORMS = "always:AGENT, uniform, weights:AGENT=0.7,AGENT=0.3, or state:FILE"


class PolicyError(FeedbackError):
    """A text is no policy, or its file none; the message says what would be right."""


class Policy(NamedTuple):
    """How agents are chosen. `weights` add up to anything above 0; None: all that may be chosen, alike."""

    name: str
    weights: Mapping[str, float] | None

    def probabilities(self, candidates: Sequence[str]) -> Mapping[str, float] | None:
        """Return how probable it makes each of those that may be chosen; None where it would choose none of them."""
        weights = {name: 1.0 if self.weights is None else self.weights.get(name, 0.0) for name in candidates}
        total = math.fsum(weights.values())
        return {name: weight / total for name, weight in weights.items()} if total > 0 else None


UNIFORM = Policy("uniform", None)
MOST_AGENTS = 20


def usual(agents: Sequence[str]) -> list[Policy]:
    """Return what is asked for where nobody names a policy: each agent always, of the first ones, and any."""
    return [*(Policy(f"always:{name}", {name: 1.0}) for name in agents[:MOST_AGENTS]), UNIFORM]


def policy_of(text: str) -> Policy:
    """Read a policy.

    Raises:
        PolicyError: It is none, or its file cannot be used.
    """
    kind, colon, rest = text.strip().partition(":")
    if kind == "uniform" and not colon:
        return UNIFORM
    if kind == "always" and rest:
        return Policy(text, {rest: 1.0})
    if kind == "weights" and rest:
        return Policy(text, _checked(text, _pairs(text, rest)))
    if kind == "state" and rest:
        return Policy(text, _checked(text, _of_state(Path(rest).expanduser())))
    raise PolicyError(f"{text!r} is no policy: expected {FORMS}")


def _pairs(text: str, rest: str) -> dict[str, Any]:
    weights: dict[str, Any] = {}
    for each in rest.split(","):
        name, _, weight = each.rpartition("=")
        name = name.strip()
        try:
            number = float(weight) if name else None
        except ValueError:
            number = None
        if number is None:
            raise PolicyError(f"{text!r}: {each!r} is no weight of an agent: expected weights:planner=0.7,writer=0.3")
        if name in weights:
            raise PolicyError(f"{text!r}: {name} is there twice")
        weights[name] = number
    return weights


def _of_state(path: Path) -> dict[str, Any]:
    """Return the probabilities in what `otel-feedback selector export` wrote, or in an object of names and numbers."""
    try:
        told = msgspec.json.decode(path.read_bytes())
    except OSError as exc:
        raise PolicyError(f"state:{path} cannot be read: {exc.strerror}") from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise PolicyError(f"state:{path} is no JSON: {exc}") from exc
    agents = told.get("agents", told) if isinstance(told, dict) else None
    if not isinstance(agents, dict):
        raise PolicyError(f"state:{path} has no agents: expected an object of names and probabilities")
    known = cast("dict[str, Any]", agents)
    return {name: of.get("probability") if isinstance(of, dict) else of for name, of in known.items()}


def _checked(text: str, weights: Mapping[str, Any]) -> dict[str, float]:
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 <= weight < math.inf:
            raise PolicyError(f"{text!r}: {name} has {weight!r}: expected a number from 0")
    if not sum(weights.values()):
        raise PolicyError(f"{text!r}: no agent has a weight above 0")
    return dict(weights)
