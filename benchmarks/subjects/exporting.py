"""A process whose spans are really encoded and sent by OTLP: bare SDK spans, or actions, with Kafka or without.

What is measured is the CPU time of the whole process, all its threads: what is done on the agent's thread, and what is left
to others. The clock runs until everything has been sent, and with Kafka acknowledged.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Mapping
from typing import Any

import otel_feedback as feedback
from benchmarks.children import arguments, serve
from benchmarks.subjects import otlp
from benchmarks.subjects.bare import ten_set_attributes
from benchmarks.subjects.names import NO_EXPORTER, SET_ATTRIBUTE, THERE
from benchmarks.subjects.producing import flush, kafka_away, kafka_config, record, require_journal
from benchmarks.subjects.workload import one_action

__all__ = ["Subject"]


class Subject:
    """One way to record ten facts and send them."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._name = name = given["subject"]
        self._sent = otlp.Sent(given["url"])
        self._pipeline: feedback.FeedbackPipeline | None = None
        self._recorded = 0
        self._call = one_action
        if name == SET_ATTRIBUTE:
            self._call = functools.partial(ten_set_attributes, self._sent.provider.get_tracer("benchmarks"))
            return
        kafka = None if name == NO_EXPORTER else kafka_config(given) if name == THERE else kafka_away()
        self._pipeline = record(self._sent.provider, kafka)

    def measure(self, calls: int) -> Mapping[str, float]:
        """Make the calls; see `otlp.measure`.

        Raises:
            BenchmarkError: An event was not acknowledged, or the journal is not where it was to be.
        """
        self._recorded += calls
        figures = otlp.measure(self._call, self._sent.flush, calls, self._deliver if self._name == THERE else None)
        if self._pipeline is not None:
            require_journal(self._pipeline, "memory" if self._name == NO_EXPORTER else "disk")
        return figures

    def _deliver(self) -> None:
        assert self._pipeline is not None
        flush(self._pipeline, self._recorded)

    def close(self) -> None:
        """Give up what is pending: nobody will ever take it."""
        if self._pipeline is not None:
            self._pipeline.shutdown(timeout_s=0)


def _main() -> None:
    logging.disable()  # an unreachable broker is what is asked for
    subject = Subject(arguments())
    with contextlib.closing(subject):
        serve(lambda request: subject.measure(**request))


if __name__ == "__main__":
    _main()
