"""Names of exceptions, and codes, that say more than that something failed; of Python's and of well-known libraries.

Class names, since none of these libraries is imported here.
"""

from __future__ import annotations

__all__ = [
    "CANCELLED_NAMES",
    "NO_ACCESS_CODES",
    "NO_ACCESS_NAMES",
    "PENDING_NAMES",
    "TIMEOUT_NAMES",
    "TIMEOUT_SUFFIXES",
]

TIMEOUT_NAMES = frozenset({"DeadlineExceeded", "TooSlowError", "TimeoutExpired"})
"""Class names that mean a deadline passed, of google.api_core, trio and subprocess; looked for in the whole hierarchy."""

TIMEOUT_SUFFIXES = ("TimeoutError", "Timeout", "TimeoutException")
"""How the names of all the others end: builtin, asyncio, futures, httpx, requests, openai, anthropic, gRPC, kafka-python …"""

CANCELLED_NAMES = frozenset({"CancelledError", "Cancelled", "FutureCancelledError", "KeyboardInterrupt"})
"""Class names that mean that somebody no longer wants the result: of asyncio and futures, trio, grpc, and Ctrl-C."""

NO_ACCESS_NAMES = frozenset(
    {
        "AuthenticationError",  # openai, anthropic
        "PermissionDeniedError",
        "Unauthenticated",  # google.api_core
        "PermissionDenied",
        "Unauthorized",
        "Forbidden",
        "InsufficientQuotaError",
        "QuotaExceededError",
    }
)
"""Class names that mean that no try will help until a person does something: credentials, rights, a paid quota."""

NO_ACCESS_CODES = frozenset(
    {401, 402, 403, "insufficient_quota", "invalid_api_key", "UNAUTHENTICATED", "PERMISSION_DENIED"}
)
"""HTTP status codes, error codes of APIs, and gRPC status names of the same meaning."""

PENDING_NAMES = frozenset(
    {
        "GraphInterrupt",  # langgraph: a person is asked
        "NodeInterrupt",
        "Interrupt",
        "ApprovalRequired",  # pydantic-ai
        "CallDeferred",
    }
)
"""Class names that mean that the action waits for somebody, and goes on later."""
