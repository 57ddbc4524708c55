"""The error hierarchy: everything this package raises on purpose derives from `FeedbackError`.

After `configure()` none of these reaches an agent's code: they are raised by configuration,
by explicit parsing (`OutcomeEvent.from_json`), and inside the pipeline, where they are counted.
"""

from __future__ import annotations

__all__ = ["ConfigError", "ExportError", "FeedbackError", "SchemaError", "describe"]


class FeedbackError(Exception):
    """Base of every error of this package."""


class ConfigError(FeedbackError, ValueError):
    """A setting has a value that cannot be used.

    Args:
        variable: The environment variable or argument that carries the value.
        value: The value as given; shown in the message, so secrets are masked by the caller.
        expected: What would be right.
    """

    def __init__(self, variable: str, value: object, expected: str) -> None:
        self.variable = variable
        self.value = value
        self.expected = expected
        super().__init__(f"{variable}={value!r}: expected {expected}")


class SchemaError(FeedbackError, ValueError):
    """Data does not fit the outcome event's schema; the message names the field and what is wrong."""


class ExportError(FeedbackError):
    """A destination did not take a lease.

    Args:
        reason: A short, stable word for metrics, for example `"unavailable"`.
        detail: One line for people; never content, keys or headers.
        retryable: True when sending the same records again may succeed.
        retry_after_s: How long the destination asked us to wait, in seconds.
    """

    def __init__(self, reason: str, detail: str, *, retryable: bool, retry_after_s: float | None = None) -> None:
        self.reason = reason
        self.detail = detail
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        super().__init__(f"{reason}: {detail}")


def describe(exc: Exception) -> str:
    """Return an exception as its class shows it, in 300 characters at most; never raises."""
    try:
        return repr(exc)[:300]
    except Exception:  # how an exception of others is shown is up to its class
        return type(exc).__name__
