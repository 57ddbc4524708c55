"""A real file system, so small that a test fills it in no time."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from typing_extensions import Self

PAGE_BYTES = 4_096
FULL = "No space left on device"


class SmallDisk:
    """A file system of 2 MB: a context manager that makes and mounts it, and takes it away."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ballast = path / "ballast"
        self.is_mounted = False

    def __enter__(self) -> Self:
        self.path.mkdir()
        self.mount()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.unmount()

    def mount(self, *options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", ",".join(["size=2m", *options]), "tmpfs", str(self.path)]
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
        if mounted.returncode:
            pytest.skip(f"a file system cannot be mounted here: {mounted.stderr}")
        self.is_mounted = True

    def unmount(self) -> None:
        """Take it away, whoever uses it."""
        if self.is_mounted:
            subprocess.run(["umount", "-l", str(self.path)], check=True)
            self.is_mounted = False

    def make_writable(self) -> None:
        subprocess.run(["mount", "-o", "remount,rw", str(self.path)], check=True)

    def fill(self, *, but: int = 0) -> None:
        """Leave so many bytes free."""
        with self.ballast.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * PAGE_BYTES)
            except OSError as exc:
                assert FULL in str(exc)  # noqa: PT017 - the loop ends by it
            file.truncate(file.tell() - but)

    def free(self) -> None:
        self.ballast.unlink()
