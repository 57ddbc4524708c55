"""Whether a forked child can look up hosts: one whose parent was just looking one up may not, for good.

The C library of Linux (glibc) takes a lock while it reads `/etc/resolv.conf`, before it looks up any name, and another one while it
asks the kernel for the addresses of this machine: for a name that has several addresses, or where only those are wanted that can be
reached from here (AI_ADDRCONFIG), as librdkafka has it. In a child it renews other locks, and not these. They are held for some
microseconds, on a busy machine for milliseconds; a child that is forked meanwhile waits for them for ever, whatever it looks up.
Nobody can give them back; a process that is started anew has its own.
"""

from __future__ import annotations

import contextlib
import socket
import threading

from otel_feedback.sdk.forks import call_in_child, runs_greenlets

__all__ = ["can_look_up"]

LOOK_S = 2.0
"""How long a lookup that asks no other machine may take, in seconds."""

_NEAR = b"localhost"
"""Bytes: a text would import a codec, and a fork must not come in the middle of that."""


class _Lookups:
    """What is known of them in this process."""

    def __init__(self) -> None:
        self._is_known = True
        self._work = True

    def renew_after_fork(self) -> None:
        self._is_known = False

    def work(self) -> bool:
        if not self._is_known:
            self._work = _can_look()
            self._is_known = True
        return self._work


_lookups = _Lookups()
call_in_child(_lookups.renew_after_fork)


def can_look_up() -> bool:
    """Tell whether the C library can look up hosts in this process; found out once in each forked child, within 2 s. Thread-safe."""
    return _lookups.work()


def _can_look() -> bool:
    if runs_greenlets():  # there is no other thread to try it
        return True
    trying = threading.Thread(target=_look, name="otel-feedback-lookup", daemon=True)
    try:
        trying.start()
    except RuntimeError:  # the interpreter is going down
        return True
    trying.join(LOOK_S)
    return not trying.is_alive()


def _look() -> None:
    with contextlib.suppress(OSError):
        socket.getaddrinfo(_NEAR, 0, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
