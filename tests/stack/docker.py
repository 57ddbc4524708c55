"""Run a service as a container, where a Docker engine answers and shares this host's loopback.

Containers use the host's network and listen on 127.0.0.1 only, so that every address is the same
as for a child process and the collector reaches a sink in this Python process. That is a Linux
engine's ability; elsewhere, and where it does not work out, the services are built instead.
"""

from __future__ import annotations

import functools
import platform
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.stack import progress, reaper
from tests.stack.errors import ServiceUnavailable, StackError

_COMMAND_TIMEOUT_S = 60.0
_PULL_TIMEOUT_S = 600.0


def require_engine() -> None:
    """Return if containers can be run here.

    Raises:
        ServiceUnavailable: if not, with the reason.
    """
    reason = _why_not()
    if reason:
        raise ServiceUnavailable(reason)


@functools.cache
def _why_not() -> str:
    if platform.system() != "Linux":
        return f"on {platform.system()} containers do not share the host's loopback"
    try:
        result = _docker("info", "--format", "{{.OSType}}")
    except FileNotFoundError:
        return "docker is not installed"
    except subprocess.TimeoutExpired:
        return "the engine does not answer"
    if result.returncode != 0 or result.stdout.strip() != "linux":
        return f"no engine: {_last_line(result.stderr or result.stdout)}"
    return ""


def pull(image: str) -> None:
    """Fetch an image that is not here yet.

    Raises:
        ServiceUnavailable: when it cannot be had.
    """
    if _docker("image", "inspect", image).returncode == 0:
        return
    with progress.step(f"pulling {image}"):
        result = _docker("pull", "--quiet", image, timeout_s=_PULL_TIMEOUT_S)
    if result.returncode != 0:
        raise ServiceUnavailable(f"cannot pull {image}: {_last_line(result.stderr)}")


class Container:
    """A service as a container; it can be started again after `kill`, with its files kept."""

    def __init__(
        self,
        name: str,
        image: str,
        *,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        mounts: Mapping[Path, str] | None = None,
    ) -> None:
        """Describe the container; nothing runs yet.

        Args:
            name: for messages; the container's own name adds something unique.
            image: name and pinned version.
            arguments: after the image's entry point.
            environment: set inside.
            mounts: host path to path inside, read-only.
        """
        self.name = name
        self._container = f"otel-feedback-{name}-{uuid.uuid4().hex[:12]}"
        self._image = image
        self._run = ["run", "--detach", "--network=host", f"--name={self._container}"]
        for key, value in (environment or {}).items():
            self._run.append(f"--env={key}={value}")
        for source, target in (mounts or {}).items():
            self._run.append(f"--volume={source}:{target}:ro")
        self._run += [image, *arguments]
        self._was_created = False

    def __repr__(self) -> str:
        return f"<Container {self._container} {self._image}>"

    def start(self) -> None:
        """Start the container.

        Raises:
            ServiceUnavailable: when the image cannot be had or the engine refuses.
        """
        if self._was_created:
            self._checked("start", self._container)
            return
        pull(self._image)
        reaper.watch_container(self._container)
        self._checked(*self._run)
        self._was_created = True

    def is_running(self) -> bool:
        result = _docker("inspect", "--format={{.State.Running}}", self._container)
        return result.stdout.strip() == "true"

    def pause(self) -> None:
        self._checked("pause", self._container)

    def resume(self) -> None:
        self._checked("unpause", self._container)

    def kill(self) -> None:
        self._checked("kill", self._container)

    def stop(self) -> None:
        """Remove the container with its files."""
        _docker("rm", "--force", "--volumes", self._container)
        self._was_created = False

    def output(self) -> str:
        result = _docker("logs", self._container)
        return result.stdout + result.stderr

    def _checked(self, *arguments: str) -> None:
        result = _docker(*arguments)
        if result.returncode != 0:
            what = f"docker {arguments[0]} of {self._image}: {_last_line(result.stderr)}"
            # Before the first start there is another way; later the test has lost its service.
            raise StackError(what) if self._was_created else ServiceUnavailable(what)


def _docker(*arguments: str, timeout_s: float = _COMMAND_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=timeout_s, check=False)


def _last_line(text: str) -> str:
    return next(reversed(text.strip().splitlines()), "no message")
