"""The destinations of the settings, as a process with these settings would have them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from otel_feedback.assembly import build_exporters
from otel_feedback.errors import ExportError
from otel_feedback.exporters.interface import Exporter, Identifying
from otel_feedback.pipeline.destinations import address_of, recognize
from otel_feedback.settings.settings import Settings

__all__ = ["Ours"]


class Ours:
    """Which destinations are ours; each is found out where it can be reached, which takes seconds where it cannot.

    Args:
        finds_out: Whether to try; else what is not known is told by its address.

    Raises:
        ConfigError: A setting cannot be used.
    """

    def __init__(self, settings: Settings, *, finds_out: bool = True) -> None:
        exporters: Sequence[Exporter] = [exporter for exporter in build_exporters(settings) if exporter.durable]
        for exporter in exporters if finds_out else ():
            if isinstance(exporter, Identifying):
                with contextlib.suppress(ExportError):  # who delivers says why
                    exporter.identify()
                exporter.close(0.0)
        self._exporters = {exporter.name: exporter for exporter in exporters}

    def __len__(self) -> int:
        return len(self._exporters)

    @property
    def names(self) -> Mapping[str, str]:
        """The destination of each exporter that is switched on."""
        return {name: exporter.destination for name, exporter in self._exporters.items()}

    def address(self, exporter: str) -> str:
        """Return where an exporter's destination is looked for, where that is not its name."""
        return address_of(self._exporters[exporter])

    def has(self, exporter: str, destination: str, address: str) -> bool:
        """Tell whether what was written down for a destination is for one of ours."""
        return recognize(self._exporters.get(exporter), destination, address) is not None
