"""`python -m benchmarks.peers`: what one action costs with other SDKs and with ours, in bare spans.

Makes an environment for each SDK once, from the package index; everything else stays on this machine. A table on stdout,
progress on stderr. Ends with 1 when one could not be measured, and says why; the others are reported all the same.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks import versions
from benchmarks.command import command
from benchmarks.peers.environments import python_of
from benchmarks.peers.measuring import OURS, PEERS, measure, versions_of
from benchmarks.report import Report, Result, telling

NAMES = (OURS, *PEERS)


def run(names: Sequence[str], *, is_quick: bool) -> Report:
    """Measure these, one after the other."""
    results: dict[str, Result] = {}
    failed: dict[str, str] = {}
    for name in names:
        if name in PEERS:
            with telling(failed, name):
                python_of(name)  # before the load is looked at: installing takes CPU
    found = {**versions.of_machine(), "load at the start": versions.load()}
    for name in names:
        if name not in failed:
            with telling(failed, name):
                if name in PEERS:
                    found[name] = versions_of(name)
                results[name] = measure(name, is_quick=is_quick)
    found["load at the end"] = versions.load()
    return Report(found, is_quick, results, failed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    return command("python -m benchmarks.peers", __doc__, NAMES, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
