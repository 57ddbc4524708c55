"""What an instrumentor does not tell, so that no event can have it: the differences that are not ours, each with why."""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["KNOWN", "Limit", "without_known"]


class Limit(NamedTuple):
    """Patterns for the whole of `program instrumentor scenario` and of a difference, and why there is nothing to do."""

    where: str
    what: str
    why: str

    def explains(self, where: str, found: list[str]) -> bool:
        """Tell whether any of the differences is this one."""
        return bool(re.fullmatch(self.where, where)) and any(re.fullmatch(self.what, one) for one in found)


_BROKEN_OFF = "(cancellation|stream_abandoned|stream_cancelled)"

KNOWN = [
    Limit(
        "openai_sdk openai_openllmetry stream_read",
        r"llm: reasoning_tokens None, should be '10'",
        "spans of streamed chat completions have no reasoning tokens",
    ),
    Limit(
        "openai_sdk openai_openllmetry stream_cancelled",
        r"llm: status 'partial', should be 'cancelled'",
        "the span ends when its stream is collected, with status OK",
    ),
    Limit(
        "openai_sdk openai_v2 .*",
        r"llm: (cached_input_tokens|reasoning_tokens|own_cost) .*",
        "no cached and no reasoning tokens, so that the price is too high, too",
    ),
    Limit(
        "openai_sdk openai_v2 stream_abandoned",
        "llm: status 'success', should be 'partial'",
        "its span is the same as that of a stream which was read to its end, and whose usage nobody asked for",
    ),
    Limit("openai_sdk openai_v2 responses.*", ".*", "the responses API is not instrumented"),
    Limit(
        "(langgraph|langchain)_agents langchain_openllmetry .*",
        r"llm of \w+: reasoning_tokens None, should be '10'",
        "no reasoning tokens",
    ),
    Limit(
        "(langgraph|langchain)_agents langchain_openllmetry cancellation",
        r"llm of assistant: status 'partial', should be 'cancelled'",
        "the model call's span ends with no status, after what is above it",
    ),
    Limit(
        "(langgraph|langchain)_agents langchain_openllmetry nested",
        r"\S+( \S+)? of \w+: (belongs to|agent_name) .*",
        "the inner agent's span stands beside those of what it does; of LangGraph's they do not say whose they are",
    ),
    Limit(
        "langgraph_agents langchain_openinference.*",
        r"missing: agent .*|too many: agent of nobody, .*|(llm|tool \w+) of \w+: (agent_name ''|belongs to '\??'), .*",
        "a graph is a CHAIN, and only its node of the name agent is an AGENT, without a name",
    ),
    Limit(
        f"(langgraph|langchain)_agents langchain_openinference {_BROKEN_OFF}",
        r"(missing: llm of assistant|model calls of the roots add up to 0, should be 1)",
        "the span of a model call that is broken off never ends, and says nothing before",
    ),
    Limit(
        f"langgraph_agents langchain_openinference\\+openai_openinference {_BROKEN_OFF}",
        r"2 roots, should be 1: llm, workflow assistant",
        "what would join the two is that span, and the client's begins a trace of its own",
    ),
    Limit(
        "openai_agents_sdk agents_(openinference|openllmetry) .*",
        r"llm of assistant: model None, should be 'gpt-4o'",
        "the model is that of the answer, and there is none",
    ),
    Limit(
        "openai_agents_sdk agents_openllmetry nested",
        r"agent researcher of coordinator: belongs to '', should be 'coordinator'",
        "the inner agent's span is a child of the workflow's",
    ),
    Limit("openai_agents_sdk agents_genai.* handoff", "missing: handoff.*", "a handoff has no span"),
]


def without_known(where: str, found: list[str]) -> tuple[list[str], list[str]]:
    """Return the differences that are wrong, and those that are known."""
    known = [one for one in found if any(limit.explains(where, [one]) for limit in KNOWN)]
    return [one for one in found if one not in known], known
