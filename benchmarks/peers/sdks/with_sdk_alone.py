"""The bare OTel SDK span, with a batch processor and OTLP/HTTP: what the others are compared with, in each environment."""

from __future__ import annotations

import functools

from benchmarks.peers.sdks.ready import Ready
from benchmarks.subjects.bare import ten_set_attributes
from benchmarks.subjects.otlp import Sent

__all__ = ["start"]


def start(url: str) -> Ready:
    """Set up the SDK."""
    sent = Sent(url)
    return Ready(functools.partial(ten_set_attributes, sent.provider.get_tracer("benchmarks")), sent.flush)
