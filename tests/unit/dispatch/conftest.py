"""What most tests dispatch with. Those that need another one have it under the same name."""

from __future__ import annotations

import pytest

from otel_feedback import ActionDispatcher, OrchestrationDispatcher
from otel_feedback.pipeline.pipeline import FeedbackPipeline


@pytest.fixture
def dispatcher(pipeline: FeedbackPipeline) -> ActionDispatcher:
    return ActionDispatcher()


@pytest.fixture
def orchestrator(pipeline: FeedbackPipeline) -> OrchestrationDispatcher:
    return OrchestrationDispatcher()
