"""What a run's figures depend on: interpreter, libraries, broker, machine, and how busy the machine was."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version

__all__ = ["load", "of_machine"]

_PACKAGES = (
    "otel-feedback", "opentelemetry-api", "opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http",
    "kafka-python", "crc32c", "zstandard", "msgspec", "duckdb",
)  # fmt: skip


def of_machine() -> dict[str, str]:
    """Return names and versions; the broker's is known only when one runs (`Broker.version`)."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        **{name: _installed(name) for name in _PACKAGES},
        "os": platform.platform(),
        "machine": platform.machine(),
        "cpu count": str(os.cpu_count() or "unknown"),
    }


def load() -> str:
    """Return the load averages of 1, 5 and 15 minutes: above the number of CPUs, others were waiting."""
    if not hasattr(os, "getloadavg"):
        return "unknown"
    return ", ".join(f"{value:.2f}" for value in os.getloadavg())


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
