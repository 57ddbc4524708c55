"""How a share is written, by commands, alerts and what the page shows of them: `77.3 %`."""

from __future__ import annotations

__all__ = ["percent"]


def percent(share: float, digits: int = 1) -> str:
    """Return a share of 1 in percent, with so many digits behind the point."""
    return f"{share * 100:.{digits}f} %"
