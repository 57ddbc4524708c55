"""`variant()`: the variant of an experiment that a unit gets, and the action that asked says so.

    variant("prompt-7", {"a": 0.5, "b": 0.5}, unit=user_id) ──► "b"
        └──► the action that is open: experiment, variant, propensity, and that it asked, which is an exposure
                 └──► actions inside, and those of other processes, if `baggage_fields` has `experiment`

Nothing is kept: who asks computes the same everywhere. Threads: any. Guarantee: no value raises into the caller's code, and
an action that never asks pays nothing.
"""

# pyright: reportPrivateUsage=false
# an action's handle belongs to its agent; what drives it stays out of the agent's sight

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from enum import Enum
from hashlib import blake2b
from threading import get_ident
from traceback import format_exc
from typing import Any, cast

from opentelemetry import context as context_api
from opentelemetry import trace

from otel_feedback import semconv
from otel_feedback.capture.action import current_action
from otel_feedback.capture.handle import IDENTITY_KEY, Action
from otel_feedback.capture.numbers import clean_amount
from otel_feedback.capture.propagation import EXPERIMENT
from otel_feedback.capture.runtime import in_force
from otel_feedback.capture.switched_off import SwitchedOff
from otel_feedback.events.started import StartedAction
from otel_feedback.logger import get_logger
from otel_feedback.redaction.limits import Problems, safe_str
from otel_feedback.redaction.scrubbing import scrub

__all__ = ["variant"]

logger = get_logger(__name__)

_NAME, _VARIANT, _PROPENSITY = EXPERIMENT
_MARK = semconv.METADATA_EXPOSURE
_WEIGHTS = "experiment.weights"
_said: set[tuple[str, str]] = set()
_MOST_SAID = 1_000


def variant(experiment: str, weights: Mapping[str, float], *, unit: object = None) -> str:
    """Return the variant of an experiment that this unit gets, and note it in the action that is open.

    The same unit always gets the same while weights stay as they are to each other: in every process, and with nothing kept.
    When weights change, a unit moves only to a variant that has grown against the one that it leaves. So, to grow one
    variant at the cost of all others, raise its weight and leave theirs.

    The action that asks is an exposure: its event, and those of the actions inside, have `experiment`, `variant` and
    `propensity`. An action has one experiment, the last that it asked for; ask for another in an action of its own.

    Args:
        experiment: Its name. A new one shuffles the units anew.
        weights: By variant how much of the traffic it gets: numbers of at least 0, which need not add up to 1.
        unit: Whose variant it is, for example a user's id. Default: the run's, which keeps the one that it has, also in
            another process; where there is no run, one is drawn.

    Returns:
        A key of `weights`. A weight that is no number is left out, said in the log and named in the event's metadata; where
        none can be used it is the first variant, and no experiment is noted.

    Never raises for its values.
    """
    try:
        return _variant(experiment, weights, unit)
    except Exception:
        logger.error("variant() failed; the program goes on with the first one\n%s", scrub(format_exc()))
        return _first(weights)


def _variant(experiment: Any, weights: Any, unit: Any) -> str:
    name, problems, act = _text(experiment), Problems(), current_action()
    usable = _usable(name, weights, problems)
    if act is not None:
        for field in problems.invalid:
            act._notes().invalid.append(field)
    if not usable:
        return _first(weights)
    total = sum(usable.values())
    identity = act.identity if act is not None else cast("Mapping[str, Any]", context_api.get_value(IDENTITY_KEY) or {})
    if unit is None or (isinstance(unit, str) and not unit):
        had = identity.get(_VARIANT) if identity.get(_NAME) == name else None
        if had in usable:  # the run's, also where another process drew it
            chosen, propensity = cast(str, had), identity.get(_PROPENSITY, usable[cast(str, had)] / total)
        else:
            chosen = _drawn(name, _run_id(act, identity) or _random(name), usable)
            propensity = usable[chosen] / total
    else:
        chosen = _drawn(name, _unit(name, unit), usable)
        propensity = usable[chosen] / total
    if not name:
        _say("name", name, "an experiment needs a name: what was asked for without one is in no event")
    elif act is None:
        _say("action", name, f"variant({name!r}) was asked for where no action is open: it is in no event")
    elif not isinstance(act, SwitchedOff):
        _note(act, experiment, chosen, propensity)
    return next(key for key in weights if _text(key) == chosen)


# -- who gets what -------------------------------------------------------------------------------------------------


def _drawn(experiment: str, unit: str, weights: Mapping[str, float]) -> str:
    """Return the variant of a unit: weighted rendezvous hashing.

    Each variant runs a race against the others: it arrives after an exponential time, by a hash of experiment, unit and
    variant, divided by its weight. So it is first with a probability that is its share of the weights, and a weight that
    grows lets only that one be earlier.
    """
    salt = blake2b(f"{len(experiment)}:{experiment}{unit}".encode("utf-8", "surrogatepass"), digest_size=16).digest()

    def arrival(name: str) -> tuple[float, str]:
        hashed = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, key=salt).digest()
        point = ((int.from_bytes(hashed, "big") >> 11) + 0.5) / 2**53
        return -math.log(point) / weights[name], name

    return min(weights, key=arrival)


def _usable(experiment: str, weights: Any, problems: Problems) -> dict[str, float]:
    """Return the weights above 0 by the text of their variant; what is none is noted, and said once."""
    if not isinstance(weights, Mapping):
        problems.invalid.append(_WEIGHTS)
        text = f"the weights of experiment {experiment!r} are no mapping of variants to numbers, such as"
        text += f' {{"a": 0.5, "b": 0.5}}, but a {type(weights).__name__}: the first variant goes for all'
        _say("weights", experiment, text)
        return {}
    usable: dict[str, float] = {}
    for key, weight in cast("Mapping[Any, Any]", weights).items():
        name = _text(key)
        number = clean_amount(weight, _WEIGHTS, problems)
        if number is None:
            text = (
                f"the weight of variant {name!r} in experiment {experiment!r} is {safe_str(weight)[:40]!r}, no number"
            )
            _say("weights", experiment, f"{text} of at least 0: it is left out")
        elif number > 0:
            usable[name] = number
    if not usable or math.isinf(sum(usable.values())):
        problems.invalid.append(_WEIGHTS)
        text = f"no variant of experiment {experiment!r} has a weight above 0 that can be used"
        _say("none", experiment, f"{text}: the first goes for all")
        return {}
    return usable


def _unit(experiment: str, unit: Any) -> str:
    text = _text(unit)
    if type(unit).__str__ is object.__str__ and type(unit).__repr__ is object.__repr__:
        what = f"the unit of experiment {experiment!r} is a {type(unit).__name__}"
        _say("unit", experiment, f"{what}, whose text is another each time: give its id")
    return text


def _run_id(act: Action | None, identity: Mapping[str, Any]) -> str | None:
    """Return the run that what happens here belongs to."""
    if act is not None:
        return act.partition_key or None
    run_id = identity.get(semconv.OUTCOME_RUN_ID)
    span = trace.get_current_span().get_span_context()
    return run_id or (f"{span.trace_id:032x}" if span.is_valid else None)


def _random(experiment: str) -> str:
    what = f"variant({experiment!r}) was asked for without a unit and outside of a run"
    _say("drawn", experiment, f"{what}: it is drawn anew each time")
    return f"{random.getrandbits(64):x}"


def _text(value: Any) -> str:
    return safe_str(value.value if isinstance(value, Enum) else value)


def _first(weights: Any) -> str:
    """Return the first variant, whatever the weights are; nothing where there is none."""
    try:
        return next(iter(cast("Iterable[str]", weights)), "")
    except Exception:
        return ""


# -- what is said of it --------------------------------------------------------------------------------------------


def _note(act: Action, experiment: Any, chosen: str, propensity: float) -> None:
    """Let the action, and what begins inside from now on, say what it takes part in."""
    name = act.redaction.name
    told = {
        _NAME: name(experiment, "experiment", act._notes), _VARIANT: name(chosen, "variant", act._notes),
        _PROPENSITY: propensity,
    }  # fmt: skip
    earlier = {key: (act._noted or {}).get(key) for key in (_NAME, _VARIANT)}
    if _MARK in act._metadata and any(told[key] != was for key, was in earlier.items()):
        what = f"an action asked for several variants, {experiment!r} at last: its event has that one alone"
        _say("several", _text(experiment), f"{what}; ask for each in an action of its own")
    act.note(told)
    act._identity = {**act._identity, **told}
    act._metadata = {**act._metadata, _MARK: True}
    act.started.update(told)  # where spans of others below look for what they inherit
    recorder = in_force.now.recorder
    # should the process die now, it is this variant's failure; of an action that another thread may end the note might stay
    if recorder is not None and recorder.notes_starts and act._thread == get_ident():
        attributes = {**act.started, semconv.OUTCOME_METADATA_PREFIX + _MARK: True}
        recorder.note_start(StartedAction(act.event_id, act.start_ns, act.partition_key, attributes, act.is_sampled))


def _say(kind: str, experiment: str, message: str) -> None:
    """Log it, the first time that there is something of this kind to say of this experiment."""
    if in_force.now.enabled and (kind, experiment) not in _said and len(_said) < _MOST_SAID:
        _said.add((kind, experiment))
        logger.warning("%s", scrub(message))
