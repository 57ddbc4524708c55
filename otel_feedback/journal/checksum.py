"""CRC-32C, the checksum of a frame: as Kafka, ext4 and iSCSI have it.

Processors have an instruction for it. zlib's CRC-32 looks 8 KB of tables through instead, which an agent would have to bring into
its cache for each action: that takes longer than the sum.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from typing import Any

__all__ = ["crc32c"]

_MODULE = "crc32c._crc32c"


def _c_module() -> Any:
    """Return the part of the package `crc32c` that is written in C.

    The package itself asks for its version when it is imported, which would make the start of every program 6 ms longer.
    """
    known = sys.modules.get(_MODULE)
    if known is not None:
        return known
    package = find_spec("crc32c")
    found = None if package is None else PathFinder.find_spec(_MODULE, package.submodule_search_locations)
    if found is None or found.loader is None:
        import crc32c

        return crc32c
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module


crc32c: Callable[[bytes], int] = _c_module().crc32c
"""Return the checksum of some bytes."""
