"""Forks: when one may come, and how a child ends.

A fork must not come in the middle of an import: the child would wait for a lock whose holder is not there. Workers
import their clients late, on their own threads, under this guard; forking waits for it, 100 ms at most and once. CPython
renews its own locks in a child, but not those of modules that are being imported.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from importlib import import_module

__all__ = ["call_at_end_of_child", "import_guard", "import_host_lookup", "is_pool_child"]

import_guard = threading.RLock()


def import_host_lookup() -> None:
    """Import what looking up the first host would import, at any time and outside of any guard: its codec."""
    import_module("encodings.idna")


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
        before=import_guard.acquire, after_in_parent=import_guard.release, after_in_child=import_guard.release
    )
