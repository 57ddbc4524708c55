"""Letting instrumented clients make no spans: by a key of the context that every instrumentor looks at."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from opentelemetry import context as context_api

# public only in the contrib package
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
