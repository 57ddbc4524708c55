"""otel_feedback: every action of every agent becomes a span and an outcome event that is not lost.

    import otel_feedback as feedback

    pipeline = feedback.configure(service_name="support-bot")
    with feedback.action("reasoning", agent="react_agent") as act:
        act.add_usage(model="gpt-4o", input_tokens=900, output_tokens=120)

Names are imported when they are first used, so that `import otel_feedback` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from otel_feedback.version import __version__

if TYPE_CHECKING:
    from otel_feedback.bootstrap import configure, get_feedback_pipeline
    from otel_feedback.capture.action import action, current_action
    from otel_feedback.capture.handle import Action
    from otel_feedback.capture.propagation import extract, inject, inject_kafka
    from otel_feedback.dispatch.create import ActionDispatcher, OrchestrationDispatcher, create_dispatcher
    from otel_feedback.errors import ConfigError, ExportError, FeedbackError, SchemaError
    from otel_feedback.events.feedback import Feedback
    from otel_feedback.events.model import OutcomeEvent, OutcomeStatus, Severity
    from otel_feedback.learning.giving import give
    from otel_feedback.pipeline.log_records import OutcomeLogRecordProcessor
    from otel_feedback.pipeline.pipeline import FeedbackPipeline
    from otel_feedback.pipeline.processor import OutcomeSpanProcessor
    from otel_feedback.settings.kafka import KafkaConfig
    from otel_feedback.settings.settings import Settings, get_settings

__all__ = [
    "Action",
    "ActionDispatcher",
    "ConfigError",
    "ExportError",
    "Feedback",
    "FeedbackError",
    "FeedbackPipeline",
    "KafkaConfig",
    "OrchestrationDispatcher",
    "OutcomeEvent",
    "OutcomeLogRecordProcessor",
    "OutcomeSpanProcessor",
    "OutcomeStatus",
    "SchemaError",
    "Settings",
    "Severity",
    "__version__",
    "action",
    "configure",
    "create_dispatcher",
    "current_action",
    "extract",
    "get_feedback_pipeline",
    "get_settings",
    "give",
    "inject",
    "inject_kafka",
]

_HOME = {
    "Action": "capture.handle",
    "ActionDispatcher": "dispatch.create",
    "ConfigError": "errors",
    "ExportError": "errors",
    "Feedback": "events.feedback",
    "FeedbackError": "errors",
    "FeedbackPipeline": "pipeline.pipeline",
    "KafkaConfig": "settings.kafka",
    "OrchestrationDispatcher": "dispatch.create",
    "OutcomeEvent": "events.model",
    "OutcomeLogRecordProcessor": "pipeline.log_records",
    "OutcomeSpanProcessor": "pipeline.processor",
    "OutcomeStatus": "events.model",
    "SchemaError": "errors",
    "Settings": "settings.settings",
    "Severity": "events.model",
    "action": "capture.action",
    "configure": "bootstrap",
    "create_dispatcher": "dispatch.create",
    "current_action": "capture.action",
    "extract": "capture.propagation",
    "get_feedback_pipeline": "bootstrap",
    "get_settings": "settings.settings",
    "give": "learning.giving",
    "inject": "capture.propagation",
    "inject_kafka": "capture.propagation",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "OutcomeSpanProcessor":
        import_module("otel_feedback.bootstrap")  # it provides the default pipeline
    value = getattr(import_module(f"otel_feedback.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
