"""A fork must not come in the middle of an import: the child would wait for a lock whose holder is not there.

Workers import their clients late, on their own threads, under this guard; forking waits for it, 100 ms at most
and once. CPython renews its own locks in a child, but not those of modules that are being imported.
"""

from __future__ import annotations

import os
import threading
from importlib import import_module

__all__ = ["import_guard", "import_host_lookup"]

import_guard = threading.RLock()


def import_host_lookup() -> None:
    """Import what looking up the first host would import, at any time and outside of any guard: its codec."""
    import_module("encodings.idna")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=import_guard.acquire, after_in_parent=import_guard.release, after_in_child=import_guard.release
    )
