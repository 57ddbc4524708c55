"""Making an OpenTelemetry context the current one, wherever Python runs our code: also in a finaliser.

Before Python 3.12 the garbage collector may run in the middle of any allocation, that of `ContextVar.set()` included,
and a finaliser that sets a context variable there frees what the interrupted one works on: the process crashes. A
stream that nobody reads any more is such a finaliser when it is part of a cycle. So nothing is made current while the
collector runs on the same thread; what is current there has nothing to do with the stream anyway.
"""

from __future__ import annotations

import gc
import sys
from threading import get_ident

from opentelemetry import context as context_api
from opentelemetry.context import Context

from otel_feedback.sdk.compat import current_variable

__all__ = ["get_current", "make_current"]

_variable = current_variable()
get_current = context_api.get_current if _variable is None else _variable.get
"""Return the current context of the thread or task."""
_attach = context_api.attach if _variable is None else _variable.set


class _Collector:
    """Where the garbage collector is at work."""

    thread = 0

    @classmethod
    def note(cls, phase: str, _info: dict[str, int]) -> None:
        cls.thread = get_ident() if phase == "start" else 0


def make_current(context: Context) -> None:
    """Make this the current context of the thread or task.

    There is no way back but to make another one current: a stream may end in another context than it began in, where
    the API logs a detach as an error.
    """
    if _Collector.thread == 0 or _Collector.thread != get_ident():
        _attach(context)


if sys.version_info < (3, 12):
    gc.callbacks.append(_Collector.note)
