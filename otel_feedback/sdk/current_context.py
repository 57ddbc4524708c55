"""Making an OpenTelemetry context the current one, wherever Python runs our code: also in a finaliser.

Before Python 3.12 the garbage collector may run in the middle of any allocation, that of `ContextVar.set()` included,
and a finaliser that sets a context variable there frees what the interrupted one works on: the process crashes. A
stream that nobody reads any more is such a finaliser when it is part of a cycle. So nothing is made current while the
collector runs on the same thread; what is current there has nothing to do with the stream anyway.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import partial
from threading import local
from types import SimpleNamespace
from typing import ClassVar

from opentelemetry import context as context_api
from opentelemetry.context import Context

from otel_feedback.sdk.compat.contexts import current_variable

__all__ = ["get_current", "make_current"]

_variable = current_variable()
get_current = context_api.get_current if _variable is None else _variable.get
"""Return the current context of the thread or task."""
_attach = context_api.attach if _variable is None else _variable.set


class _Collector:
    """Where the garbage collector is at work.

    Told in C alone. A callback of the collector that is written in Python is where the interpreter first looks for signals
    after a collection: what the program's handlers raise there, Ctrl-C above all, is printed and forgotten.
    """

    phase: ClassVar[set[str]] = set()  # the letters of the last one, "start" or "stop", and the keys of its info
    now = SimpleNamespace()  # the info of the last of each phase: a new object each time
    here = local()  # the same, of this thread

    @classmethod
    def is_here(cls) -> bool:
        """Tell whether it is this thread's finaliser that asks."""
        return "a" in cls.phase and getattr(cls.here, "start", None) is cls.now.start

    @classmethod
    def watch(cls) -> None:
        """Let the collector call, with the name of the phase and its info, what remembers them."""
        told: list[Callable[..., object]] = [partial(setattr, cls.now), partial(setattr, cls.here)]
        # no letter is a key: the first empties the set
        gc.callbacks.extend([*told, cls.phase.intersection_update, cls.phase.update])


_phase = _Collector.phase


def make_current(context: Context) -> None:
    """Make this the current context of the thread or task.

    There is no way back but to make another one current: a stream may end in another context than it began in, where
    the API logs a detach as an error.
    """
    if "a" not in _phase or not _Collector.is_here():
        _attach(context)


if sys.version_info < (3, 12):
    _Collector.watch()
