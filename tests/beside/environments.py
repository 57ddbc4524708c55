"""Environments with the real packages, built once and kept under `~/.cache/otel-feedback/`.

What is in `requirements/NAME.txt`, this package and its dependencies. A package of `NAME-alone.txt` comes without its
dependencies: traceloop-sdk wants thirty instrumentations of libraries that are not there, and works without them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.stack import cache
from tests.stack.errors import ServiceUnavailable

ROOT = Path(__file__).parents[2]
REQUIREMENTS = Path(__file__).parent / "requirements"
NAMES = ("genai", "vendors")


def environment_of(name: str) -> Path:
    """Return the `bin` of an environment, making it first where it is not there.

    The package's code is not meant to be taken from it: put the root of the project on PYTHONPATH.

    Raises:
        ServiceUnavailable: pip could not install the packages.
    """
    files = [path for path in (REQUIREMENTS / f"{name}.txt", REQUIREMENTS / f"{name}-alone.txt") if path.exists()]
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    # what of the project is installed rather than found by PYTHONPATH
    ours = re.findall(
        r"^dependencies = \[$.*?^\]$|^\[project\.entry-points.*?(?=^$)", project, re.MULTILINE | re.DOTALL
    )
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    key = cache.build_key(f"beside-{name}", version, [*(path.read_text("utf-8") for path in files), *ours])

    def build(part: Path) -> None:
        # the folder is renamed when it is complete: run its scripts by its interpreter, they name one that is gone
        place = part / "venv"
        _run([sys.executable, "-m", "venv", str(place)])
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        _run([*pip, "-r", str(files[0]), str(ROOT)])
        for path in files[1:]:
            _run([*pip, "--no-deps", "-r", str(path)])

    return cache.built(key, f"packages for tests/beside: {name}", build) / "venv" / "bin"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-3:]
        raise ServiceUnavailable(f"{' '.join(command[1:4])}: {' '.join(last)}")
