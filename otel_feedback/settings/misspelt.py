"""Variables that look like one of ours, and are none: a misspelt setting is no error, it just changes nothing.

Input: the environment. Output: names, each with the nearest one that is right; a log line, once in a process.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from difflib import get_close_matches

from opentelemetry import environment_variables as of_the_api
from opentelemetry.sdk import environment_variables as of_the_sdk

from otel_feedback.logger import get_logger
from otel_feedback.settings.store import ALL_SETTINGS

__all__ = ["OURS", "misspelt", "tell_misspelt"]

logger = get_logger(__name__)

OURS = "OTEL_FEEDBACK_"
"""What begins so can be nobody else's."""
_OF_THE_TESTS = "OTEL_FEEDBACK_TEST_"
_STARTS = (OURS, "OTEL_", "KAFKA_", "ENABLE_")
_NEAR = 0.9
"""Share of letters in common. One or two letters too many, missing or swapped; not KAFKA_MAX_BATCH_SIZE of another program."""
_NEAR_OURS = 0.6
_FEWEST_WORDS = 3
"""Shorter names say too little without a word: KAFKA_TOPIC is anybody's."""

_told = False  # once in a process; two threads that tell it twice do no harm


def misspelt(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return the variables that change nothing and were probably meant to, each with the nearest name, if one is near.

    All unknown ones that begin as ours do; of others those alone that are near to a name of ours or of OpenTelemetry's
    which is not set itself.
    """
    of_others = {
        name
        for module in (of_the_api, of_the_sdk)
        for name in vars(module).values()
        if isinstance(name, str) and name.startswith("OTEL_")
    }
    ours = [setting.variable for setting in ALL_SETTINGS]
    known = {*ours, *of_others}
    # of those that are as near, the one that is more likely to be meant
    unset = [name for name in (*ours, *sorted(of_others, key=_is_rare)) if not environ.get(name)]
    rests = {setting.variable.removeprefix(OURS): setting.variable for setting in ALL_SETTINGS}
    found: dict[str, str | None] = {}
    for name in sorted(set(environ) - known):
        upper = name.upper()
        if upper.startswith(OURS):
            if not upper.startswith(_OF_THE_TESTS):
                near = get_close_matches(upper.removeprefix(OURS), rests, 1, _NEAR_OURS)
                found[name] = rests[near[0]] if near else None
        elif environ[name] and _begins_like_ours(upper):
            near = [other for other in unset if _lacks_a_word(upper, other)] or get_close_matches(
                upper, unset, 1, _NEAR
            )
            if near:
                found[name] = near[0]
    return found


def _is_rare(name: str) -> tuple[bool, str]:
    return "_OTLP_" not in name, name


def _lacks_a_word(name: str, right: str) -> bool:
    """Tell whether this is the right name without one of its words: KAFKA_SASL_PASSWORD."""
    words = right.split("_")
    return len(words) > _FEWEST_WORDS and name in {"_".join(words[:n] + words[n + 1 :]) for n in range(1, len(words))}


def _begins_like_ours(name: str) -> bool:
    """Tell whether it is worth a closer look: there may be hundreds of variables, and this is at every start."""
    return name.startswith(_STARTS) or bool(get_close_matches(name.partition("_")[0] + "_", _STARTS, 1, 0.8))


def tell_misspelt() -> None:
    """Log the misspelt variables of this process, the first time that it is asked to."""
    global _told  # noqa: PLW0603 # a fork's child has told, too
    if _told:
        return
    _told = True
    for name, near in misspelt(os.environ).items():
        hint = "" if near is None else f"; did you mean {near}?"
        with contextlib.suppress(Exception):  # a filter or handler of others
            logger.warning("%s is no setting and changes nothing%s", name, hint)
