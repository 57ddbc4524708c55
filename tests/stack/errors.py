"""What can go wrong with a service that a test needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


class StackError(Exception):
    """Base of everything that `tests.stack` raises."""


class ServiceUnavailable(StackError):
    """This machine cannot provide the service; a test that needs it skips, or fails where CI=true."""


class NotReadyError(StackError):
    """The service was started and did not get ready, or did not do in time what was awaited.

    Never a reason to skip: something is broken.
    """


def first_possible(service: str, attempts: Sequence[tuple[str, Callable[[], T]]]) -> T:
    """Return the result of the first attempt that does not raise `ServiceUnavailable`.

    Args:
        service: what is being looked for, for the message.
        attempts: pairs of a short name for the way and the way itself, best first.

    Raises:
        ServiceUnavailable: listing every way and why it was closed.
    """
    tried: list[str] = []
    for name, attempt in attempts:
        try:
            return attempt()
        except ServiceUnavailable as error:
            tried.append(f"{name}: {error}")
    raise ServiceUnavailable(f"no {service} to be had here; tried " + "; ".join(tried))
