"""Keep what is built once for all later runs, under `~/.cache/otel-feedback/`.

    otel-feedback/jaeger-2.13.0-1f3a…/     complete: renamed into place when the build was done
                  jaeger-2.13.0-1f3a….lock held by the process that builds
                  jaeger-2.13.0-1f3a….part being built, or left over from a build that was ended

The directory's name holds the version and a hash of the recipe, so a changed recipe builds anew
and an unchanged one never does. Parallel runs wait for the one that builds.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from tests.stack import progress
from tests.stack.errors import ServiceUnavailable

# A build that failed would fail again, minutes later, for every fixture that asks for it.
_failures: dict[str, str] = {}


def cache_root() -> Path:
    """Return the directory that holds the builds, by the XDG rules; it may not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths ignored.
    home = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return home / "otel-feedback"


def build_key(name: str, version: str, recipe: Sequence[str]) -> str:
    """Return the directory name for a build: its version, and a hash of all that shapes it."""
    parts = [platform.system(), platform.machine(), *recipe]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return f"{name}-{version}-{digest[:12]}"


def built(key: str, title: str, build: Callable[[Path], None]) -> Path:
    """Return the directory of a finished build, building it first where there is none.

    Args:
        key: from `build_key`.
        title: what a person reads while waiting.
        build: fills the empty directory that it is given.

    Raises:
        ServiceUnavailable: from `build`; remembered, so that a second call fails at once.
    """
    target = cache_root() / key
    if target.is_dir():
        return target
    if key in _failures:
        raise ServiceUnavailable(_failures[key])
    target.parent.mkdir(parents=True, exist_ok=True)
    with _lock(target.with_name(f"{key}.lock"), title):
        if target.is_dir():
            return target
        part = target.with_name(f"{key}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            with progress.step(title):
                build(part)
            part.rename(target)
        except ServiceUnavailable as error:
            _failures[key] = str(error)
            raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return target


# flock is held by an open file, so it also keeps two threads of this process apart.
@contextlib.contextmanager
def _lock(path: Path, title: str) -> Generator[None, None, None]:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress.step(f"waiting for another run that is busy with: {title}"):
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
