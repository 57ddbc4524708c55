"""`docs/api.md`: everything public, from its own signature and docstring, so that neither can be out of step."""

from __future__ import annotations

import enum
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import otel_feedback as feedback
from otel_feedback import conventions, downstream, testing

__all__ = ["MEMBERS", "page"]

_HEAD = """\
# API

Everything public, from the code. Generated: `python -m tools.docs`. How it is used: [guide](guide.md). What is not here may
change with any version. Nothing of this raises in an agent's code after `configure()`, but for arguments of a query or of a
dispatcher that cannot be used, which are said at once.
"""

_PARTS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "Set up": (feedback, ("configure", "get_feedback_pipeline", "get_settings", "Settings", "KafkaConfig")),
    "Record": (feedback, ("action", "current_action", "Action")),
    "Experiment": (feedback, ("variant",)),
    "Feedback": (feedback, ("give", "Feedback")),
    "Dispatch": (feedback, ("create_dispatcher", "ActionDispatcher", "OrchestrationDispatcher")),
    "Choose agents": (feedback, ("AgentSelector", "Choice", "Reward")),
    "Read": (feedback, ("FeedbackPipeline", "OutcomeEvent", "OutcomeStatus", "Severity")),
    "Across processes": (feedback, ("inject", "inject_kafka", "extract")),
    "OpenTelemetry": (feedback, ("OutcomeSpanProcessor", "OutcomeLogRecordProcessor")),
    "Errors": (feedback, ("FeedbackError", "ConfigError", "SchemaError", "ExportError")),
    "Conventions of your own: `otel_feedback.conventions`": (conventions, tuple(conventions.__all__)),
    "Read the topic: `otel_feedback.downstream`": (downstream, tuple(downstream.__all__)),
    "Tests: `otel_feedback.testing`": (testing, ("captured_events", "CapturedEvents")),
}

MEMBERS: dict[str, tuple[str, ...]] = {
    "Action": ("event", "event_id", "add_usage", "score", "tag", "set_metadata", "partial", "fail", "cancel"),
    "FeedbackPipeline": (
        "get_recent_events", "record_outcome", "metrics", "force_flush", "shutdown", "producer_id",
    ),
    "ActionDispatcher": ("dispatch", "dispatch_sync", "add_pre_hook", "add_post_hook", "remove_hook", "hook_failures"),
    "OrchestrationDispatcher": ("execute_workflow",),
    "AgentSelector": (
        "choose", "candidates", "probabilities", "policy", "exclude", "include", "warm_up", "hear", "refresh", "state", "close",
    ),
    "Choice": ("learn", "action"),
    "Reward": ("of",),
    "OutcomeEvent": ("from_json", "to_json", "to_dict"),
    "CapturedEvents": ("of", "feedback"),
    "Feedback": ("to_json", "to_dict"),
    "OutcomeConsumer": ("run", "reject", "stop", "close", "metrics"),
    "AsyncOutcomeConsumer": ("run", "reject", "stop", "close", "metrics"),
    "FeedbackConsumer": ("run", "reject", "stop", "close", "metrics"),
    "AsyncFeedbackConsumer": ("run", "reject", "stop", "close", "metrics"),
    "ReceivedEvent": ("position", "headers", "unknown", "to_dict", "to_json"),
    "ReceivedFeedback": ("position", "headers", "to_dict", "to_json"),
}  # fmt: skip
"""What of a class is public; the rest of it is for the package's own use."""

_ATTRIBUTES = {
    "Action.event": "The finished `OutcomeEvent`, after the end; None before, and where everything is switched off.",
    "Action.event_id": "The id of its event: trace id, hyphen, span id.",
}
_ELSEWHERE = {
    "Settings": "Everything that can be set, read and checked. Its fields: [configuration](configuration.md).",
    "OutcomeEvent": "How one action ended. Its fields: [events](events.md).",
    "Feedback": "What somebody found of an action, or of a run. Its fields: [the record](feedback/giving.md#the-record).",
}
_NOT_MADE_BY_USERS = frozenset({
    "Action", "CallUsage", "CapturedEvents", "Choice", "Convention", "FeedbackPipeline", "ReceivedEvent",
})  # fmt: skip
_OVERLOADED = {"action": (("action_type: Any", "action_type: str"), (") -> Any", ") -> ActionContext"))}
"""What a type checker sees, where the function itself says less."""

_SECTIONS = re.compile(r"^(Args|Returns|Raises):\n((?:[ ]{4}.*\n|\n)+)", re.MULTILINE)
_WIDTH = 110


def page() -> str:
    """Return the page.

    Raises:
        ValueError: Something public is in no part of it, or has no docstring.
    """
    listed = {name for home, names in _PARTS.values() for name in names if home is feedback}
    missing = set(feedback.__all__) - listed - {"__version__"}
    if missing:
        raise ValueError(f"{sorted(missing)} are public and in no part of tools.api")
    parts = [_HEAD]
    for title, (home, names) in _PARTS.items():
        parts.append(f"## {title}\n")
        for name in names:
            parts += _entry(name, getattr(home, name), "###")
            for member in MEMBERS.get(name, ()):
                parts += _entry(f"{name}.{member}", inspect.getattr_static(getattr(home, name), member), "####")
    return "\n".join(parts)


def _entry(name: str, value: Any, level: str) -> Iterator[str]:
    yield f"{level} {name}\n"
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__  # type: ignore[attr-defined]
    if inspect.isclass(value) and issubclass(value, enum.Enum):
        yield f"{_text(value, name)}\n"
        yield ", ".join(f"`{one.value}`" for one in value) + "\n"
        return
    if name in _ATTRIBUTES:
        yield f"{_ATTRIBUTES[name]}\n"
        return
    if name in _ELSEWHERE:
        yield f"{_ELSEWHERE[name]}\n"
        return
    if name in _NOT_MADE_BY_USERS:
        yield _text(value, name).partition("\n\n**Args**")[0] + "\n"
        return
    if callable(value):
        yield f"```py\n{_signature(name, value)}\n```\n"
    yield f"{_text(value, name)}\n"


def _signature(name: str, value: Callable[..., Any]) -> str:
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return name
    told = [_parameter(one) for one in found.parameters.values() if one.name not in ("self", "cls")]
    kinds = [one.kind for one in found.parameters.values() if one.name not in ("self", "cls")]
    if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        told.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    if inspect.Parameter.POSITIONAL_ONLY in kinds:
        told.insert(len([kind for kind in kinds if kind is inspect.Parameter.POSITIONAL_ONLY]), "/")
    given = "" if found.return_annotation in (found.empty, None, "None") else f" -> {_kind(found.return_annotation)}"
    prefix = "async " if inspect.iscoroutinefunction(value) else ""
    line = f"{prefix}{name}({', '.join(told)}){given}"
    if len(line) > _WIDTH:
        line = f"{prefix}{name}(\n" + "".join(f"    {one},\n" for one in told) + f"){given}"
    for said, seen in _OVERLOADED.get(name, ()):
        line = line.replace(said, seen)
    return line


def _parameter(one: inspect.Parameter) -> str:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}.get(one.kind, "")
    kind = "" if one.annotation is one.empty else f": {_kind(one.annotation)}"
    if one.default is one.empty:
        return f"{stars}{one.name}{kind}"
    default = "…" if " at 0x" in repr(one.default) else repr(one.default)
    return f"{stars}{one.name}{kind} = {default}" if kind else f"{one.name}={default}"


def _kind(annotation: Any) -> str:
    if isinstance(annotation, str):
        return annotation
    return annotation.__name__ if inspect.isclass(annotation) else str(annotation).replace("typing.", "")


def _text(value: Any, name: str) -> str:
    said = inspect.getdoc(value)
    if not said:
        raise ValueError(f"{name} is public and has no docstring")

    def as_list(match: re.Match[str]) -> str:
        body = textwrap.dedent(match[2]).rstrip()
        if match[1] == "Returns":
            return f"**Returns** {body}\n\n"
        items = re.sub(r"^(\w+): ", r"- `\1`: ", body, flags=re.MULTILINE)
        return f"**{match[1]}**\n\n{items}\n\n"

    return re.sub(r"\n{3,}", "\n\n", _SECTIONS.sub(as_list, f"{said}\n")).rstrip()
