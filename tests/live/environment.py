"""The environment of the frameworks: built once, under `~/.cache/otel-feedback/`, so that the project's own stays light."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.stack import cache
from tests.stack.errors import ServiceUnavailable

__all__ = ["ROOT", "python"]

ROOT = Path(__file__).parents[2]


def python() -> Path:
    """Return the interpreter of the environment. This package's code comes by PYTHONPATH, its dependencies are there.

    Raises:
        ServiceUnavailable: pip could not install the packages.
    """
    requirements = Path(__file__).with_name("requirements.txt")
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    ours = re.findall(r"^dependencies = \[$.*?^\]$", project, re.MULTILINE | re.DOTALL)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    key = cache.build_key("live", version, [requirements.read_text("utf-8"), *ours])

    def build(part: Path) -> None:
        _run([sys.executable, "-m", "venv", str(part / "venv")])
        pip = [str(part / "venv" / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        _run([*pip, "-r", str(requirements), str(ROOT)])

    return cache.built(key, "frameworks for tests/live", build) / "venv" / "bin" / "python"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-3:]
        raise ServiceUnavailable(f"{' '.join(command[1:4])}: {' '.join(last)}")
