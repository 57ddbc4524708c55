"""An environment for each peer, made once and kept under `~/.cache/otel-feedback/`, where the tests keep theirs.

Each has the peer, with whatever it depends on, and the OTel SDK with its OTLP exporter for the bare span that is measured
beside it. This package is in none of them: `benchmarks` comes by PYTHONPATH, and imports nothing there that needs it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.stack import cache
from tests.stack.errors import ServiceUnavailable

__all__ = ["PACKAGES", "python_of"]

_OTLP: Final = ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http")

PACKAGES: Final[Mapping[str, Sequence[str]]] = {
    "openlit": ("openlit==1.45.0",),
    "traceloop": ("traceloop-sdk==0.62.4", "httpx"),  # it imports httpx, and does not ask for it
    "phoenix": ("arize-phoenix-otel==0.17.2",),
    "langfuse": ("langfuse==5.0.4",),
    "logfire": ("logfire==5.4.0",),
    "sentry": ("sentry-sdk==2.75.0",),
}
"""What is installed of each peer, by the name that its module in `benchmarks.peers.sdks` ends with."""


def python_of(peer: str) -> Path:
    """Return the interpreter of a peer's environment, making that first where it is not there.

    Raises:
        ServiceUnavailable: pip could not install the packages.
    """
    wanted = (*PACKAGES[peer], *_OTLP)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    key = cache.build_key(f"peer-{peer}", version, wanted)

    def build(part: Path) -> None:
        python = str(part / "venv" / "bin" / "python")
        _run([sys.executable, "-m", "venv", str(part / "venv")])
        _run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *wanted])

    return cache.built(key, f"packages of {peer}", build) / "venv" / "bin" / "python"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-3:]
        raise ServiceUnavailable(f"{' '.join(command[1:4])}: {' '.join(last)}")
