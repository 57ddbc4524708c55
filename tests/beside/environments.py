"""The environments with the packages of others, in the versions of `requirements/`."""

from __future__ import annotations

from pathlib import Path

from tests.stack.virtualenvs import programs_beside_ours

REQUIREMENTS = Path(__file__).parent / "requirements"
NAMES = ("genai", "oldest-duckdb", "oldest-sdk", "processes", "servers", "vendors")


def environment_of(name: str) -> Path:
    """Return the `bin` of one of them, making it first where it is not there."""
    return programs_beside_ours(f"beside-{name}", REQUIREMENTS / f"{name}.txt")
