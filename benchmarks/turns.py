"""Who is measured takes turns: each child makes one round while the others sleep, and each turn begins with another one.

So whatever slows the machine for a while slows neighbours, and the ratio of two rounds of the same turn does not show it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks.children import Child

__all__ = ["take_turns"]

Request = Mapping[str, Any]


def take_turns(
    children: Mapping[str, Child],
    requests: Mapping[str, Request],
    turns: int,
    are_warm: Callable[[], object] | None = None,
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Send each request to each child in every turn, and yield the name of the request, the child's, and the answer.

    Before the first turn each has answered once, unseen: imports are over, caches and the specialising interpreter are warm.
    `are_warm` is called then.
    """
    for child in children.values():
        for request in requests.values():
            child.ask(**request)
    if are_warm is not None:
        are_warm()
    names = tuple(children)
    for turn in range(turns):
        first = turn % len(names)
        for name in (*names[first:], *names[:first]):
            for asked, request in requests.items():
                yield asked, name, children[name].ask(**request)
