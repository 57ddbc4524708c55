"""For tests of programs that use this package: what happened, as a list of events, without services or disk.

    from otel_feedback.testing import captured_events

    with captured_events() as events:
        run_my_agents()
    assert [event.status for event in events.of(agent_name="react_agent")] == ["success"]

As a pytest plugin, `pytest_plugins = ["otel_feedback.testing"]`, it offers the same list as the fixture `outcome_events`.

PYTEST_DONT_REWRITE: there is nothing to rewrite here, and pytest would warn where a conftest has imported it before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, overload

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from otel_feedback import bootstrap
from otel_feedback.events.feedback import Feedback
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus
from otel_feedback.journal.memory import MemoryJournal
from otel_feedback.pipeline.pipeline import FeedbackPipeline

if TYPE_CHECKING:
    import pytest

__all__ = ["CapturedEvents", "captured_events"]

MOST_EVENTS = 100_000


class CapturedEvents(Sequence[OutcomeEvent]):
    """The events of one block, in the order in which their actions ended; compares like a list.

    It grows while the block lasts, also by other threads. Of an action that sends an event when it starts there is one
    event, the newest.
    """

    def __init__(self, pipeline: FeedbackPipeline) -> None:
        self._pipeline = pipeline

    def of(
        self,
        *,
        action_type: str | None = None,
        agent_name: str | None = None,
        status: OutcomeStatus | str | None = None,
        workflow_id: str | None = None,
    ) -> list[OutcomeEvent]:
        """Return the events that match all of these."""
        return self._pipeline.get_recent_events(MOST_EVENTS, status, agent_name, action_type, workflow_id)

    @property
    def feedback(self) -> list[Feedback]:
        """What was given by `give()`, in that order: the newest thousand."""
        return list(self._pipeline.feedback.recent)

    @overload
    def __getitem__(self, index: int) -> OutcomeEvent: ...
    @overload
    def __getitem__(self, index: slice) -> list[OutcomeEvent]: ...
    def __getitem__(self, index: int | slice) -> OutcomeEvent | list[OutcomeEvent]:
        return self.of()[index]

    def __len__(self) -> int:
        return len(self.of())

    def __iter__(self) -> Iterator[OutcomeEvent]:
        return iter(self.of())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self.of() == list(other)

    __hash__ = None  # type: ignore[assignment] # as a list's

    def __repr__(self) -> str:
        told = (f"{event.agent_name or '-'} {event.action_type} {event.status.value}" for event in self.of())
        return f"[{', '.join(told)}]"


@contextlib.contextmanager
def captured_events(service_name: str = "tests") -> Generator[CapturedEvents]:
    """Capture the events of all actions inside the block, in this process, and nothing else of them.

    Args:
        service_name: What the events say.

    Whether the program is configured, or configures itself inside, or is switched off: nothing is sent, written or
    logged, and `configure()` and `get_feedback_pipeline()` give the pipeline that captures. Afterwards everything is as
    it was. Of blocks in each other the innermost captures. Actions only: spans that others make stay with their
    TracerProvider.
    """
    pipeline = FeedbackPipeline(
        new_journal=lambda: MemoryJournal(1, service_name), ring_size=MOST_EVENTS, service_name=service_name
    )
    # not the program's: its processors would take the spans, and with them the events
    provider = TracerProvider(sampler=ALWAYS_ON, resource=Resource.get_empty(), shutdown_on_exit=False)
    with bootstrap.stand_in(pipeline, provider):
        try:
            yield CapturedEvents(pipeline)
        finally:
            pipeline.shutdown(timeout_s=0)
            provider.shutdown()


def pytest_configure(config: pytest.Config) -> None:
    """Offer the fixture; pytest calls this where it has loaded the module as a plugin."""
    import pytest

    class Fixtures:
        @pytest.fixture
        def outcome_events(self) -> Iterator[CapturedEvents]:
            """The outcome events of this test, without services or disk."""
            with captured_events() as events:
                yield events

    config.pluginmanager.register(Fixtures(), f"{__name__}.fixtures")
