"""OpenInference's kinds of spans, by the unified names."""

from __future__ import annotations

from typing import Final

__all__ = ["KINDS"]

KINDS: Final = {
    "AGENT": "agent",
    "CHAIN": "chain",
    "TOOL": "tool",
    "LLM": "llm",
    "EMBEDDING": "embedding",
    "RETRIEVER": "retrieval",
    "RERANKER": "retrieval",
    "GUARDRAIL": "guardrail",
    "EVALUATOR": "evaluation",
    "PROMPT": "step",
    "UNKNOWN": "step",
}
