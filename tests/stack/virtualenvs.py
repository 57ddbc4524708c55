"""Virtual environments with real packages, built once and kept under `~/.cache/otel-feedback/`."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.stack import cache
from tests.stack.steps import run_step
from tests.support import ROOT

__all__ = ["programs_beside_ours", "programs_with"]

# what of the project is installed rather than found by PYTHONPATH
_OURS = re.compile(r"^dependencies = \[$.*?^\]$|^\[project\.entry-points.*?(?=^$)", re.MULTILINE | re.DOTALL)


def programs_with(name: str, *installs: Sequence[str], recipe: Sequence[str]) -> Path:
    """Return the `bin` of an environment, making it first where it is not there.

    Args:
        name: what it is called in the cache.
        installs: the arguments of `pip install`, once or several times.
        recipe: all that shapes it; where that has changed it is made anew.

    Raises:
        ServiceUnavailable: pip could not install the packages.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"

    def build(part: Path) -> None:
        # the folder is renamed when it is complete: run its scripts by its interpreter, they name one that is gone
        place = part / "venv"
        run_step([sys.executable, "-m", "venv", str(place)], part)
        for arguments in installs:
            pip = [str(place / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            run_step([*pip, *arguments], part)

    return cache.built(cache.build_key(name, version, recipe), f"packages of {name}", build) / "venv" / "bin"


def programs_beside_ours(name: str, requirements: Path) -> Path:
    """Return the `bin` of an environment with what is in NAME.txt, this package and its dependencies.

    The package's code is not meant to be taken from it: put the root of the project on PYTHONPATH. A package of
    NAME-alone.txt, where there is such a file, comes without its dependencies: traceloop-sdk wants thirty
    instrumentations of libraries that are not there, and works without them.

    Raises:
        ServiceUnavailable: pip could not install the packages.
    """
    installs = [["-r", str(requirements), str(ROOT)]]
    recipe = [requirements.read_text("utf-8")]
    alone = requirements.with_stem(f"{requirements.stem}-alone")
    if alone.exists():
        installs.append(["--no-deps", "-r", str(alone)])
        recipe.append(alone.read_text("utf-8"))
    recipe += _OURS.findall((ROOT / "pyproject.toml").read_text("utf-8"))
    return programs_with(name, *installs, recipe=recipe)
