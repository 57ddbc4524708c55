"""`python -m tools.contract`: compare the schemas of events and feedback with those that are released; `--release`: release these.

The schemas as they are now are in `docs/schemas/`, written by `python -m tools.docs`; what was released last is in
`docs/schemas/released/`, and its version in `VERSION` there. Ends with 1 where something breaks those who read by it and the
event's schema version has no higher major number.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from otel_feedback.downstream.contract.gate import Break, breaks, is_allowed
from otel_feedback.downstream.contract.schemas import ALL_SCHEMAS
from otel_feedback.events.model import SCHEMA_VERSION

__all__ = ["broken", "main", "release"]

RELEASED = Path(__file__).parents[1] / "docs" / "schemas" / "released"


def broken(released: Path = RELEASED) -> list[Break]:
    """Return what breaks those who read by what is released; nothing where a new major version says so."""
    if is_allowed((released / "VERSION").read_text("utf-8").strip()):
        return []
    return [
        each
        for language, schema in ALL_SCHEMAS.items()
        for each in breaks(language, (released / schema.file).read_text("utf-8"), schema.text())
    ]


def release(released: Path = RELEASED) -> None:
    """Take the schemas as they are for released."""
    released.mkdir(parents=True, exist_ok=True)
    for schema in ALL_SCHEMAS.values():
        (released / schema.file).write_text(schema.text(), "utf-8")
    (released / "VERSION").write_text(f"{SCHEMA_VERSION}\n", "utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.contract", description=__doc__)
    parser.add_argument("--release", action="store_true", help="take these for released, unless they break readers")
    options = parser.parse_args(arguments)
    found = broken()
    for each in found:
        sys.stdout.write(f"{each}\n")
    if found:
        sys.stdout.write(
            f"readers of the released schemas break: keep what they rely on, or give SCHEMA_VERSION ({SCHEMA_VERSION}) a "
            "higher major number\n"
        )
        return 1
    if options.release:
        release()
    return 0


if __name__ == "__main__":
    sys.exit(main())
