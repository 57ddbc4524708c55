"""Every attribute of spans and metrics, and every log event name, that this package reads or writes, each with its source.

`gen_ai.*`, `error.*`, `exception.*`, `user.*`, `session.*` and `service.*` are names of the OpenTelemetry
semantic conventions; `outcome.*` are ours, used where the conventions have no name.
"""

from __future__ import annotations

from typing import Final

# OpenTelemetry semantic conventions, GenAI registry (attributes gen_ai.*).
GEN_AI_AGENT_NAME: Final = "gen_ai.agent.name"
GEN_AI_CONVERSATION_ID: Final = "gen_ai.conversation.id"
GEN_AI_EVALUATION_EVENT: Final = "gen_ai.evaluation.result"
"""Span event, and log record: how good somebody found what a model or an agent gave."""
GEN_AI_EVALUATION_EXPLANATION: Final = "gen_ai.evaluation.explanation"
GEN_AI_EVALUATION_NAME: Final = "gen_ai.evaluation.name"
GEN_AI_EVALUATION_SCORE_LABEL: Final = "gen_ai.evaluation.score.label"
GEN_AI_EVALUATION_SCORE_VALUE: Final = "gen_ai.evaluation.score.value"
GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 # of a model, not of a login
GEN_AI_TOOL_NAME: Final = "gen_ai.tool.name"
GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
GEN_AI_USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
GEN_AI_USAGE_REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
GEN_AI_WORKFLOW_NAME: Final = "gen_ai.workflow.name"

# OpenTelemetry semantic conventions, general registry.
ERROR_TYPE: Final = "error.type"
EXCEPTION_EVENT: Final = "exception"
EXCEPTION_ESCAPED: Final = "exception.escaped"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"
EXCEPTION_TYPE: Final = "exception.type"
SERVICE_NAME: Final = "service.name"
USER_ID: Final = "user.id"
ERROR_TYPE_OTHER: Final = "_OTHER"
"""The conventions' value of `error.type` where no better one is known."""

# Ours: the outcome schema, where no convention has a name.
OUTCOME_ACTION_TYPE: Final = "outcome.action_type"
OUTCOME_AGENT_TYPE: Final = "outcome.agent_type"
OUTCOME_ATTEMPT: Final = "outcome.attempt"
OUTCOME_CHOICE_CANDIDATES: Final = "outcome.choice.candidates"
OUTCOME_CHOICE_POLICY: Final = "outcome.choice.policy"
OUTCOME_CHOICE_PROPENSITY: Final = "outcome.choice.propensity"
OUTCOME_CONFIDENCE_SCORE: Final = "outcome.confidence_score"
OUTCOME_CORRELATION_ID: Final = "outcome.correlation_id"
OUTCOME_COST_ESTIMATE: Final = "outcome.cost_estimate"
OUTCOME_CPU_TIME_MS: Final = "outcome.cpu_time_ms"
OUTCOME_DEPTH: Final = "outcome.depth"
OUTCOME_DURATION_MS: Final = "outcome.duration_ms"
OUTCOME_EXPERIMENT_NAME: Final = "outcome.experiment.name"
OUTCOME_EXPERIMENT_PROPENSITY: Final = "outcome.experiment.propensity"
OUTCOME_EXPERIMENT_VARIANT: Final = "outcome.experiment.variant"
OUTCOME_FEEDBACK_BY: Final = "outcome.feedback.by"
OUTCOME_FEEDBACK_ID: Final = "outcome.feedback.id"
OUTCOME_FEEDBACK_SOURCE: Final = "outcome.feedback.source"
OUTCOME_FEEDBACK_TARGET: Final = "outcome.feedback.target"
OUTCOME_LATENCY_MS: Final = "outcome.latency_ms"
OUTCOME_LLM_CALLS: Final = "outcome.llm_calls"
OUTCOME_LLM_LATENCY_MS: Final = "outcome.llm_latency_ms"
OUTCOME_MEMORY_USED_MB: Final = "outcome.memory_used_mb"
OUTCOME_METADATA_PREFIX: Final = "outcome.metadata."
OUTCOME_OWN_COST: Final = "outcome.own_cost"
OUTCOME_OWN_TOKENS: Final = "outcome.own_tokens"
OUTCOME_PARENT_EVENT_ID: Final = "outcome.parent_event_id"
OUTCOME_QUALITY_SCORE: Final = "outcome.quality_score"
OUTCOME_ROOT_EVENT_ID: Final = "outcome.root_event_id"
OUTCOME_RUN_ID: Final = "outcome.run_id"
OUTCOME_SEVERITY: Final = "outcome.severity"
OUTCOME_STATUS: Final = "outcome.status"
OUTCOME_TAGS: Final = "outcome.tags"
OUTCOME_TENANT_ID: Final = "outcome.tenant_id"
OUTCOME_TOKENS_USED: Final = "outcome.tokens_used"
OUTCOME_WORKFLOW_ID: Final = "outcome.workflow_id"

# Keys that we add to an event's metadata when a value had to be changed.
METADATA_TRUNCATED: Final = "otel_feedback.truncated"
METADATA_INVALID: Final = "otel_feedback.invalid"
METADATA_REDACTED: Final = "otel_feedback.redacted"
METADATA_STATUS_REASON: Final = "status_reason"
METADATA_THREAD_LEFT: Final = "thread_left_running"
METADATA_ABANDONED: Final = "abandoned"
METADATA_EXCEPTION_GROUP: Final = "exception_group"

RETRY_EVENT: Final = "outcome.retry"
"""Span event: an attempt failed, and another one follows."""

LOG_EVENT_NAME: Final = "agent.outcome"
"""`event_name` of the OTLP log record that carries an outcome event."""

INFRASTRUCTURE_PREFIXES: Final = ("http.", "db.", "rpc.", "messaging.", "url.", "server.", "network.")
"""A span that starts with attributes of these families only is plumbing, never an agent's action."""

INFRASTRUCTURE_MARKERS: Final = frozenset({
    "http.request.method", "http.method", "db.system.name", "db.system", "rpc.system.name", "rpc.system", "messaging.system",
    "mcp.method.name",
})  # fmt: skip
"""What a span of HTTP, a database, RPC, messaging or MCP starts with, by the stable and the former names."""
