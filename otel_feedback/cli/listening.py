"""Libraries that tell their logger, and nobody else, what went wrong: hear it, and keep it off the terminal."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["listening"]


class _Ear(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def listening(name: str) -> Generator[list[logging.LogRecord], None, None]:
    """Collect warnings and errors of a logger and those below it, which meanwhile print nothing.

    Less than warnings is not even made: kafka-python's debug lines hold its configuration, passwords included.
    """
    logger = logging.getLogger(name)
    ear, propagate, level = _Ear(), logger.propagate, logger.level
    logger.addHandler(ear)
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    try:
        yield ear.records
    finally:
        logger.removeHandler(ear)
        logger.propagate = propagate
        logger.setLevel(level)
