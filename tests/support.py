"""Programs in processes of their own, for what one process can only do once: providers, exits, signals."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without any setting of ours, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "KAFKA_", "ENABLE_"))}
    return {**kept, **variables}


def run_python(
    program: str, variables: Mapping[str, str] | None = None, timeout_s: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run a program in a fresh interpreter and return what came of it."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=environment(**(variables or {})),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
