"""Whose a written-down destination is, and how it is shown and sent elsewhere. Pure functions, safe from any thread."""

from __future__ import annotations

import shlex

from otel_feedback.exporters.interface import Exporter, Identifying

__all__ = ["address_of", "is_identified", "recognize", "shown", "take_command"]


def recognize(exporter: Exporter | None, destination: str, address: str) -> tuple[str, str] | None:
    """Tell whether what was written down for a destination is for this exporter's.

    Returns:
        What is to be written down from now on: the destination and its address; None where it is for another one.
    """
    if exporter is None:
        return None
    if not isinstance(exporter, Identifying):
        return (destination, address) if destination == exporter.destination else None
    if not exporter.is_same(destination, address):
        return None
    # before it is known for certain, it keeps the name that somebody gave it who knew
    return (exporter.destination, exporter.address) if exporter.is_identified else (destination, address)


def is_identified(exporter: Exporter) -> bool:
    """Tell whether it is known for certain which destination an exporter has."""
    return not isinstance(exporter, Identifying) or exporter.is_identified


def address_of(exporter: Exporter) -> str:
    """Return where an exporter's destination is looked for, where that may not be its name; else nothing."""
    return exporter.address if isinstance(exporter, Identifying) else ""


def shown(destination: str, address: str) -> str:
    """Return a destination for people: by its name, and where it is."""
    return f"{destination} at {address.rpartition('/')[0]}" if address and address != destination else destination


def take_command(destination: str) -> str:
    """Return the command that sends what waits for this destination to the one of the settings."""
    return f"otel-feedback journal replay --take {shlex.quote(destination)}"
