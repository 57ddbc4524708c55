"""The one place that touches what OpenTelemetry's Python API marks as private, and why each has no public name."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from opentelemetry import context as context_api

# the key that every instrumentor looks at before it makes a span; public only in the contrib package
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY  # pyright: ignore[reportPrivateUsage]

__all__ = ["suppress_instrumentation"]


@contextmanager
def suppress_instrumentation() -> Generator[None]:
    """Let instrumented HTTP, gRPC and Kafka clients make no spans in this context: an export must not be traced."""
    token = context_api.attach(context_api.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        yield
    finally:
        context_api.detach(token)
