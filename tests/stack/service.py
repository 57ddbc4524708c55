"""What the three services have in common: somebody else's or our own, a log, an end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType

from typing_extensions import Self

from tests.stack.errors import NotReadyError, ServiceUnavailable
from tests.stack.processes import Runnable, wait_ready

READY_TIMEOUT_S = 60.0


class Service(ABC):
    """A running service. One from the environment belongs to somebody else and is left alone."""

    kind = "service"

    def __init__(self, runnable: Runnable | None) -> None:
        """Wrap a service.

        Args:
            runnable: None where the service came from the environment.
        """
        self._runnable = runnable

    @property
    def is_own(self) -> bool:
        """Whether this process started the service, and so may look into it and break it."""
        return self._runnable is not None

    def require_own(self) -> None:
        """Return if the service is our own.

        Raises:
            ServiceUnavailable: if it is somebody else's, which a test cannot look into or break.
        """
        self._own()

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether the service answers now."""

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Return once the service answers.

        Raises:
            NotReadyError: with the last lines of the service's log.
        """
        wait_ready(self._own(), self.is_ready, timeout_s=timeout_s)

    def start(self) -> None:
        """Start the service, also again after `kill`, and wait until it answers."""
        self._own().start()
        self.wait_ready()

    def stop(self) -> None:
        """End the service if it is our own."""
        if self._runnable is not None:
            self._runnable.stop()

    def output(self) -> str:
        """Return the service's log so far."""
        return self._own().output()

    def _own(self) -> Runnable:
        if self._runnable is None:
            raise ServiceUnavailable(f"needs a {self.kind} of our own")
        return self._runnable

    def start_container(self) -> None:
        """Start the service where another way is left if it does not work out."""
        try:
            self.start_process()
        except NotReadyError as error:
            raise ServiceUnavailable(str(error)) from error

    def start_process(self) -> None:
        """Start the service where this is the last way; end it if it does not get ready."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
