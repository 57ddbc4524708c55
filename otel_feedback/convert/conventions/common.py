"""What conventions share: where identifiers stand, names of spans as names of agents, metadata in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from otel_feedback.convert.reading import Reading
from otel_feedback.convert.values import json_map, text, unquoted

__all__ = ["IDENTITY", "add_associations", "add_metadata", "agent_name_of", "stripped"]

IDENTITY: Final[Mapping[str, tuple[str, ...]]] = {
    "session_id": (
        "gen_ai.conversation.id", "session.id", "traceloop.association.properties.session_id",
        "traceloop.association.properties.thread_id", "traceloop.association.properties.conversation_id",
        "langfuse.session.id", "mlflow.trace.session",
    ),
    "user_id": (
        "user.id", "enduser.id", "gen_ai.user", "llm.user", "traceloop.association.properties.user_id",
        "mlflow.trace.user",
    ),
    "tenant_id": ("traceloop.association.properties.tenant", "traceloop.association.properties.tenant_id"),
    "correlation_id": ("traceloop.correlation.id",),
}  # fmt: skip

_FROM_METADATA: Final = (
    ("session_id", ("session_id", "thread_id", "conversation_id")),
    ("user_id", ("user_id",)),
    ("tenant_id", ("tenant", "tenant_id", "org_id")),
    ("agent_name", ("lc_agent_name",)),
)
_PREFIXES: Final = (
    "invoke_agent ", "create_agent ", "execute_tool ", "running tool: ", "invoke_workflow ", "MCP send ", "MCP handle ",
    "tools/call ",
)  # fmt: skip
_SUFFIXES: Final = (".agent", ".workflow", ".tool", ".task", ".run", ".kickoff", ".__call__", ".acall")


def stripped(name: str) -> str | None:
    """Return the name of a span without what instrumentation put around the name of what it is about."""
    if name.startswith(_PREFIXES):
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
    if name.endswith(_SUFFIXES):
        for suffix in _SUFFIXES:
            name = name.removesuffix(suffix)
    return text(name)


_NO_NAMES: Final = frozenset({
    "agent", "agent run", "invoke_agent", "agent_run", "default", "langgraph", "runnablesequence", "runnablelambda",
    "runnablewithfallbacks", "runnableparallel", "agentexecutor", "agent.run", "run", "invoke", "chain",
})  # fmt: skip


def agent_name_of(given: str | None) -> str | None:
    """Return the name unless it is the name of a class or an operation that stands where there is no name."""
    return None if given is None or given.lower() in _NO_NAMES else given


def add_metadata(reading: Reading, given: object) -> None:
    """Take identifiers out of a map of metadata, and the rest of its scalars as metadata."""
    if found := json_map(given):
        _take(reading, found)


def add_associations(reading: Reading, attributes: Mapping[str, Any], *prefixes: str, is_json: bool = False) -> None:
    """Take the attributes with a prefix as metadata: what the program said of its own span.

    Where two prefixes say the same, an identifier is that of the first, metadata that of the last.
    """
    identifiers, others = _with_prefix(tuple(attributes), prefixes)
    for field, name in identifiers:
        if getattr(reading, field) is None:
            value = attributes[name]
            if (value := text(unquoted(value) if is_json else value)) is not None:
                setattr(reading, field, value)
    said: dict[str, Any] = {}
    for name, key in others:
        value = unquoted(attributes[name]) if is_json else attributes[name]
        if isinstance(value, _SCALARS):
            said[key] = value
    if said:
        reading.metadata = {**reading.metadata, **said} if reading.metadata else said


@lru_cache(maxsize=256)
def _with_prefix(
    names: tuple[str, ...], prefixes: tuple[str, ...]
) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """Return which of the names with a prefix are identifiers, each with its field, and the others, each with its key."""
    identifiers: list[tuple[str, str]] = []
    others: list[tuple[str, str]] = []
    for prefix in prefixes:
        keys = {name[len(prefix) :]: name for name in names if name.startswith(prefix)}
        identifiers += [(field, keys[key]) for field, known in _FROM_METADATA for key in known if key in keys]
        others += [(name, key) for key, name in keys.items() if key not in _IDENTIFIERS]
    return tuple(identifiers), tuple(others)


def _take(reading: Reading, found: Mapping[str, Any]) -> None:
    if not _IDENTIFIERS.isdisjoint(found):
        for field, names in _FROM_METADATA:
            if getattr(reading, field) is None:
                for name in names:
                    if name in found and (value := text(found[name])) is not None:
                        setattr(reading, field, value)
                        break
    if said := _scalars(found):
        reading.metadata = {**reading.metadata, **said} if reading.metadata else said


def _scalars(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if isinstance(value, _SCALARS) and key not in _IDENTIFIERS}


_SCALARS: Final = (str, bool, int, float)
_IDENTIFIERS: Final = frozenset(name for _, names in _FROM_METADATA for name in names)
