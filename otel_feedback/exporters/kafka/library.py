"""kafka-python as this process needs it: imported without a warning, and reading what it has to read under `python -O`.

`import_kafka()` comes before anything else of it; it takes 100 ms. Called under the guard of imports; safe to call again.
"""

from __future__ import annotations

import importlib
import sys
import warnings

from otel_feedback.errors import ExportError

__all__ = ["import_kafka", "limit_of_interpreter"]

PYTHON = sys.version_info[:3]
_NO_THREADS_AT_THE_END = ((3, 12, 0), (3, 12, 1))

_WARNED_OF = r"\w+ is deprecated\. Use files\(\) instead"
"""What Pythons 3.11 and 3.12 say of the function by which it reads its schemas; with `-W error` it cannot be imported."""

_TAGGED_FIELDS = "kafka.protocol.schemas.fields.codecs.tagged_fields"


def limit_of_interpreter() -> str | None:
    """Return what Kafka cannot do in this version of Python, and what to do about it; None where it can do all."""
    if PYTHON not in _NO_THREADS_AT_THE_END:
        return None
    return (
        f"Python {'.'.join(map(str, PYTHON))} starts no threads at the end of a program, so one that ends before Kafka is "
        "connected leaves its events to the next process: use Python 3.12.2 or later, or call force_flush()"
    )


def import_kafka() -> None:
    """Import it.

    Raises:
        ExportError: It cannot work in this interpreter; the detail says why, and what to do.
    """
    if sys.version_info < (3, 13) and "kafka.protocol" not in sys.modules:
        # for good, and not for as long as this takes: all threads share the list, and others may change it meanwhile
        warnings.filterwarnings("ignore", _WARNED_OF, DeprecationWarning)
    importlib.import_module("kafka")
    if not __debug__:
        _read_without_assert()


def _read_without_assert() -> None:
    """Replace the one reading that it does inside of an `assert`, which `-O` leaves out: of the end of a structure."""
    try:
        codecs = importlib.import_module(_TAGGED_FIELDS)
        read_number = codecs.UnsignedVarInt32.decode
        tagged_fields = codecs.TaggedFields
    except (ImportError, AttributeError) as exc:
        detail = "this kafka-python does not work with python -O: run it without, and without PYTHONOPTIMIZE"
        raise ExportError("unavailable", detail, retryable=True) from exc

    def decode_empty(data: object) -> None:
        if read_number(data) != 0:
            raise ValueError("fields where none are expected")

    tagged_fields.decode_empty = staticmethod(decode_empty)
