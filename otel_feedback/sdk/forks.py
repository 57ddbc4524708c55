"""Forks: when one may come, what a child renews, also where Python did not see the fork, and how a child ends.

A fork must not come in the middle of an import: the child would wait for a lock whose holder is not there. Workers
import their clients late, on their own threads, under this guard; forking waits for it, 100 ms at most and once. CPython
renews its own locks in a child, but not those of modules that are being imported. Nor does the C library renew that of
looking up a host (`lookups.py`): forking waits for a client that connects, too, and 100 ms at most.

Servers in C, as uWSGI, fork without a word to Python. Where something is recorded, one byte is looked at, which the kernel
clears in every child; then the child begins anew, as it would have at `os.fork`.
"""

from __future__ import annotations

import _thread
import contextlib
import mmap
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Generator
from importlib import import_module
from importlib.util import find_spec
from types import TracebackType
from typing import Protocol

from otel_feedback.logger import get_logger

__all__ = [
    "HERE", "begin_anew", "call_at_end_of_child", "call_in_child", "can_be_patched", "connecting", "import_guard",
    "import_host_lookup", "is_patched",
    "is_pool_child", "leaves_to_children", "may_be_patched", "renew_in_child", "runs_greenlets", "will_fork",
]  # fmt: skip


logger = get_logger(__name__)


class _Pid:
    """The same where the kernel clears nothing: by the number of the process, which costs a system call."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def __getitem__(self, _at: int) -> bool:
        return os.getpid() == self._pid

    def __setitem__(self, _at: int, _is_here: bool) -> None:
        self._pid = os.getpid()


FORKS_WAIT_S = 0.1
"""How long a fork waits for a client that connects, from when that began, in seconds: it looks up its first host at once."""

WIPE_ON_FORK = 18
"""MADV_WIPEONFORK of Linux 4.14 and later, which has no name in Python."""


def _mark() -> mmap.mmap | _Pid:
    if sys.platform == "linux":
        try:
            page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            page.madvise(WIPE_ON_FORK)
            return page
        except OSError:
            pass
    return _Pid()


HERE = _mark()
"""`HERE[0]` is false in a child that has not begun anew."""
HERE[0] = True


class Renewable(Protocol):
    """What has locks, threads or files that a forked child needs of its own."""

    def renew_after_fork(self) -> None:
        """In a forked child: begin anew, and leave to the parent what is the parent's."""
        ...


class _ImportGuard:
    """A re-entrant lock for `with`, which a child has anew."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, _type: type[BaseException] | None, _exc: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._lock.release()

    def renew(self) -> None:
        self._lock = threading.RLock()


import_guard = _ImportGuard()
_allocate_lock = _thread.allocate_lock
_connecting: dict[_thread.LockType, float] = {}  # held while one connects; until when forks wait for that, monotonic
_renewals: list[Callable[[], object]] = [import_guard.renew, _connecting.clear]
_begin_lock = threading.RLock()


def import_host_lookup() -> None:
    """Import what looking up the first host would import, at any time and outside of any guard: its codec."""
    import_module("encodings.idna")


@contextlib.contextmanager
def connecting() -> Generator[None, None, None]:
    """Have forks wait for what looks up its hosts in here: until that is over, and for 100 ms from now at most."""
    if is_patched():  # a fork that waits would hold up what it waits for
        yield
        return
    under_way = _allocate_lock()
    under_way.acquire()
    with import_guard:  # a fork that has looked for others is over then
        _connecting[under_way] = time.monotonic() + FORKS_WAIT_S
    try:
        yield
    finally:
        _connecting.pop(under_way, None)
        under_way.release()


def _before_fork() -> None:
    import_guard.__enter__()
    for under_way, until_s in list(_connecting.items()):
        if under_way.acquire(timeout=max(0.0, until_s - time.monotonic())):
            under_way.release()


def call_in_child(renew: Callable[[], object]) -> None:
    """Have this called in each forked child, in the order of these calls."""
    _renewals.append(renew)


def renew_in_child(owner: Renewable) -> None:
    """Have this renewed in each forked child, as long as somebody has it."""
    reference = weakref.ref(owner)

    def renew() -> None:
        if (alive := reference()) is not None:
            alive.renew_after_fork()

    call_in_child(renew)


def begin_anew() -> None:
    """Renew all that a child renews, unless that was done. Where something is recorded it is called if not `HERE[0]`.

    Never raises: what cannot be renewed keeps nothing else from it, and the program's own code, which may call this, goes on.
    """
    with _begin_lock:
        if not HERE[0]:
            for renew in _renewals:
                try:
                    renew()
                except Exception:
                    logger.exception("a forked child could not begin anew in everything")
            HERE[0] = True


def will_fork() -> bool:
    """Tell whether this is uWSGI's master, which goes on in its workers: a thread of it would be a lock in theirs.

    Its mules and spoolers have no number of a worker's either, and are forked already.
    """
    uwsgi = sys.modules.get("uwsgi")
    return uwsgi is not None and uwsgi.worker_id() == 0 and uwsgi.masterpid() in (0, os.getpid())


def leaves_to_children() -> bool:
    """Tell whether this process runs no Python any more once it has forked: uWSGI's master, not one that is a worker, too."""
    return will_fork() and sys.modules["uwsgi"].masterpid() > 0


def may_be_patched() -> bool:
    """Tell whether gevent or eventlet is there, so that a server may patch this child next: a thread should wait for that."""
    return "gevent" in sys.modules or "eventlet" in sys.modules


def can_be_patched() -> bool:
    """Tell whether gevent or eventlet is installed, so that this process may be patched by and by."""
    return may_be_patched() or find_spec("gevent") is not None or find_spec("eventlet") is not None


def is_patched() -> bool:
    """Tell whether gevent or eventlet has patched this process since this package was imported."""
    return _thread.allocate_lock is not _allocate_lock


def runs_greenlets() -> bool:
    """Tell whether threads are greenlets here: what waits in C, and not in Python, holds all of them up."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    # as the module is called in what gevent says by now, and was in Python 2
    if gevent is not None and (gevent.is_module_patched("_thread") or gevent.is_module_patched("thread")):
        return True
    return eventlet is not None and eventlet.is_monkey_patched("thread")


def is_pool_child() -> bool:
    """Tell whether this process is one of a pool's: it may end soon, and without exit handlers."""
    multiprocessing, billiard = sys.modules.get("multiprocessing.process"), sys.modules.get("billiard.process")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        return True
    return billiard is not None and billiard.current_process().daemon  # Celery's


def call_at_end_of_child(end: Callable[[], object]) -> None:
    """Have this called when this process ends, if it is one of multiprocessing or Celery that runs no exit handlers."""
    if not is_pool_child():
        return
    if (util := sys.modules.get("multiprocessing.util")) is not None:
        util.Finalize(None, end, exitpriority=0)
    if (signals := sys.modules.get("celery.signals")) is not None:
        signals.worker_process_shutdown.connect(lambda **_: end(), weak=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=lambda: import_guard.__exit__(None, None, None),
        after_in_child=begin_anew,
    )
