"""What may change in a schema that is released, and what may not without a new major version.

Input: two texts of one language. Output: what breaks those who read by the older one. A registry's own check does not do: it
allows the removal of a field. Pure; safe on any thread.
"""

from __future__ import annotations

from typing import NamedTuple

from otel_feedback.downstream.contract.schemas import ALL_SCHEMAS
from otel_feedback.events.model import SCHEMA_VERSION

__all__ = ["Break", "breaks", "is_allowed"]


class Break(NamedTuple):
    """A change that breaks a reader or a writer of the released schema."""

    language: str
    field: str
    what: str

    def __str__(self) -> str:
        return f"{self.language}: {self.field} {self.what}"


def breaks(language: str, released: str, now: str) -> list[Break]:
    """Return what breaks between two texts of one language (a key of `ALL_SCHEMAS`); fields that are new and optional do not."""
    said = ALL_SCHEMAS[language].said
    before, after = said(released), said(now)
    found: list[Break] = []
    for name, told in before.items():
        if name not in after:
            found.append(Break(language, name, "is gone"))
        elif after[name].type != told.type:
            found.append(Break(language, name, f"was {told.type} and is {after[name].type}"))
        elif after[name].required != told.required:
            # to be left out is what a reader that relies on it cannot take; to be there is what a writer does not know
            found.append(
                Break(language, name, "is required now" if after[name].required else "is not required any more")
            )
    found += [
        Break(language, name, "is new, and required")
        for name, told in after.items()
        if name not in before and told.required
    ]
    return found


def is_allowed(released_version: str, version: str = SCHEMA_VERSION) -> bool:
    """Tell whether a version may break readers of the released one: it has a higher major number."""
    return int(version.partition(".")[0]) > int(released_version.partition(".")[0])
